# The module as it is, with all of its variables (variables.tf is the module's own file) and outputs.

provider "google" {
  project = var.project_id
  region  = var.region
}

module "promotion" {
  source = "../"

  alert_thresholds          = var.alert_thresholds
  audited_registry_projects = var.audited_registry_projects
  bigquery                  = var.bigquery
  configuration             = var.configuration
  control_audiences         = var.control_audiences
  control_invokers          = var.control_invokers
  create_signing_key        = var.create_signing_key
  encryption_key            = var.encryption_key
  evaluation_schedule       = var.evaluation_schedule
  event_subscribers         = var.event_subscribers
  function                  = var.function
  labels                    = var.labels
  name                      = var.name
  notification_channels     = var.notification_channels
  project_id                = var.project_id
  region                    = var.region
  repositories              = var.repositories
  result_publishers         = var.result_publishers
  signal_publishers         = var.signal_publishers
  source_directory          = var.source_directory
  suite_publishers          = var.suite_publishers
  vpc                       = var.vpc
}

output "deployment" {
  description = "All that the module puts out, for `make smoke` and `make replay-dead-letters`."
  value       = module.promotion
}
