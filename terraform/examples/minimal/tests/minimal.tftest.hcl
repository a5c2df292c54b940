# The example as it is, made and taken away.

mock_provider "archive" {}
mock_provider "google" {
  source = "../../tests/mocks"
}

variables {
  project_id        = "acme-ci"
  region            = "europe-west2"
  result_publishers = ["serviceAccount:ci@acme-ci.iam.gserviceaccount.com"]
  control_invokers  = ["group:releasers@example.com"]
}

run "what_it_makes" {
  command = apply

  assert {
    condition     = one(google_artifact_registry_repository.shop.docker_config).immutable_tags && google_artifact_registry_repository.shop.deletion_policy == "PREVENT" && length(google_artifact_registry_repository.shop.cleanup_policies) == 0
    error_message = "Images stay as they are, and evidence, which has no tag, is never cleaned up."
  }
  assert {
    condition     = output.promotion.results_topics == { shop = "projects/acme-ci/topics/shop-results" }
    error_message = "Where results go must be put out."
  }
  assert {
    condition     = output.promotion.push_subscriptions == { "projects/acme-ci/subscriptions/promotion-signals" = "projects/acme-ci/topics/promotion-signals", "projects/acme-ci/subscriptions/shop-results" = "projects/acme-ci/topics/shop-results" }
    error_message = "The function must be fed by the subscriptions of promotion.yaml."
  }
  assert {
    condition     = output.promotion.service_accounts == { build = "promotion-build@acme-ci.iam.gserviceaccount.com", control = "promotion-control@acme-ci.iam.gserviceaccount.com", promote = "promotion-promote@acme-ci.iam.gserviceaccount.com", push = "promotion-push@acme-ci.iam.gserviceaccount.com" }
    error_message = "Each part must have an account of its own."
  }
}
