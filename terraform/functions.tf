# Two entry points of one source: promote takes Pub/Sub's messages, control takes people's decisions.
#
# google_cloud_run_v2_service, not google_cloudfunctions2_function: it alone has startup_cpu_boost, and
# with triggers of our own (pubsub.tf) nothing of the other is missed. Google, too, recommends the Cloud
# Run Admin API for new functions.

locals {
  base_image = "${var.region}-docker.pkg.dev/serverless-runtimes/google-22-full/runtimes/python313"

  # A service cannot refer to its own URL; this one of its URLs follows from names alone.
  control_url = "https://${var.name}-control-${local.project_number}.${var.region}.run.app"

  common_environment = {
    GOOGLE_CLOUD_PROJECT    = var.project_id
    LOG_LEVEL               = var.function.log_level
    PROMOTION_SIGNALS_TOPIC = local.topic_ids.signals
    THREADS                 = tostring(var.function.concurrency)
  }
  functions = {
    promote = {
      description = "Promotes images upon test results: takes Pub/Sub's messages"
      ingress     = "INGRESS_TRAFFIC_INTERNAL_ONLY" # Pub/Sub's pushes from the same project count as internal.
      environment = merge(local.common_environment, {
        PROMOTION_ATTEMPT_SECONDS       = tostring(var.function.attempt_seconds)
        PROMOTION_DEAD_LETTER_TOPIC     = local.topic_ids.dead_letter
        PROMOTION_EVENTS_TOPIC          = local.topic_ids.events
        PROMOTION_MAX_DELIVERY_ATTEMPTS = tostring(local.delivery.max_attempts)
      })
    }
    control = {
      description = "States people's decisions: approve, override, hold, release, revoke, advance"
      ingress     = "INGRESS_TRAFFIC_ALL"
      environment = merge(local.common_environment, {
        PROMOTION_CONTROL_AUDIENCE = join(" ", concat([local.control_url], var.control_audiences))
      })
    }
  }
}

resource "google_cloud_run_v2_service" "main" {
  for_each             = local.functions
  project              = var.project_id
  location             = var.region
  name                 = "${var.name}-${each.key}"
  description          = each.value.description
  ingress              = each.value.ingress
  invoker_iam_disabled = false
  # It has no state; without this, Terraform could not destroy it.
  deletion_protection = false
  custom_audiences    = each.key == "control" ? [for audience in var.control_audiences : audience if startswith(audience, "https://")] : null
  labels              = var.labels

  build_config {
    source_location          = "gs://${google_storage_bucket.source.name}/${google_storage_bucket_object.bundle.name}"
    function_target          = each.key
    base_image               = local.base_image
    enable_automatic_updates = true
    image_uri                = "${local.images}/${each.key}"
    service_account          = google_service_account.build.id
  }

  template {
    service_account                  = google_service_account.function[each.key].email
    timeout                          = "${var.function.timeout_seconds}s"
    max_instance_request_concurrency = var.function.concurrency
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"
    encryption_key                   = var.encryption_key
    labels                           = var.labels

    scaling {
      min_instance_count = var.function.min_instances
      max_instance_count = var.function.max_instances
    }

    containers {
      image          = "${local.images}/${each.key}"
      base_image_uri = local.base_image

      resources {
        cpu_idle          = true # Request-based billing: there is a processor while there is a request.
        startup_cpu_boost = true
        limits            = { cpu = var.function.cpu, memory = var.function.memory }
      }

      dynamic "env" {
        for_each = each.value.environment
        content {
          name  = env.key
          value = env.value
        }
      }
    }

    dynamic "vpc_access" {
      for_each = var.vpc[*]
      content {
        egress = vpc_access.value.egress
        network_interfaces {
          network    = vpc_access.value.network
          subnetwork = vpc_access.value.subnetwork
          tags       = vpc_access.value.tags
        }
      }
    }
  }

  # Without this, what was rolled back by hand would stay where it is, whatever is deployed.
  traffic {
    type    = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
    percent = 100
  }

  # A new revision is only ready with the rights that it needs to start.
  depends_on = [
    google_artifact_registry_repository_iam_member.build,
    google_kms_crypto_key_iam_member.agents,
    google_kms_crypto_key_iam_member.signer,
    google_project_iam_member.build_logs,
    google_project_service.main,
    google_storage_bucket_iam_member.build,
    terraform_data.configuration,
  ]
}

locals {
  images = "${var.region}-docker.pkg.dev/${replace(var.project_id, ":", "/")}/${google_artifact_registry_repository.images.repository_id}"
}
