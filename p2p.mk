# P2P's promotion targets, done by `promotion promote`: by digest, and all images or none.
#
# Include this file, or copy it: it needs GNU make and the command `promotion`, and takes the
# variables that P2P's workflows set. docs/promote.md explains them.

# What `make` alone does stays as it was.
p2p_default_goal := $(.DEFAULT_GOAL)

PROMOTION ?= promotion
# Further flags, such as: --gate --event
PROMOTION_FLAGS ?=

# Never on a command line, where others could read them: `promotion` finds them in its environment.
export SOURCE_ACCESS_TOKEN DEST_ACCESS_TOKEN SOURCE_AUTH_OVERRIDE DEST_AUTH_OVERRIDE

p2p_dest_registry = $(or $(REGISTRY),$(P2P_REGISTRY),$(error $@ needs REGISTRY or P2P_REGISTRY))
p2p_source_registry = $(or $(SOURCE_REGISTRY),$(p2p_dest_registry))
p2p_fast_feedback_path = $(or $(P2P_REGISTRY_FAST_FEEDBACK_PATH),$(FAST_FEEDBACK_PATH),fast-feedback)
p2p_extended_test_path = $(or $(P2P_REGISTRY_EXTENDED_TEST_PATH),$(EXTENDED_TEST_PATH),extended-test)
p2p_prod_path = $(or $(P2P_REGISTRY_PROD_PATH),$(PROD_PATH),prod)

# The value of a variable that must have one.
p2p_required = $(or $($(1)),$(error $@ needs $(1)))

# Images, each NAME:TAG, from one path to another.
p2p_promote = $(strip $(PROMOTION) promote $(PROMOTION_FLAGS) $(1)) \
	--source-registry "$(p2p_source_registry)" --source-stage "$(2)" \
	--dest-registry "$(p2p_dest_registry)" --dest-stage "$(3)"
p2p_versioned = $(addsuffix :$(call p2p_required,P2P_VERSION),$(call p2p_required,P2P_IMAGE_NAMES))

.PHONY: p2p-promote-generic
p2p-promote-generic: ## Promote image_name:image_tag from source_repo_path to dest_repo_path
	$(call p2p_promote,$(call p2p_required,image_name):$(call p2p_required,image_tag),$(call p2p_required,source_repo_path),$(call p2p_required,dest_repo_path))

.PHONY: p2p-promote-to-extended-test
p2p-promote-to-extended-test: ## Promote P2P_IMAGE_NAMES:P2P_VERSION from fast-feedback
	$(call p2p_promote,$(p2p_versioned),$(p2p_fast_feedback_path),$(p2p_extended_test_path))

.PHONY: p2p-promote-to-prod
p2p-promote-to-prod: ## Promote P2P_IMAGE_NAMES:P2P_VERSION from extended-test
	$(call p2p_promote,$(p2p_versioned),$(p2p_extended_test_path),$(p2p_prod_path))

.DEFAULT_GOAL := $(p2p_default_goal)
