# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._health.pod import is_ready
from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_service.diagnosis import (
    diagnose,
    last_words,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError

from ..cluster_fixtures import objects

CRASHING = "recorded/crashing-behind-old-replica-set"
REMOVED = "unable to retrieve container logs for containerd://c0de45e3"
RUNNING, WAITING = {"running": {}}, {"waiting": {"reason": "CrashLoopBackOff"}}
ENDED = {"terminated": {"exitCode": 1, "reason": "Error"}}


class Logs:
    """The API server's logs of a crashing container: of its current and its previous run."""

    def __init__(self, now: str | None, before: str | None) -> None:
        self.texts = {None: now, "true": before}

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        return {"items": []}

    def text(self, path: str, **query: Any) -> str:
        text = self.texts[query.get("previous")] if query["container"] == "kserve-container" else "downloaded"
        if text is None:
            raise ApiError("The API server answered 400: previous terminated container not found", 400)
        return text

    def end_watches(self) -> None:
        pass

    def watch(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        raise AssertionError

    def post(self, path: str, body: Any) -> str:
        raise AssertionError


@pytest.mark.parametrize(
    ("state", "restarts", "now", "before", "expected"),
    [
        (WAITING, 2, "why it ended", "why it ended before", "why it ended before"),
        (RUNNING, 1, "starting", "why it ended", "why it ended"),
        (RUNNING, 1, "why it ended", REMOVED, "why it ended"),
        (ENDED, 0, "why it ended", None, "why it ended"),
        # It has been restarted since the verdict.
        (ENDED, 0, "", "why it ended", "why it ended"),
        (ENDED, 1, REMOVED, "why it ended", "why it ended"),
        (ENDED, 0, REMOVED, None, REMOVED),
        (RUNNING, 0, "starting", "not asked for", "starting"),
    ],
)
def test_the_log_is_that_of_the_failed_container_run(
    state: dict[str, Any], restarts: int, now: str | None, before: str | None, expected: str
) -> None:
    status = {"name": "kserve-container", "image": "i", "ready": False, "restartCount": restarts, "state": state}
    (pod,) = (thing["metadata"]["name"] for thing in objects(CRASHING).pods if not is_ready(thing))
    found = objects(CRASHING, {f"Pod/{pod}": {"status": {"containerStatuses": [status]}}})
    logs = diagnose(Logs(now, before), "models", {"rolled": found})["rolled"]["logs"]
    assert logs[f"{pod}/kserve-container"] == [expected]


CRASHED = "The container kserve-container of pod iris-1 has ended with exit code 1 (Error); see its logs."


@pytest.mark.parametrize(
    ("message", "lines", "expected"),
    [
        (CRASHED, ["Traceback", "ValueError: no model", ""], " Its log ends with: ValueError: no model."),
        ("The model did not load; see the logs.", ["why."], " Its log ends with: why."),
        # The verdict has it already.
        (CRASHED.replace("(Error)", "(Error): no model"), ["no model"], ""),
        (CRASHED, [], ""),
        (CRASHED, ["The credentials lack a permission: pods/log"], ""),
        (CRASHED, [REMOVED], ""),
        ("No node takes pod iris-1: none fits.", ["starting"], ""),
        ("No node takes pod logs-1 of InferenceService blogs/logs: none fits.", ["starting"], ""),
    ],
)
def test_the_last_line_of_the_log_is_part_of_the_message(message: str, lines: list[str], expected: str) -> None:
    logs = {"iris-1/storage-initializer": ["downloaded"], "iris-1/kserve-container": lines}
    if "kserve-container" not in message:
        logs = {"iris-1/kserve-container": lines}
    assert last_words(message, logs) == expected


def test_the_log_is_that_of_the_container_that_the_message_names() -> None:
    logs = {"iris-1/storage-initializer": ["downloaded"], "iris-1/kserve-container": ["no model"]}
    assert last_words(CRASHED, logs) == " Its log ends with: no model."
    assert last_words(CRASHED, {}) == ""
