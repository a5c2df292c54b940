# What `make plan`, `make deploy` and `make destroy` run (docs/operate.md). The state is in a bucket that
# `make bootstrap` makes and whose name they give: a state on somebody's disk would be lost with it.

terraform {
  required_version = ">= 1.7"

  backend "gcs" {}
}
