# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""While the agent that enforces NetworkPolicies is killed, replaced or absent, open stays open and closed closed.

Only on a node image that was built here: kind's own network agent also sets the routes of the pods.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from local import demo
from local.settings import Settings
from tests.integration.conftest import OnNode

from .helpers import objects, wait_until
from .policy_pods import Pods, named, running, states

Kubectl = Callable[..., str]
DAEMONSET = ("daemonset/kube-router", "-n", "kube-system")
PODS = ("pods", "-n", "kube-system", "-l", "k8s-app=kube-router")
NOWHERE = {"hashfoundry.local/absent": "true"}  # a label that no node has
ENOUGH = 30  # attempts of a client, about three seconds


@pytest.fixture(scope="module")
def made(settings: Settings, kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pods]:
    """A server, a client that its policy allows, and one that it does not."""
    if not settings.network_policies:
        pytest.skip("HASHFOUNDRY_NETWORK_POLICIES is false")
    if "kindnet" in {item["metadata"]["name"] for item in objects(kubectl, "daemonsets", "-n", "kube-system")}:
        pytest.skip("the node image was pulled")
    with running(kubectl, tmp_path_factory.mktemp("agent"), "agent") as found:
        address = found.server("server")
        found.apply(found.policy("peers", [named("friend")]))
        for client in ("friend", "stranger"):
            found.client(client, address)
        found.await_state("friend", True)
        found.await_state("stranger", False)
        yield found


def await_agent(kubectl: Kubectl) -> None:
    words = ("rollout", "status", *DAEMONSET, "--timeout=120s", "--request-timeout=0")
    kubectl(*words)


def assert_unchanged(made: Pods, began: float) -> None:
    """Open stayed open and closed stayed closed since a time, and so did the connection that was open before."""
    for client, opened in (("friend", True), ("stranger", False)):
        found = wait_until(
            lambda client=client: made.attempts(client, began),  # type: ignore[misc]
            lambda attempts: len(attempts) >= ENOUGH,
            what=f"{client} has connected {ENOUGH} times",
        )
        assert states(found) == {opened}, client
    assert states(made.attempts("friend", began), "kept") == {True}


def assert_enforces(made: Pods) -> None:
    """The agent follows changes."""
    made.apply(made.policy("peers", [named("stranger")]))
    made.await_state("friend", False)
    made.await_state("stranger", True)
    made.apply(made.policy("peers", [named("friend")]))
    made.await_state("friend", True)
    made.await_state("stranger", False)


def test_the_agent_is_killed(made: Pods, kubectl: Kubectl, on_node: OnNode, settings: Settings) -> None:
    def restarts() -> int:
        (pod,) = objects(kubectl, *PODS)
        return int(pod["status"]["containerStatuses"][0]["restartCount"])

    before, began = restarts(), time.time()
    on_node("sh", "-c", "kill -9 $(pidof kube-router)")
    subprocess.run(demo.curl(settings), capture_output=True, check=True)
    wait_until(restarts, lambda count: count > before, what="the agent's container is restarted")
    await_agent(kubectl)
    assert_unchanged(made, began)
    subprocess.run(demo.curl(settings), capture_output=True, check=True)
    assert_enforces(made)


def test_the_agent_is_replaced(made: Pods, kubectl: Kubectl) -> None:
    began = time.time()
    kubectl("rollout", "restart", *DAEMONSET)
    await_agent(kubectl)
    assert_unchanged(made, began)
    assert_enforces(made)


@pytest.fixture
def absent(made: Pods, kubectl: Kubectl) -> Iterator[Callable[[], None]]:
    """The agent runs on no node until the function is called, or until the test ends."""

    def select(labels: dict[str, str | None]) -> None:
        patch = {"spec": {"template": {"spec": {"nodeSelector": labels}}}}
        kubectl("patch", *DAEMONSET, "--type=merge", "-p", json.dumps(patch))

    def back() -> None:
        select(dict.fromkeys(NOWHERE))
        await_agent(kubectl)

    select({**NOWHERE})
    try:
        wait_until(lambda: objects(kubectl, *PODS), lambda pods: not pods, what="the agent has no pod")
        yield back
    finally:
        back()


def test_the_rules_remain_without_the_agent(made: Pods, absent: Callable[[], None]) -> None:
    began = time.time()
    assert_unchanged(made, began)
    # Nothing applies a change until the agent is back, which then does.
    made.apply(made.policy("peers", [named("stranger")]))
    assert_unchanged(made, time.time())
    absent()
    made.await_state("friend", False)
    made.await_state("stranger", True)
    made.apply(made.policy("peers", [named("friend")]))
    made.await_state("friend", True)
    made.await_state("stranger", False)
