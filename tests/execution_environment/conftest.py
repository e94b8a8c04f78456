# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the tests in the execution environment, shared with the other integration tests.

Manually, on a cluster of `make up`: `python -m pytest tests/execution_environment`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local import execution_environment
from tests.integration.conftest import Kubectl, Playbook, kubectl, playbook, playbook_env, reason, settings
from tests.integration.test_from_tarball import NAME

# Fixtures are found by their names in this module.
__all__ = ["kubectl", "playbook", "playbook_env", "settings"]


@pytest.fixture(scope="session", autouse=True)
def image() -> None:
    """The image, built from this checkout."""
    assert execution_environment.main(["build"]) == 0


@pytest.fixture(scope="session", autouse=True)
def as_before(kubectl: Kubectl, playbook: Playbook) -> Iterator[None]:
    """Restore the cluster to the state after the checkout's site.yml."""
    yield
    kubectl("delete", "inferenceservice", NAME, "-n", "ml-models", "--ignore-not-found", "--wait=false")
    result = playbook("playbooks/site.yml")
    assert result.returncode == 0, reason(result)
