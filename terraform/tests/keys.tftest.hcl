# The signing key, where it is not of the right kind. It is asked for when the rest is there.

mock_provider "archive" {}
mock_provider "google" {
  source = "./tests/mocks"
}

variables {
  project_id       = "acme-ci"
  region           = "europe-west2"
  configuration    = "examples/minimal/promotion.yaml"
  source_directory = "tests/source"
}

run "a_key_of_another_kind_is_refused" {
  command = apply

  variables {
    create_signing_key = false
  }
  override_data {
    target = data.google_kms_crypto_key_version.signing
    values = { algorithm = "RSA_SIGN_PSS_2048_SHA256" }
  }
  expect_failures = [data.google_kms_crypto_key_version.signing]
}
