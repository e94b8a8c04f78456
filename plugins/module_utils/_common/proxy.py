# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which proxy the environment names for a server, by the variables that curl and others read.

The Kubernetes API, the object storage and the smoke test follow this rule, which docs/docsite/rst/deploy.rst explains.
This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence

# The port of a URL that names none.
DEFAULT_PORTS = {"https": 443, "http": 80}


def proxy_of(scheme: str, names: Sequence[str], port: int, environ: Mapping[str, str]) -> str | None:
    """Return the proxy of the environment: <scheme>_proxy or all_proxy, where no_proxy does not name the server.

    :param names: those of the server, as in a URL and as it is connected to.
    """
    # By lower case, which goes before upper case, as everywhere. A CGI server sets HTTP_PROXY from a request's header.
    values = {
        name.lower(): value
        for name, value in environ.items()
        if name != "HTTP_PROXY" or "REQUEST_METHOD" not in environ
    }
    values |= {name: value for name, value in environ.items() if name.islower()}
    found = values.get(f"{scheme}_proxy") or values.get("all_proxy")
    if not found or any(map(_is_loopback, names)) or is_exempt(names, port, values.get("no_proxy", "")):
        return None
    return found


def is_exempt(names: Sequence[str], port: int, no_proxy: str) -> bool:
    """Tell whether no_proxy names a server: by *, name, domain, IP or network, each but the last also with a port."""
    entries = [entry.strip() for entry in no_proxy.split(",") if entry.strip()]
    return any(_is_named(name, port, entries) for name in names)


def _ip(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _is_loopback(name: str) -> bool:
    found = _ip(name)
    return name == "localhost" or (found is not None and found.is_loopback)


def _is_named(name: str, port: int, entries: Sequence[str]) -> bool:
    found = _ip(name)
    for entry in entries:
        if "/" in entry:
            try:
                if found is not None and found in ipaddress.ip_network(entry, strict=False):
                    return True
            except ValueError:  # no network, so it names nothing
                continue
        wanted = entry.removesuffix(f":{port}").removeprefix("*").removeprefix(".").lower()
        if entry == "*" or wanted == name.lower() or (not found and name.lower().endswith(f".{wanted}")):
            return True
    return False
