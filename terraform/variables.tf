variable "alert_thresholds" {
  description = "When people are told: the age of the oldest message that is not done with, and the time that 99 of 100 promotions stay below."
  type = object({
    oldest_message_minutes = optional(number, 60)
    promotion_seconds      = optional(number, 120)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.alert_thresholds.oldest_message_minutes >= 10 && var.alert_thresholds.oldest_message_minutes <= 10080
    error_message = "alert_thresholds.oldest_message_minutes must be from 10 to 10080 (7 days, after which Pub/Sub drops a message): results wait 10 minutes for an image that is still being pushed."
  }
  validation {
    condition     = var.alert_thresholds.promotion_seconds > 0 && var.alert_thresholds.promotion_seconds <= 600
    error_message = "alert_thresholds.promotion_seconds must be more than 0 and at most 600: no delivery lasts longer."
  }
}

variable "audited_registry_projects" {
  description = "Projects in which every write to Artifact Registry is to be kept in the audit log, by whomever. Sets the whole audit configuration that a project has for Artifact Registry."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for project in var.audited_registry_projects : can(regex("^([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$", project))])
    error_message = "audited_registry_projects must be ids of projects, such as acme-prod."
  }
}

variable "bigquery" {
  description = "Also keep every promotion event in a BigQuery table, in this dataset, which is made: \"why not last Tuesday\" is a query then. Without days, rows are kept for good."
  type = object({
    dataset_id = string
    location   = optional(string)
    days       = optional(number)
  })
  default = null

  validation {
    condition     = var.bigquery == null || can(regex("^[A-Za-z0-9_]+$", var.bigquery.dataset_id))
    error_message = "bigquery.dataset_id must consist of letters, digits and underscores, such as promotion."
  }
  validation {
    condition     = try(var.bigquery.days, null) == null || try(var.bigquery.days >= 1, false)
    error_message = "bigquery.days must be at least 1; leave it out to keep events for good."
  }
}

variable "configuration" {
  description = "Path of promotion.yaml: the pipelines, their stages and gates."
  type        = string
  nullable    = false

  validation {
    condition     = fileexists(var.configuration)
    error_message = "There is no file ${var.configuration}: give the path of a promotion.yaml, such as \"$${path.root}/promotion.yaml\"."
  }
  validation {
    condition     = !fileexists(var.configuration) || can(yamldecode(file(var.configuration)))
    error_message = "${var.configuration} is not YAML: `promotion check` names the line."
  }
}

variable "control_audiences" {
  description = "Further audiences for which identity tokens of people count, beside the control function's own URL. docs/control.md says what it means to add 32555940559.apps.googleusercontent.com, which gcloud gives to people's own tokens. A URL of your own Cloud Run has to admit too: gcloud run services update NAME-control --add-custom-audiences=URL."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for audience in var.control_audiences : can(regex("^[^\\s]+$", audience))])
    error_message = "control_audiences must be URLs or client ids, without spaces."
  }
}

variable "control_invokers" {
  description = "Who may decide, for every pipeline: approve, override, hold, release, revoke, advance. Groups are best. Default: nobody."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for member in var.control_invokers : can(regex("^(user|group|serviceAccount|principal|principalSet):\\S+$", member))])
    error_message = "control_invokers must be members such as group:releasers@example.com; allUsers, allAuthenticatedUsers and whole domains are refused, since whoever may call decides about every pipeline."
  }
}

variable "create_signing_key" {
  description = "Make the key ring, the key and the versions that signing.kms in promotion.yaml names. false: they are there already, such as after a first deployment was destroyed, since Google keeps key rings for good."
  type        = bool
  default     = true
  nullable    = false
}

variable "encryption_key" {
  description = "A key of Cloud KMS (projects/…/cryptoKeys/NAME) in this region, with which topics, source, images, functions and the table are encrypted. The module gives Google's service agents the right to use it. Default: Google's own keys."
  type        = string
  default     = null

  validation {
    condition     = var.encryption_key == null || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.encryption_key))
    error_message = "encryption_key must be of the form projects/P/locations/L/keyRings/R/cryptoKeys/K, without a version."
  }
}

