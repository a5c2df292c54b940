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

# Written by `make dev` while it runs, so that `make publish` finds its emulator and topic.
-include .dev/environment.mk

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- See it work ---------------------------------------------------------------------------------

.PHONY: demo
demo: $(VENV)/runtime ## See an image promoted, twice, by test results; needs Python and pip only
	@$(BIN)/python -m dev.demo

.PHONY: dev
dev: $(VENV)/runtime ## Run the real parts (Pub/Sub emulator, docker-registry, function) until Ctrl-C
	@$(BIN)/python -m dev.stack

.PHONY: publish
publish: $(VENV)/runtime ## Send a test result: IMAGE=… SUITE=… OUTCOME=success|failure|cancel|error
	@$(if $(and $(IMAGE),$(SUITE),$(OUTCOME)),,$(error usage: make publish IMAGE=HOST/PATH/NAME:TAG SUITE=… OUTCOME=…))
	@$(BIN)/promotion publish "$(IMAGE)" --suite "$(SUITE)" --outcome "$(OUTCOME)"

# --- Check it ------------------------------------------------------------------------------------

.PHONY: test
test: $(VENV)/development parts ## Run all tests; installs what they need where it may
	$(BIN)/pytest
	@$(MAKE) --no-print-directory test-3.13

.PHONY: test-3.13
test-3.13: ## Run the unit tests on Python 3.13, the deployed runtime, where it is found
	@interpreter="$$(dev/find-python 3.13)" || { echo "Python 3.13 not found: skipped"; exit 0; }; \
	$(MAKE) --no-print-directory .venv-3.13/development VENV=.venv-3.13 PYTHON="$$interpreter"; \
	echo "unit tests on $$(.venv-3.13/bin/python --version)"; \
	.venv-3.13/bin/pytest tests/unit

.PHONY: lint
lint: $(VENV)/development ## Check format, style, types, known vulnerabilities, and that locks are current
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pip check
	@$(MAKE) --no-print-directory check-requirements audit

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

.PHONY: bench
bench: $(VENV)/runtime ## Measure the copy beside skopeo and, where on PATH, crane, regctl, oras
	@$(BIN)/python -m bench.copy

.PHONY: bench-cold
bench-cold: $(VENV)/runtime ## Measure the cold start beside a bare Functions Framework function
	@$(BIN)/python -m bench.cold_start

.PHONY: bench-evaluate
bench-evaluate: $(VENV)/runtime ## Measure what it takes to find the few images that wait among many
	@$(BIN)/python -m bench.waiting

COUNT ?= 10000

.PHONY: load
load: $(VENV)/runtime parts ## Measure many messages on one instance and on four: COUNT=… (10000)
	@$(BIN)/python -m bench.load --count $(COUNT)

.PHONY: parts
parts: ## Install the programs that the tests drive, as root on Debian; else say what is missing
	@dev/install-parts

# --- Change it -----------------------------------------------------------------------------------

.PHONY: format
format: $(VENV)/development ## Format the code and mend what can be mended by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: requirements
requirements: $(VENV)/development ## Generate requirements.txt and the locks of the tools anew
	$(LOCK) --upgrade pyproject.toml -o requirements.txt
	$(LOCK) --upgrade --group dev -c requirements.txt -o requirements-dev.txt
	$(LOCK) --upgrade --group audit -o requirements-audit.txt

.PHONY: schemas
schemas: $(VENV)/runtime ## Generate the JSON Schemas anew from the types
	$(BIN)/python -m schemas.generate

.PHONY: clean
clean: ## Remove what the other targets made
	rm -rf .venv .venv-3.13 .venv-audit .dev build .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info

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
