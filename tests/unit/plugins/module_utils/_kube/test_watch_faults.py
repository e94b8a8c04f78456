# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Faults that a watch survives, with the real client over real HTTP; pauses do not sleep."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_service.model_probe import Question
from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_service.selection import Selection
from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_service.status import ready
from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_service.wait import Limits
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError, Unreachable
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.watch import (
    Change,
    Follower,
    Followers,
    Source,
)

from ..api_server import ApiServer, Listed, Refused, Watched

SOURCE = Source("/api/v1/namespaces/models/pods", {"labelSelector": "a=b"})
Serve = Callable[..., ApiServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[ApiServer] = []

    def start(*steps: Listed | Watched | Refused) -> ApiServer:
        servers.append(ApiServer(*steps))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def pod(uid: str, version: int) -> dict[str, Any]:
    return {"metadata": {"uid": uid, "resourceVersion": str(version)}}


def follow(
    server: ApiServer, during_pause: Callable[[int], None] = lambda _number: None
) -> tuple[list[Change], list[float]]:
    """Follow until the script is over; return the changes and the pauses."""
    changes: list[Change] = []
    pauses: list[float] = []

    def pause(seconds: float) -> bool:
        pauses.append(seconds)
        during_pause(len(pauses))
        return not server.steps

    Follower(server.api(), "pods", SOURCE, changes.append, pause).run()
    return changes, pauses


def seen(changes: list[Change]) -> list[Any]:
    """Return of each change the uids of the list, or the uid with + or -."""
    return [
        sorted(change.listed)
        if change.listed is not None
        else f"+{change.present['metadata']['uid']}"
        if change.present
        else f"-{change.absent['metadata']['uid']}"
        if change.absent
        else change.error
        for change in changes
    ]


FIRST = Listed(10, (pod("a", 3),))
ADDED = Watched((("ADDED", pod("b", 11)),))


@pytest.mark.parametrize("end", ["over", "dropped", "cut"])
def test_a_watch_that_ends_or_breaks_resumes_at_once(serve: Serve, end: str) -> None:
    server = serve(FIRST, Watched(ADDED.events, end), Watched((("DELETED", pod("a", 12)),)))
    changes, pauses = follow(server)
    assert seen(changes) == [["a"], "+b", "-a"]
    assert server.kinds() == ["list", "watch 10", "watch 11"]
    assert pauses[0] == 0


def test_a_watch_that_ends_without_events_resumes_from_the_same_version(serve: Serve) -> None:
    server = serve(FIRST, Watched(), Watched(), ADDED)
    assert seen(follow(server)[0]) == [["a"], "+b"]
    assert server.kinds() == ["list", "watch 10", "watch 10", "watch 10"]


def test_a_bookmark_moves_the_version_on(serve: Serve) -> None:
    server = serve(FIRST, Watched((("BOOKMARK", pod("", 40)),)), ADDED)
    assert seen(follow(server)[0]) == [["a"], "+b"]
    assert server.kinds() == ["list", "watch 10", "watch 40"]


@pytest.mark.parametrize(
    "expired",
    [Refused(410, "too old resource version"), Watched((("ERROR", {"kind": "Status", "code": 410}),))],
    ids=["as HTTP status", "as event"],
)
def test_an_expired_version_leads_to_a_list_at_once(serve: Serve, expired: Refused | Watched) -> None:
    server = serve(FIRST, ADDED, expired, Listed(90, (pod("c", 80),)), Watched((("ADDED", pod("d", 91)),)))
    changes, pauses = follow(server)
    assert seen(changes) == [["a"], "+b", ["c"], "+d"]
    assert server.kinds() == ["list", "watch 10", "watch 11", "list", "watch 90"]
    assert max(pauses[:3]) < 1


def test_a_server_that_restarts_and_is_not_ready_is_waited_for(serve: Serve) -> None:
    back = [Refused(status) for status in (401, 403, 429, 500, 503)]
    server = serve(FIRST, Watched(ADDED.events, "dropped"), *back, Listed(50, (pod("c", 41),)), Watched())

    def during_pause(number: int) -> None:
        # It stops when its watch breaks, and is unavailable for three attempts.
        if number == 1:
            server.stop()
        if number == 4:
            server.start()

    changes, pauses = follow(server, during_pause)
    assert seen(changes) == [["a"], "+b", ["c"]]
    assert pauses[0] == 0 and pauses[:6] == sorted(pauses[:6]) and pauses[5] > pauses[1]
    # The Retry-After of an hour, which this server always sends, is ignored.
    assert server.kinds() == ["list", "watch 10", "watch 11", *["list"] * 5, "watch 50"]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_first_list_that_fails_permanently_is_reported(serve: Serve, status: int) -> None:
    changes, pauses = follow(serve(Refused(status), FIRST))
    (change,) = changes
    assert isinstance(change.error, ApiError) and change.error.status == status
    assert pauses == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_first_list_of_a_busy_server_is_retried(serve: Serve, status: int) -> None:
    assert seen(follow(serve(Refused(status), Refused(status), FIRST, Watched()))[0]) == [["a"]]


def test_a_server_that_never_answered_is_reported(serve: Serve) -> None:
    server = serve(FIRST)
    server.stop()
    (change,) = follow(server)[0]
    assert isinstance(change.error, Unreachable)


def test_a_cluster_that_rejects_everything_is_reported(serve: Serve) -> None:
    api = serve(*[Refused(403, "pods is forbidden")] * 5).api()
    with pytest.raises(ApiError, match="The credentials lack a permission"):
        ready(api, Selection("models", ("iris",)), Question(), Limits(timeout=30))


def test_a_silent_watch_is_ended_when_it_is_no_longer_followed(serve: Serve) -> None:
    server = serve(Listed(10), Watched((("ADDED", pod("a", 11)),), end="silent"))
    feed = Followers(server.api(), {"pods": SOURCE})
    seen_so_far: list[Change] = []
    while len(seen_so_far) < 2:
        seen_so_far += feed.next(5)
    feed.stop()
    assert server.ended_by_client.acquire(timeout=5)
    assert server.kinds() == ["list", "watch 10"]


def test_the_end_of_the_session_ends_a_watch_that_was_about_to_be_opened(serve: Serve) -> None:
    server = serve(Watched(end="silent"))
    api = server.api()
    api.close()
    assert list(api.watch(SOURCE.path)) == []
    assert server.ended_by_client.acquire(timeout=5)


def test_a_watch_that_the_server_has_just_ended_is_no_error(serve: Serve) -> None:
    api = serve(Listed(10)).api()
    # Its only line has no end, so it is read to the end of the answer, after which the connection is gone.
    watch = api.watch(SOURCE.path)
    next(watch)
    api.end_watches()
    assert list(watch) == []


def test_too_many_open_files_are_not_called_an_unreachable_server(serve: Serve) -> None:
    server = serve(Listed(10))
    api = server.api()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(Unreachable, match=r"too many open files and connections .* \(ulimit -n\)\.$") as error:
            api.get(SOURCE.path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert error.value.reason == "TooManyOpenFiles"
