# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What explains InferenceServices that do not serve: conditions, events and logs.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.redact import redact, short
from ansible_collections.hashfoundry.kserve.plugins.module_utils._health.pod import is_ready
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import KubeApi

from .readiness import Objects, current_pods

Json = Mapping[str, Any]

LOG_LINES = 20
EVENTS = 20
PODS = 3  # the pods of one rollout fail alike
# So many services get events and logs. Of hundreds that fail, most do for the same reason.
DIAGNOSED = 10
PAGE, PAGES = 500, 20  # of the namespace's events
MAIN = "kserve-container"
# The kubelet's own words, with status 200, for a log that it has removed; and what client.py says in its place.
_REMOVED = "unable to retrieve container logs"
_NOT_READ = (_REMOVED, "The API server", "The cluster's API server", "The credentials lack")


def diagnose(api: KubeApi, namespace: str, services: Mapping[str, Objects]) -> dict[str, dict[str, Any]]:
    """Return conditions of each service by name, and events and logs of the first ones, without secrets.

    What cannot be read says so in its place.
    """
    base = f"/api/v1/namespaces/{quote(namespace, safe='')}"
    chosen = dict(list(services.items())[:DIAGNOSED])
    events = _events(api, base, chosen) if chosen else {}
    found: dict[str, dict[str, Any]] = {name: {"conditions": _conditions(entry)} for name, entry in services.items()}
    for name, objects in chosen.items():
        found[name] |= {"events": events[name], "logs": _logs(api, base, current_pods(objects))}
    return found


# How verdicts refer to a log. A name in one may be of logs, too.
_ABOUT_LOGS = re.compile(r"; see (?:its|the|events and) logs\b|has ended with exit code")


def last_words(message: str, logs: Mapping[str, Sequence[str]]) -> str:
    """Return with what the log ends that a verdict's message refers to, as a sentence, or nothing.

    :param message: of the verdict, which names the pod and the container if it is about one.
    :param logs: those of the diagnosis.
    """
    if not _ABOUT_LOGS.search(message):
        return ""
    named = [lines for key, lines in logs.items() if all(part in message for part in key.split("/"))]
    lines = [line.strip() for line in (named or [*logs.values(), []])[0] if line.strip()]
    last_line = short(lines[-1]).rstrip(".") if lines and not lines[-1].startswith(_NOT_READ) else ""
    # What the verdict has as the container's last message is the end of the same log.
    return f" Its log ends with: {last_line}." if last_line and last_line not in message else ""


def _conditions(objects: Objects) -> list[dict[str, Any]]:
    status: Json = (objects.service or {}).get("status", {})
    return [_condition(entry) for entry in status.get("conditions") or ()]


def _condition(entry: Json) -> dict[str, Any]:
    kept = {key: entry[key] for key in ("type", "status", "reason") if key in entry}
    return {**kept, "message": short(entry.get("message"))}


def _events(api: KubeApi, base: str, services: Mapping[str, Objects]) -> dict[str, list[dict[str, Any]]]:
    whose = {uid: name for name, objects in services.items() for uid in _uids(objects)}
    own: dict[str, list[Json]] = {name: [] for name in services}
    try:
        for event in _pages(api, f"{base}/events"):
            if name := whose.get(event["involvedObject"].get("uid")):
                own[name] = sorted([*own[name], event], key=_when)[-EVENTS:]
    except KServeError as error:
        return {name: [{"message": str(error)}] for name in services}
    return {name: [_event(event) for event in events] for name, events in own.items()}


def _uids(objects: Objects) -> list[Any]:
    things = [*objects.deployments, *objects.replica_sets, *objects.pods, *objects.routes]
    return [thing["metadata"]["uid"] for thing in (*things, objects.service) if thing]


def _pages(api: KubeApi, path: str) -> Iterator[Json]:
    query: dict[str, Any] = {"limit": PAGE}
    for _page in range(PAGES):
        answer = api.get(path, **query)
        yield from answer["items"]
        if not answer.get("metadata", {}).get("continue"):
            return
        query["continue"] = answer["metadata"]["continue"]


def _when(event: Json) -> str:
    series: Json = event.get("series") or {}
    return str(
        series.get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or event["metadata"].get("creationTimestamp", "")
    )


def _event(event: Json) -> dict[str, Any]:
    about: Json = event["involvedObject"]
    return {
        "type": event.get("type"),
        "reason": event.get("reason"),
        "object": f"{about.get('kind')}/{about.get('name')}",
        "message": short(event.get("message"), 1000),
        "count": event.get("count", 1),
        "time": _when(event),
    }


def _logs(api: KubeApi, base: str, pods: Sequence[Json]) -> dict[str, list[str]]:
    logs: dict[str, list[str]] = {}
    for pod in [pod for pod in pods if not is_ready(pod)][:PODS] or pods[:1]:
        name, status = pod["metadata"]["name"], pod.get("status", {})
        containers = [*status.get("initContainerStatuses", ())]
        containers += [entry for entry in status.get("containerStatuses", ()) if entry["name"] == MAIN]
        for container in containers:
            if lines := _log(api, f"{base}/pods/{quote(name, safe='')}/log", container):
                logs[f"{name}/{container['name']}"] = lines
    return logs


def _log(api: KubeApi, path: str, container: Json) -> list[str]:
    state: Json = container.get("state", {})
    restarted = container.get("restartCount", 0) > 0
    if "waiting" in state and not restarted:
        return []  # it has not run yet
    ended = state.get("terminated", {}).get("exitCode", 0) != 0
    # The log of a restarted container's previous run has the reason for its exit. A container that had exited when its
    # status was read may have been restarted since, and its log is still empty.
    now: dict[str, str] = {}
    before = {"previous": "true"}
    lives = [now, before] if ended else [before, now] if restarted else [now]
    first_text = ""
    for life in lives:
        try:
            text = api.text(path, container=container["name"], tailLines=LOG_LINES, **life)
        except KServeError as error:
            text = str(error)
        else:
            if text.strip() and not text.startswith(_REMOVED):
                return redact(text).splitlines()[-LOG_LINES:]
        first_text = first_text or text
    return redact(first_text).splitlines()[-LOG_LINES:]
