# The two functions: one source, their limits, and who may call them.

mock_provider "archive" {}
mock_provider "google" {
  source = "./tests/mocks"
}

variables {
  project_id       = "acme-ci"
  region           = "europe-west2"
  configuration    = "examples/minimal/promotion.yaml"
  source_directory = "tests/source"
  control_invokers = ["group:releasers@example.com"]
}

run "both_are_built_from_one_bundle_whose_name_has_its_hash" {
  command = plan

  assert {
    condition     = { for name, each in google_cloudfunctions2_function.main : name => one(each.build_config).entry_point } == { control = "control", promote = "promote" }
    error_message = "There must be a function for each entry point."
  }
  assert {
    condition     = alltrue([for each in google_cloudfunctions2_function.main : one(one(one(each.build_config).source).storage_source).bucket == "acme-ci-promotion-source" && one(one(one(each.build_config).source).storage_source).object == "promotion-${output.bundle_hash}.zip"])
    error_message = "Another content must be another object, or it would not be built."
  }
  assert {
    condition     = alltrue([for each in google_cloudfunctions2_function.main : one(each.build_config).runtime == "python313" && length(one(each.build_config).automatic_update_policy) == 1])
    error_message = "Both run on Python 3.13, which Google keeps mended."
  }
  assert {
    condition     = alltrue([for each in google_cloudfunctions2_function.main : length(each.event_trigger) == 0])
    error_message = "The subscriptions are our own: an event trigger's can have no dead-letter policy."
  }
}

run "limits" {
  command = plan

  assert {
    condition = alltrue([for each in google_cloudfunctions2_function.main :
      one(each.service_config).max_instance_request_concurrency == 16 && one(each.service_config).max_instance_count == 10 &&
      one(each.service_config).available_cpu == "1" && one(each.service_config).available_memory == "512Mi"
    ])
    error_message = "Concurrency, instances, processor and memory are limited."
  }
}

run "what_is_deployed_is_what_runs" {
  command = plan

  assert {
    condition     = alltrue([for each in google_cloudfunctions2_function.main : one(each.service_config).all_traffic_on_latest_revision])
    error_message = "A deployment must end a roll-back that was made in Cloud Run alone."
  }
}

run "more_processors_with_the_memory_that_they_need" {
  command = plan

  variables {
    function = { cpu = "4", memory = "2Gi" }
  }
  assert {
    condition     = alltrue([for each in google_cloudfunctions2_function.main : one(each.service_config).available_cpu == "4" && one(each.service_config).available_memory == "2Gi"])
    error_message = "2Gi are enough for 4 processors."
  }
}

run "there_is_a_thread_for_each_request" {
  command = plan

  variables {
    function = { concurrency = 24, timeout_seconds = 500, attempt_seconds = 450 }
  }
  assert {
    condition     = alltrue([for each in google_cloudfunctions2_function.main : one(each.service_config).max_instance_request_concurrency == 24 && one(each.service_config).environment_variables.THREADS == "24"])
    error_message = "THREADS must be the concurrency."
  }
  assert {
    condition     = one(google_cloudfunctions2_function.main["promote"].service_config).environment_variables.PROMOTION_ATTEMPT_SECONDS == "450"
    error_message = "The function must know how long an attempt may take."
  }
}

run "no_function_trusts_what_a_publisher_can_forge" {
  command = plan

  assert {
    condition     = alltrue(flatten([for each in google_cloudfunctions2_function.main : [for name in keys(one(each.service_config).environment_variables) : !contains(["PROMOTION_DEV", "PUBSUB_EMULATOR_HOST", "PROMOTION_TRUSTED_REALMS"], name)]]))
    error_message = "A deployment has none of the variables for development."
  }
}

run "only_pubsub_calls_promote_and_only_those_named_call_control" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service_iam_member.push.name == "promotion-promote" && google_cloud_run_v2_service_iam_member.push.member == "serviceAccount:promotion-push@acme-ci.iam.gserviceaccount.com"
    error_message = "promote admits the push account."
  }
  assert {
    condition     = [for each in google_cloud_run_v2_service_iam_member.control : "${each.name} ${each.member}"] == ["promotion-control group:releasers@example.com"]
    error_message = "control admits those given."
  }
  assert {
    condition     = one(google_cloudfunctions2_function.main["promote"].service_config).ingress_settings == "ALLOW_INTERNAL_ONLY"
    error_message = "promote is reached from inside alone."
  }
}

run "people_are_asked_for_tokens_for_the_url_that_is_put_out" {
  command = plan

  variables {
    control_audiences = ["https://decide.example.com", "32555940559.apps.googleusercontent.com"]
  }
  assert {
    condition     = output.control_url == "https://promotion-control-123456789012.europe-west2.run.app"
    error_message = "The URL follows from the service's name, the project's number and the region."
  }
  assert {
    condition     = local.functions.control.environment.PROMOTION_CONTROL_AUDIENCE == "https://promotion-control-123456789012.europe-west2.run.app https://decide.example.com 32555940559.apps.googleusercontent.com"
    error_message = "These audiences count."
  }
}

run "the_signing_key_is_the_one_that_promotion_yaml_names" {
  command = apply

  assert {
    condition     = google_kms_key_ring.signing[0].name == "promotion" && google_kms_key_ring.signing[0].location == "europe-west2" && google_kms_crypto_key.signing[0].name == "evidence" && length(google_kms_crypto_key_version.signing) == 1
    error_message = "Ring, key and version must have the names in signing.kms."
  }
  assert {
    condition     = google_kms_crypto_key.signing[0].purpose == "ASYMMETRIC_SIGN" && one(google_kms_crypto_key.signing[0].version_template).algorithm == "EC_SIGN_P256_SHA256"
    error_message = "It must sign as the function does."
  }
  assert {
    condition     = startswith(output.public_key, "-----BEGIN PUBLIC KEY-----") && output.signing_key_version == "projects/acme-ci/locations/europe-west2/keyRings/promotion/cryptoKeys/evidence/cryptoKeyVersions/1"
    error_message = "The public key must be put out."
  }
}
