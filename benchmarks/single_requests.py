# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a model again and again over one connection, and print what it took: TOOL URL BODY."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from urllib.parse import urlsplit

TIMES = 300
JSON = {"Content-Type": "application/json"}


def ours(url: str, body: bytes) -> Callable[[], int]:
    """The collection's own transport."""
    from ansible_collections.hashfoundry.kserve.plugins.module_utils._http.server import server
    from ansible_collections.hashfoundry.kserve.plugins.module_utils._http.transport import HttpTransport

    parts = urlsplit(url)
    transport = HttpTransport(server(f"{parts.scheme}://{parts.netloc}", "http", None, None, None, proxy=""))
    return lambda: transport.ask("POST", parts.path, body).status


def by_requests(url: str, body: bytes) -> Callable[[], int]:
    """A session of requests."""
    import requests

    session = requests.Session()
    return lambda: session.post(url, data=body, headers=JSON, timeout=10).status_code


def by_http_client(url: str, body: bytes) -> Callable[[], int]:
    """A connection of Python's own http.client."""
    from http.client import HTTPConnection

    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=10)

    def ask() -> int:
        connection.request("POST", parts.path, body, JSON)
        with connection.getresponse() as answer:
            answer.read()
            return answer.status

    return ask


TOOLS = {"own transport": ours, "requests": by_requests, "http.client": by_http_client}


def main() -> None:
    """Print the milliseconds until the first answer, with all imports, and of each request after it."""
    tool, url, body = sys.argv[1:]
    began = time.perf_counter()
    ask = TOOLS[tool](url, body.encode())
    statuses = {ask()}
    first = time.perf_counter() - began
    times = []
    for _number in range(TIMES):
        began = time.perf_counter()
        statuses.add(ask())
        times.append(time.perf_counter() - began)
    if statuses != {200}:
        sys.exit(f"{tool} was answered {statuses}")
    print(json.dumps({"first": first * 1000, "each": statistics.median(times) * 1000}))


if __name__ == "__main__":
    main()
