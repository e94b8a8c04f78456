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

build: venv ## Only the programs and images, into the cache
	@$(BIN)/python -m local build

clean: venv ## Take the cluster away; the cache stays
	@$(BIN)/python -m local down
