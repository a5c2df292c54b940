# Optionally, promotion events in a table; README.md has a query.

resource "google_bigquery_dataset" "events" {
  count                           = var.bigquery == null ? 0 : 1
  project                         = var.project_id
  dataset_id                      = var.bigquery.dataset_id
  location                        = coalesce(var.bigquery.location, var.region)
  description                     = "What Promotion has promoted, denied and revoked, and why"
  default_partition_expiration_ms = var.bigquery.days == null ? null : var.bigquery.days * 86400000
  labels                          = var.labels

  dynamic "default_encryption_configuration" {
    for_each = var.encryption_key[*]
    content {
      kms_key_name = default_encryption_configuration.value
    }
  }

  depends_on = [google_project_service.main, google_kms_crypto_key_iam_member.agents]
}

resource "google_bigquery_table" "events" {
  #checkov:skip=CKV_GCP_121:The events are copies, to be asked; whoever destroys the deployment means them too. The registries keep the evidence.
  count               = length(google_bigquery_dataset.events)
  project             = var.project_id
  dataset_id          = google_bigquery_dataset.events[0].dataset_id
  table_id            = "events"
  description         = "A row for each promotion event; attributes and data are JSON, as docs/messages.md has them"
  deletion_protection = false
  labels              = var.labels
  clustering          = ["subscription_name"]

  time_partitioning {
    type  = "DAY"
    field = "publish_time"
  }
  dynamic "encryption_configuration" {
    for_each = var.encryption_key[*]
    content {
      kms_key_name = encryption_configuration.value
    }
  }

  # The columns that Pub/Sub writes with write_metadata.
  schema = jsonencode([
    { name = "subscription_name", type = "STRING" },
    { name = "message_id", type = "STRING" },
    { name = "publish_time", type = "TIMESTAMP" },
    { name = "data", type = "JSON" },
    { name = "attributes", type = "JSON" },
  ])
}

resource "google_bigquery_table_iam_member" "pubsub" {
  count      = length(google_bigquery_table.events)
  project    = var.project_id
  dataset_id = google_bigquery_table.events[0].dataset_id
  table_id   = google_bigquery_table.events[0].table_id
  role       = "roles/bigquery.dataEditor"
  member     = local.agents.pubsub
}

resource "google_pubsub_subscription" "bigquery" {
  count                      = length(google_bigquery_table.events)
  project                    = var.project_id
  name                       = "${var.name}-events-bigquery"
  topic                      = local.topic_ids.events
  message_retention_duration = local.week
  labels                     = var.labels

  bigquery_config {
    table          = "${var.project_id}.${google_bigquery_table.events[0].dataset_id}.${google_bigquery_table.events[0].table_id}"
    write_metadata = true
  }
  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }
  expiration_policy {
    ttl = ""
  }

  depends_on = [google_bigquery_table_iam_member.pubsub]
}
