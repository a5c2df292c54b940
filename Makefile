# Everything a person or CI does with this repository; `make help` lists it.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command "make requirements"

# With 1, a test whose part is missing fails instead of being skipped.
REQUIRE_SERVICES ?=
export REQUIRE_SERVICES

# Each of the processes has its own emulator and registries, so more of them would not be faster.
SIDE_BY_SIDE := --numprocesses auto --maxprocesses 4 --dist worksteal

# How Terraform is run, and how a folder of its is made ready: `init` fetches the providers; `get`, which
# fetches nothing, is for a TERRAFORM that has them already.
TERRAFORM ?= terraform
TERRAFORM_INIT ?= init -backend=false -input=false
export TERRAFORM TERRAFORM_INIT

# Written by `make dev` while it runs, so that `make publish` and `make evaluate` find its emulator and
# topics; a topic that somebody names is meant instead, on the real Pub/Sub.
ifeq ($(origin PROMOTION_RESULTS_TOPIC) $(origin PROMOTION_SIGNALS_TOPIC),undefined undefined)
-include .dev/environment.mk
endif

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-28s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- See it work ---------------------------------------------------------------------------------

.PHONY: demo
demo: $(VENV)/runtime ## See an image promoted, twice, by test results; needs Python and pip only
	@$(BIN)/python -m dev.demo

.PHONY: dev
dev: $(VENV)/runtime ## Run the real parts (Pub/Sub emulator, docker-registry, function) until Ctrl-C
	@$(BIN)/python -m dev.stack

.PHONY: publish
publish: $(VENV)/runtime ## Send a test result: IMAGE=… SUITE=… OUTCOME=… or JUNIT="FILE…"; WAIT=1
	@$(if $(and $(IMAGE),$(SUITE),$(OUTCOME)$(JUNIT)),,$(error usage: $(PUBLISH_USAGE)))
	@$(BIN)/promotion publish "$(IMAGE)" --suite "$(SUITE)" $(PUBLISH_OPTIONS)

PUBLISH_USAGE = make publish IMAGE=HOST/PATH/NAME:TAG SUITE=… \
	OUTCOME=success|failure|cancel|error or JUNIT="FILE…" [REF=…] [WAIT=1 [TIMEOUT=10m]] [URL=…]
PUBLISH_OPTIONS = $(if $(OUTCOME),--outcome "$(OUTCOME)") $(if $(JUNIT),--junit $(JUNIT)) \
	$(if $(REF),--ref "$(REF)") $(if $(WAIT),--wait) $(if $(TIMEOUT),--timeout "$(TIMEOUT)") \
	$(if $(URL),--url "$(URL)")

.PHONY: evaluate
evaluate: $(VENV)/runtime ## Have images judged again: IMAGE=…, or all that wait: PIPELINE=… or ALL=1
	@$(if $(IMAGE)$(PIPELINE)$(ALL),,$(error usage: $(EVALUATE_USAGE)))
	@$(BIN)/promotion evaluate $(EVALUATE_OPTIONS)

EVALUATE_USAGE = make evaluate IMAGE="HOST/PATH/NAME:TAG…" or PIPELINE=… or ALL=1
EVALUATE_OPTIONS = $(foreach each,$(IMAGE),"$(each)") $(if $(PIPELINE),--pipeline "$(PIPELINE)") \
	$(if $(ALL),--all)

# --- Promote by hand -----------------------------------------------------------------------------

PROMOTION ?= $(BIN)/promotion
include p2p.mk
p2p-promote-generic p2p-promote-to-extended-test p2p-promote-to-prod: $(VENV)/runtime

# --- Check it ------------------------------------------------------------------------------------

.PHONY: test
test: $(VENV)/development parts ## Run all tests; installs what they need where it may
	$(BIN)/pytest $(SIDE_BY_SIDE)
	@$(MAKE) --no-print-directory test-3.13 test-terraform

.PHONY: test-3.13
test-3.13: ## Run the unit tests on Python 3.13, the deployed runtime, where it is found
	@interpreter="$$(dev/find-python 3.13)" || { echo "Python 3.13 not found: skipped"; exit 0; }; \
	$(MAKE) --no-print-directory .venv-3.13/development VENV=.venv-3.13 PYTHON="$$interpreter"; \
	echo "unit tests on $$(.venv-3.13/bin/python --version)"; \
	.venv-3.13/bin/pytest tests/unit $(SIDE_BY_SIDE)

