# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Test whether the network enforces NetworkPolicies: `server` in one pod, `client` in another.

The server answers at two ports. The NetworkPolicy network-policy-probe allows the client the first, and default-deny
denies it the second, as egress of the client and as ingress of the server. Only a client that reaches the first can say
that the second is denied. Which of the two directions denies it, or whether both do, it cannot say.
"""

from __future__ import annotations

import os
import socket
import sys
import time

ALLOWED, DENIED = 8081, 8082
# A network may need seconds until it routes a new Service, and until it enforces the policies of a new pod.
PATIENCE, OPEN_FOR = 40, 10
CONNECTED, UNKNOWN = 42, 1
SENTENCES = {
    0: "NetworkPolicies are enforced for ingress, for egress or for both: a denied connection was not open.",
    CONNECTED: "NetworkPolicies are not enforced: a denied connection was open.",
    UNKNOWN: "Not tested.",
}
END = b"end"


def listen(port: int) -> socket.socket:
    """Return a socket that accepts connections over each IP family that the pod has."""
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual else socket.AF_INET
    # More connections than the client opens, since those at the second port are not accepted one by one.
    return socket.create_server(("", port), family=family, dualstack_ipv6=dual, backlog=512)


def serve() -> None:
    """Answer until the client ends."""
    with listen(ALLOWED) as allowed, listen(DENIED):
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


def measure() -> int:
    """Return the exit code: 0 if the second port is denied while the first is open."""
    end, denied = time.monotonic() + PATIENCE, 0
    opened: float | None = None
    while time.monotonic() < end:
        if connects(DENIED):
            denied, opened = 0, opened or time.monotonic()
            if time.monotonic() - opened >= OPEN_FOR:
                return CONNECTED
        else:
            # A server that does not answer at all says nothing about policies.
            denied, opened = denied + 1 if connects(ALLOWED) else 0, None
            if denied == 2:
                return 0
        time.sleep(0.25)
    return UNKNOWN


def main() -> int:
    """Run the part of the pod."""
    if sys.argv[1] == "server":
        serve()
        return 0
    code = measure()
    connects(ALLOWED, END)
    print(SENTENCES[code])
    return code


if __name__ == "__main__":
    sys.exit(main())
