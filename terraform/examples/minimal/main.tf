# One project holds everything: two stages in one repository, and the deployment.

terraform {
  required_version = ">= 1.7"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 8.7, < 9.0"
    }
  }
}

provider "google" {
  project = var.project_id
  region  = var.region
}

resource "google_project_service" "artifact_registry" {
  project            = var.project_id
  service            = "artifactregistry.googleapis.com"
  disable_on_destroy = false
}

# No tag can be moved, nothing is destroyed with the deployment, and nothing cleans up what has no tag:
# evidence has none.
resource "google_artifact_registry_repository" "shop" {
  #checkov:skip=CKV_GCP_84:Google's own keys encrypt it, unless you need a key of yours: kms_key_name.
  project         = var.project_id
  location        = var.region
  repository_id   = "shop"
  description     = "Images of the shop, in both stages"
  format          = "DOCKER"
  deletion_policy = "PREVENT"

  docker_config {
    immutable_tags = true
  }

  depends_on = [google_project_service.artifact_registry]
}

module "promotion" {
  source = "../.."

  project_id            = var.project_id
  region                = var.region
  configuration         = coalesce(var.configuration, "${path.module}/promotion.yaml")
  repositories          = [google_artifact_registry_repository.shop.id]
  result_publishers     = { shop = var.result_publishers }
  control_invokers      = var.control_invokers
  notification_channels = var.notification_channels
}
