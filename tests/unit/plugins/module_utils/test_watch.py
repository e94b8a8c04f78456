# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube import ApiError, Unreachable
from ansible_collections.hashfoundry.kserve.plugins.module_utils._watch import (
    Change,
    Followers,
    Source,
    Store,
    follow,
)

SOURCE = Source("/api/v1/namespaces/models/pods", {"labelSelector": "a=b"})


def pod(uid: str, version: int) -> dict[str, Any]:
    return {"metadata": {"uid": uid, "resourceVersion": str(version)}}


class Script:
    """An API server that answers in a fixed order; a list for a list of objects, an iterable of events for a watch."""

    def __init__(self, *steps: Any) -> None:
        self.steps = list(steps)
        self.calls: list[tuple[str, str | None]] = []

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        assert (path, query) == (SOURCE.path, SOURCE.query)
        self.calls.append(("list", None))
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return {"metadata": {"resourceVersion": "10"}, "items": step}

    def watch(self, path: str, resourceVersion: str, **query: Any) -> Iterator[dict[str, Any]]:
        assert (path, query) == (SOURCE.path, SOURCE.query)
        self.calls.append(("watch", resourceVersion))
        step = self.steps.pop(0)
        for event in step:
            if isinstance(event, Exception):
                raise event
            yield {"type": event[0], "object": event[1]}

    def text(self, path: str, **query: Any) -> str:
        raise AssertionError


def run(script: Script, source: Source = SOURCE) -> tuple[list[Change], list[float]]:
    changes: list[Change] = []
    pauses: list[float] = []

    def pause(seconds: float) -> bool:
        pauses.append(seconds)
        return not script.steps

    follow(script, "pods", source, changes.append, pause)
    return changes, pauses


def test_a_watch_goes_on_from_the_last_event_when_it_ends() -> None:
    script = Script(
        [pod("a", 3)],
        [("ADDED", pod("b", 11)), ("MODIFIED", pod("a", 12)), ("BOOKMARK", pod("", 15))],
        [("DELETED", pod("b", 16))],
    )
    changes, _pauses = run(script)
    assert script.calls == [("list", None), ("watch", "10"), ("watch", "15")]
    assert changes == [
        Change("pods", listed={"a": pod("a", 3)}),
        Change("pods", present=pod("b", 11)),
        Change("pods", present=pod("a", 12)),
        Change("pods", absent=pod("b", 16)),
    ]


@pytest.mark.parametrize(
    "end",
    [
        [("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"})],
        [ApiError("gone", 410)],
        [("ADDED", pod("b", 11)), Unreachable("connection reset")],
    ],
)
def test_after_410_or_a_lost_connection_it_lists_again(end: list[Any]) -> None:
    script = Script([pod("a", 3)], end, [pod("c", 20)], [])
    changes, _pauses = run(script)
    assert [call[0] for call in script.calls] == ["list", "watch", "list", "watch"]
    assert changes[-1] == Change("pods", listed={"c": pod("c", 20)})


def test_a_server_that_restarts_is_waited_for_with_growing_pauses() -> None:
    away = Unreachable("refused")
    script = Script([pod("a", 3)], [away], away, away, ApiError("starting", 403), away, away, away, [pod("a", 9)], [])
    changes, pauses = run(script)
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 0.5]
    assert changes == [Change("pods", listed={"a": pod("a", 3)}), Change("pods", listed={"a": pod("a", 9)})]


@pytest.mark.parametrize("error", [Unreachable("refused"), ApiError("forbidden", 403), ApiError("no CRD", 404)])
def test_what_fails_the_first_time_is_reported(error: KServeError) -> None:
    changes, pauses = run(Script(error))
    assert changes == [Change("pods", error=error)] and pauses == []


def test_an_optional_api_that_is_absent_is_empty() -> None:
    changes, _pauses = run(Script(ApiError("no CRD", 404)), Source(SOURCE.path, SOURCE.query, optional=True))
    assert changes == [Change("pods", listed={})]
    error = ApiError("forbidden", 403)
    assert run(Script(error), Source(SOURCE.path, SOURCE.query, optional=True))[0] == [Change("pods", error=error)]


def test_the_store_holds_the_last_of_each_object() -> None:
    store = Store(["pods", "routes"])
    store.apply(Change("pods", listed={"a": pod("a", 1), "b": pod("b", 1)}))
    assert not store.complete
    store.apply(Change("routes", listed={}))
    assert store.complete and store.get("routes") == []
    store.apply(Change("pods", present=pod("a", 2)))
    store.apply(Change("pods", absent=pod("b", 3)))
    assert store.get("pods") == [pod("a", 2)]
    store.apply(Change("pods", listed={"c": pod("c", 4)}))
    assert store.get("pods") == [pod("c", 4)]
    with pytest.raises(ApiError):
        store.apply(Change("pods", error=ApiError("forbidden", 403)))


def test_followers_feed_one_queue() -> None:
    followers = Followers(Script(ApiError("forbidden", 403)), {"pods": SOURCE})
    (change,) = followers.next(5)
    assert isinstance(change.error, ApiError)
    assert followers.next(0) == []
    followers.stop()
