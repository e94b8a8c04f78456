# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the NetworkPolicies of the role namespace_security allow, and whether the API server would accept them."""

from __future__ import annotations

import os
import runpy
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import ip_network
from pathlib import Path
from threading import Timer
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from ansible_collections.hashfoundry.kserve.plugins.module_utils._platform.enforcement import CONNECTED
from tests.integration.allowed_traffic import Connection, End, denials

from .test_templates import ROLES, text_of

PROGRAM = ROLES / "namespace_security" / "files" / "policy_probe.py"
policy_probe = SimpleNamespace(**runpy.run_path(str(PROGRAM)))

Json = dict[str, Any]
Render = Callable[..., list[Json]]
PARTS = ("models", "kserve", "cert_manager", "contour", "knative", "kourier", "istio", "object_storage", "monitoring")
ADDRESSES = {"IPv4": ["10.0.0.1"], "IPv6": ["fd00::1"], "dual stack": ["10.0.0.1", "fd00::1"]}
NODE_DNS = [{"ipBlock": {"cidr": "169.254.20.10/32"}}]
URI_HOSTS = [{"to": [{"ipBlock": {"cidr": "fd12::/64"}}], "port": "8443"}]


@pytest.fixture(scope="module")
def render(tmp_path_factory: pytest.TempPathFactory) -> Render:
    """The policies with the role's defaults, each case rendered once: render(in_cluster=False)."""
    done: dict[str, list[Json]] = {}

    def policies(stack: str = "dual stack", in_cluster: bool = True, **more: Any) -> list[Json]:
        variables = {
            **yaml.safe_load((ROLES / "namespace_security" / "defaults" / "main.yml").read_text()),
            "platform_object_storage": in_cluster,
            "platform_model_credentials": {},
            "platform_object_storage_namespace": "object_storage",
            "namespace_security_namespaces": [{"name": part, "part": part} for part in PARTS],
            "namespace_security_gateway": "models",
            "namespace_security_gateway_port": 8443,
            "namespace_security_metrics_namespaces": ["observers"],
            "__namespace_security_read": {"api_server": {"addresses": ADDRESSES[stack], "port": 6443}},
            **more,
        }
        case = str((stack, in_cluster, more))
        if case not in done:
            folder = tmp_path_factory.mktemp("policies")
            text = text_of("namespace_security/templates/policies.yml.j2", variables, folder)
            done[case] = [document for document in yaml.safe_load_all(text) if document]
        return done[case]

    return policies


def model(storage: str) -> End:
    labels = {"serving.kserve.io/inferenceservice": "iris"}
    return End("10.1.0.9", "models", storage, labels | ({"kserve.hashfoundry.io/storage": storage} if storage else {}))


JOB = End("10.1.0.8", "models", "load", {"app.kubernetes.io/name": "model-loader"})
STRANGER = End("10.1.0.7", "models", "stranger", {"app": "stranger"})
TARGETS = {
    "store": (End("10.1.0.5", "object_storage", "store", {"app.kubernetes.io/name": "object-storage"}), 7070),
    "DNS": (End("10.1.0.4", "kube-system", "dns", {"k8s-app": "kube-dns"}), 53),
    "API server": (End("10.0.0.1"), 6443),
    "public": (End("203.0.113.7"), 443),
    "public, IPv6": (End("2001:db8::7"), 443),
    "private": (End("10.99.0.7"), 443),
    "private, IPv6": (End("fd12::7"), 443),
    "public, 8443": (End("203.0.113.7"), 8443),
    "private, IPv6, 8443": (End("fd12::7"), 8443),
    "metadata": (End("169.254.169.254"), 443),
    "metadata, IPv6": (End("fd00:ec2::254"), 443),
    "node's DNS": (End("169.254.20.10"), 53),
    "model": (End("10.1.0.6", "models", "other", {"serving.kserve.io/inferenceservice": "other"}), 8080),
}
PUBLIC = {"public", "public, IPv6"}


def reached(source: End, policies: list[Json]) -> set[str]:
    """The targets to which a pod may open a connection; whether they take it is another question."""
    return {
        name
        for name, (target, port) in TARGETS.items()
        if "Egress" not in list(denials(Connection(source, target, "TCP", port), policies))
    }


