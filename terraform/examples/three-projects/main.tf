# Registries of dev, test and prod in three projects and two regions; the deployment is in a fourth.
# Two pipelines: their results have publishers of their own each, and the security scan has its own.

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

locals {
  registries = {
    dev  = { project = var.dev_project_id, location = var.region }
    test = { project = var.test_project_id, location = var.region }
    prod = { project = var.prod_project_id, location = var.prod_region }
  }
}

resource "google_project_service" "artifact_registry" {
  for_each           = local.registries
  project            = each.value.project
  service            = "artifactregistry.googleapis.com"
  disable_on_destroy = false
}

# No tag can be moved, nothing is destroyed with the deployment, and nothing cleans up what has no tag:
# evidence has none.
resource "google_artifact_registry_repository" "tenant" {
  #checkov:skip=CKV_GCP_84:Google's own keys encrypt it, unless you need a key of yours: kms_key_name.
  for_each        = local.registries
  project         = each.value.project
  location        = each.value.location
  repository_id   = "tenant"
  description     = "Images of the ${each.key} stages"
  format          = "DOCKER"
  deletion_policy = "PREVENT"

  docker_config {
    immutable_tags = true
  }

  depends_on = [google_project_service.artifact_registry]
}

# Where images run, incidents arise: let their alert policies publish to the signals topic.
data "google_project" "prod" {
  project_id = var.prod_project_id
}

module "promotion" {
  source = "../.."

  project_id                = var.project_id
  region                    = var.region
  configuration             = coalesce(var.configuration, "${path.module}/promotion.yaml")
  repositories              = [for repository in google_artifact_registry_repository.tenant : repository.id]
  result_publishers         = { shop = var.shop_publishers, billing = var.billing_publishers }
  suite_publishers          = { security-scans = var.security_publishers }
  signal_publishers         = ["serviceAccount:service-${data.google_project.prod.number}@gcp-sa-monitoring-notification.iam.gserviceaccount.com"]
  event_subscribers         = var.event_subscribers
  control_invokers          = var.control_invokers
  notification_channels     = var.notification_channels
  audited_registry_projects = [var.prod_project_id]
  bigquery                  = { dataset_id = "promotion" }
}
