# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the audit log of an API server."""

from __future__ import annotations

import json
from typing import Any

from benchmarks import audit


def line(second: int, resource: str, verb: str = "update", name: str = "iris", **more: Any) -> str:
    stamp = f"2026-11-21T06:00:{second:02d}"
    plural, _slash, subresource = resource.partition("/")
    event = {
        "auditID": f"id-{second}",
        "requestReceivedTimestamp": f"{stamp}.000000Z",
        "stageTimestamp": f"{stamp}.250000Z",
        "verb": verb,
        "objectRef": {"resource": plural, "subresource": subresource, "namespace": "models", "name": name},
        "userAgent": "manager/v0",
        "responseStatus": {"code": 200},
        **more,
    }
    return json.dumps(event) + "\n"


def status(ready: str) -> dict[str, Any]:
    return {"requestObject": {"status": {"conditions": [{"type": "Ready", "status": ready}]}}}


STATUS = "inferenceservices/status"


def test_a_request_has_the_api_servers_own_times() -> None:
    (request,) = audit.requests([line(1, "services/proxy", "get")])
    assert request.ended - request.began == 0.25
    assert (request.verb, request.resource, request.namespace, request.name) == (
        "get",
        "services/proxy",
        "models",
        "iris",
    )


def test_an_incomplete_line_is_skipped() -> None:
    assert len(list(audit.requests([line(1, "pods", "list"), line(2, "pods", "list")[:-40]]))) == 1


def test_the_event_is_the_first_ready_status_after_the_last_not_ready_one() -> None:
    written = [(1, "True"), (2, "False"), (3, "True"), (4, "True")]
    found = audit.requests([line(second, STATUS, **status(ready)) for second, ready in written])
    expected = audit.seconds("2026-11-21T06:00:03.250000Z")
    assert audit.became_ready(found, "models") == {"iris": expected}


def test_the_first_ready_status_can_be_requested() -> None:
    lines = [line(second, STATUS, **status(ready)) for second, ready in enumerate(["False", "True", "False"])]
    assert audit.became_ready(audit.requests(lines), "models") == {}
    assert list(audit.became_ready(audit.requests(lines), "models", first=True)) == ["iris"]


def test_rejected_writes_and_other_namespaces_are_ignored() -> None:
    lines = [line(1, STATUS, **status("True"), responseStatus={"code": 409})]
    assert audit.became_ready(audit.requests(lines), "models") == {}
    assert audit.became_ready(audit.requests([line(1, STATUS, **status("True"))]), "others") == {}


def test_the_start_and_end_of_a_watch_are_one_request() -> None:
    lines = [
        line(1, "pods", "watch", userAgent="kubectl/v1", auditID="a", stage="ResponseStarted"),
        line(2, "pods", "watch", userAgent="kubectl/v1", auditID="a", stage="ResponseComplete"),
        line(3, "pods", "list", userAgent="kubectl/v1"),
        line(4, "pods", "list", userAgent="another/v1"),
        line(5, "", "get", userAgent="kubectl/v1", objectRef=None),
    ]
    counts = audit.counts_by_agent(audit.requests(lines), "kubectl")
    assert counts == {"get discovery": 1, "list pods": 1, "watch pods": 1}


def test_the_requests_of_a_user_are_counted_for_all_user_agents() -> None:
    admin, other = {"user": {"username": "kubernetes-admin"}}, {"user": {"username": "system:node:one"}}
    again = line(3, "pods", "get", **admin)  # a watch is logged at the start and at the end of its response
    lines = [line(1, "pods", "get", **other), line(2, "pods", "list", userAgent="helm", **admin), again, again]
    assert audit.count_of_user(audit.requests(lines), "kubernetes-admin") == 2
