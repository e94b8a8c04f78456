# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections from the network namespaces of pods to every port at which a pod listens, tried on the node.

A connection from there is one from the pod: it has the pod's address and passes the pod's interface. So the images of
the pods need no client, and no pod gets a container or a label of the test, which a Service or ReplicaSet would select.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from .allowed_traffic import End

Json = dict[str, Any]
OnNode = Callable[..., str]

# Perl is on every node image of kind, as an essential package of Debian.
# Opens all connections at once, each as <protocol>,<address>,<port>, and prints what became of each within the time.
# UDP is tried by a query of DNS, which a server answers.
CLIENT = r"""
use strict; use Socket; use Fcntl; use Errno;
my ($seconds, @targets) = @ARGV; my %pending;
my $name = join "", map { pack("C/a", $_) } qw(kubernetes default svc cluster local), "";
my $query = pack("nnnnnn", 7, 256, 1, 0, 0, 0) . $name . pack("nn", 1, 1);
for my $target (@targets) {
    my ($protocol, $address, $port) = split /,/, $target;
    my $to = pack_sockaddr_in($port, inet_aton($address));
    socket(my $socket, AF_INET, $protocol eq "UDP" ? SOCK_DGRAM : SOCK_STREAM, 0) or die "socket: $!";
    fcntl($socket, F_SETFL, O_NONBLOCK) or die "fcntl: $!";
    if (connect($socket, $to) || $!{EINPROGRESS}) { $pending{$target} = $socket; }
    else { print "$target $!\n"; next; }
    send($socket, $query, 0) if $protocol eq "UDP";
}
my $end = time + $seconds;
while (%pending && time <= $end) {
    my ($read, $write) = ("", "");
    vec(/^UDP/ ? $read : $write, fileno($pending{$_}), 1) = 1 for keys %pending;
    select($read, $write, undef, 0.2) > 0 or next;
    for my $target (keys %pending) {
        my $socket = $pending{$target};
        if ($target =~ /^UDP/) {
            next unless vec($read, fileno($socket), 1);
            print "$target ", defined(recv($socket, my $answer, 512, 0)) ? "open" : "refused", "\n";
        } else {
            next unless vec($write, fileno($socket), 1);
            print "$target ", unpack("i", getsockopt($socket, SOL_SOCKET, SO_ERROR)) ? "refused" : "open", "\n";
        }
        delete $pending{$target};
    }
}
print "$_ timeout\n" for keys %pending;
"""
# Listens at the ports, and ends by itself. The kernel completes connections alone.
SERVER = r"""
use strict; use Socket;
my ($seconds, @ports) = @ARGV; my @sockets;
for my $port (@ports) {
    socket(my $socket, AF_INET, SOCK_STREAM, 0) or die "socket: $!";
    setsockopt($socket, SOL_SOCKET, SO_REUSEADDR, 1);
    bind($socket, pack_sockaddr_in($port, INADDR_ANY)) or die "bind: $!";
    listen($socket, 1024) or die "listen: $!"; push @sockets, $socket;
}
sleep $seconds;
"""
# The addresses and listening sockets of each network namespace.
SCAN = r"""
for place in /run/netns/*; do
    echo "netns $place"
    nsenter --net="$place" ip -4 -o address show scope global
    nsenter --net="$place" cat /proc/self/net/tcp /proc/self/net/tcp6
done
"""
_ADDRESS = re.compile(r"\binet ([0-9.]+)/")
_LISTENS = re.compile(r"^\s*\d+: ([0-9A-F]+):([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} 0A ")
_LOOPBACK = ("0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F")
LIFETIME = 240  # seconds of a listener
BOUND = 2  # seconds within which a connection is open, or counts as refused


@dataclass(frozen=True)
class Place:
    """A network namespace of the node: its file, and the ports at which something in it listens."""

    path: str
    ports: frozenset[int]


@dataclass(frozen=True)
class Party:
    """Who connects, and to whom: a pod, the node (without a namespace), or an address outside of the cluster."""

    name: str
    end: End
    place: Place | None = None


