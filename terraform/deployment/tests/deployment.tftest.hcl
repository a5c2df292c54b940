# What `make deploy` runs: the module, with what the operator gives and nothing else.

mock_provider "archive" {}
mock_provider "google" {
  source = "../tests/mocks"
}

variables {
  project_id        = "acme-ci"
  region            = "europe-west2"
  configuration     = "../examples/minimal/promotion.yaml"
  source_directory  = "../tests/source"
  name              = "shop"
  result_publishers = { shop = ["serviceAccount:ci@acme-ci.iam.gserviceaccount.com"] }
}

run "the_deployment_tells_what_make_smoke_and_replay_dead_letters_need" {
  command = apply

  assert {
    condition     = output.deployment.results_topics == { shop = "projects/acme-ci/topics/shop-results" }
    error_message = "Each pipeline's results topic must be known."
  }
  assert {
    condition     = output.deployment.push_subscriptions["projects/acme-ci/subscriptions/shop-results"] == "projects/acme-ci/topics/shop-results"
    error_message = "Each subscription's topic must be known by full names, so that a dead letter can go back."
  }
  assert {
    condition     = output.deployment.events_topic == "projects/acme-ci/topics/shop-events" && output.deployment.dead_letter_topic == "projects/acme-ci/topics/shop-dead-letter" && output.deployment.dead_letter_subscription == "projects/acme-ci/subscriptions/shop-dead-letter"
    error_message = "The name that the operator gives must reach the module."
  }
}