variable "evaluation_schedule" {
  description = "When each pipeline's waiting images are looked at, in UTC, as cron has it."
  type        = string
  default     = "*/15 * * * *"
  nullable    = false

  validation {
    condition     = length(split(" ", trimspace(var.evaluation_schedule))) == 5
    error_message = "evaluation_schedule must be five fields, as cron has it: \"*/15 * * * *\" is every 15 minutes."
  }
}

variable "event_subscribers" {
  description = "Who may attach subscriptions to the topic of promotion events: deployers, chat, dashboards."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for member in var.event_subscribers : can(regex("^(user|group|serviceAccount|principal|principalSet):\\S+$", member))])
    error_message = "event_subscribers must be members such as serviceAccount:deployer@acme-prod.iam.gserviceaccount.com; allUsers and allAuthenticatedUsers are refused."
  }
}

variable "function" {
  description = "Size and limits of both functions. concurrency is also the number of threads; attempt_seconds < timeout_seconds < 600, the deadline after which Pub/Sub delivers again."
  type = object({
    attempt_seconds = optional(number, 540)
    concurrency     = optional(number, 16)
    cpu             = optional(string, "1")
    log_level       = optional(string, "INFO")
    max_instances   = optional(number, 10)
    memory          = optional(string, "512Mi")
    min_instances   = optional(number, 0)
    timeout_seconds = optional(number, 570)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.function.timeout_seconds < 600 && var.function.timeout_seconds >= 60
    error_message = "function.timeout_seconds must be from 60 to 599: below the subscription's ack deadline of 600 s, or Pub/Sub delivers a message again that is still being worked on."
  }
  validation {
    condition     = var.function.attempt_seconds < var.function.timeout_seconds && var.function.attempt_seconds >= 30
    error_message = "function.attempt_seconds must be at least 30 and below function.timeout_seconds, so that an attempt ends by itself and says how far it came."
  }
  validation {
    condition     = var.function.concurrency >= 1 && var.function.concurrency <= 80 && floor(var.function.concurrency) == var.function.concurrency
    error_message = "function.concurrency must be a whole number from 1 to 80: each request has a thread."
  }
  validation {
    condition     = contains(["1", "2", "4", "6", "8"], var.function.cpu)
    error_message = "function.cpu must be 1, 2, 4, 6 or 8: with less than one, Cloud Run takes one request at a time."
  }
  validation {
    condition     = contains(["DEBUG", "INFO", "WARNING", "ERROR"], var.function.log_level)
    error_message = "function.log_level must be DEBUG, INFO, WARNING or ERROR; above INFO the metrics and the dashboard have nothing to count."
  }
  validation {
    condition     = can(regex("^[1-9][0-9]*(Mi|Gi)$", var.function.memory))
    error_message = "function.memory must be a number with Mi or Gi, such as 512Mi."
  }
  validation {
    # What is no amount, or no number of processors, is refused above.
    condition = try(alltrue([
      for mebibytes in [tonumber(regex("^[0-9]+", var.function.memory)) * (endswith(var.function.memory, "Gi") ? 1024 : 1)] :
      mebibytes >= { "1" = 512, "2" = 512, "4" = 2048, "6" = 4096, "8" = 4096 }[var.function.cpu] &&
      mebibytes <= { "1" = 4096, "2" = 8192, "4" = 16384, "6" = 24576, "8" = 32768 }[var.function.cpu]
    ]), true)
    error_message = "function.memory must fit function.cpu: 512Mi to 4Gi with 1 processor, 512Mi to 8Gi with 2, 2Gi to 16Gi with 4, 4Gi to 24Gi with 6, 4Gi to 32Gi with 8."
  }
  validation {
    condition     = var.function.max_instances >= 1 && var.function.min_instances >= 0 && var.function.min_instances <= var.function.max_instances
    error_message = "function.min_instances must be at least 0, and max_instances at least 1 and no less than it."
  }
}

variable "labels" {
  description = "Labels for everything that takes them."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for key, value in var.labels : can(regex("^[a-z][a-z0-9_-]{0,62}$", key)) && can(regex("^[a-z0-9_-]{0,63}$", value))])
    error_message = "labels must have lower-case letters, digits, underscores and hyphens only, a letter first in each key, at most 63 characters."
  }
}