@dataclass(frozen=True)
class Target:
    """A port of a party."""

    party: Party
    protocol: str
    port: int

    @property
    def words(self) -> str:
        """As the client reads and prints it."""
        return f"{self.protocol},{self.party.end.address},{self.port}"

    @property
    def port_name(self) -> str:
        return f"{self.port}/UDP" if self.protocol == "UDP" else str(self.port)

    def __str__(self) -> str:
        return f"{self.party.name} {self.port_name}"


def places(scanned: str) -> dict[str, Place]:
    """The network namespaces in the output of SCAN, by each of their addresses."""
    found = {}
    for part in scanned.split("netns ")[1:]:
        path, _newline, rest = part.partition("\n")
        sockets = [match for line in rest.splitlines() if (match := _LISTENS.match(line))]
        # A socket of all IPv6 addresses accepts IPv4 as well.
        ports = frozenset(int(match[2], 16) for match in sockets if match[1] not in _LOOPBACK)
        for address in _ADDRESS.findall(rest):
            found[address] = Place(path, ports)
    return found


def workload(pod: Json) -> str:
    """What a pod belongs to, under a name that outlives the pod."""
    metadata = pod["metadata"]
    labels = metadata.get("labels") or {}
    if "serving.kserve.io/inferenceservice" in labels:
        return f"model ({labels.get('kserve.hashfoundry.io/storage', 'no label')})"
    owner = next(iter(metadata.get("ownerReferences") or ()), {"name": metadata["name"]})
    name = owner["name"].removesuffix(f"-{labels.get('pod-template-hash')}")
    return f"{metadata['namespace']}/{name}"


def parties(listed: Iterable[Json], known: Mapping[str, Place]) -> dict[str, Party]:
    """The running pods that have a network namespace of their own, one of each workload, by name."""
    found: dict[str, Party] = {}
    for pod in listed:
        metadata, status = pod["metadata"], pod["status"]
        if pod["spec"].get("hostNetwork") or status["phase"] != "Running" or metadata.get("deletionTimestamp"):
            continue
        end = End(status["podIP"], metadata["namespace"], metadata["name"], metadata.get("labels") or {})
        name = workload(pod)
        found.setdefault(name, Party(name, end, known[end.address]))
    return found


def targets(party: Party, ports: Iterable[int]) -> list[Target]:
    """The TCP ports of a party."""
    return [Target(party, "TCP", port) for port in sorted(ports)]


def tried(on_node: OnNode, wanted: Mapping[Party, list[Target]]) -> dict[tuple[str, Target], bool]:
    """Whether each connection is open, all at the same time."""

    def one(source: Party) -> dict[tuple[str, Target], bool]:
        inside = ("nsenter", f"--net={source.place.path}") if source.place else ()
        said = on_node(*inside, "perl", "-e", CLIENT, str(BOUND), *(target.words for target in wanted[source]))
        results = dict(line.split(" ", 1) for line in said.splitlines())
        return {(source.name, target): results[target.words] == "open" for target in wanted[source]}

    sources = [source for source in wanted if wanted[source]]
    with ThreadPoolExecutor(16) as pool:
        return {key: is_open for part in pool.map(one, sources) for key, is_open in part.items()}


def table(
    cells: Mapping[tuple[str, Target], bool], sources: list[str], wanted: Iterable[Target]
) -> list[tuple[str, str, str]]:
    """Who reaches which port: rows of the party, its ports and the sources; ports with the same sources in one row."""
    rows: dict[tuple[str, str], list[str]] = {}
    for target in wanted:
        reached_by = [name for name in sources if cells.get((name, target))]
        rows.setdefault((target.party.name, ", ".join(reached_by) or "none"), []).append(target.port_name)
    return [(name, ", ".join(ports), reached_by) for (name, reached_by), ports in rows.items()]


def list_table(title: str, rows: Iterable[tuple[str, str, str]]) -> str:
    """The rows as a table of the documentation."""
    lines = [f".. list-table:: {title}", "   :header-rows: 1", "   :widths: 30 18 52", ""]
    for row in [("To", "Ports", "From"), *rows]:
        lines += [f"   {'* -' if number == 0 else '  -'} {cell}" for number, cell in enumerate(row)]
    return "\n".join(lines) + "\n"