@pytest.mark.parametrize(
    ("source", "options", "reaches"),
    [
        (model("s3"), {}, {"DNS", "store"}),
        (model("s3"), {"in_cluster": False}, {"DNS", *PUBLIC}),
        (
            model("s3"),
            {"in_cluster": False, "platform_model_credentials": {"endpoint_url": "https://s3:8443"}},
            {"DNS", "public, 8443"},
        ),
        (model("s3"), {"in_cluster": False, "platform_model_credentials": {"endpoint_url": "http://s3"}}, {"DNS"}),
        # A rule without peers would open the port to all.
        (model("s3"), {"namespace_security_store": {"to": [], "port": 443}}, {"DNS"}),
        (model("uri"), {"namespace_security_uri_hosts": [{"to": [], "port": 443}]}, {"DNS"}),
        (model(""), {}, {"DNS", "store"}),  # of an InferenceService that the role model_serving has not created
        (model("pvc"), {}, set()),
        (model("pvc"), {"in_cluster": False}, set()),
        (model("oci"), {"in_cluster": False}, set()),
        (model("uri"), {}, {"DNS", *PUBLIC}),
        (
            model("uri"),
            {"namespace_security_uri_hosts": URI_HOSTS, "namespace_security_dns_peers": NODE_DNS},
            {"DNS", "node's DNS", "private, IPv6, 8443"},
        ),
        (JOB, {}, {"DNS", "store"}),
        (STRANGER, {}, set()),
    ],
)
def test_a_pod_of_the_models_reaches_its_storage_and_nothing_else(
    render: Render, source: End, options: Json, reaches: set[str]
) -> None:
    assert reached(source, render(**options)) == reaches


@pytest.mark.parametrize(
    ("part", "labels", "port"),
    [
        ("contour", {"app": "envoy-models"}, 8080),
        ("kourier", {"app": "3scale-kourier-gateway"}, 8012),
        ("istio", {"istio": "ingressgateway"}, 8012),
        ("knative", {}, 9090),
    ],
)
def test_a_gateway_reaches_the_models_of_every_namespace(render: Render, part: str, labels: Json, port: int) -> None:
    """Several inventories, each with its model namespace, share a platform."""
    source = End("10.1.0.2", part, "gateway", labels)
    for name, own, reached_by in (("served", {"serving.kserve.io/inferenceservice": "x"}, True), ("other", {}, False)):
        target = End("10.1.2.2", "other-models", name, own)
        assert (list(denials(Connection(source, target, "TCP", port), render())) == []) is reached_by, name


OBSERVED = {
    "model": ("models", {"serving.kserve.io/inferenceservice": "iris"}, [8080, 8082, 9091]),
    "KServe": ("kserve", {"control-plane": "kserve-controller-manager"}, [8443]),
    "cert-manager": ("cert_manager", {"app.kubernetes.io/instance": "cert-manager"}, [9402]),
    "Contour": ("contour", {"app": "contour-models"}, [8000]),
    "Envoy": ("contour", {"app": "envoy-models"}, [8002]),
    "Knative": ("knative", {"app": "activator"}, [9090]),
    "Kourier": ("kourier", {"app": "3scale-kourier-gateway"}, [9000]),
    "istiod": ("istio", {"app": "istiod"}, [15014]),
    "Istio": ("istio", {"istio": "ingressgateway"}, [15090]),
}
INSIDE = {
    "Prometheus Operator": ("monitoring", {"app.kubernetes.io/name": "prometheus-operator"}, [8080]),
    "kube-state-metrics": ("monitoring", {"app.kubernetes.io/name": "kube-state-metrics"}, [8080, 8081]),
    "Alertmanager": ("monitoring", {"app.kubernetes.io/name": "alertmanager"}, [9093]),
    "other Prometheus": ("monitoring", {"app.kubernetes.io/name": "prometheus", "replica": "2"}, [9090]),
}
PROMETHEUS = End("10.1.0.20", "monitoring", "prometheus", {"app.kubernetes.io/name": "prometheus"})
BESIDE_PROMETHEUS = End("10.1.0.21", "monitoring", "alertmanager", {"app.kubernetes.io/name": "alertmanager"})
OBSERVER = End("10.1.0.22", "observers", "agent", {"app": "agent"})


