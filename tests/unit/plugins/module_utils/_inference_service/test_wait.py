# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._health.verdict import State, Verdict, degraded
from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_service.model_probe import (
    Answer,
    Question,
    target,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_service.readiness import Objects
from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_service.selection import Selection
from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_service.wait import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    Limits,
    Outcome,
    Watched,
    wait,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError, Unreachable
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.watch import Change

from ..services_fixtures import named, things

IRIS = Selection("models", ("iris",))
LIMITS = Limits(timeout=300, grace_period=30, fail_fast=True)
KINDS = {
    "InferenceService": "service",
    "Deployment": "deployments",
    "ReplicaSet": "replica_sets",
    "Pod": "pods",
    "HTTPRoute": "routes",
}
SERVING = Verdict(State.SERVING, "ModelReady", "Ready.")
NOT_READY = degraded("ModelNotReady", "503.")


def listed(*found: dict[str, Any]) -> list[Change]:
    lists: dict[str, dict[str, Any]] = {source: {} for source in KINDS.values()}
    for thing in found:
        lists[KINDS[thing["kind"]]][thing["metadata"]["uid"]] = thing
    return [Change(source, listed=entries) for source, entries in lists.items()]


def present(*found: dict[str, Any]) -> list[Change]:
    return [Change(KINDS[thing["kind"]], present=thing) for thing in found]


class Cluster:
    """A feed, models and a clock; each step: the changes after a number of seconds. After the last, only time passes.

    answers: the responses of the models in order, the last one repeated; took: the seconds of each response.
    """

    not_queried = "Not queried."

    def __init__(
        self, *steps: tuple[float, Sequence[Change]], answers: Sequence[Verdict] | None = None, took: float = 0
    ) -> None:
        self.now = 1000.0
        self.steps: list[tuple[float, Sequence[Any]]] = [(self.now + after, changes) for after, changes in steps]
        self.timeouts: list[float] = []
        self.answers = None if answers is None else list(answers)
        self.took = took
        self.queries: list[tuple[float, str]] = []

    def clock(self) -> float:
        return self.now

    def next(self, timeout: float) -> Sequence[Change | Answer]:
        assert timeout >= 0
        self.timeouts.append(timeout)
        if self.steps and self.steps[0][0] <= self.now + timeout:
            self.now, changes = self.steps.pop(0)
            return changes
        self.now += timeout
        return []

    def target(self, objects: Objects) -> str | Verdict | None:
        return None if self.answers is None else target(objects, Question("/ready"))

    def ask(self, name: str, service: str, old: Collection[str], about: Any) -> None:
        self.old = set(old)
        assert self.answers is not None
        self.queries.append((self.now - 1000, name))
        verdict = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.steps.append((self.now + self.took, [Answer(name, about, verdict)]))
        self.steps.sort(key=lambda step: step[0])


def run(cluster: Cluster, selection: Selection = IRIS, limits: Limits = LIMITS) -> Outcome:
    return wait(cluster, cluster, selection, limits, cluster.clock)


def one(cluster: Cluster, limits: Limits = LIMITS) -> tuple[Watched, float]:
    outcome = run(cluster, limits=limits)
    (only,) = outcome.services
    return only, outcome.seconds


ROLLING = {"Deployment/iris-predictor": {"status": {"availableReplicas": 1}}}
CRASHING = {
    **ROLLING,
    "Pod/iris-predictor-new-a": {
        "status": {
            "conditions": [],
            "containerStatuses": [
                {"name": "kserve-container", "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
            ],
        }
    },
}
GOOD, SLOW, BAD = things(), things(changes=ROLLING), things(changes=CRASHING)


def test_a_serving_service_ends_the_wait_at_once() -> None:
    only, seconds = one(Cluster((1.5, listed(*GOOD)), answers=[SERVING]))
    assert (only.verdict, only.model_ready, only.seconds, seconds) == (SERVING, True, 1.5, 1.5)


def test_there_is_no_verdict_before_everything_is_listed() -> None:
    # Without the service the verdict would be failed.
    first, *rest = listed(*GOOD)
    only, seconds = one(Cluster((1, rest), (2, [first])))
    assert (only.verdict.state, seconds, only.model_ready) == (State.SERVING, 2, None)


def test_it_waits_for_a_rollout() -> None:
    cluster = Cluster((1, listed(*SLOW)), (200, present(*GOOD)), answers=[SERVING])
    only, seconds = one(cluster)
    assert (only.verdict.state, seconds) == (State.SERVING, 200)
    # The remaining time in one wait: nothing is polled.
    assert cluster.timeouts[1] == 299
    assert cluster.queries == [(200, "iris")]


def test_a_timeout_returns_the_last_verdict() -> None:
    cluster = Cluster((1, listed(*SLOW)))
    outcome = run(cluster)
    assert [entry.verdict.state for entry in outcome.services] == [State.PROGRESSING]
    assert (outcome.services[0].verdict.reason, outcome.seconds, outcome.late) == ("RollingOut", 300, True)


def test_a_timeout_of_zero_allows_one_verdict_and_one_query() -> None:
    cluster = Cluster((20, listed(*GOOD)), answers=[NOT_READY], took=5)
    only, seconds = one(cluster, replace(LIMITS, timeout=0))
    assert (only.verdict, seconds, cluster.queries) == (NOT_READY, 25, [(20, "iris")])


def test_a_failed_state_ends_the_wait_at_once() -> None:
    only, seconds = one(Cluster((1, listed())))
    assert (only.verdict.reason, seconds) == ("NotFound", 1)


def test_a_degraded_state_ends_the_wait_after_the_grace_period() -> None:
    only, seconds = one(Cluster((1, listed(*BAD))))
    assert (only.verdict.state, only.verdict.reason) == (State.FAILED, "CrashLoopBackOff")
    assert seconds == 31


def test_a_temporary_degraded_state_is_tolerated() -> None:
    only, seconds = one(Cluster((1, listed(*BAD)), (30, present(*GOOD))))
    assert (only.verdict.state, seconds) == (State.SERVING, 30)


def test_a_missing_model_is_queried_with_growing_pauses_until_the_grace_period_ends() -> None:
    cluster = Cluster((0, listed(*GOOD)), answers=[degraded("ModelNotFound", "404.")])
    only, seconds = one(cluster)
    assert (only.verdict.state, only.verdict.reason) == (State.FAILED, "ModelNotFound")
    assert (seconds, only.model_ready) == (30, False)
    times = [when for when, _name in cluster.queries]
    pauses = [round(after - before, 3) for before, after in pairwise(times)]
    assert pauses[0] == FIRST_PAUSE and pauses[:-1] == sorted(pauses[:-1]) and max(pauses) == LONGEST_PAUSE


def test_a_model_that_becomes_ready_late_serves() -> None:
    only, seconds = one(Cluster((0, listed(*GOOD)), answers=[NOT_READY, NOT_READY, SERVING]))
    assert (only.verdict, round(seconds, 3)) == (SERVING, 0.3)


def test_after_a_change_the_model_is_queried_at_once() -> None:
    # The pauses have grown to two seconds by then.
    answers = [NOT_READY] * 7 + [SERVING]
    pod = next(thing for thing in GOOD if thing["kind"] == "Pod")
    cluster = Cluster((0, listed(*GOOD)), (5.5, present(pod)), answers=answers)
    assert one(cluster)[1] == 5.5
    assert len(cluster.queries) == 8


def test_a_change_during_a_query_leads_to_another_query_right_after_it() -> None:
    pod = next(thing for thing in GOOD if thing["kind"] == "Pod")
    cluster = Cluster((0, listed(*GOOD)), (1, present(pod)), answers=[NOT_READY, SERVING], took=3)
    assert one(cluster)[1] == 6
    assert [when for when, _name in cluster.queries] == [0, 3]


def test_a_response_of_replaced_pods_does_not_count() -> None:
    restarted = next(copy.deepcopy(thing) for thing in GOOD if thing["kind"] == "Pod")
    restarted["status"]["containerStatuses"][0]["restartCount"] = 1
    cluster = Cluster((0, listed(*GOOD)), (1, present(restarted)), answers=[SERVING, SERVING], took=3)
    only, seconds = one(cluster)
    assert (only.verdict, seconds) == (SERVING, 6)
    assert [when for when, _name in cluster.queries] == [0, 3]


def test_terminating_pods_are_passed_to_the_query() -> None:
    pod = next(thing for thing in GOOD if thing["kind"] == "Pod")
    old = {**pod, "metadata": {**pod["metadata"], "name": "iris-old", "uid": "old", "ownerReferences": []}}
    cluster = Cluster((0, listed(*GOOD, old)), answers=[SERVING])
    assert one(cluster)[0].verdict == SERVING
    assert cluster.old == {"iris-old"}


def test_a_model_that_was_not_queried_is_reported_as_such() -> None:
    assert one(Cluster((0, listed(*GOOD))))[0].verdict.message.endswith(" Not queried.")


def test_the_model_is_not_queried_before_its_objects_are_ready() -> None:
    cluster = Cluster((0, listed(*SLOW)), answers=[SERVING])
    assert one(cluster)[0].model_ready is None and cluster.queries == []


def test_errors_of_the_cluster_end_the_wait() -> None:
    with pytest.raises(ApiError, match="lack a permission"):
        run(Cluster((0, [Change("pods", error=ApiError("lack a permission", 403))])))
    with pytest.raises(Unreachable):
        run(Cluster((0, [Change("pods", error=Unreachable("away"))])))


# Several services

NAMES = ("iris", "rose", "lily")
ALL = Selection("models", NAMES)


def three(iris: list[Any] = GOOD, rose: list[Any] = GOOD, lily: list[Any] = GOOD) -> list[Change]:
    return listed(*iris, *named("rose", rose), *named("lily", lily))


def verdicts(outcome: Outcome) -> dict[str, tuple[str, str]]:
    return {entry.name: (entry.verdict.state.value, entry.verdict.reason) for entry in outcome.services}


def test_all_of_several_services_must_serve_each_with_its_own_time() -> None:
    # The fixture's ROLLING is of iris, so the changes of the other services are of renamed objects.
    slow = named("rose", SLOW)
    cluster = Cluster(
        (1, listed(*GOOD, *slow, *named("lily", GOOD))), (9, present(*named("rose", GOOD))), answers=[SERVING]
    )
    outcome = run(cluster, ALL)
    assert {state for state, _reason in verdicts(outcome).values()} == {"serving"}
    assert [(entry.name, entry.seconds) for entry in outcome.services] == [("iris", 1), ("rose", 9), ("lily", 1)]
    assert sorted(cluster.queries) == [(1, "iris"), (1, "lily"), (9, "rose")]


def test_the_first_failure_of_several_ends_the_wait_only_with_fail_fast() -> None:
    def cluster() -> Cluster:
        return Cluster((1, three(rose=SLOW, lily=BAD)), (100, present(*named("rose", GOOD))), answers=[SERVING])

    fast = run(cluster(), ALL)
    assert (fast.seconds, fast.late, verdicts(fast)["rose"]) == (31, False, ("progressing", "RollingOut"))
    patient = run(cluster(), ALL, replace(LIMITS, fail_fast=False))
    assert patient.seconds == 100
    assert [state for state, _reason in verdicts(patient).values()] == ["serving", "serving", "failed"]


def test_a_service_that_stops_serving_during_the_wait_is_waited_for_again() -> None:
    cluster = Cluster(
        (1, three(rose=SLOW)), (5, present(*SLOW)), (9, present(*named("rose", GOOD))), (12, present(*GOOD))
    )
    assert run(cluster, ALL).seconds == 12


def test_absent_services_are_no_failure_in_check_mode() -> None:
    some = listed(*GOOD)
    assert run(Cluster((1, some)), ALL).services[1].verdict.state is State.FAILED
    outcome = run(Cluster((1, some), (2, [])), ALL, replace(LIMITS, absent_is_fine=True))
    assert verdicts(outcome)["iris"] == ("serving", "Serving") and not outcome.late


def test_services_selected_by_labels_may_appear_and_disappear() -> None:
    removed = next(thing for thing in named("rose", SLOW) if thing["kind"] == "InferenceService")
    cluster = Cluster(
        (1, listed(*SLOW, *named("rose", SLOW))),
        (3, present(*named("lily", GOOD))),
        (4, [Change("service", absent=removed)]),
        (5, present(*GOOD)),
    )
    outcome = run(cluster, Selection("models", None, ("team=a",)))
    assert [entry.name for entry in outcome.services] == ["iris", "lily"]
    assert outcome.seconds == 5


def test_hundreds_of_models_that_are_not_ready_are_queried_at_a_limited_rate() -> None:
    names = tuple(f"m{number}" for number in range(300))
    found = [thing for name in names for thing in named(name, GOOD)]
    cluster = Cluster((0, listed(*found)), answers=[NOT_READY])
    run(cluster, Selection("models", names), replace(LIMITS, grace_period=60))
    late = [when for when, _name in cluster.queries if 30 <= when < 54]
    assert len(late) / 24 == pytest.approx(25, rel=0.3)


def test_an_error_of_the_feed_is_reported() -> None:
    with pytest.raises(KServeError):
        run(Cluster((0, [Change("service", error=KServeError("x"))])))


def test_a_long_wait_reports_how_far_it_has_come() -> None:
    reports: list[str] = []
    cluster = Cluster((1, listed(*SLOW, *named("rose", GOOD))), (39, present(*GOOD)))
    both = Selection("models", ("iris", "rose"))
    wait(cluster, cluster, both, LIMITS, cluster.clock, reports.append)
    message = "Deployment iris-predictor has 1 of 2 replicas available, 2 of them new and 0 old."
    assert reports == [
        f"1 of 2 InferenceServices serve after {seconds} seconds. iris: {message}" for seconds in (15, 30)
    ]


def test_a_short_wait_reports_nothing() -> None:
    reports: list[str] = []
    cluster = Cluster((14, listed(*GOOD)))
    wait(cluster, cluster, IRIS, LIMITS, cluster.clock, reports.append)
    assert reports == []


def test_reading_the_cluster_for_long_is_reported() -> None:
    reports: list[str] = []
    cluster = Cluster((20, listed(*GOOD)))
    wait(cluster, cluster, IRIS, LIMITS, cluster.clock, reports.append)
    assert reports == ["The API server has not listed everything after 15 seconds."]
