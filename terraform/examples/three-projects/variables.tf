variable "billing_publishers" {
  description = "Who may report results and deployments of billing."
  type        = list(string)
  default     = []
}

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

variable "dev_project_id" {
  description = "The project of the dev registry."
  type        = string
}

variable "event_subscribers" {
  description = "Who may attach subscriptions to the topic of promotion events."
  type        = list(string)
  default     = []
}

variable "notification_channels" {
  description = "Where alerts about the deployment go: projects/P/notificationChannels/N."
  type        = list(string)
  default     = []
}

variable "prod_project_id" {
  description = "The project of the prod registry."
  type        = string
}

variable "prod_region" {
  description = "The region of the prod registry."
  type        = string
  default     = "europe-west1"
}

variable "project_id" {
  description = "The project of the deployment."
  type        = string
}

variable "region" {
  description = "The region of the deployment and of the registries of dev and test."
  type        = string
  default     = "europe-west2"
}

variable "security_publishers" {
  description = "Who may report the suite security, and nothing else."
  type        = list(string)
  default     = []
}

variable "shop_publishers" {
  description = "Who may report results and deployments of the shop."
  type        = list(string)
  default     = []
}

variable "test_project_id" {
  description = "The project of the test registry."
  type        = string
}
