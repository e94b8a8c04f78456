# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What explains an InferenceService that does not serve: conditions, events and logs.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from ansible_collections.hashfoundry.kserve.plugins.module_utils._errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube import KubeApi
from ansible_collections.hashfoundry.kserve.plugins.module_utils._pod import is_ready
from ansible_collections.hashfoundry.kserve.plugins.module_utils._readiness import Objects, current_pods
from ansible_collections.hashfoundry.kserve.plugins.module_utils._redact import redact, short

Json = Mapping[str, Any]

LOG_LINES = 20
EVENTS = 20
PODS = 3  # the pods of one rollout fail alike
MAIN = "kserve-container"


def diagnose(api: KubeApi, namespace: str, objects: Objects) -> dict[str, Any]:
    """Return conditions, events and logs, without secrets; what cannot be read says so in its place."""
    base = f"/api/v1/namespaces/{quote(namespace, safe='')}"
    service = objects.service or {}
    return {
        "conditions": [_condition(entry) for entry in service.get("status", {}).get("conditions") or ()],
        "events": _events(api, base, objects),
        "logs": _logs(api, base, current_pods(objects)),
    }


def _condition(entry: Json) -> dict[str, Any]:
    kept = {key: entry[key] for key in ("type", "status", "reason") if key in entry}
    return {**kept, "message": short(entry.get("message"))}


def _events(api: KubeApi, base: str, objects: Objects) -> list[dict[str, Any]]:
    things = [*objects.deployments, *objects.replica_sets, *objects.pods, *objects.routes]
    uids = {thing["metadata"]["uid"] for thing in [*things, objects.service or {"metadata": {"uid": ""}}]}
    try:
        items = api.get(f"{base}/events")["items"]
    except KServeError as error:
        return [{"message": str(error)}]
    own = [event for event in items if event["involvedObject"].get("uid") in uids]
    return [_event(event) for event in sorted(own, key=_when)[-EVENTS:]]


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


def _logs(api: KubeApi, base: str, pods: Iterable[Json]) -> dict[str, list[str]]:
    logs: dict[str, list[str]] = {}
    for pod in [pod for pod in pods if not is_ready(pod)][:PODS] or list(pods)[:1]:
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
    # A container that is about to be started again has said why it ended in its life before.
    previous = {"previous": "true"} if restarted and "terminated" not in state else {}
    try:
        text = api.text(path, container=container["name"], tailLines=LOG_LINES, **previous)
    except KServeError as error:
        text = str(error)
    return redact(text).splitlines()[-LOG_LINES:]