.PHONY: fuzz
fuzz: $(VENV)/development ## Fuzz all that reads what others write: SECONDS=600 in all, SEED=1 on repeat
	@SEED=$(or $(SEED),1) $(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),600)

.PHONY: lint
lint: $(VENV)/development ## Check format, style, types, known vulnerabilities, and that locks are current
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pip check
	@$(MAKE) --no-print-directory check-requirements audit
	@dev/check-terraform format

.PHONY: audit
audit: $(VENV)/runtime ## Ask for known vulnerabilities of what is locked; out of reach: say so, and go on
	@$(MAKE) --no-print-directory .venv-audit/audit || \
		{ echo "audit: pip-audit could not be installed: nothing was asked for"; exit 0; }; \
	$(BIN)/python -m dev.audit .venv-audit/bin/pip-audit requirements.txt requirements-dev.txt

.PHONY: check-requirements
check-requirements: $(VENV)/development
	@mkdir -p build && cp requirements.txt requirements-dev.txt requirements-audit.txt build/
	@$(LOCK) pyproject.toml -o build/requirements.txt
	@$(LOCK) --group dev -c requirements.txt -o build/requirements-dev.txt
	@$(LOCK) --group audit -o build/requirements-audit.txt
	@for lock in requirements.txt requirements-dev.txt requirements-audit.txt; do \
		diff -q $$lock build/$$lock > /dev/null || { echo "$$lock is not what pyproject.toml asks for: make requirements"; exit 1; }; \
	done

# --- Check the Terraform module ------------------------------------------------------------------

