# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Test whether the network enforces NetworkPolicies: `server` in one pod, `client` in another.

The server answers at three ports. The NetworkPolicies network-policy-probe-client and network-policy-probe-server allow
the client the first. They deny it the second only as egress of the client, and the third only as ingress of the server.
Only a client that reaches the first can say that the others are denied.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

ALLOWED = 8081
# The only direction in which each is denied.
DENIED = {8082: "egress", 8083: "ingress"}
# A network may need seconds until it routes a new Service, and until it enforces the policies of a new pod.
PATIENCE, OPEN_FOR = 40, 10
CONNECTED, UNKNOWN = 42, 1
END = b"end"


def listen(port: int) -> socket.socket:
    """Return a socket that accepts connections over each IP family that the pod has."""
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual else socket.AF_INET
    # More connections than the client opens, since those at the second port are not accepted one by one.
    return socket.create_server(("", port), family=family, dualstack_ipv6=dual, backlog=512)


def serve() -> None:
    """Answer until the client ends."""
    with ExitStack() as denied, listen(ALLOWED) as allowed:
        for port in DENIED:
            denied.enter_context(listen(port))
        while True:
            connection = allowed.accept()[0]
            with connection:
                if connection.recv(len(END)) == END:
                    return


def connects(port: int, message: bytes = b"") -> bool:
    """Say whether the server accepts a connection."""
    # Kubernetes sets the address of the Service, so the pod needs no DNS.
    host = os.environ["NETWORK_POLICY_PROBE_SERVICE_HOST"]
    try:
        with socket.create_connection((host, port), timeout=1) as connection:
            connection.sendall(message)
        return True
    except OSError:
        return False


def open_directions() -> list[str]:
    """Return the directions in which a connection that is denied is open."""
    with ThreadPoolExecutor() as pool:
        return [DENIED[port] for port, found in zip(DENIED, pool.map(connects, DENIED), strict=True) if found]


def measure() -> tuple[int, str]:
    """Return the exit code and a sentence; 0 if the denied ports are closed while the first is open."""
    end, denied = time.monotonic() + PATIENCE, 0
    opened: float | None = None
    while time.monotonic() < end:
        if found := open_directions():
            denied, opened = 0, opened or time.monotonic()
            if time.monotonic() - opened >= OPEN_FOR:
                directions = " and ".join(found)
                return CONNECTED, f"NetworkPolicies are not enforced for {directions}: a denied connection was open."
        else:
            # A server that does not answer at all says nothing about policies.
            denied, opened = denied + 1 if connects(ALLOWED) else 0, None
            if denied == 2:
                return 0, "NetworkPolicies are enforced for egress and ingress: no denied connection was open."
        time.sleep(0.25)
    return UNKNOWN, "Not tested."


def main() -> int:
    """Run the part of the pod."""
    if sys.argv[1] == "server":
        serve()
        return 0
    code, sentence = measure()
    connects(ALLOWED, END)
    print(sentence)
    return code


if __name__ == "__main__":
    sys.exit(main())
