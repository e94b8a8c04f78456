# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError, Unreachable
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.watch import (
    LONGEST_PAUSE,
    PAGE,
    Change,
    Follower,
    Followers,
    Source,
    Store,
)

SOURCE = Source("/api/v1/namespaces/models/pods", {"labelSelector": "a=b"})


def pod(uid: str, version: int) -> dict[str, Any]:
    return {"metadata": {"uid": uid, "resourceVersion": str(version)}}


class Script:
    """An API server with responses in a fixed order: a list of objects for a list, an iterable of events for a watch.

    now: its clock, which advances by `lasts` seconds for each watch, and by pauses.
    """

    def __init__(self, *steps: Any, lasts: float = 0.0) -> None:
        self.steps = list(steps)
        self.calls: list[tuple[str, str | None]] = []
        self.now = 100.0
        self.lasts = lasts

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        assert (path, query["limit"]) == (SOURCE.path, PAGE)
        self.calls.append(("list", query.get("continue")))
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        if isinstance(step, dict):
            return step
        return {"metadata": {"resourceVersion": "10"}, "items": step}

    def end_watches(self) -> None:
        pass

    def watch(self, path: str, resourceVersion: str, **query: Any) -> Iterator[dict[str, Any]]:
        assert (path, query) == (SOURCE.path, SOURCE.query)
        self.calls.append(("watch", resourceVersion))
        self.now += self.lasts
        step = self.steps.pop(0)
        for event in step:
            if isinstance(event, Exception):
                raise event
            yield {"type": event[0], "object": event[1]}

    def text(self, path: str, **query: Any) -> str:
        raise AssertionError

    def post(self, path: str, body: Any) -> str:
        raise AssertionError


def run(script: Script, source: Source = SOURCE, reached: bool = False) -> tuple[list[Change], list[float]]:
    changes: list[Change] = []
    pauses: list[float] = []

    def pause(seconds: float) -> bool:
        pauses.append(seconds)
        return not script.steps

    event = threading.Event()
    if reached:
        event.set()
    Follower(script, "pods", source, changes.append, pause, event, lambda: script.now).run()
    return changes, pauses


def test_no_watch_is_opened_once_following_has_stopped() -> None:
    script = Script([pod("a", 3)], [])
    Follower(script, "pods", SOURCE, lambda _change: None, lambda _seconds: True, stopped=lambda: True).run()
    assert script.calls == [("list", None)]


def kinds(script: Script) -> list[str]:
    return [kind for kind, _version in script.calls]


def test_a_watch_resumes_from_the_last_event_after_it_ends() -> None:
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


def test_a_list_is_paged_and_only_selected_objects_are_kept() -> None:
    script = Script(
        {"metadata": {"resourceVersion": "10", "continue": "more"}, "items": [pod("a", 3), pod("b", 4)]},
        {"metadata": {"resourceVersion": "10"}, "items": [pod("c", 5)]},
        [("ADDED", pod("b", 11)), ("ADDED", pod("d", 12)), ("DELETED", pod("b", 13)), ("DELETED", pod("d", 14))],
    )
    source = Source(SOURCE.path, SOURCE.query, keep=lambda thing: None if thing["metadata"]["uid"] == "b" else thing)
    changes, _pauses = run(script, source)
    assert script.calls[:2] == [("list", None), ("list", "more")]
    assert changes == [
        Change("pods", listed={"a": pod("a", 3), "c": pod("c", 5)}),
        Change("pods", present=pod("d", 12)),
        Change("pods", absent=pod("d", 14)),
    ]


def test_a_list_alone_is_not_followed() -> None:
    changes: list[Change] = []
    Follower(Script([pod("a", 3)]), "pods", SOURCE, changes.append, lambda _seconds: False).run(watch=False)
    assert changes == [Change("pods", listed={"a": pod("a", 3)})]


