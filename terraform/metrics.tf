# Metrics from the fields of the functions' log lines; no wording is searched. README.md says what they count.

locals {
  of_promote = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${google_cloudfunctions2_function.main["promote"].name}\""
  of_both    = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=(${join(" OR ", [for each in google_cloudfunctions2_function.main : "\"${each.name}\""])})"

  by_stage = {
    pipeline   = "EXTRACT(jsonPayload.pipeline)"
    from_stage = "EXTRACT(jsonPayload.from_stage)"
    to_stage   = "EXTRACT(jsonPayload.to_stage)"
  }

  counters = {
    promotions   = { display = "Images promoted", filter = "${local.of_promote} AND jsonPayload.announced=\"promoted\"", labels = local.by_stage }
    denials      = { display = "Images denied", filter = "${local.of_promote} AND jsonPayload.announced=\"denied\"", labels = local.by_stage }
    revocations  = { display = "Images revoked", filter = "${local.of_promote} AND jsonPayload.announced=\"revoked\"", labels = local.by_stage }
    waits        = { display = "Verdicts to wait", filter = "${local.of_promote} AND jsonPayload.verdict=\"WAIT\"", labels = local.by_stage }
    dead_letters = { display = "Messages put aside by the function", filter = "${local.of_promote} AND jsonPayload.dead_letter:*", labels = { class = "EXTRACT(jsonPayload.dead_letter)" } }
    # A dead letter has an alert of its own. Cloud Run's own log of requests has severity ERROR for a 503 too.
    errors = { display = "Errors logged", filter = "${local.of_both} AND severity>=ERROR AND NOT logName:\"run.googleapis.com%2Frequests\" AND NOT jsonPayload.dead_letter:*", labels = { function = "EXTRACT(resource.labels.service_name)" } }
  }

  distributions = {
    promotion_seconds = { display = "Time to judge and promote", unit = "s", field = "seconds", filter = "${local.of_promote} AND jsonPayload.verdict=\"PROMOTE\"", scale = 0.05, finite = 40 }
    copied_bytes      = { display = "Bytes copied for a promotion", unit = "By", field = "bytes", filter = "${local.of_promote} AND jsonPayload.blobs_copied:*", scale = 1024, finite = 60 }
    blobs_mounted     = { display = "Blobs mounted for a promotion", unit = "1", field = "blobs_mounted", filter = "${local.of_promote} AND jsonPayload.blobs_mounted:*", scale = 1, finite = 30 }
    blobs_present     = { display = "Blobs there already at a promotion", unit = "1", field = "blobs_present", filter = "${local.of_promote} AND jsonPayload.blobs_present:*", scale = 1, finite = 30 }
    blobs_copied      = { display = "Blobs copied for a promotion", unit = "1", field = "blobs_copied", filter = "${local.of_promote} AND jsonPayload.blobs_copied:*", scale = 1, finite = 30 }
  }

  metric_types = { for metric in concat(keys(local.counters), keys(local.distributions)) : metric => "logging.googleapis.com/user/${var.name}/${metric}" }
}

resource "google_logging_metric" "counter" {
  for_each         = local.counters
  project          = var.project_id
  name             = "${var.name}/${each.key}"
  description      = each.value.display
  filter           = each.value.filter
  label_extractors = each.value.labels

  metric_descriptor {
    metric_kind  = "DELTA"
    value_type   = "INT64"
    unit         = "1"
    display_name = each.value.display
    dynamic "labels" {
      for_each = each.value.labels
      content {
        key        = labels.key
        value_type = "STRING"
      }
    }
  }

  depends_on = [google_project_service.main]
}

resource "google_logging_metric" "distribution" {
  for_each         = local.distributions
  project          = var.project_id
  name             = "${var.name}/${each.key}"
  description      = each.value.display
  filter           = each.value.filter
  value_extractor  = "EXTRACT(jsonPayload.${each.value.field})"
  label_extractors = local.by_stage

  metric_descriptor {
    metric_kind  = "DELTA"
    value_type   = "DISTRIBUTION"
    unit         = each.value.unit
    display_name = each.value.display
    dynamic "labels" {
      for_each = local.by_stage
      content {
        key        = labels.key
        value_type = "STRING"
      }
    }
  }
  bucket_options {
    exponential_buckets {
      scale              = each.value.scale
      growth_factor      = 1.4142
      num_finite_buckets = each.value.finite
    }
  }

  depends_on = [google_project_service.main]
}
