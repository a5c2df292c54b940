# APIs stay on when the deployment is destroyed: others in the project may use them by then.

locals {
  apis = toset(concat(
    [
      "artifactregistry.googleapis.com",
      "cloudbuild.googleapis.com",
      "cloudfunctions.googleapis.com",
      "cloudkms.googleapis.com",
      "cloudresourcemanager.googleapis.com",
      "cloudscheduler.googleapis.com",
      "iam.googleapis.com",
      "logging.googleapis.com",
      "monitoring.googleapis.com",
      "pubsub.googleapis.com",
      "run.googleapis.com",
      "storage.googleapis.com",
    ],
    var.bigquery == null ? [] : ["bigquery.googleapis.com"],
  ))
}

resource "google_project_service" "main" {
  for_each           = local.apis
  project            = var.project_id
  service            = each.value
  disable_on_destroy = false
}

# Not after the APIs: the number has to be known when the plan is made.
data "google_project" "main" {
  project_id = var.project_id
}

locals {
  project_number = data.google_project.main.number

  # Google's own accounts in this project, made when their APIs are first used.
  agents = {
    artifact_registry = "serviceAccount:service-${local.project_number}@gcp-sa-artifactregistry.iam.gserviceaccount.com"
    bigquery          = "serviceAccount:bq-${local.project_number}@bigquery-encryption.iam.gserviceaccount.com"
    functions         = "serviceAccount:service-${local.project_number}@gcf-admin-robot.iam.gserviceaccount.com"
    monitoring        = "serviceAccount:service-${local.project_number}@gcp-sa-monitoring-notification.iam.gserviceaccount.com"
    pubsub            = "serviceAccount:service-${local.project_number}@gcp-sa-pubsub.iam.gserviceaccount.com"
    run               = "serviceAccount:service-${local.project_number}@serverless-robot-prod.iam.gserviceaccount.com"
    storage           = "serviceAccount:service-${local.project_number}@gs-project-accounts.iam.gserviceaccount.com"
  }
}