@pytest.mark.parametrize(
    "end",
    [
        [("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"})],
        [ApiError("gone", 410)],
        [("ADDED", pod("b", 11)), ApiError("starting", 403)],
    ],
)
def test_after_410_or_an_error_it_lists_again_at_once(end: list[Any]) -> None:
    script = Script([pod("a", 3)], end, [pod("c", 20)], [])
    changes, pauses = run(script)
    assert kinds(script) == ["list", "watch", "list", "watch"]
    assert changes[-1] == Change("pods", listed={"c": pod("c", 20)})
    assert pauses[0] == 0


def test_after_a_lost_connection_it_resumes_at_once_from_the_last_event() -> None:
    script = Script([pod("a", 3)], [("ADDED", pod("b", 11)), Unreachable("reset")], [("ADDED", pod("c", 12))])
    changes, pauses = run(script)
    assert script.calls == [("list", None), ("watch", "10"), ("watch", "11")]
    assert changes[-1] == Change("pods", present=pod("c", 12)) and pauses[0] == 0


def test_a_server_that_restarts_is_waited_for_with_growing_pauses() -> None:
    away = [Unreachable("refused")]
    refused = [ApiError(str(status), status) for status in (401, 403, 429, 500, 503)]
    script = Script([pod("a", 3)], away, away, away, [refused[0]], *refused[1:], [pod("a", 9)], [])
    changes, pauses = run(script)
    assert pauses[0] == 0 and pauses[:-1] == sorted(pauses[:-1]) and max(pauses) == LONGEST_PAUSE
    assert changes == [Change("pods", listed={"a": pod("a", 3)}), Change("pods", listed={"a": pod("a", 9)})]


def test_a_server_that_ends_every_watch_at_once_is_queried_with_growing_pauses() -> None:
    pauses = run(Script([], [], [], [], [], [], [], []))[1]
    assert pauses[0] == 0 and pauses == sorted(pauses) and pauses[-1] == LONGEST_PAUSE
    # After a watch that ended at its timeout, also without events, there is no pause.
    assert max(run(Script([], [], [], [], lasts=60))[1]) == 0


@pytest.mark.parametrize("error", [Unreachable("refused"), ApiError("forbidden", 403), ApiError("no CRD", 404)])
def test_a_failed_first_list_is_reported(error: KServeError) -> None:
    changes, pauses = run(Script(error))
    assert changes == [Change("pods", error=error)] and pauses == []


def test_a_busy_server_is_retried_for_some_seconds_at_first() -> None:
    busy = ApiError("too many requests", 429)
    changes, _pauses = run(Script(busy, busy, [pod("a", 3)], []))
    assert changes == [Change("pods", listed={"a": pod("a", 3)})]
    changes, pauses = run(Script(*[busy] * 20))
    assert changes == [Change("pods", error=busy)]
    assert 5 < sum(pauses) < 30


def test_a_server_that_has_answered_another_follower_is_waited_for() -> None:
    changes, _pauses = run(Script(Unreachable("refused"), [pod("a", 3)], []), reached=True)
    assert changes == [Change("pods", listed={"a": pod("a", 3)})]


def test_an_optional_api_that_is_absent_is_empty() -> None:
    changes, _pauses = run(Script(ApiError("no CRD", 404)), Source(SOURCE.path, SOURCE.query, optional=True))
    assert changes == [Change("pods", listed={})]
    error = ApiError("forbidden", 403)
    assert run(Script(error), Source(SOURCE.path, SOURCE.query, optional=True))[0] == [Change("pods", error=error)]


def test_the_store_contains_the_latest_state_of_each_object() -> None:
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


def test_an_exception_in_a_follower_is_reported() -> None:
    followers = Followers(Script({"metadata": {}}), {"pods": SOURCE})
    (change,) = followers.next(5)
    assert "cannot be parsed (KeyError" in str(change.error)


def test_messages_of_other_threads_use_the_same_queue() -> None:
    followers = Followers(Script(), {})
    followers.put("answer")
    assert followers.next(5) == ["answer"]


def test_followers_feed_one_queue() -> None:
    followers = Followers(Script(ApiError("forbidden", 403)), {"pods": SOURCE})
    (change,) = followers.next(5)
    assert isinstance(change.error, ApiError)
    assert followers.next(0) == []
    followers.stop()
