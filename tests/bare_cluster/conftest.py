# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the tests on a bare cluster, shared with the other integration tests.

Manually, on a cluster of `HASHFOUNDRY_MODE=Knative make up`: `python -m pytest tests/bare_cluster`. `make molecule`
runs them on the cluster of Knative mode, before site.yml.
"""

from __future__ import annotations

from tests.integration.conftest import kubectl, playbook_env, settings

# Fixtures are found by their names in this module.
__all__ = ["kubectl", "playbook_env", "settings"]
