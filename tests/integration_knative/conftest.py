# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the integration tests of Knative mode share, beside what those of Standard mode do.

By hand, on a cluster of `HASHFOUNDRY_MODE=Knative make demo`: `python -m pytest tests/integration_knative`. In
`make molecule`, on the scenario's own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import urllib3

from local.settings import Settings
from tests import waiting
from tests.integration.conftest import Kubectl, kubectl, playbook, playbook_env, repository, settings

# Fixtures are found by their names in this module.
__all__ = ["kubectl", "playbook", "playbook_env", "repository", "settings"]

DOMAIN = "ml.hashfoundry.local"
# One setosa and one virginica of Fisher's data: classes 0 and 2.
ROWS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.1, 5.6, 2.4]]
Answer = tuple[int, Any]
Ask = Callable[..., Answer]
Until = Callable[..., Any]


@pytest.fixture(scope="session")
def ask(settings: Settings) -> Ask:
    """POST the rows to a model's v1 address through the gateway: status and body, JSON where it is that."""
    pools: dict[str, urllib3.HTTPSConnectionPool] = {}

    def post(name: str, path: str = "", body: Any = None, timeout: float = 20) -> Answer:
        host = f"{name}.{DOMAIN}"
        pool = pools.setdefault(
            host,
            urllib3.HTTPSConnectionPool(
                "127.0.0.1",
                settings.https_port,
                ca_certs=str(settings.state / "ca.crt"),
                server_hostname=host,
                assert_hostname=host,
                retries=False,
            ),
        )
        answer = pool.request(
            "POST",
            path or f"/v1/models/{name}:predict",
            json={"instances": ROWS} if body is None else body,
            headers={"Host": f"{host}:{settings.https_port}", "Content-Type": "application/json"},
            timeout=timeout,
        )
        try:
            return answer.status, answer.json()
        except ValueError:
            return answer.status, answer.data

    return post


@pytest.fixture(scope="session")
def thing(kubectl: Kubectl) -> Callable[..., dict[str, Any]]:
    """An object, or the list of those that a selector finds: thing("pods", "-n", "ml-models", "-l", "a=b")."""

    def get(*words: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(kubectl("get", *words, "-o", "json"))
        return found

    return get


@pytest.fixture(scope="session")
def until() -> Until:
    """The fixture's form of tests.waiting.until."""
    return waiting.until
