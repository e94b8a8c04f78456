# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who reaches whom after site.yml, tried by connections, against what the cluster's NetworkPolicies say.

From each pod of the platform, of the models and of strangers to every port at which any of them listens, and to the
API server, the node and addresses outside of the cluster. security.rst has the table; after an intended change
HASHFOUNDRY_RECORD=1 writes it again.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from local import demo
from local.settings import REPOSITORY, Settings
from tests.integration.conftest import OnNode

from .allowed_traffic import Connection, End, denials
from .helpers import objects
from .traffic_matrix import (
    LIFETIME,
    SCAN,
    SERVER,
    Party,
    Target,
    list_table,
    parties,
    places,
    table,
    targets,
    tried,
)

Kubectl = Callable[..., str]
Json = dict[str, Any]
Cells = dict[tuple[str, Target], bool]
DOCS = REPOSITORY / "docs" / "docsite" / "rst" / "security.rst"
MODELS, ELSEWHERE = "ml-models", "traffic-matrix"
IMAGE = "kserve/storage-initializer:v0.20.0"  # on every cluster, and it contains Python
PORTS = (8080, 8012)  # of the pods of this test
SETTLED = 30  # seconds within which the network enforces the policies of a new pod
# Outside of the cluster: a public address, a private one, and that of the metadata services of clouds. They are behind
# the node, in a network namespace of their own. Pods of the local cluster have no IPv6 addresses.
OUTSIDE = {"public address": "203.0.113.7", "private address": "10.99.0.7", "metadata service": "169.254.169.254"}
OUTSIDE_PORTS = (80, 443)
NETNS, LINK, HERE, THERE = "outside", "outside0", "192.0.2.1", "192.0.2.0"
NODE = "node, API server"
STRANGER = "pod of another namespace"


@pytest.fixture(scope="module", autouse=True)
def _enforced(settings: Settings) -> None:
    if not settings.network_policies:
        pytest.skip("HASHFOUNDRY_NETWORK_POLICIES is false")


@dataclass(frozen=True)
class Matrix:
    """The parties that connect, all targets, and the policies."""

    sources: list[Party]
    targets: list[Target]
    policies: list[Json]
    on_node: OnNode

    def expected(self, source: Party, target: Target) -> bool:
        """Whether the policies allow a connection. Kubernetes always allows a node to reach its own pods."""
        if source.name == NODE:
            return True
        connection = Connection(source.end, target.party.end, target.protocol, target.port)
        return not list(denials(connection, self.policies))

    def wanted(self, source: Party) -> list[Target]:
        """Not to the pod itself, whose packets do not leave it; the node's connections show what listens at all."""
        if source.name == NODE:
            return self.targets
        return [target for target in self.targets if target.party is not source]


def stranger(name: str, namespace: str, labels: Json) -> Json:
    """A pod that waits, as the Pod Security Standard restricted accepts it."""
    container = {
        "name": "main",
        "image": IMAGE,
        "command": ["python3", "-c", "import signal; signal.pause()"],
        "resources": {"requests": {"cpu": "5m", "memory": "16Mi"}, "limits": {"cpu": "100m", "memory": "64Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": security,
            "containers": [container],
        },
    }


def served(storage: str) -> Json:
    return {"serving.kserve.io/inferenceservice": "traffic-matrix", "kserve.hashfoundry.io/storage": storage}


@pytest.fixture(scope="module")
def strangers(kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[str, str]]]:
    """Pods of kinds that do not run now, and unknown pods: their namespace and name, by the name of their party."""
    apps = [pod["metadata"].get("labels", {}).get("app", "") for pod in objects(kubectl, "pods", "-A")]
    gateway = min(app for app in apps if app.startswith(("envoy-", "3scale-kourier-gateway")))
    wanted: dict[str, tuple[str, str, Json]] = {
        "model (oci)": (MODELS, "matrix-oci", served("oci")),
        "model (uri)": (MODELS, "matrix-uri", served("uri")),
        "loader Job": (MODELS, "matrix-loader", {"app.kubernetes.io/name": "model-loader"}),
        "batch Job": (MODELS, "matrix-batch", {"app.kubernetes.io/name": "batch-inference"}),
        "pod without labels beside the models": (MODELS, "matrix-plain", {}),
        STRANGER: (ELSEWHERE, "plain", {}),
        "pod of another namespace with the gateway's labels": (ELSEWHERE, "gateway", {"app": gateway}),
    }
    file = tmp_path_factory.mktemp("matrix") / "pods.json"
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ELSEWHERE}}
    pods = [stranger(name, place, labels) for place, name, labels in wanted.values()]
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [namespace, *pods]}))
    try:
        kubectl("apply", "-f", str(file))
        for place in (MODELS, ELSEWHERE):
            names = [f"pod/{name}" for at, name, _labels in wanted.values() if at == place]
            kubectl("wait", "-n", place, "--for=condition=Ready", "--timeout=25s", *names)
        yield {party: (place, name) for party, (place, name, _labels) in wanted.items()}
    finally:
        kubectl("delete", "-f", str(file), "--ignore-not-found")


