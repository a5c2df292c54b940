# What Google would answer.

mock_data "google_project" {
  defaults = { number = "123456789012" }
}

mock_data "google_kms_crypto_key_version" {
  defaults = {
    algorithm  = "EC_SIGN_P256_SHA256"
    public_key = [{ algorithm = "EC_SIGN_P256_SHA256", pem = "-----BEGIN PUBLIC KEY-----" }]
  }
}

mock_resource "google_cloudfunctions2_function" {
  defaults = { service_config = { uri = "https://promotion-abc123-nw.a.run.app" } }
}
