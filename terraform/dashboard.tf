resource "google_monitoring_dashboard" "main" {
  project = var.project_id
  dashboard_json = templatefile("${path.module}/dashboard.json.tftpl", {
    dead_letters  = google_pubsub_subscription.dead_letter.name
    metrics       = local.metric_types
    name          = var.name
    services      = [for function in keys(local.functions) : "${var.name}-${function}"]
    subscriptions = local.subscriptions
  })
  depends_on = [google_logging_metric.counter, google_logging_metric.distribution, google_project_service.main]
}
