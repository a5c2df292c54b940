# Messages: from topics through pushes to the function, and to the dead letters.

mock_provider "archive" {}
mock_provider "google" {
  source = "./tests/mocks"
}

variables {
  project_id        = "acme-ci"
  region            = "europe-west2"
  configuration     = "examples/three-projects/promotion.yaml"
  source_directory  = "tests/source"
  result_publishers = { shop = ["serviceAccount:shop@acme-ci.iam.gserviceaccount.com"] }
}

run "subscriptions_are_those_that_promotion_yaml_names" {
  command = plan

  assert {
    condition     = keys(google_pubsub_subscription.push) == ["billing-results", "promotion-signals", "security-scans", "shop-results"]
    error_message = "Not the results, vias and signals of promotion.yaml: ${join(", ", keys(google_pubsub_subscription.push))}"
  }
  assert {
    condition     = alltrue([for name, each in google_pubsub_subscription.push : each.name == name && each.topic == "projects/acme-ci/topics/${google_pubsub_topic.received[name].name}"])
    error_message = "Each subscription must be on the topic of its own name."
  }
}

run "a_message_is_kept_until_it_is_done_with" {
  command = plan

  assert {
    condition = alltrue([for each in google_pubsub_subscription.push :
      each.message_retention_duration == "604800s" && one(each.expiration_policy).ttl == "" &&
      one(each.retry_policy).minimum_backoff == "10s" && one(each.retry_policy).maximum_backoff == "600s"
    ])
    error_message = "Pushes must be retried with a back-off of 10 to 600 seconds, for 7 days, on a subscription that never expires."
  }
  assert {
    condition     = alltrue([for each in google_pubsub_subscription.push : one(each.dead_letter_policy).max_delivery_attempts == 100 && one(each.dead_letter_policy).dead_letter_topic == "projects/acme-ci/topics/promotion-dead-letter"])
    error_message = "After 100 attempts a message must go to the dead letters."
  }
  assert {
    condition     = google_pubsub_subscription.dead_letter.topic == "projects/acme-ci/topics/promotion-dead-letter" && google_pubsub_subscription.dead_letter.message_retention_duration == "2678400s" && one(google_pubsub_subscription.dead_letter.expiration_policy).ttl == ""
    error_message = "Dead letters must be kept for 31 days, on a subscription that never expires."
  }
  assert {
    condition     = length(google_pubsub_subscription.dead_letter.dead_letter_policy) == 0 && length(google_pubsub_subscription.dead_letter.push_config) == 0
    error_message = "Dead letters wait to be pulled."
  }
}

run "pubsub_may_take_dead_letters_from_each_subscription_to_the_topic" {
  command = plan

  assert {
    condition     = google_pubsub_topic_iam_member.dead_letter_agent.topic == "promotion-dead-letter" && google_pubsub_topic_iam_member.dead_letter_agent.role == "roles/pubsub.publisher"
    error_message = "Pub/Sub's agent must be able to publish dead letters."
  }
  assert {
    condition     = keys(google_pubsub_subscription_iam_member.dead_letter_agent) == keys(google_pubsub_subscription.push) && alltrue([for name, each in google_pubsub_subscription_iam_member.dead_letter_agent : each.subscription == name && each.role == "roles/pubsub.subscriber"])
    error_message = "Pub/Sub's agent must be able to take messages off every subscription."
  }
  assert {
    condition     = alltrue([for each in concat([google_pubsub_topic_iam_member.dead_letter_agent], values(google_pubsub_subscription_iam_member.dead_letter_agent)) : each.member == "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"])
    error_message = "It is Pub/Sub's own agent that forwards dead letters."
  }
}

run "an_attempt_ends_before_the_request_and_the_request_before_the_ack_deadline" {
  command = plan

  assert {
    condition = alltrue([for each in google_pubsub_subscription.push :
      local.functions.promote.environment.PROMOTION_ATTEMPT_SECONDS < google_cloudfunctions2_function.main["promote"].service_config[0].timeout_seconds &&
      google_cloudfunctions2_function.main["promote"].service_config[0].timeout_seconds < each.ack_deadline_seconds && each.ack_deadline_seconds == 600
    ])
    error_message = "A message would be delivered again while it is still being worked on."
  }
  assert {
    condition     = local.functions.promote.environment.PROMOTION_MAX_DELIVERY_ATTEMPTS == tostring(one(google_pubsub_subscription.push["shop-results"].dead_letter_policy).max_delivery_attempts)
    error_message = "The function must know which attempt is the last."
  }
}

run "pushes_prove_who_sends_them_and_say_which_topic_they_are_from" {
  command = apply

  assert {
    condition     = alltrue([for name, each in google_pubsub_subscription.push : one(each.push_config).push_endpoint == "https://promotion-abc123-nw.a.run.app/projects/acme-ci/topics/${name}"])
    error_message = "The endpoint's path must be the topic's name: dead letters say by it where they may be replayed to."
  }
  assert {
    condition = alltrue([for each in google_pubsub_subscription.push :
      one(one(each.push_config).oidc_token).service_account_email == google_service_account.push.email &&
      one(one(each.push_config).oidc_token).audience == google_cloudfunctions2_function.main["promote"].service_config[0].uri &&
      length(one(each.push_config).no_wrapper) == 0
    ])
    error_message = "Pushes must be wrapped, and carry an identity token of the push account for the service's URL."
  }
}

run "each_pipeline_is_looked_at" {
  command = plan

  assert {
    condition     = { for pipeline, job in google_cloud_scheduler_job.evaluate : pipeline => base64decode(one(job.pubsub_target).data) } == { billing = "{\"evaluate\":{\"pipeline\":\"billing\"}}", shop = "{\"evaluate\":{\"pipeline\":\"shop\"}}" }
    error_message = "The scheduler must ask for an evaluation of each pipeline."
  }
  assert {
    condition     = alltrue([for job in google_cloud_scheduler_job.evaluate : job.schedule == "*/15 * * * *" && one(job.pubsub_target).topic_name == "projects/acme-ci/topics/promotion-signals"])
    error_message = "It must ask every 15 minutes, on the signals topic: evaluations count through no other."
  }
}

run "incidents_reach_the_signals_topic" {
  command = plan

  assert {
    condition     = google_monitoring_notification_channel.signals.type == "pubsub" && google_monitoring_notification_channel.signals.labels.topic == "projects/acme-ci/topics/promotion-signals"
    error_message = "The channel must publish to the signals topic."
  }
  assert {
    condition     = google_pubsub_topic_iam_member.monitoring.topic == "promotion-signals" && google_pubsub_topic_iam_member.monitoring.member == "serviceAccount:service-123456789012@gcp-sa-monitoring-notification.iam.gserviceaccount.com"
    error_message = "Cloud Monitoring's agent must be able to publish there."
  }
}
