# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the API server's audit log: the user, resource and time of each request."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Request:
    """One request.

    began, ended: seconds since 1970.
    resource: with its subresource, such as services/proxy.
    body: the request body, if the audit policy logs it.
    user: the authenticated user.
    """

    id: str
    began: float
    ended: float
    verb: str
    resource: str
    namespace: str
    name: str
    agent: str
    status: int
    body: dict[str, Any] = field(default_factory=dict)
    user: str = ""


def requests(lines: Iterable[str]) -> Iterator[Request]:
    """The requests in the log: one per ResponseComplete event, and for a watch also one per ResponseStarted event."""
    for line in lines:
        if not line.endswith("\n"):
            return  # the API server is still writing this line
        event = json.loads(line)
        what: dict[str, str] = event.get("objectRef") or {}
        resource = "/".join(filter(None, (what.get("resource", ""), what.get("subresource", ""))))
        yield Request(
            id=event["auditID"],
            began=seconds(event["requestReceivedTimestamp"]),
            ended=seconds(event["stageTimestamp"]),
            verb=event["verb"],
            resource=resource,
            namespace=what.get("namespace", ""),
            name=what.get("name", ""),
            agent=event.get("userAgent", ""),
            status=event.get("responseStatus", {}).get("code", 0),
            body=event.get("requestObject") or {},
            user=event.get("user", {}).get("username", ""),
        )


def seconds(stamp: str) -> float:
    """An RFC 3339 timestamp with microseconds as seconds since 1970."""
    return datetime.fromisoformat(stamp).timestamp()


def read(log: Path, since: float) -> list[Request]:
    """The requests of the log that began at or after a time."""
    with log.open() as lines:
        return [request for request in requests(lines) if request.began >= since]


def became_ready(found: Iterable[Request], namespace: str, first: bool = False) -> dict[str, float]:
    """When the condition Ready of each InferenceService became True, by name.

    The time is the end of the status update, after which watches can deliver it.

    first: return the first such time. Otherwise the last one, without services that are not ready at the end.
    """
    ready: dict[str, float] = {}
    for request in found:
        if request.resource != "inferenceservices/status" or request.namespace != namespace or request.status >= 300:
            continue
        if not _ready(request.body):
            if not first:
                ready.pop(request.name, None)
        elif request.name not in ready:
            ready[request.name] = request.ended
    return ready


def _ready(service: dict[str, Any]) -> bool:
    conditions = service.get("status", {}).get("conditions") or []
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)


def counts_by_agent(found: Iterable[Request], agent: str) -> dict[str, int]:
    """The number of requests with a user agent, by verb and resource. Each audit ID is counted once."""
    return _kinds(request for request in found if request.agent.startswith(agent))


def count_of_user(found: Iterable[Request], user: str) -> int:
    """The number of requests of a user. Each audit ID is counted once."""
    return len({request.id for request in found if request.user == user})


def kinds_of(found: Iterable[Request], user: str) -> dict[str, int]:
    """The number of requests of a user, by verb and resource. Each audit ID is counted once."""
    return _kinds(request for request in found if request.user == user)


def _kinds(found: Iterable[Request]) -> dict[str, int]:
    counts: dict[str, set[str]] = {}
    for request in found:
        counts.setdefault(f"{request.verb} {request.resource or 'discovery'}", set()).add(request.id)
    return {what: len(ids) for what, ids in sorted(counts.items())}