@pytest.fixture(scope="module")
def outside(on_node: OnNode) -> Iterator[list[Party]]:
    """Addresses outside of the cluster, at which something listens."""
    commands = [
        f"ip netns add {NETNS}",
        f"ip link add {LINK} type veth peer name eth0 netns {NETNS}",
        f"ip address add {HERE}/31 dev {LINK}",
        f"ip link set {LINK} up",
        f"ip -n {NETNS} link set lo up",
        f"ip -n {NETNS} address add {THERE}/31 dev eth0",
        f"ip -n {NETNS} link set eth0 up",
        f"ip -n {NETNS} route add default via {HERE}",
        *(f"ip -n {NETNS} address add {address}/32 dev eth0" for address in OUTSIDE.values()),
        *(f"ip route add {address}/32 via {THERE} dev {LINK}" for address in OUTSIDE.values()),
    ]
    try:
        on_node("sh", "-ec", "\n".join(commands))
        yield [Party(name, End(address)) for name, address in OUTSIDE.items()]
    finally:
        on_node("sh", "-c", f"ip netns pids {NETNS} | xargs -r kill; ip netns delete {NETNS}")


@pytest.fixture(scope="module")
def matrix(
    settings: Settings,
    kubectl: Kubectl,
    on_node: OnNode,
    node: str,
    docker: Callable[..., str],
    strangers: dict[str, tuple[str, str]],
    outside: list[Party],
) -> Matrix:
    # In Knative mode a model has a pod only after a request.
    for name in demo.QUESTIONS:
        subprocess.run(demo.curl(settings, name), capture_output=True, check=True)
    listed = objects(kubectl, "pods", "-A")
    named = {place: party for party, place in strangers.items()}
    policies = objects(kubectl, "networkpolicies", "-A")
    secured = {policy["metadata"]["namespace"] for policy in policies if policy["metadata"]["name"] == "default-deny"}
    platform = [
        pod
        for pod in listed
        if (pod["metadata"]["namespace"], pod["metadata"]["name"]) not in named
        and (pod["metadata"]["namespace"] in secured or pod["metadata"].get("labels", {}).get("k8s-app") == "kube-dns")
    ]
    known = places(on_node("sh", "-c", SCAN))
    found = parties(platform, known)
    for pod in listed:
        if party := named.get((pod["metadata"]["namespace"], pod["metadata"]["name"])):
            for one in parties([pod], known).values():
                found[party] = Party(party, one.end, one.place)
    for where, ports in [(found[party].place, PORTS) for party in strangers] + [(None, OUTSIDE_PORTS)]:
        path = where.path if where else f"/run/netns/{NETNS}"
        words = ("nsenter", f"--net={path}", "perl", "-e", SERVER, str(LIFETIME), *map(str, ports))
        docker("exec", "--detach", node, *words)
    dns = next(party for party in found.values() if party.end.labels.get("k8s-app") == "kube-dns")
    (host,) = objects(kubectl, "nodes")
    here = Party(NODE, End(next(at["address"] for at in host["status"]["addresses"] if at["type"] == "InternalIP")))
    aims = [
        *(target for party in found.values() for target in listening(party, party.name in strangers)),
        Target(dns, "UDP", 53),
        *targets(here, (6443, 10250)),
        *(target for party in outside for target in targets(party, OUTSIDE_PORTS)),
    ]
    # The cluster's DNS servers are of another namespace, and stand for nothing else as a source.
    return Matrix([here, *(party for party in found.values() if party is not dns)], aims, policies, on_node)