.PHONY: test-terraform
test-terraform: ## Validate and test the Terraform module and its examples
	@dev/check-terraform test terraform $(wildcard terraform/deployment terraform/examples/*)

.PHONY: lint-terraform
lint-terraform: .venv-checkov/installed ## Look for insecure settings in the Terraform module, with checkov
	@.venv-checkov/bin/checkov --directory terraform --framework terraform --compact --quiet --skip-download

# It wants older versions of what the product needs, so it has an environment of its own.
.venv-checkov/installed: requirements-checkov.txt | $(VENV)/development
	@echo "installing checkov into .venv-checkov …"
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-checkov
	@$(BIN)/uv pip install --quiet --python .venv-checkov/bin/python --require-hashes -r requirements-checkov.txt
	@touch $@

# --- Measure it ----------------------------------------------------------------------------------

.PHONY: bench
bench: $(VENV)/runtime ## Measure the copy beside skopeo and, where on PATH, crane, regctl, oras
	@$(BIN)/python -m bench.copy

.PHONY: bench-cold
bench-cold: $(VENV)/runtime ## Measure the cold start beside a bare Functions Framework function
	@$(BIN)/python -m bench.cold_start

.PHONY: bench-cli
bench-cli: $(VENV)/runtime ## Measure the command from start to end beside skopeo, at several distances
	@$(BIN)/python -m bench.command_line

.PHONY: bench-evaluate
bench-evaluate: $(VENV)/runtime ## Measure what it takes to find the few images that wait among many
	@$(BIN)/python -m bench.waiting

.PHONY: chaos
chaos: $(VENV)/development parts ## Let things go wrong, for an hour: SCENARIO=… SEED=… ROUNDS=…
	@$(BIN)/python -m tests.chaos $(SCENARIO) --seed $(or $(SEED),1) --rounds $(or $(ROUNDS),0)

COUNT ?= 10000

.PHONY: load
load: $(VENV)/runtime parts ## Measure many messages on one instance and on four: COUNT=… (10000) or RUNS=…
	@$(BIN)/python -m bench.load $(if $(RUNS),--runs $(RUNS),--count $(COUNT))
	@$(BIN)/python -m bench.limit

.PHONY: load-large
load-large: $(VENV)/runtime parts ## Measure small images beside the copy of a large one: GIB=… (5) IMAGES=… (60)
	@$(BIN)/python -m bench.large --gib $(or $(GIB),5) --images $(or $(IMAGES),60) \
		$(if $(FOLDER),--folder $(FOLDER))

.PHONY: parts
parts: ## Install the programs that the tests drive, as root on Debian; else say what is missing
	@dev/install-parts

# --- Run a deployment (docs/operate.md) ----------------------------------------------------------

CONFIG ?= promotion.yaml
OPERATE = $(BIN)/python -m operate $@ --project "$(PROJECT)" --terraform "$(TERRAFORM)" \
	$(call option,state-bucket,STATE_BUCKET) $(call option,state-prefix,STATE_PREFIX)

# An option with the value of a variable, and a flag for a variable that is not empty.
option = $(if $($(2)),--$(1)='$(subst ','\'',$($(2)))')
flag = $(if $($(2)),--$(1))
given = $(foreach each,$(1),$(if $($(each)),,$(error usage: make $@ $(foreach name,$(1),$(name)=…))))

.PHONY: bootstrap
bootstrap: $(VENV)/runtime ## Make the bucket for Terraform's state: PROJECT=… REGION=…
	@$(call given,PROJECT REGION)$(OPERATE) --region "$(REGION)"

.PHONY: plan deploy destroy
plan: ## Show what deploy would change: PROJECT=… REGION=… CONFIG=… VARS=…
deploy: ## Create or change the deployment: PROJECT=… REGION=… CONFIG=… VARS=…
destroy: ## Take the deployment away: PROJECT=… REGION=… CONFIG=… VARS=…
plan deploy destroy: $(VENV)/runtime
	@$(call given,PROJECT REGION)$(OPERATE) --region "$(REGION)" --config "$(CONFIG)" \
		$(call option,vars,VARS) $(call option,arguments,ARGS)

.PHONY: logs
logs: $(VENV)/runtime ## Show what the functions log: PROJECT=… SINCE=1h FOLLOW=1 FILTER=…
	@$(call given,PROJECT)$(OPERATE) $(call option,since,SINCE) $(call option,filter,FILTER) \
		$(call flag,follow,FOLLOW)

.PHONY: replay-dead-letters
replay-dead-letters: $(VENV)/runtime ## Take dead letters back to their topic: PROJECT=… DRY_RUN=1 ALL=1
	@$(call given,PROJECT)$(OPERATE) $(call option,outputs,OUTPUTS) $(call option,limit,LIMIT) \
		$(call flag,dry-run,DRY_RUN) $(call flag,all,ALL)

.PHONY: smoke
smoke: $(VENV)/runtime ## Send an image through the deployment and check it: PROJECT=… CONFIG=…
	@$(call given,PROJECT)$(OPERATE) --config "$(CONFIG)" $(call option,outputs,OUTPUTS) \
		$(call option,pipeline,PIPELINE) $(call option,version,VERSION) $(call option,ref,REF) \
		$(call option,timeout,TIMEOUT)

# --- Change it -----------------------------------------------------------------------------------

.PHONY: format
format: $(VENV)/development ## Format the code and mend what can be mended by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: requirements
requirements: $(VENV)/development ## Generate the locks, requirements*.txt, anew
	$(LOCK) --upgrade pyproject.toml -o requirements.txt
	$(LOCK) --upgrade --group dev -c requirements.txt -o requirements-dev.txt
	$(LOCK) --upgrade requirements-checkov.in -o requirements-checkov.txt
	$(LOCK) --upgrade --group audit -o requirements-audit.txt

.PHONY: schemas
schemas: $(VENV)/runtime ## Generate the JSON Schemas anew from the types
	$(BIN)/python -m schemas.generate

.PHONY: clean
clean: ## Remove what the other targets made
	rm -rf .venv .venv-3.13 .venv-checkov .venv-audit .dev build .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
	rm -rf terraform/.terraform terraform/*/.terraform terraform/*/*/.terraform

# --- Virtual environments ------------------------------------------------------------------------

$(VENV)/runtime: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.13 …"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
		{ echo "This Python cannot make virtual environments: apt-get install python3-venv"; exit 1; }
	@echo "installing what the function needs into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

$(VENV)/development: $(VENV)/runtime requirements-dev.txt
	@echo "installing the development tools into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

.venv-audit/audit: requirements-audit.txt
	@$(PYTHON) -m venv .venv-audit
	@echo "installing pip-audit into .venv-audit …"
	@.venv-audit/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-audit.txt
	@touch $@
