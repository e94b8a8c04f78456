# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo up clean build venv

help: ## List the targets
	@sed -n 's/^\([a-z][a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

venv:
	@$(PYTHON) local/venv.py

demo: venv ## Create a cluster with KServe and the demo models, and send prediction requests over TLS
	@$(BIN)/python -m local demo

up: venv ## Create only the cluster and load its images
	@$(BIN)/python -m local up

build: venv ## Only pull the images of a cluster, or build them into the cache
	@$(BIN)/python -m local build

clean: venv ## Delete the cluster and retain the cache
	@$(BIN)/python -m local down

# The checks that `make test` runs in addition to the scenarios.
CHECKS := lint sanity unit server-unit
.PHONY: test matrix ee ee-files docs bench molecule $(CHECKS) collections

collections: venv
	@$(BIN)/python -c 'from local import galaxy; galaxy.ensure()'

lint: collections ## Run ansible-lint, yamllint, ruff, mypy, import-linter, the private-name check and the changelog check
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	PYTHONPATH=collections $(BIN)/lint-imports --no-cache --no-logo import-linter.toml
	$(BIN)/python tests/private_names.py
	$(BIN)/yamllint --strict .
	$(BIN)/antsibull-changelog lint
	PATH=$(CURDIR)/$(BIN):$$PATH ANSIBLE_COLLECTIONS_PATH=collections $(BIN)/ansible-lint --offline

sanity: collections ## Run ansible-test sanity on a copy of the collection
	PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/python tests/run_sanity.py

unit: collections ## Run the tests that need neither network nor cluster
	@$(BIN)/python -c 'from local import programs; programs.provided("promtool")'
	cd local/go/runc-shim && go test ./...
	cd benchmarks/go/predictor && go test ./...
	$(BIN)/pytest -q -n auto --dist loadfile

server-unit: venv ## Test the model server over HTTP, with the packages of its image
	$(BIN)/python tests/run_server_unit.py

# SCENARIOS: all, or comma-separated names. Defaults to those that changes affect, see tests/scenarios.toml.
molecule: ## Run only the scenarios of `make test`: site.yml on kind clusters, in both deployment modes
	@$(PYTHON) tests/run_all.py --scenarios '$(SCENARIOS)'

matrix: venv ## Run lint, sanity and unit on the other tested versions of ansible-core; ANSIBLE=2.21: only on that one
	@$(BIN)/python tests/run_matrix.py $(ANSIBLE)

ee-files: venv ## Write the build inputs of execution-environment.yml to the folder ee/
	@$(BIN)/python -m local.execution_environment files

ee: venv ## Build the execution environment from package registries
	@$(BIN)/python -m local.execution_environment build

test: ## Run all checks, and scenarios: SCENARIOS=all, SCENARIOS=name,name, or by default those affected by changes
	@$(PYTHON) tests/run_all.py --scenarios '$(SCENARIOS)' $(CHECKS)

docs: collections ## Build the documentation site in .docs/html; DOCS_EXTERNAL_LINKS=1 also checks external links
	@$(BIN)/python -m docsite.build

bench: collections ## Run the benchmarks; BENCH=upload: only that one
	@$(BIN)/python -m benchmarks $(BENCH)
