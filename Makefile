# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo up clean build venv

help: ## What can be made
	@sed -n 's/^\([a-z][a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

venv:
	@$(PYTHON) local/venv.py

demo: venv ## A cluster, KServe and the iris model on it, and a prediction over TLS
	@$(BIN)/python -m local demo

up: venv ## Only the cluster and its images
	@$(BIN)/python -m local up

build: venv ## Only what a cluster is made of: pulled, or built into the cache
	@$(BIN)/python -m local build

clean: venv ## Take the cluster away; the cache stays
	@$(BIN)/python -m local down

# The checks, each on its own; `make test` runs them and the scenarios, and prints each one's closing line.
CHECKS := lint sanity unit server-unit
.PHONY: test matrix ee ee-files docs bench molecule $(CHECKS) collections

collections: venv
	@$(BIN)/python -c 'from local import galaxy; galaxy.ensure()'

lint: collections ## ansible-lint, yamllint, ruff, mypy, import-linter, private names and the changelog
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	PYTHONPATH=collections $(BIN)/lint-imports --no-cache --no-logo import-linter.toml
	$(BIN)/python tests/private_names.py
	$(BIN)/yamllint --strict .
	$(BIN)/antsibull-changelog lint
	PATH=$(CURDIR)/$(BIN):$$PATH ANSIBLE_COLLECTIONS_PATH=collections $(BIN)/ansible-lint --offline

sanity: collections ## ansible-test sanity on a copy of the collection
	PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/python tests/run_sanity.py

unit: collections ## The tests that need neither network nor cluster
	cd local/go/runc-shim && go test ./...
	cd benchmarks/go/predictor && go test ./...
	$(BIN)/pytest -q -n auto --dist loadfile

server-unit: venv ## The serving program over real HTTP, in an environment of its image's packages
	$(BIN)/python tests/run_server_unit.py

# SCENARIOS: all, or names with commas between them; by default what has changed: tests/scenarios.toml.
molecule: ## Only the scenarios of `make test`: site.yml on kind clusters of its own, in both modes
	@$(PYTHON) tests/run_all.py --scenarios '$(SCENARIOS)'

matrix: venv ## lint, sanity and unit on each other ansible-core that is tested; ANSIBLE=2.21: only on that
	@$(BIN)/python tests/run_matrix.py $(ANSIBLE)

ee-files: venv ## What execution-environment.yml asks for, in the folder ee/
	@$(BIN)/python -m local.execution_environment files

ee: venv ## The execution environment, built of what package registries give
	@$(BIN)/python -m local.execution_environment build

test: ## All checks, and scenarios: SCENARIOS=all, SCENARIOS=name,name, or what has changed
	@$(PYTHON) tests/run_all.py --scenarios '$(SCENARIOS)' $(CHECKS)

docs: collections ## The documentation site in .docs/html; DOCS_EXTERNAL_LINKS=1 also asks other hosts whether links work
	@$(BIN)/python -m docsite.build

bench: collections ## The modules beside what users have, and the demo; BENCH=upload: only that
	@$(BIN)/python -m benchmarks $(BENCH)
