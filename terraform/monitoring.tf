# What people are told. What to do about each alert: docs/operate.md.

locals {
  alerts = {
    dead_letters = {
      display   = "dead letters"
      severity  = "ERROR"
      filter    = "resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id=\"${google_pubsub_subscription.dead_letter.name}\" AND metric.type=\"pubsub.googleapis.com/subscription/num_undelivered_messages\""
      aligner   = "ALIGN_MAX"
      reducer   = "REDUCE_SUM"
      group_by  = []
      period    = "60s"
      duration  = "0s"
      threshold = 0
      meaning   = "Messages have been put aside: they have had no effect. The attribute promotion-dlq-reason of each says why; class retryable may be replayed once the cause is gone, permanent must be published anew."
    }
    oldest_message = {
      display   = "oldest message not done with"
      severity  = "WARNING"
      filter    = "resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id=one_of(${join(",", [for name in local.subscriptions : "\"${name}\""])}) AND metric.type=\"pubsub.googleapis.com/subscription/oldest_unacked_message_age\""
      aligner   = "ALIGN_MAX"
      reducer   = "REDUCE_MAX"
      group_by  = ["resource.label.subscription_id"]
      period    = "60s"
      duration  = "300s"
      threshold = var.alert_thresholds.oldest_message_minutes * 60
      meaning   = "A message has been delivered again and again for this long. The function's log says with each delivery what was in the way: a registry out of order, a right that is missing, or no instance that starts."
    }
    function_errors = {
      display   = "errors in the functions"
      severity  = "ERROR"
      filter    = "resource.type=\"cloud_run_revision\" AND metric.type=\"${local.metric_types.errors}\""
      aligner   = "ALIGN_DELTA"
      reducer   = "REDUCE_SUM"
      group_by  = ["resource.label.service_name"]
      period    = "300s"
      duration  = "0s"
      threshold = 0
      meaning   = "A function has logged an error: it crashed, does not start, was asked something that it does not take, or lacks what it needs."
    }
    server_errors = {
      display   = "requests that crashed"
      severity  = "ERROR"
      filter    = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=one_of(${join(",", [for function in keys(local.functions) : "\"${var.name}-${function}\""])}) AND metric.type=\"run.googleapis.com/request_count\" AND metric.labels.response_code_class=\"5xx\" AND metric.labels.response_code!=\"503\""
      aligner   = "ALIGN_DELTA"
      reducer   = "REDUCE_SUM"
      group_by  = ["resource.label.service_name"]
      period    = "300s"
      duration  = "0s"
      threshold = 0
      meaning   = "Requests ended with a 5xx other than 503, which only asks for another delivery: a crash (500), a time-out (504) or too little memory."
    }
    slow_promotions = {
      display   = "slow promotions"
      severity  = "WARNING"
      filter    = "resource.type=\"cloud_run_revision\" AND metric.type=\"${local.metric_types.promotion_seconds}\""
      aligner   = "ALIGN_PERCENTILE_99"
      reducer   = "REDUCE_MAX"
      group_by  = ["metric.label.pipeline", "metric.label.to_stage"]
      period    = "600s"
      duration  = "0s"
      threshold = var.alert_thresholds.promotion_seconds
      meaning   = "Promotions take longer than they should. If bytes are copied that could be mounted, the stages' repositories are on different hosts; else a registry is slow, or at its quota."
    }
  }
}

resource "google_monitoring_alert_policy" "main" {
  for_each              = local.alerts
  project               = var.project_id
  display_name          = "${var.name}: ${each.value.display}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = var.notification_channels
  user_labels           = var.labels

  conditions {
    display_name = each.value.display
    condition_threshold {
      filter          = each.value.filter
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.threshold
      duration        = each.value.duration
      aggregations {
        alignment_period     = each.value.period
        per_series_aligner   = each.value.aligner
        cross_series_reducer = each.value.reducer
        group_by_fields      = each.value.group_by
      }
    }
  }
  alert_strategy {
    auto_close = "86400s"
  }
  documentation {
    mime_type = "text/markdown"
    content   = "${each.value.meaning} What to do: docs/operate.md."
  }

  # A policy is refused while the metric that it names does not exist.
  depends_on = [google_logging_metric.counter, google_logging_metric.distribution, google_project_service.main]
}

# For alert policies of the images themselves: an incident that goes here counts for `alerts: none` and
# soaks (docs/signals.md). No policy of this module uses it.
resource "google_monitoring_notification_channel" "signals" {
  project      = var.project_id
  display_name = "${var.name}: signals"
  description  = "Incidents that hold images back; give policies the user labels pipeline, stage and image"
  type         = "pubsub"
  labels       = { topic = local.topic_ids.signals }
  user_labels  = var.labels
  depends_on   = [google_project_service.main]
}