def open_ports(source: End, namespace: str, labels: Json, policies: list[Json]) -> set[int]:
    """The ports of a pod, of all that any pod in these tests has, to which a connection is allowed on both sides."""
    ports = {port for _name, _labels, listed in (*OBSERVED.values(), *INSIDE.values()) for port in listed}
    target = End("10.1.0.30", namespace, "target", labels)
    return {port for port in ports if not list(denials(Connection(source, target, "TCP", port), policies))}


@pytest.mark.parametrize("name", [*OBSERVED, *INSIDE])
def test_prometheus_reaches_what_it_scrapes_and_no_other_port(render: Render, name: str) -> None:
    namespace, labels, ports = {**OBSERVED, **INSIDE}[name]
    # Every client of the cluster reaches the gateways and webhooks.
    everyone = open_ports(End("10.1.2.3", "elsewhere", "pod"), namespace, labels, render())
    assert open_ports(PROMETHEUS, namespace, labels, render()) - everyone == set(ports) - everyone
    if name in OBSERVED:
        assert open_ports(BESIDE_PROMETHEUS, namespace, labels, render()) == set()
        # A namespace of the inventory, whose policies the role does not manage.
        assert open_ports(OBSERVER, namespace, labels, render()) - everyone == set(ports) - everyone
    else:
        assert open_ports(OBSERVER, namespace, labels, render()) == set()


def test_without_monitoring_no_port_of_it_is_allowed(render: Render) -> None:
    others = [{"name": part, "part": part} for part in PARTS if part != "monitoring"]
    policies = render(namespace_security_namespaces=others, namespace_security_metrics_namespaces=[])
    for namespace, labels, _ports in OBSERVED.values():
        everyone = open_ports(End("10.1.2.3", "elsewhere", "pod"), namespace, labels, policies)
        assert open_ports(PROMETHEUS, namespace, labels, policies) == everyone


@pytest.mark.parametrize(
    ("source", "target", "port", "allowed"),
    [
        (PROMETHEUS, End("10.0.0.1"), 6443, True),
        (PROMETHEUS, End("10.9.0.4"), 10250, True),  # a node
        (PROMETHEUS, End("203.0.113.7"), 443, False),
        (BESIDE_PROMETHEUS, End("203.0.113.7"), 443, True),
        (BESIDE_PROMETHEUS, End("10.99.0.7"), 443, False),
        (BESIDE_PROMETHEUS, End("10.0.0.1"), 6443, False),
        (End("10.0.0.1"), PROMETHEUS, 9090, True),  # a query through the API server's proxy
        (End("10.0.0.1"), BESIDE_PROMETHEUS, 9093, True),
        (End("10.1.2.3", "elsewhere", "pod"), PROMETHEUS, 9090, False),
        (OBSERVER, PROMETHEUS, 9090, False),
    ],
)
def test_who_monitoring_talks_to(render: Render, source: End, target: End, port: int, allowed: bool) -> None:
    assert (list(denials(Connection(source, target, "TCP", port), render())) == []) is allowed


def test_alertmanagers_reach_each_other_over_both_protocols(render: Render) -> None:
    other = End("10.1.0.23", "monitoring", "alertmanager-1", BESIDE_PROMETHEUS.labels)
    for protocol in ("TCP", "UDP"):
        assert not list(denials(Connection(BESIDE_PROMETHEUS, other, protocol, 9094), render()))
        assert list(denials(Connection(PROMETHEUS, other, protocol, 9094), render()))


def test_receivers_and_clients_of_the_inventory(render: Render) -> None:
    grafana = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "grafana"}}}
    mail = {"to": [{"ipBlock": {"cidr": "10.99.0.0/16"}}], "port": "587"}
    policies = render(namespace_security_prometheus_clients=[grafana], namespace_security_alert_receivers=[mail])
    client = End("10.1.0.40", "grafana", "grafana")
    assert not list(denials(Connection(client, PROMETHEUS, "TCP", 9090), policies))
    assert not list(denials(Connection(BESIDE_PROMETHEUS, End("10.99.0.7"), "TCP", 587), policies))
    assert list(denials(Connection(BESIDE_PROMETHEUS, End("203.0.113.7"), "TCP", 443), policies)) == ["Egress"]


