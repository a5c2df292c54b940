# Two entry points of one source: promote takes Pub/Sub's messages, control takes people's decisions.
#
# google_cloudfunctions2_function, not google_cloud_run_v2_service: the latter's build_config builds
# nothing, so there would be no image to run (README.md). No event_trigger: pubsub.tf has our own.

locals {
  # A service cannot refer to its own URL; this one of its URLs follows from names alone.
  control_url = "https://${var.name}-control-${local.project_number}.${var.region}.run.app"

  common_environment = {
    GOOGLE_CLOUD_PROJECT    = var.project_id
    LOG_EXECUTION_ID        = "false" # Lines are JSON already; the framework would wrap them once more.
    LOG_LEVEL               = var.function.log_level
    PROMOTION_SIGNALS_TOPIC = local.topic_ids.signals
    THREADS                 = tostring(var.function.concurrency)
  }
  functions = {
    promote = {
      description = "Promotes images upon test results: takes Pub/Sub's messages"
      ingress     = "ALLOW_INTERNAL_ONLY" # Pub/Sub's pushes from the same project count as internal.
      environment = merge(local.common_environment, {
        PROMOTION_ATTEMPT_SECONDS       = tostring(var.function.attempt_seconds)
        PROMOTION_DEAD_LETTER_TOPIC     = local.topic_ids.dead_letter
        PROMOTION_EVENTS_TOPIC          = local.topic_ids.events
        PROMOTION_MAX_DELIVERY_ATTEMPTS = tostring(local.delivery.max_attempts)
      })
    }
    control = {
      description = "States people's decisions: approve, override, hold, release, revoke, advance"
      ingress     = "ALLOW_ALL"
      environment = merge(local.common_environment, {
        PROMOTION_CONTROL_AUDIENCE = join(" ", concat([local.control_url], var.control_audiences))
      })
    }
  }
}

resource "google_cloudfunctions2_function" "main" {
  #checkov:skip=CKV_GCP_124:control is called by people, from wherever they are; promote admits only what is inside, and neither anybody without the right.
  for_each     = local.functions
  project      = var.project_id
  location     = var.region
  name         = "${var.name}-${each.key}"
  description  = each.value.description
  kms_key_name = var.encryption_key
  labels       = var.labels

  build_config {
    runtime           = "python313"
    entry_point       = each.key
    docker_repository = google_artifact_registry_repository.images.id
    service_account   = google_service_account.build.id

    source {
      storage_source {
        bucket = google_storage_bucket.source.name
        object = google_storage_bucket_object.bundle.name
      }
    }
    automatic_update_policy {} # Google mends the runtime below the code without a deployment.
  }

  # Billed by request: there is a processor while there is a request.
  service_config {
    service_account_email            = google_service_account.function[each.key].email
    ingress_settings                 = each.value.ingress
    environment_variables            = each.value.environment
    timeout_seconds                  = var.function.timeout_seconds
    max_instance_request_concurrency = var.function.concurrency
    min_instance_count               = var.function.min_instances
    max_instance_count               = var.function.max_instances
    available_cpu                    = var.function.cpu
    available_memory                 = var.function.memory
    # Without this, what was rolled back by hand would stay where it is, whatever is deployed.
    all_traffic_on_latest_revision = true
    direct_vpc_egress              = var.vpc == null ? null : "VPC_EGRESS_${var.vpc.egress}"

    dynamic "direct_vpc_network_interface" {
      for_each = var.vpc[*]
      content {
        network    = direct_vpc_network_interface.value.network
        subnetwork = direct_vpc_network_interface.value.subnetwork
        tags       = direct_vpc_network_interface.value.tags
      }
    }
  }

  # A new revision is only ready with the rights that it needs to start.
  depends_on = [
    google_artifact_registry_repository_iam_member.build,
    google_artifact_registry_repository_iam_member.functions_agent,
    google_kms_crypto_key_iam_member.agents,
    google_kms_crypto_key_iam_member.signer,
    google_project_iam_member.build_logs,
    google_project_service.main,
    google_storage_bucket_iam_member.build,
    terraform_data.configuration,
  ]
}
