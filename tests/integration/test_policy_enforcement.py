# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster enforces NetworkPolicies: on pods that run before and after them, and in namespaces without labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.settings import Settings

from .allowed_traffic import NAME_LABEL
from .policy_pods import Pods, named, running, states

Kubectl = Callable[..., str]


@pytest.fixture
def made(settings: Settings, kubectl: Kubectl, tmp_path: Path) -> Iterator[Pods]:
    if not settings.network_policies:
        pytest.skip("HASHFOUNDRY_NETWORK_POLICIES is false")
    with running(kubectl, tmp_path, "policies", "policies-beside") as found:
        yield found


def test_a_policy_applies_to_pods_that_run_before_it(made: Pods, kubectl: Kubectl) -> None:
    address = made.server("server")
    for client in ("friend", "stranger"):
        made.client(client, address)
    for client in ("friend", "stranger"):
        made.await_state(client, True)

    made.apply(made.policy("only-friend", [named("friend")]))
    closed = made.await_state("stranger", False)
    # The peer that the policy allows has not lost a connection.
    assert states(made.attempts("friend", closed - 5)) == {True}

    kubectl("delete", "networkpolicy", "only-friend", "-n", made.namespace)
    made.await_state("stranger", True)


def test_a_policy_applies_to_pods_that_start_after_it(made: Pods) -> None:
    made.apply(made.policy("only-friend", [named("friend")]))
    address = made.server("server")
    for client in ("friend", "stranger"):
        made.client(client, address)
    opened, closed = made.await_state("friend", True), made.await_state("stranger", False)
    # Once a pod's IP address is known, nothing changes by itself.
    made.client("last", address)
    made.await_state("last", False)
    assert states(made.attempts("friend", opened)) == {True}
    assert states(made.attempts("stranger", closed)) == {False}


def test_a_namespace_without_labels(made: Pods, kubectl: Kubectl) -> None:
    """Kubernetes itself sets the label with the name, and policies may select by it; other labels are absent."""
    address = made.server("server")
    made.client("client", address, made.beside)
    by_name = {"namespaceSelector": {"matchLabels": {NAME_LABEL: made.beside}}}
    by_label = {"namespaceSelector": {"matchLabels": {"team": "data"}}}

    made.apply(made.policy("peers", [by_label]))
    made.await_state("client", False, made.beside)
    made.apply(made.policy("peers", [by_name]))
    made.await_state("client", True, made.beside)
    made.apply(made.policy("peers", [by_label]))
    made.await_state("client", False, made.beside)
    # The label is set and removed while the pods run.
    kubectl("label", "namespace", made.beside, "team=data")
    made.await_state("client", True, made.beside)
    kubectl("label", "namespace", made.beside, "team-")
    made.await_state("client", False, made.beside)
