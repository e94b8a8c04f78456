# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether NetworkPolicies allow a connection, and the connections that a node has observed.

An evaluation of NetworkPolicies that is independent of the network's agent, whose enforcement it is compared with.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

Json = dict[str, Any]
NAME_LABEL = "kubernetes.io/metadata.name"
# Both directions of an entry of `conntrack -L`: the source of the reply is the real destination, behind the Service.
_ENTRY = re.compile(
    r"^(?P<protocol>tcp|udp).*?src=(?P<source>[\d.]+) dst=[\d.]+ sport=\d+ dport=\d+ "
    r".*?src=(?P<target>[\d.]+) dst=[\d.]+ sport=(?P<port>\d+) dport=\d+"
)


@dataclass(frozen=True)
class End:
    """One end of a connection; a pod has a namespace and labels, any other end only an address."""

    address: str
    namespace: str = ""
    name: str = ""
    labels: Json = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.address


@dataclass(frozen=True)
class Connection:
    """A connection, with the endpoint behind a Service as its destination."""

    source: End
    target: End
    protocol: str
    port: int

    def __str__(self) -> str:
        return f"{self.source} to {self.target} {self.protocol} {self.port}"


def pods(listed: Iterable[Json]) -> dict[str, End]:
    """The pods that have their own address, by address."""
    return {
        pod["status"]["podIP"]: End(
            pod["status"]["podIP"],
            pod["metadata"]["namespace"],
            pod["metadata"]["name"],
            pod["metadata"].get("labels", {}),
        )
        for pod in listed
        if pod["status"].get("podIP") and not pod["spec"].get("hostNetwork") and pod["status"]["phase"] == "Running"
    }


def connections(table: str, known: dict[str, End]) -> set[Connection]:
    """The connections in the output of `conntrack -L`."""
    found = [match for line in table.splitlines() if (match := _ENTRY.match(line))]
    return {
        Connection(
            known.get(match["source"], End(match["source"])),
            known.get(match["target"], End(match["target"])),
            match["protocol"].upper(),
            int(match["port"]),
        )
        for match in found
    }


def denials(connection: Connection, policies: Iterable[Json]) -> Iterator[str]:
    """The directions in which policies deny a connection; none if they allow it.

    https://kubernetes.io/docs/concepts/services-networking/network-policies/ defines this: policies are
    additive, one that allows is enough, and a pod that no policy selects for a direction is not isolated in it.
    """
    listed = list(policies)
    for direction, own, other in (
        ("Egress", connection.source, connection.target),
        ("Ingress", connection.target, connection.source),
    ):
        selecting = [policy for policy in listed if _selects(policy, direction, own)]
        rules = [rule for policy in selecting for rule in policy["spec"].get(direction.lower()) or []]
        if selecting and not any(_permits(rule, direction, own, other, connection) for rule in rules):
            yield direction


def _selects(policy: Json, direction: str, pod: End) -> bool:
    spec = policy["spec"]
    return (
        policy["metadata"]["namespace"] == pod.namespace
        and direction in spec["policyTypes"]
        and _matches(spec.get("podSelector") or {}, pod.labels)
    )


def _permits(rule: Json, direction: str, own: End, other: End, connection: Connection) -> bool:
    ports = rule.get("ports")
    if ports and not any((p["protocol"], p["port"]) == (connection.protocol, connection.port) for p in ports):
        return False
    peers = rule.get("from" if direction == "Ingress" else "to")
    return not peers or any(_is_peer(peer, own, other) for peer in peers)


def _is_peer(peer: Json, own: End, other: End) -> bool:
    if block := peer.get("ipBlock"):
        address = ip_address(other.address)
        inside = address in ip_network(block["cidr"])
        return inside and not any(address in ip_network(cidr) for cidr in block.get("except") or [])
    if not other.namespace:
        return False
    in_namespace = (
        _matches(peer["namespaceSelector"], {NAME_LABEL: other.namespace})
        if "namespaceSelector" in peer
        else own.namespace == other.namespace
    )
    return in_namespace and _matches(peer.get("podSelector") or {}, other.labels)


def _matches(selector: Json, labels: Json) -> bool:
    exact = selector.get("matchLabels") or {}
    return all(labels.get(key) == value for key, value in exact.items()) and all(
        _holds(entry, labels) for entry in selector.get("matchExpressions") or []
    )


def _holds(entry: Json, labels: Json) -> bool:
    match entry["operator"]:
        case "Exists":
            return entry["key"] in labels
        case "DoesNotExist":
            return entry["key"] not in labels
        case "In":
            return labels.get(entry["key"]) in entry["values"]
        case "NotIn":  # also of what has no such label
            return labels.get(entry["key"]) not in entry["values"]
    raise ValueError(f"No operator of a label selector: {entry['operator']}")