variable "name" {
  description = "What names of this deployment's resources begin with."
  type        = string
  default     = "promotion"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,20}[a-z0-9]$", var.name))
    error_message = "name must have 3 to 22 lower-case letters, digits and hyphens, a letter first and no hyphen last: service accounts' names are at most 30 long."
  }
}

variable "notification_channels" {
  description = "Where alerts about this deployment go: projects/P/notificationChannels/N. Default: they are shown in the console and sent to nobody."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for channel in var.notification_channels : can(regex("^projects/[^/]+/notificationChannels/[^/]+$", channel))])
    error_message = "notification_channels must be of the form projects/P/notificationChannels/N, as `gcloud beta monitoring channels list` names them."
  }
}

variable "project_id" {
  description = "The project of the deployment: functions, topics and key. Registries may be in others."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be a project's id, such as acme-ci: not its number, and not its name."
  }
}

variable "region" {
  description = "Where the functions, their source and images, and the scheduler are, such as europe-west2. Best the region of the registries. Topics have no region: Pub/Sub keeps a message near its publisher."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must be a region of Google Cloud, such as europe-west2: not a zone, and not a multi-region."
  }
}

variable "repositories" {
  description = "Ids of the stages' repositories that the caller makes itself, so that rights on them are given once they are there. Which repositories there are promotion.yaml says; those that exist already need not be named here."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for id in var.repositories : can(regex("^\\S+$", id))])
    error_message = "repositories must be ids, such as google_artifact_registry_repository.shop.id."
  }
}

variable "result_publishers" {
  description = "Who may report results and deployments, by pipeline: {shop = [\"serviceAccount:ci@…\"]}. Default: nobody."
  type        = map(list(string))
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for member in flatten(values(var.result_publishers)) : can(regex("^(user|group|serviceAccount|principal|principalSet):\\S+$", member))])
    error_message = "result_publishers must be members such as serviceAccount:ci@acme-ci.iam.gserviceaccount.com; allUsers and allAuthenticatedUsers are refused, since whoever may publish can say that a suite succeeded."
  }
}

variable "signal_publishers" {
  description = "Who else may send alerts and requests to evaluate, beside this deployment's own scheduler and Cloud Monitoring: for example the service agents of Cloud Monitoring in the projects where images run."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for member in var.signal_publishers : can(regex("^(user|group|serviceAccount|principal|principalSet):\\S+$", member))])
    error_message = "signal_publishers must be members such as serviceAccount:service-NUMBER@gcp-sa-monitoring-notification.iam.gserviceaccount.com; allUsers and allAuthenticatedUsers are refused, since whoever may publish can close an alert."
  }
}

variable "source_directory" {
  description = "The folder with main.py, promotion/ and requirements.txt. Default: the repository that this module is part of."
  type        = string
  default     = null

  validation {
    condition     = var.source_directory == null || try(fileexists("${var.source_directory}/main.py"), false)
    error_message = "source_directory must be the folder that main.py is in."
  }
}

variable "suite_publishers" {
  description = "Who may report suites that have a subscription of their own (`via`), by its name: {shop-security = [\"serviceAccount:…\"]}."
  type        = map(list(string))
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for member in flatten(values(var.suite_publishers)) : can(regex("^(user|group|serviceAccount|principal|principalSet):\\S+$", member))])
    error_message = "suite_publishers must be members such as serviceAccount:scanner@acme-ci.iam.gserviceaccount.com; allUsers and allAuthenticatedUsers are refused, since whoever may publish can say that a suite succeeded."
  }
}

variable "vpc" {
  description = "Send what the functions send through this network (direct VPC egress). Default: none."
  type = object({
    network    = string
    subnetwork = string
    egress     = optional(string, "PRIVATE_RANGES_ONLY")
    tags       = optional(list(string), [])
  })
  default = null

  validation {
    condition     = var.vpc == null || contains(["ALL_TRAFFIC", "PRIVATE_RANGES_ONLY"], try(var.vpc.egress, ""))
    error_message = "vpc.egress must be ALL_TRAFFIC or PRIVATE_RANGES_ONLY."
  }
}
