variable "configuration" {
  description = "Path of promotion.yaml. Default: the one beside this file."
  type        = string
  default     = null
}

variable "control_invokers" {
  description = "Who may approve, hold, release, override, revoke: group:releasers@example.com."
  type        = list(string)
  default     = []
}

variable "notification_channels" {
  description = "Where alerts about the deployment go: projects/P/notificationChannels/N."
  type        = list(string)
  default     = []
}

variable "project_id" {
  description = "The project of everything."
  type        = string
}

variable "region" {
  description = "The region of everything, such as europe-west2."
  type        = string
}

variable "result_publishers" {
  description = "Who may report test results: serviceAccount:ci@acme-ci.iam.gserviceaccount.com."
  type        = list(string)
  default     = []
}