def blocks(policies: list[Json]) -> Iterator[Json]:
    for document in policies:
        for direction, peers in (("ingress", "from"), ("egress", "to")):
            for rule in document["spec"].get(direction) or ():
                yield from (peer["ipBlock"] for peer in rule.get(peers) or () if "ipBlock" in peer)


@pytest.mark.parametrize("stack", ADDRESSES)
def test_the_api_server_accepts_each_block_of_addresses(render: Render, stack: str) -> None:
    """Kubernetes: the CIDRs of `except` are of the block's family and strictly inside it."""
    found = list(blocks(render(stack, in_cluster=False)))
    assert len(found) > 10
    for block in found:
        around = ip_network(block["cidr"])
        for cidr in block.get("except") or ():
            inside = ip_network(cidr)
            assert inside.version == around.version and inside.prefixlen > around.prefixlen
            assert inside.subnet_of(around)  # type: ignore[arg-type]


@pytest.mark.parametrize("stack", ADDRESSES)
def test_the_api_server_is_named_by_its_addresses_of_each_family(render: Render, stack: str) -> None:
    hosts = {
        block["cidr"]
        for block in blocks(render(stack, in_cluster=False))
        if ip_network(block["cidr"]).num_addresses == 1
    }
    assert hosts == {"10.0.0.1/32", "fd00::1/128"} & {f"{at}/{128 if ':' in at else 32}" for at in ADDRESSES[stack]}


@pytest.mark.parametrize("stack", ADDRESSES)
def test_what_is_open_to_the_outside_is_so_by_both_families(render: Render, stack: str) -> None:
    """Which family a pod has, and by which it is reached, the role does not know."""
    for document in render(stack, in_cluster=False):
        for rule in document["spec"].get("egress") or ():
            wide = [ip_network(peer["ipBlock"]["cidr"]) for peer in rule.get("to") or () if "ipBlock" in peer]
            wide = [network for network in wide if network.prefixlen == 0]
            assert sorted(network.version for network in wide) in ([], [4, 6]), document["metadata"]


@pytest.mark.parametrize("part", PARTS)
def test_no_pod_reaches_the_metadata_service_of_a_cloud(render: Render, part: str) -> None:
    """It gives credentials to whoever asks."""
    policies = render(in_cluster=False)
    there = [document["spec"]["podSelector"] for document in policies if document["metadata"]["namespace"] == part]
    pods = [End("10.1.0.3", part, "pod", selector.get("matchLabels", {})) for selector in there]
    pods += [model(storage) for storage in ("s3", "uri", "")]
    for pod in pods:
        assert reached(pod, policies) & {"metadata", "metadata, IPv6"} == set(), pod.labels


def probe(folder: Path, **more: Any) -> dict[str, Json]:
    """The objects that test the network, by kind, the Jobs by component."""
    variables = {
        **yaml.safe_load((ROLES / "namespace_security" / "vars" / "main.yml").read_text()),
        "__namespace_security_probed": "kserve",
        "__namespace_security_probe_program": PROGRAM.read_text(),
        "namespace_security_probe_image": "kserve/storage-initializer:v0.20.0",
        "namespace_security_images": {},
        **more,
    }
    text = text_of("namespace_security/templates/policy-probe.yml.j2", variables, folder)
    documents = [document for document in yaml.safe_load_all(text) if document]
    return {document["metadata"]["name"].rpartition("-")[2]: document for document in documents}


def test_another_image_is_another_job(tmp_path: Path) -> None:
    """A Job is immutable."""
    mirror = {"registries": {"docker.io": "mirror.example.com"}}
    cases: list[Json] = [{}, {"namespace_security_probe_image": "x:1"}, {"namespace_security_images": mirror}]
    names = {probe(tmp_path, **case)["client"]["metadata"]["name"] for case in cases}
    assert len(names) == 3 and all(len(name) <= 63 for name in names)


