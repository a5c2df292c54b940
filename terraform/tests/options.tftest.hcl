# What is off unless it is asked for.

mock_provider "archive" {}
mock_provider "google" {
  source = "./tests/mocks"
}

variables {
  project_id       = "acme-ci"
  region           = "europe-west2"
  configuration    = "examples/minimal/promotion.yaml"
  source_directory = "tests/source"
}

run "nothing_of_it_by_default" {
  command = plan

  assert {
    condition     = length(google_bigquery_dataset.events) + length(google_pubsub_subscription.bigquery) + length(google_kms_crypto_key_iam_member.agents) + length(google_project_iam_audit_config.registry) == 0
    error_message = "No table, no key of one's own, no audit configuration."
  }
  assert {
    condition     = length(google_pubsub_topic_iam_member.publisher) + length(google_pubsub_topic_iam_member.subscriber) + length(google_cloud_run_v2_service_iam_member.control) == 0
    error_message = "Nobody may publish, subscribe or decide who was not named."
  }
}

run "events_in_a_table" {
  command = plan

  variables {
    bigquery = { dataset_id = "promotion", location = "EU", days = 400 }
  }
  assert {
    condition     = one(google_pubsub_subscription.bigquery[0].bigquery_config).table == "acme-ci.promotion.events" && one(google_pubsub_subscription.bigquery[0].bigquery_config).write_metadata && google_pubsub_subscription.bigquery[0].topic == "projects/acme-ci/topics/promotion-events"
    error_message = "Promotion events must go to the table, with their attributes."
  }
  assert {
    condition     = toset([for column in jsondecode(google_bigquery_table.events[0].schema) : column.name]) == toset(["subscription_name", "message_id", "publish_time", "data", "attributes"])
    error_message = "The table must have the columns that Pub/Sub writes."
  }
  assert {
    condition     = google_bigquery_table_iam_member.pubsub[0].role == "roles/bigquery.dataEditor" && google_bigquery_dataset.events[0].default_partition_expiration_ms == 34560000000 && google_bigquery_dataset.events[0].location == "EU"
    error_message = "Pub/Sub may write there; rows expire when they should."
  }
}

run "a_key_of_ones_own" {
  command = plan

  variables {
    encryption_key = "projects/acme-keys/locations/europe-west2/keyRings/r/cryptoKeys/k"
    bigquery       = { dataset_id = "promotion" }
  }
  assert {
    condition = alltrue(concat(
      [for each in google_pubsub_topic.received : each.kms_key_name == var.encryption_key],
      [for each in [google_pubsub_topic.events, google_pubsub_topic.dead_letter] : each.kms_key_name == var.encryption_key],
      [for each in google_cloudfunctions2_function.main : each.kms_key_name == var.encryption_key],
      [
        google_artifact_registry_repository.images.kms_key_name == var.encryption_key,
        one(google_storage_bucket.source.encryption).default_kms_key_name == var.encryption_key,
        one(google_bigquery_table.events[0].encryption_configuration).kms_key_name == var.encryption_key,
      ],
    ))
    error_message = "Topics, functions, images, source and table must be encrypted with it."
  }
  assert {
    condition     = keys(google_kms_crypto_key_iam_member.agents) == ["artifact_registry", "bigquery", "functions", "pubsub", "run", "storage"]
    error_message = "The services that use the key must be able to."
  }
  assert {
    condition     = google_artifact_registry_repository_iam_member.functions_agent[0].repository == "promotion-functions" && google_artifact_registry_repository_iam_member.functions_agent[0].member == "serviceAccount:service-123456789012@gcf-admin-robot.iam.gserviceaccount.com"
    error_message = "The functions' agent has the repository of built images, and no other."
  }
}

run "a_network_of_ones_own" {
  command = plan

  variables {
    vpc = { network = "n", subnetwork = "s", egress = "ALL_TRAFFIC" }
  }
  assert {
    condition     = alltrue([for each in google_cloudfunctions2_function.main : one(each.service_config).direct_vpc_egress == "VPC_EGRESS_ALL_TRAFFIC" && one(one(each.service_config).direct_vpc_network_interface).subnetwork == "s"])
    error_message = "Both functions must send through the network."
  }
}

run "a_key_that_is_there_already" {
  command = plan

  variables {
    create_signing_key = false
  }
  assert {
    condition     = length(google_kms_key_ring.signing) + length(google_kms_crypto_key.signing) + length(google_kms_crypto_key_version.signing) == 0 && length(google_kms_crypto_key_iam_member.signer) == 2
    error_message = "No key is made, and the functions may use the one that is there."
  }
}

run "every_alert_is_sent_to_those_given_and_says_what_it_means" {
  command = plan

  variables {
    notification_channels = ["projects/acme-ci/notificationChannels/7"]
    alert_thresholds      = { oldest_message_minutes = 30, promotion_seconds = 60 }
  }
  assert {
    condition     = keys(google_monitoring_alert_policy.main) == ["dead_letters", "function_errors", "oldest_message", "server_errors", "slow_promotions"] && alltrue([for each in google_monitoring_alert_policy.main : each.notification_channels == tolist(["projects/acme-ci/notificationChannels/7"]) && length(one(each.documentation).content) > 80])
    error_message = "There is an alert for each thing that can go wrong."
  }
  assert {
    condition     = one(one(google_monitoring_alert_policy.main["oldest_message"].conditions).condition_threshold).threshold_value == 1800 && one(one(google_monitoring_alert_policy.main["slow_promotions"].conditions).condition_threshold).threshold_value == 60 && one(one(google_monitoring_alert_policy.main["dead_letters"].conditions).condition_threshold).threshold_value == 0
    error_message = "Thresholds are those given; one dead letter is one too many."
  }
  assert {
    condition     = alltrue([for each in jsondecode(google_monitoring_dashboard.main.dashboard_json).mosaicLayout.tiles : length(each.widget.xyChart.dataSets) == 1])
    error_message = "The dashboard must be JSON with a chart in each tile."
  }
  assert {
    condition     = alltrue([for each in jsondecode(google_monitoring_dashboard.main.dashboard_json).mosaicLayout.tiles : try(each.xPos, 1) != 0 && try(each.yPos, 1) != 0 && length(try(each.widget.xyChart.dataSets[0].timeSeriesQuery.timeSeriesFilter.aggregation.groupByFields, ["one"])) > 0])
    error_message = "What is zero or empty must be left out, as Cloud Monitoring does: else each plan would change the dashboard."
  }
  assert {
    condition     = length(distinct([for each in jsondecode(google_monitoring_dashboard.main.dashboard_json).mosaicLayout.tiles : "${try(each.xPos, 0)} ${try(each.yPos, 0)}"])) == length(jsondecode(google_monitoring_dashboard.main.dashboard_json).mosaicLayout.tiles)
    error_message = "No chart may cover another."
  }
  assert {
    condition     = strcontains(google_logging_metric.counter["errors"].filter, "NOT logName:\"run.googleapis.com%2Frequests\"")
    error_message = "A 503, which only asks for another delivery, is an error in Cloud Run's log of requests, and must be none in the metric."
  }
}

run "writes_to_prod_can_be_audited" {
  command = plan

  variables {
    audited_registry_projects = ["acme-prod"]
  }
  assert {
    condition     = google_project_iam_audit_config.registry["acme-prod"].service == "artifactregistry.googleapis.com" && one(google_project_iam_audit_config.registry["acme-prod"].audit_log_config).log_type == "DATA_WRITE"
    error_message = "Every write to the registry must be in the audit log."
  }
}
