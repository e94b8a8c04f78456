# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of a cluster on which nothing has been installed yet share with the other integration tests.

By hand, on a cluster of `HASHFOUNDRY_MODE=Knative make up`: `python -m pytest tests/bare_cluster`. In `make molecule`,
on the cluster of Knative mode before site.yml runs there.
"""

from __future__ import annotations

from tests.integration.conftest import kubectl, playbook_env, settings

# Fixtures are found by their names in this module.
__all__ = ["kubectl", "playbook_env", "settings"]
