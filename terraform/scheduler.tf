# Time sends no message: a soak that is over is found by looking (docs/evaluate.md).

resource "google_cloud_scheduler_job" "evaluate" {
  for_each    = local.pipelines
  project     = var.project_id
  region      = var.region
  name        = "${var.name}-evaluate-${each.key}"
  description = "Has what waits in the pipeline ${each.key} looked at"
  schedule    = var.evaluation_schedule
  time_zone   = "Etc/UTC"

  pubsub_target {
    topic_name = local.topic_ids.signals
    data       = base64encode(jsonencode({ evaluate = { pipeline = each.key } }))
  }
  retry_config {
    retry_count = 3
  }

  depends_on = [google_project_service.main, google_pubsub_subscription.push]
}
