# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API server's audit log: who asked for what, and when, by the API server's own clock."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Request:
    """One request. began, ended: seconds since 1970; resource: with its subresource, as services/proxy.

    body: what was sent, where the policy logs it; user: whose credentials came with it.
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
    """The requests in the log, one for each event that ends one or, of a watch, begins its answer."""
    for line in lines:
        if not line.endswith("\n"):
            return  # the server is still writing it
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
    """A time of the log, RFC 3339 with microseconds, as seconds since 1970."""
    return datetime.fromisoformat(stamp).timestamp()


def read(log: Path, since: float) -> list[Request]:
    """The requests of the log that began at a time or later."""
    with log.open() as lines:
        return [request for request in requests(lines) if request.began >= since]


def became_ready(found: Iterable[Request], namespace: str, first: bool = False) -> dict[str, float]:
    """When the status of each InferenceService was written that says Ready, after one that did not.

    The time is that at which the API server had written it, so that a watch can have told of it.

    first: take the first such time, and not the last, which a service has that has not been ready since.
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


def asked(found: Iterable[Request], agent: str) -> dict[str, int]:
    """How many requests programs of one user agent made, by verb and resource, each counted once."""
    counts: dict[str, set[str]] = {}
    for request in found:
        if request.agent.startswith(agent):
            counts.setdefault(f"{request.verb} {request.resource or 'discovery'}", set()).add(request.id)
    return {what: len(ids) for what, ids in sorted(counts.items())}


def asked_by(found: Iterable[Request], user: str) -> int:
    """How many requests came with a user's credentials, by whatever program, each counted once."""
    return len({request.id for request in found if request.user == user})
