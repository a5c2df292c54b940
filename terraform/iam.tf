# Who may do what. The functions' accounts have rights on single resources alone; all of them are here,
# and the right to sign in kms.tf.

resource "google_service_account" "function" {
  for_each     = local.functions
  project      = var.project_id
  account_id   = "${var.name}-${each.key}"
  display_name = "Promotion: ${each.key}"
  description  = "Runs the function ${each.key}; can write to every stage's repository"
}

resource "google_service_account" "push" {
  project      = var.project_id
  account_id   = "${var.name}-push"
  display_name = "Promotion: push"
  description  = "Pub/Sub pushes messages to the function promote as this account"
}

resource "google_service_account" "build" {
  project      = var.project_id
  account_id   = "${var.name}-build"
  display_name = "Promotion: build"
  description  = "Cloud Build builds the functions' images as this account"
}

locals {
  # Written out, so that they are known when the plan is made.
  accounts = {
    for account, resource in merge(google_service_account.function, { push = google_service_account.push, build = google_service_account.build }) :
    account => "${resource.account_id}@${local.account_domain}"
  }
  account_domain   = length(split(":", var.project_id)) == 2 ? "${split(":", var.project_id)[1]}.${split(":", var.project_id)[0]}.iam.gserviceaccount.com" : "${var.project_id}.iam.gserviceaccount.com"
  function_members = { for function in keys(local.functions) : function => "serviceAccount:${local.accounts[function]}" }
}

# --- Stages --------------------------------------------------------------------------------------

# Evidence is attached in every stage, the first too. The role also reads images and the repository's
# metadata; it deletes nothing, and where tags are immutable it moves none.
resource "google_artifact_registry_repository_iam_member" "writer" {
  for_each = {
    for pair in setproduct(keys(local.repositories), keys(local.functions)) :
    "${pair[0]}/${pair[1]}" => merge(local.repositories[pair[0]][0], { function = pair[1] })
  }
  project    = each.value.project
  location   = each.value.location
  repository = each.value.repository
  role       = "roles/artifactregistry.writer"
  member     = local.function_members[each.value.function]
  depends_on = [terraform_data.repositories]
}

# A module that depends on repositories as a whole would look up everything anew whenever one changes.
resource "terraform_data" "repositories" {
  input = var.repositories
}

# --- Topics --------------------------------------------------------------------------------------

resource "google_pubsub_topic_iam_member" "function" {
  for_each = {
    "promote/events"      = { topic = google_pubsub_topic.events.name, function = "promote" }
    "promote/dead_letter" = { topic = google_pubsub_topic.dead_letter.name, function = "promote" }
    "promote/signals"     = { topic = local.signals_name, function = "promote" }
    "control/signals"     = { topic = local.signals_name, function = "control" }
  }
  project    = var.project_id
  topic      = each.value.topic
  role       = "roles/pubsub.publisher"
  member     = local.function_members[each.value.function]
  depends_on = [google_pubsub_topic.received]
}

resource "google_pubsub_topic_iam_member" "publisher" {
  for_each = merge([
    for topic, members in merge(local.publishers, { (local.signals_name) = var.signal_publishers }) :
    { for member in members : "${topic}/${member}" => { topic = topic, member = member } }
  ]...)
  project = var.project_id
  topic   = google_pubsub_topic.received[each.value.topic].name
  role    = "roles/pubsub.publisher"
  member  = each.value.member
}

resource "google_pubsub_topic_iam_member" "subscriber" {
  for_each = toset(var.event_subscribers)
  project  = var.project_id
  topic    = google_pubsub_topic.events.name
  role     = "roles/pubsub.subscriber"
  member   = each.value
}

# Cloud Monitoring's agent exists once there is a channel.
resource "google_pubsub_topic_iam_member" "monitoring" {
  project    = var.project_id
  topic      = local.signals_name
  role       = "roles/pubsub.publisher"
  member     = local.agents.monitoring
  depends_on = [google_monitoring_notification_channel.signals, google_pubsub_topic.received]
}

# --- Dead letters: Pub/Sub takes them off one subscription and publishes them to the topic ------------

resource "google_pubsub_topic_iam_member" "dead_letter_agent" {
  project = var.project_id
  topic   = google_pubsub_topic.dead_letter.name
  role    = "roles/pubsub.publisher"
  member  = local.agents.pubsub
}

resource "google_pubsub_subscription_iam_member" "dead_letter_agent" {
  for_each     = google_pubsub_subscription.push
  project      = var.project_id
  subscription = each.value.name
  role         = "roles/pubsub.subscriber"
  member       = local.agents.pubsub
}

# --- Callers -------------------------------------------------------------------------------------

resource "google_cloud_run_v2_service_iam_member" "push" {
  project  = var.project_id
  location = var.region
  name     = google_cloudfunctions2_function.main["promote"].name
  role     = "roles/run.invoker"
  member   = "serviceAccount:${local.accounts["push"]}"

  lifecycle {
    replace_triggered_by = [google_cloudfunctions2_function.main["promote"].id] # The right goes with a service that is replaced.
  }
}

resource "google_cloud_run_v2_service_iam_member" "control" {
  for_each = toset(var.control_invokers)
  project  = var.project_id
  location = var.region
  name     = google_cloudfunctions2_function.main["control"].name
  role     = "roles/run.invoker"
  member   = each.value

  lifecycle {
    replace_triggered_by = [google_cloudfunctions2_function.main["control"].id]
  }
}

# In projects where Pub/Sub was first used before April 2021, its agent may not yet make identity tokens.
resource "google_service_account_iam_member" "push_token" {
  service_account_id = google_service_account.push.name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = local.agents.pubsub
}

# --- Builds --------------------------------------------------------------------------------------

resource "google_storage_bucket_iam_member" "build" {
  bucket = google_storage_bucket.source.name
  role   = "roles/storage.objectViewer"
  member = "serviceAccount:${local.accounts["build"]}"
}

resource "google_artifact_registry_repository_iam_member" "build" {
  project    = var.project_id
  location   = var.region
  repository = google_artifact_registry_repository.images.repository_id
  role       = "roles/artifactregistry.writer"
  member     = "serviceAccount:${local.accounts["build"]}"
}

# With a key of your own, the functions' agent handles the encrypted repository itself.
resource "google_artifact_registry_repository_iam_member" "functions_agent" {
  count      = var.encryption_key == null ? 0 : 1
  project    = var.project_id
  location   = var.region
  repository = google_artifact_registry_repository.images.repository_id
  role       = "roles/artifactregistry.admin"
  member     = local.agents.functions
}

# The one right on the project, and not the functions': logs can be written there alone.
resource "google_project_iam_member" "build_logs" {
  project = var.project_id
  role    = "roles/logging.logWriter"
  member  = "serviceAccount:${local.accounts["build"]}"
}

# --- What is watched -----------------------------------------------------------------------------

resource "google_project_iam_audit_config" "registry" {
  for_each = var.audited_registry_projects
  project  = each.value
  service  = "artifactregistry.googleapis.com"

  audit_log_config {
    log_type = "DATA_WRITE"
  }
}
