# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""addons.yml says whether the network enforces NetworkPolicies, and tests it again until it does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.settings import Settings

from .conftest import reason
from .helpers import objects, one_line, wait_until

Kubectl = Callable[..., str]
Playbook = Callable[..., Any]
LABEL = "app.kubernetes.io/name=network-policy-probe"
# With it the network treats the probe's pods as one that enforces nothing treats every pod.
OPEN = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "open-to-the-probe", "namespace": "kserve"},
    "spec": {
        "podSelector": {"matchLabels": dict([LABEL.split("=")])},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{}],
        "egress": [{}],
    },
}

QUOTA = {
    "apiVersion": "v1",
    "kind": "ResourceQuota",
    "metadata": {"name": "no-jobs", "namespace": "kserve"},
    "spec": {"hard": {"count/jobs.batch": "0"}},
}


@pytest.fixture(autouse=True)
def _enforced(settings: Settings) -> None:
    if not settings.network_policies:
        pytest.skip("HASHFOUNDRY_NETWORK_POLICIES is false")


@pytest.fixture
def addons(playbook: Playbook) -> Callable[..., str]:
    """Run the part of addons.yml that is about namespaces and their policies, and return its output in one line."""

    def run(*words: str) -> str:
        done = playbook("playbooks/addons.yml", "--tags", "namespace_security", *words)
        assert done.returncode == 0, reason(done)
        return one_line(done.stdout)

    return run


@pytest.fixture
def applied(kubectl: Kubectl, addons: Callable[..., str], tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Apply an object to KServe's namespace and forget the result; afterwards the Job has its usual result again."""
    file = tmp_path / "object.json"

    def apply(thing: dict[str, Any]) -> None:
        file.write_text(json.dumps(thing))
        kubectl("apply", "-f", str(file))
        kubectl("delete", "job", "-n", "kserve", "-l", LABEL)

    yield apply
    kubectl("delete", "-f", str(file), "--ignore-not-found")
    addons()


def jobs(kubectl: Kubectl) -> list[tuple[str, str]]:
    """The UIDs of the probe's Jobs that connect, and what became of them."""
    ended = [
        (job["metadata"]["uid"], condition["type"])
        for job in objects(kubectl, "jobs", "-n", "kserve", "-l", LABEL)
        for condition in job["status"].get("conditions", ())
        if job["metadata"]["name"].endswith("-client")
    ]
    return [(uid, kind) for uid, kind in ended if kind in ("Complete", "Failed")]


def test_a_network_that_enforces_policies_is_tested_once(kubectl: Kubectl, addons: Callable[..., str]) -> None:
    kubectl("delete", "job", "-n", "kserve", "-l", LABEL)
    assert "(NetworkPolicies" not in addons("--check")
    assert jobs(kubectl) == []
    assert "(NetworkPolicies" not in addons()
    [(uid, result)] = jobs(kubectl)
    assert result == "Complete"
    assert " changed=0 " in addons()
    assert jobs(kubectl) == [(uid, "Complete")]


def test_a_network_that_enforces_no_policies_is_tested_in_each_run(
    kubectl: Kubectl, addons: Callable[..., str], applied: Callable[..., None]
) -> None:
    applied(OPEN)
    seen = set()
    for words in ((), ("--check",), ()):
        said = addons(*words)
        assert said.count("(NetworkPoliciesNotEnforced)") == 1
        assert " changed=0 " in said and " failed=0 " in said
        [(uid, result)] = jobs(kubectl)
        assert result == "Failed"
        seen.add(uid)
    assert len(seen) == 2
    kubectl("delete", "networkpolicy", OPEN["metadata"]["name"], "-n", "kserve")
    assert "(NetworkPolicies" not in addons()
    assert [result for _uid, result in jobs(kubectl)] == ["Complete"]


@pytest.mark.parametrize("direction", ["Egress", "Ingress"])
def test_a_network_that_enforces_one_direction_only_is_reported(
    direction: str, kubectl: Kubectl, addons: Callable[..., str], applied: Callable[..., None]
) -> None:
    spec = {"podSelector": OPEN["spec"]["podSelector"], "policyTypes": [direction], direction.lower(): [{}]}
    applied({**OPEN, "spec": spec})
    assert addons().count("(NetworkPoliciesNotEnforced)") == 1
    pods = f"{LABEL},app.kubernetes.io/component=client"
    assert f"not enforced for {direction.lower()}:" in kubectl("logs", "-n", "kserve", "-l", pods)


def test_a_job_that_the_api_server_does_not_accept_is_reported(
    kubectl: Kubectl, addons: Callable[..., str], applied: Callable[..., None]
) -> None:
    applied(QUOTA)
    # The API server enforces a quota when its status is there.
    words = ("get", "resourcequota", "no-jobs", "-n", "kserve", "-o", "jsonpath={.status.hard}")
    wait_until(lambda: kubectl(*words), what="the quota is enforced")
    said = addons()
    assert said.count("(NetworkPoliciesNotTested)") == 1 and "exceeded quota: no-jobs" in said
    assert " changed=0 " in said and " failed=0 " in said
    assert jobs(kubectl) == []


def test_a_test_that_is_switched_off_is_reported(addons: Callable[..., str]) -> None:
    assert "(NetworkPoliciesNotTested)" in addons("-e", "namespace_security_probe=false")
