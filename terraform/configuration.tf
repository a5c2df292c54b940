# promotion.yaml is read here and carried by the bundle: what is deployed and what decides are one file.
# The function itself checks the whole of it; here is checked what this module builds upon.

locals {
  configuration = try(yamldecode(file(var.configuration)), {})
  pipelines     = try({ for name, pipeline in local.configuration.pipelines : name => pipeline }, {})

  # Where results come from: pipeline => subscription.
  results = { for name, pipeline in local.pipelines : name => try(pipeline.results, "") }
  signals = try(tostring(local.configuration.signals), "")

  # Subscriptions that single suites name: those that may report them, and nobody else.
  via = distinct(flatten([
    for pipeline in local.pipelines : [
      for stage in try(pipeline.stages, {}) : [
        for suite in try(stage.gate.suites, []) : try([tostring(suite.via)], [])
      ]
    ]
  ]))

  subscription_form = "^projects/${var.project_id}/subscriptions/([A-Za-z][A-Za-z0-9._~+%-]{2,254})$"
  results_names     = { for pipeline, name in local.results : pipeline => regex(local.subscription_form, name)[0] if can(regex(local.subscription_form, name)) }
  via_names         = [for name in local.via : regex(local.subscription_form, name)[0] if can(regex(local.subscription_form, name))]
  signals_name      = try(regex(local.subscription_form, local.signals)[0], "")

  # Subscriptions of this deployment. Each has a topic of its own, of the same name.
  subscriptions = toset(compact(concat(values(local.results_names), local.via_names, [local.signals_name])))

  # Who may publish to which topic, other than to signals.
  publishers = merge(
    { for name in local.via_names : name => lookup(var.suite_publishers, name, []) },
    { for pipeline, name in local.results_names : name => distinct(concat(lookup(var.result_publishers, pipeline, []), lookup(var.suite_publishers, name, []))) },
  )

  # Where images are: pipeline/stage => the address that its images' names begin with.
  stages = merge([
    for pipeline_name, pipeline in local.pipelines : {
      for stage_name, stage in try(pipeline.stages, {}) :
      "${pipeline_name}/${stage_name}" => "${try(stage.registry, "")}/${try(coalesce(stage.path), stage_name)}"
    }
  ]...)

  # A project's id has a dot only where it begins with the domain that the project belongs to.
  repository_form = "^([a-z0-9-]+)-docker\\.pkg\\.dev/(?:([^/]*\\.[^/]*)/)?([^/.]+)/([^/]+)/"
  stage_repositories = {
    for stage, address in local.stages : stage => {
      location   = regex(local.repository_form, "${address}/")[0]
      project    = join(":", compact([regex(local.repository_form, "${address}/")[1], regex(local.repository_form, "${address}/")[2]]))
      repository = regex(local.repository_form, "${address}/")[3]
    } if can(regex(local.repository_form, "${address}/"))
  }
  repositories = {
    for stage, each in local.stage_repositories :
    "${each.project}/${each.location}/${each.repository}" => each...
  }

  key_form            = "^projects/([^/]+)/locations/([^/]+)/keyRings/([^/]+)/cryptoKeys/([^/]+)/cryptoKeyVersions/([1-9][0-9]?)$"
  signing_key_version = try(tostring(local.configuration.signing.kms), "")
  signing_key = {
    project  = try(regex(local.key_form, local.signing_key_version)[0], var.project_id)
    location = try(regex(local.key_form, local.signing_key_version)[1], var.region)
    ring     = try(regex(local.key_form, local.signing_key_version)[2], var.name)
    name     = try(regex(local.key_form, local.signing_key_version)[3], var.name)
    version  = try(tonumber(regex(local.key_form, local.signing_key_version)[4]), 1)
  }

  own_names   = ["${var.name}-events", "${var.name}-dead-letter"]
  shared      = [for name in values(local.results_names) : name if length([for other in values(local.results_names) : other if other == name]) > 1]
  elsewhere   = [for stage in keys(local.stages) : stage if !contains(keys(local.stage_repositories), stage)]
  odd_results = [for pipeline in keys(local.pipelines) : pipeline if !contains(keys(local.results_names), pipeline)]
  odd_via     = [for name in local.via : name if !can(regex(local.subscription_form, name))]
  odd_names   = [for name in keys(local.pipelines) : name if !can(regex("^[a-z][a-z0-9-]{0,62}$", name))]
}

