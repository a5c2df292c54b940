# What is deployed: the modules that main.py reaches, the lock and promotion.yaml. Both functions share it.

locals {
  source_directory = coalesce(var.source_directory, "${path.module}/..")

  # Only the command line uses these. A test holds the rest against what main.py imports.
  command_line = [
    "promotion/__main__.py",
    "promotion/by_hand/**",
    "promotion/cli.py",
    "promotion/commands/**",
    "promotion/conditions.py",
    "promotion/following.py",
    "promotion/inspection.py",
    "promotion/junit.py",
    "promotion/latest.py",
    "promotion/registry/credential_helper.py",
    "promotion/registry/docker_config.py",
    "promotion/registry/probe.py",
    "promotion/registry/rehearsal.py",
    "promotion/registry/side.py",
    "promotion/status.py",
  ]
  modules = setsubtract(
    fileset(local.source_directory, "promotion/**/*.py"),
    setunion([], [for pattern in local.command_line : fileset(local.source_directory, pattern)]...),
  )
  bundle = merge(
    { for name in setunion(["main.py", "requirements.txt"], local.modules) : name => file("${local.source_directory}/${name}") },
    { "promotion.yaml" = file(var.configuration) },
  )
  # Of the content, not of the archive: the same content is the same bundle whatever packs it.
  bundle_hash = sha256(jsonencode(local.bundle))
}

data "archive_file" "bundle" {
  type        = "zip"
  output_path = "${path.root}/.terraform/promotion-${local.bundle_hash}.zip"

  dynamic "source" {
    for_each = local.bundle
    content {
      filename = source.key
      content  = source.value
    }
  }
}

resource "google_storage_bucket" "source" {
  #checkov:skip=CKV_GCP_62:The bucket holds nothing but source that is in version control; who reads it is in the audit log.
  project                     = var.project_id
  name                        = "${replace(var.project_id, "/[.:]/", "-")}-${var.name}-source"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true # Bundles can be made again.
  labels                      = var.labels

  versioning {
    enabled = true
  }
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      num_newer_versions = 3
    }
  }
  dynamic "encryption" {
    for_each = var.encryption_key[*]
    content {
      default_kms_key_name = encryption.value
    }
  }

  depends_on = [google_project_service.main, google_kms_crypto_key_iam_member.agents]
}

# With the hash in its name, other content is another object, and so another build.
resource "google_storage_bucket_object" "bundle" {
  bucket = google_storage_bucket.source.name
  name   = "promotion-${local.bundle_hash}.zip"
  source = data.archive_file.bundle.output_path
}

# Where builds keep the functions' own images. No stage of a pipeline.
resource "google_artifact_registry_repository" "images" {
  project       = var.project_id
  location      = var.region
  repository_id = "${var.name}-functions"
  description   = "Images of Promotion's functions, as Cloud Build makes them"
  format        = "DOCKER"
  kms_key_name  = var.encryption_key
  labels        = var.labels

  cleanup_policies {
    id     = "keep-the-newest"
    action = "KEEP"
    most_recent_versions {
      keep_count = 10
    }
  }
  cleanup_policies {
    id     = "delete-old-ones"
    action = "DELETE"
    condition {
      older_than = "2592000s"
    }
  }

  depends_on = [google_project_service.main, google_kms_crypto_key_iam_member.agents]
}
