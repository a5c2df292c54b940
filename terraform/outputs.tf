output "alert_channel" {
  description = "The notification channel for alert policies of the images: their incidents hold images back."
  value       = google_monitoring_notification_channel.signals.name
}

output "bundle_hash" {
  description = "The SHA-256 of what is deployed; another hash is another build."
  value       = local.bundle_hash
}

output "control_url" {
  description = "Where people's decisions go: PROMOTION_CONTROL_URL."
  value       = local.control_url
}

output "dead_letter_subscription" {
  description = "Where dead letters wait, for 31 days."
  value       = "projects/${var.project_id}/subscriptions/${google_pubsub_subscription.dead_letter.name}"
}

output "dead_letter_topic" {
  description = "The topic of dead letters."
  value       = local.topic_ids.dead_letter
}

output "events_table" {
  description = "The BigQuery table of promotion events, if there is one."
  value       = one([for table in google_bigquery_table.events : "${table.project}.${table.dataset_id}.${table.table_id}"])
}

output "events_topic" {
  description = "The topic of promotion events: what deployers subscribe to."
  value       = local.topic_ids.events
}

output "function_urls" {
  description = "Cloud Run's URL of each function."
  value       = { for function, each in google_cloudfunctions2_function.main : function => each.service_config[0].uri }
}

output "metric_types" {
  description = "The log-based metrics, as Cloud Monitoring names them."
  value       = local.metric_types
}

output "public_key" {
  description = "The signing key's public half (PEM), for signing.trusted and for whoever verifies evidence."
  value       = one(data.google_kms_crypto_key_version.signing.public_key[*].pem)
}

output "push_subscriptions" {
  description = "The subscriptions that feed the function, by what promotion.yaml calls them."
  value       = { for name, subscription in google_pubsub_subscription.push : "projects/${var.project_id}/subscriptions/${name}" => subscription.topic }
}

output "results_topics" {
  description = "Where each pipeline's results are published: PROMOTION_RESULTS_TOPIC."
  value       = { for pipeline, name in local.results_names : pipeline => "projects/${var.project_id}/topics/${name}" }
}

output "service_accounts" {
  description = "The accounts: of the functions (promote, control), of Pub/Sub's pushes (push), of builds (build)."
  value       = local.accounts
}

output "signals_topic" {
  description = "Where alerts and requests to evaluate are published."
  value       = local.topic_ids.signals
}

output "signing_key_version" {
  description = "The key version that signs evidence."
  value       = local.signing_key_version
}

output "suite_topics" {
  description = "Where the results of suites with a subscription of their own (`via`) are published, by its name."
  value       = { for name in local.via_names : name => "projects/${var.project_id}/topics/${name}" }
}
