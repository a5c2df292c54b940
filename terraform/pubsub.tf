# Topics, and pushes to the function. The subscriptions are our own: the hidden one of an Eventarc trigger
# can have no dead-letter policy, and drops what is not done within a day.

locals {
  delivery = {
    max_attempts = 100
    ack_deadline = 600 # Seconds; also the time-out of a push.
  }
  week  = "604800s"
  month = "2678400s" # 31 days: the longest that Pub/Sub keeps a message.

  # Written out, so that they are known when the plan is made.
  topic_ids = {
    dead_letter = "projects/${var.project_id}/topics/${google_pubsub_topic.dead_letter.name}"
    events      = "projects/${var.project_id}/topics/${google_pubsub_topic.events.name}"
    signals     = try("projects/${var.project_id}/topics/${google_pubsub_topic.received[local.signals_name].name}", "")
  }
}

# One for each pipeline's results, for each suite with a subscription of its own, and for signals.
resource "google_pubsub_topic" "received" {
  for_each     = local.subscriptions
  project      = var.project_id
  name         = each.value
  kms_key_name = var.encryption_key
  labels       = var.labels
  depends_on   = [google_project_service.main, google_kms_crypto_key_iam_member.agents]
}

resource "google_pubsub_subscription" "push" {
  for_each                   = google_pubsub_topic.received
  project                    = var.project_id
  name                       = each.value.name
  topic                      = "projects/${var.project_id}/topics/${each.value.name}"
  ack_deadline_seconds       = local.delivery.ack_deadline
  message_retention_duration = local.week
  labels                     = var.labels

  push_config {
    # The path says which topic a message was published to, so that a dead letter can say where it may be replayed to.
    push_endpoint = "${google_cloudfunctions2_function.main["promote"].service_config[0].uri}/projects/${var.project_id}/topics/${each.value.name}"
    oidc_token {
      service_account_email = google_service_account.push.email
      audience              = google_cloudfunctions2_function.main["promote"].service_config[0].uri
    }
  }
  dead_letter_policy {
    dead_letter_topic     = local.topic_ids.dead_letter
    max_delivery_attempts = local.delivery.max_attempts
  }
  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }
  expiration_policy {
    ttl = "" # Never: a pipeline may rest for longer than the month after which idle ones are deleted.
  }

  # Before anything is pushed: the function must admit it, and a message that fails must have a place.
  depends_on = [
    google_cloud_run_v2_service_iam_member.push,
    google_pubsub_subscription.dead_letter,
    google_pubsub_topic_iam_member.dead_letter_agent,
    google_service_account_iam_member.push_token,
  ]
}

resource "google_pubsub_topic" "dead_letter" {
  project      = var.project_id
  name         = "${var.name}-dead-letter"
  kms_key_name = var.encryption_key
  labels       = var.labels
  depends_on   = [google_project_service.main, google_kms_crypto_key_iam_member.agents]
}

# Without a subscription, dead letters would be lost.
resource "google_pubsub_subscription" "dead_letter" {
  project                    = var.project_id
  name                       = google_pubsub_topic.dead_letter.name
  topic                      = local.topic_ids.dead_letter
  ack_deadline_seconds       = 60
  message_retention_duration = local.month
  labels                     = var.labels

  expiration_policy {
    ttl = ""
  }
}

resource "google_pubsub_topic" "events" {
  project      = var.project_id
  name         = "${var.name}-events"
  kms_key_name = var.encryption_key
  labels       = var.labels
  depends_on   = [google_project_service.main, google_kms_crypto_key_iam_member.agents]
}