def listening(party: Party, is_stranger: bool) -> list[Target]:
    """The ports of a pod; those of this test's pods did not listen yet when the node was read."""
    assert party.place is not None
    return targets(party, PORTS) if is_stranger else targets(party, party.place.ports)


@pytest.fixture(scope="module")
def cells(matrix: Matrix) -> Cells:
    """What is open, once the network has had time to enforce the policies of the new pods."""
    found = tried(matrix.on_node, {source: matrix.wanted(source) for source in matrix.sources})
    end = time.monotonic() + SETTLED
    while time.monotonic() < end:
        again = {
            source: [
                target
                for target in matrix.wanted(source)
                if found[source.name, target] != matrix.expected(source, target)
            ]
            for source in matrix.sources
        }
        if not any(again.values()) or enforces_nothing(matrix, found):
            break
        found |= tried(matrix.on_node, again)
    return found


def enforces_nothing(matrix: Matrix, found: Cells) -> bool:
    """Whether every connection is open that the policies deny: there is no agent that enforces them."""
    denied = [
        found[source.name, target]
        for source in matrix.sources
        for target in matrix.wanted(source)
        if not matrix.expected(source, target) and found[NODE, target]
    ]
    assert len(denied) > 50  # or the policies deny nothing
    return all(denied)


def rows_of(matrix: Matrix, cells: Cells) -> list[tuple[str, str, str]]:
    """The table without the node's connections, which are all open."""
    return table(cells, [source.name for source in matrix.sources if source.name != NODE], matrix.targets)


def test_each_connection_is_as_the_policies_say(
    matrix: Matrix, cells: Cells, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = rows_of(matrix, cells)
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    with capsys.disabled():
        print(f"\n{len(cells)} connections; the node reaches every pod; open from other pods:")
        for row in rows:
            print(f"  {row[0]:{widths[0]}}  {row[1]:{widths[1]}}  from {row[2]}")
    # Otherwise a connection says nothing.
    assert [str(target) for target in matrix.targets if not cells[NODE, target]] == []
    if enforces_nothing(matrix, cells):
        pytest.fail("The cluster's network enforces no NetworkPolicies: each connection that they deny is open.")
    assert {
        f"{source.name} to {target}": "open, and denied" if cells[source.name, target] else "refused, and allowed"
        for source in matrix.sources
        for target in matrix.wanted(source)
        if cells[source.name, target] != matrix.expected(source, target)
    } == {}


def test_every_kind_of_party_is_in_the_matrix(matrix: Matrix, settings: Settings) -> None:
    names = {source.name for source in matrix.sources}
    gateway = {"projectcontour/envoy-models", "projectcontour/contour-models"}
    if settings.mode == "Knative":
        gateway = {"kourier-system/3scale-kourier-gateway", "knative-serving/activator", "knative-serving/autoscaler"}
    if settings.monitoring:
        gateway |= {f"monitoring/{name}" for name in ("prometheus-prometheus", "alertmanager-alertmanager")}
        gateway |= {f"monitoring/{name}" for name in ("prometheus-operator", "kube-state-metrics")}
    kinds = {"model (s3)", "model (pvc)", "model (oci)", "model (uri)", "loader Job", "batch Job", STRANGER, NODE}
    assert kinds | gateway | {"kserve/kserve-controller-manager"} <= names, names


def test_security_rst_has_the_table(matrix: Matrix, cells: Cells, settings: Settings) -> None:
    """The documentation has one table for each deployment mode, between two comments."""
    mode = f"{settings.mode} mode{' with monitoring' if settings.monitoring else ''}"
    begin, end = (f".. {word} of the traffic in {mode}\n" for word in ("Begin", "End"))
    written = list_table(mode, rows_of(matrix, cells))
    before, _begin, rest = DOCS.read_text().partition(begin)
    was, _end, after = rest.partition(end)
    if os.environ.get("HASHFOUNDRY_RECORD"):
        DOCS.write_text(f"{before}{begin}\n{written}\n{end}{after}")
        return
    assert was.strip() == written.strip(), "HASHFOUNDRY_RECORD=1 writes the table."
