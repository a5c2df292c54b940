# The key that signs evidence. Its names and the number of its version are those of signing.kms in
# promotion.yaml: written once, they cannot differ. A higher number there makes another version, and
# those before it stay, since what they have signed still counts.

resource "google_kms_key_ring" "signing" {
  count      = var.create_signing_key ? 1 : 0
  project    = local.signing_key.project
  location   = local.signing_key.location
  name       = local.signing_key.ring
  depends_on = [google_project_service.main]
}

resource "google_kms_crypto_key" "signing" {
  #checkov:skip=CKV_GCP_82:Destroying the deployment must be able to destroy the key; versions can be restored for 30 days, and signatures are verified by public keys, which promotion.yaml may keep.
  # Not rotated by schedule: whoever verifies must learn the new public key first.
  count                         = length(google_kms_key_ring.signing)
  key_ring                      = google_kms_key_ring.signing[0].id
  name                          = local.signing_key.name
  purpose                       = "ASYMMETRIC_SIGN"
  skip_initial_version_creation = true
  destroy_scheduled_duration    = "2592000s"
  labels                        = var.labels

  version_template {
    algorithm        = "EC_SIGN_P256_SHA256"
    protection_level = "SOFTWARE"
  }
}

resource "google_kms_crypto_key_version" "signing" {
  count      = var.create_signing_key ? local.signing_key.version : 0
  crypto_key = google_kms_crypto_key.signing[0].id
}

locals {
  signing_key_id = "projects/${local.signing_key.project}/locations/${local.signing_key.location}/keyRings/${local.signing_key.ring}/cryptoKeys/${local.signing_key.name}"
}

data "google_kms_crypto_key_version" "signing" {
  crypto_key = local.signing_key_id
  version    = local.signing_key.version
  depends_on = [google_kms_crypto_key_version.signing]

  lifecycle {
    postcondition {
      condition     = self.algorithm == "EC_SIGN_P256_SHA256"
      error_message = "${local.signing_key_version} is a key for ${self.algorithm}, and evidence is signed with EC_SIGN_P256_SHA256. Name a key for that in signing.kms."
    }
  }
}

resource "google_kms_crypto_key_iam_member" "signer" {
  for_each      = local.functions
  crypto_key_id = local.signing_key_id
  role          = "roles/cloudkms.signerVerifier"
  member        = local.function_members[each.key]
  depends_on    = [google_kms_crypto_key.signing]
}

# With a key of your own (encryption_key), Google's services use it through their agents.
resource "google_kms_crypto_key_iam_member" "agents" {
  for_each      = var.encryption_key == null ? {} : { for agent, member in local.agents : agent => member if agent != "monitoring" && (agent != "bigquery" || var.bigquery != null) }
  crypto_key_id = var.encryption_key
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = each.value
}
