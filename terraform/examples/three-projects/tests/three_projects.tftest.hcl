# The example as it is, made and taken away. The rights it gives are in tests/integration/test_terraform.py.

mock_provider "archive" {}
mock_provider "google" {
  source = "../../tests/mocks"
}

variables {
  project_id          = "acme-ci"
  dev_project_id      = "acme-dev"
  test_project_id     = "acme-test"
  prod_project_id     = "acme-prod"
  shop_publishers     = ["serviceAccount:ci@acme-shop.iam.gserviceaccount.com", "group:shop@example.com"]
  billing_publishers  = ["serviceAccount:ci@acme-billing.iam.gserviceaccount.com"]
  security_publishers = ["serviceAccount:scanner@acme-security.iam.gserviceaccount.com"]
  event_subscribers   = ["serviceAccount:deployer@acme-prod.iam.gserviceaccount.com"]
  control_invokers    = ["group:releasers@example.com"]
}

run "what_it_makes" {
  command = apply

  assert {
    condition     = { for stages, each in google_artifact_registry_repository.tenant : stages => "${each.project} ${each.location}" } == { dev = "acme-dev europe-west2", test = "acme-test europe-west2", prod = "acme-prod europe-west1" }
    error_message = "There must be a registry in each of three projects."
  }
  assert {
    condition     = alltrue([for each in google_artifact_registry_repository.tenant : one(each.docker_config).immutable_tags && each.deletion_policy == "PREVENT" && length(each.cleanup_policies) == 0])
    error_message = "Images stay as they are, and evidence, which has no tag, is never cleaned up."
  }
  assert {
    condition     = output.promotion.results_topics == { billing = "projects/acme-ci/topics/billing-results", shop = "projects/acme-ci/topics/shop-results" } && output.promotion.suite_topics == { security-scans = "projects/acme-ci/topics/security-scans" }
    error_message = "Each pipeline, and the suite with a subscription of its own, must have a topic."
  }
  assert {
    condition     = output.promotion.events_table == "acme-ci.promotion.events"
    error_message = "Events must be kept in a table."
  }
}