# Says what is wrong with promotion.yaml, as far as this deployment goes, before anything is made.
resource "terraform_data" "configuration" {
  input = { pipelines = keys(local.pipelines), stages = local.stages }

  lifecycle {
    precondition {
      condition     = length(local.pipelines) > 0
      error_message = "${var.configuration} names no pipelines; `promotion check` says what is wrong with it."
    }
    precondition {
      condition     = length(local.odd_names) == 0
      error_message = "${var.configuration}: the pipelines ${join(", ", local.odd_names)} cannot give their names to resources of Google Cloud. Use at most 63 lower-case letters, digits and hyphens, with a letter first."
    }
    precondition {
      condition     = length(local.odd_results) == 0
      error_message = "${var.configuration}: the pipelines ${join(", ", local.odd_results)} need `results: projects/${var.project_id}/subscriptions/NAME`. This module makes that subscription, so it must lie in the deployment's project; without one, whoever may publish anywhere could report results."
    }
    precondition {
      condition     = length(local.shared) == 0
      error_message = "${var.configuration}: several pipelines have their results through ${join(", ", distinct(local.shared))}. Give each a subscription of its own: else whoever reports for one reports for the others too."
    }
    precondition {
      condition     = length(local.odd_via) == 0
      error_message = "${var.configuration}: `via: ${join(", ", local.odd_via)}` is not of the form projects/${var.project_id}/subscriptions/NAME. This module makes that subscription, so it must lie in the deployment's project."
    }
    precondition {
      condition     = local.signals_name != ""
      error_message = "${var.configuration} needs `signals: projects/${var.project_id}/subscriptions/NAME`, through which alerts and the scheduler's requests come. This module makes that subscription, so it must lie in the deployment's project."
    }
    precondition {
      condition     = !contains(concat(values(local.results_names), local.via_names), local.signals_name)
      error_message = "${var.configuration}: ${local.signals} is both for signals and for results. Name two: else whoever reports results could have alerts closed."
    }
    precondition {
      condition     = length(setintersection(local.own_names, local.subscriptions)) == 0
      error_message = "${var.configuration}: ${join(" and ", local.own_names)} are this module's own; give the subscriptions other names."
    }
    precondition {
      condition     = length(local.elsewhere) == 0
      error_message = "${var.configuration}: the stages ${join(", ", local.elsewhere)} are not in Artifact Registry. A deployed function can write to LOCATION-docker.pkg.dev/PROJECT/REPOSITORY alone."
    }
    precondition {
      condition     = can(regex(local.key_form, local.signing_key_version))
      error_message = "${var.configuration} needs `signing: {kms: projects/${var.project_id}/locations/${var.region}/keyRings/RING/cryptoKeys/KEY/cryptoKeyVersions/1}`: a deployed function signs with Cloud KMS, and with no key file."
    }
    precondition {
      condition     = !var.create_signing_key || local.signing_key.project == var.project_id
      error_message = "${var.configuration}: the signing key is to be in the project ${local.signing_key.project}, and this module makes keys in ${var.project_id} alone. Name that project in signing.kms, or set create_signing_key = false for a key that is there already."
    }
    precondition {
      condition     = length(setsubtract(keys(var.result_publishers), keys(local.pipelines))) == 0
      error_message = "result_publishers names ${join(", ", setsubtract(keys(var.result_publishers), keys(local.pipelines)))}, and ${var.configuration} has no such pipeline; it has ${join(", ", keys(local.pipelines))}."
    }
    precondition {
      condition     = length(setsubtract(keys(var.suite_publishers), local.via_names)) == 0
      error_message = "suite_publishers names ${join(", ", setsubtract(keys(var.suite_publishers), local.via_names))}, and no suite of ${var.configuration} has a subscription of that name as its `via`."
    }
  }
}