def test_each_denied_port_is_denied_in_one_direction_only(tmp_path: Path, render: Render) -> None:
    objects = probe(tmp_path)
    service = objects["probe"]["spec"]
    pods = {
        name: End(f"10.1.0.{number}", "kserve", name, objects[name]["spec"]["template"]["metadata"]["labels"])
        for number, name in enumerate(("server", "client"), 20)
    }
    assert [name for name, pod in pods.items() if service["selector"].items() <= pod.labels.items()] == ["server"]
    policies = render()
    denied = {
        port["name"]: [*denials(Connection(pods["client"], pods["server"], "TCP", port["targetPort"]), policies)]
        for port in service["ports"]
    }
    assert denied == {"allowed": [], "denied-egress": ["Egress"], "denied-ingress": ["Ingress"]}
    assert {port["targetPort"] for port in service["ports"]} == {policy_probe.ALLOWED, *policy_probe.DENIED}
    for name in pods:
        assert objects[name]["spec"]["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"] == [CONNECTED]
        assert objects[name]["spec"]["template"]["spec"]["containers"][0]["args"] == [PROGRAM.read_text(), name]


class Ports:
    """Three free ports for the program, which waits less than in a cluster."""

    def __init__(self) -> None:
        with ExitStack() as taken:
            servers = [taken.enter_context(socket.create_server(("127.0.0.1", 0))) for _number in range(3)]
            self.allowed, self.egress, self.ingress = (server.getsockname()[1] for server in servers)

    def start(self, part: str) -> subprocess.Popen[bytes]:
        text = PROGRAM.read_text()
        for old, new in (
            ("ALLOWED = 8081", f"ALLOWED = {self.allowed}"),
            ("{8082: ", f"{{{self.egress}: "),
            ("8083: ", f"{self.ingress}: "),
            ("PATIENCE, OPEN_FOR = 40, 10", "PATIENCE, OPEN_FOR = 4, 2"),
        ):
            assert old in text
            text = text.replace(old, new)
        env = {**os.environ, "NETWORK_POLICY_PROBE_SERVICE_HOST": "127.0.0.1"}
        return subprocess.Popen([sys.executable, "-c", text, part], env=env, stdout=subprocess.PIPE)

    def listen(self, port: int) -> socket.socket:
        return socket.create_server(("127.0.0.1", port), backlog=100)


@pytest.fixture
def ports() -> Ports:
    return Ports()


def test_a_network_that_lets_all_through_enforces_nothing(ports: Ports) -> None:
    with ports.start("server") as server, ports.start("client") as client:
        assert client.wait(20) == CONNECTED == policy_probe.CONNECTED
        assert server.wait(5) == 0


def test_a_network_that_denies_both_ports_enforces_policies(ports: Ports) -> None:
    with ports.listen(ports.allowed), ports.start("client") as client:
        assert client.wait(20) == 0
        assert client.stdout and b"for egress and ingress" in client.stdout.read()


@pytest.mark.parametrize("direction", ["egress", "ingress"])
def test_a_network_that_enforces_one_direction_does_not_enforce_policies(ports: Ports, direction: str) -> None:
    with ports.listen(ports.allowed), ports.listen(getattr(ports, direction)), ports.start("client") as client:
        assert client.wait(20) == CONNECTED
        assert client.stdout and f"not enforced for {direction}:".encode() in client.stdout.read()


def test_a_network_may_take_a_while(ports: Ports) -> None:
    """Until it enforces the policies of a new pod, and until it routes a Service."""
    late = ports.listen(ports.ingress)
    Timer(1, late.close).start()
    started = time.monotonic()
    with ports.start("client") as client:
        time.sleep(1.5)
        with ports.listen(ports.allowed):
            assert client.wait(20) == 0
    assert time.monotonic() - started > 1.5


def test_a_server_that_does_not_answer_says_nothing_about_the_network(ports: Ports) -> None:
    with ports.start("client") as client:
        assert client.wait(20) == policy_probe.UNKNOWN
