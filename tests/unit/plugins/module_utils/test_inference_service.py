# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_service import (
    PROBE_INTERVAL,
    NotThere,
    Options,
    Outcome,
    probe_model,
    sources,
    wait,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube import ApiError, Unreachable
from ansible_collections.hashfoundry.kserve.plugins.module_utils._verdict import State, Verdict, doubtful
from ansible_collections.hashfoundry.kserve.plugins.module_utils._watch import Change

from .cluster_fixtures import items

OPTIONS = Options("iris", "models", timeout=300, grace_period=30, model_ready_path="/v2/models/{name}/ready")
KINDS = {
    "InferenceService": "service",
    "Deployment": "deployments",
    "ReplicaSet": "replica_sets",
    "Pod": "pods",
    "HTTPRoute": "routes",
}
SERVING = Verdict(State.SERVING, "ModelReady", "Ready.")


def listed(base: str = "standard_serving", changes: dict[str, Any] | None = None) -> list[Change]:
    found: dict[str, dict[str, Any]] = {source: {} for source in KINDS.values()}
    for thing in items(base, changes):
        found[KINDS[thing["kind"]]][thing["metadata"]["uid"]] = thing
    return [Change(source, listed=things) for source, things in found.items()]


class Cluster:
    """A feed and a clock: each step is what comes after how many seconds; after the last, only time passes."""

    def __init__(self, *steps: tuple[float, list[Change]]) -> None:
        self.now = 1000.0
        self.steps = [(self.now + after, changes) for after, changes in steps]
        self.timeouts: list[float] = []

    def clock(self) -> float:
        return self.now

    def next(self, timeout: float) -> list[Change]:
        assert timeout >= 0
        self.timeouts.append(timeout)
        if self.steps and self.steps[0][0] <= self.now + timeout:
            self.now, changes = self.steps.pop(0)
            return changes
        self.now += timeout
        return []


def run(cluster: Cluster, probe: Callable[[Mapping[str, Any]], Verdict] | None = None) -> Outcome:
    return wait(cluster, probe, OPTIONS, cluster.clock)


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


def test_what_serves_ends_the_wait_at_once() -> None:
    outcome = run(Cluster((1.5, listed())), lambda _service: SERVING)
    assert (outcome.verdict, outcome.model_ready, outcome.seconds) == (SERVING, True, 1.5)


def test_nothing_is_judged_before_everything_is_read() -> None:
    # Without the service itself the verdict would be hopeless.
    first, *rest = listed()
    outcome = run(Cluster((1, rest), (2, [first])))
    assert (outcome.verdict.state, outcome.seconds, outcome.model_ready) == (State.SERVING, 2, None)


def test_it_waits_for_a_rollout() -> None:
    cluster = Cluster((1, listed(changes=ROLLING)), (200, listed()))
    outcome = run(cluster, lambda _service: SERVING)
    assert (outcome.verdict.state, outcome.seconds) == (State.SERVING, 200)
    # The whole of the time left in one wait: nothing is polled.
    assert cluster.timeouts[1:] == [299]


def test_the_end_of_time_tells_the_last_verdict() -> None:
    outcome = run(Cluster((1, listed(changes=ROLLING))))
    assert (outcome.verdict.state, outcome.verdict.reason, outcome.seconds) == (State.PROGRESSING, "RollingOut", 300)


def test_no_time_is_enough_to_judge_once() -> None:
    cluster = Cluster((20, listed()))
    outcome = wait(cluster, None, replace(OPTIONS, timeout=0), cluster.clock)
    assert (outcome.verdict.state, outcome.seconds) == (State.SERVING, 20)


def test_a_hopeless_state_ends_the_wait_at_once() -> None:
    outcome = run(Cluster((1, listed(changes={"InferenceService/iris": None}))))
    assert (outcome.verdict.reason, outcome.seconds) == ("NotFound", 1)


def test_a_doubtful_state_ends_the_wait_after_the_grace_period() -> None:
    cluster = Cluster((1, listed(changes=CRASHING)))
    outcome = run(cluster)
    assert (outcome.verdict.state, outcome.verdict.reason) == (State.HOPELESS, "CrashLoopBackOff")
    assert outcome.seconds == 31


def test_a_doubtful_state_that_passes_is_borne() -> None:
    outcome = run(Cluster((1, listed(changes=CRASHING)), (30, listed())))
    assert (outcome.verdict.state, outcome.seconds) == (State.SERVING, 30)


def test_a_model_that_is_not_there_is_asked_for_again_and_then_given_up() -> None:
    asked = []

    def probe(service: Mapping[str, Any]) -> Verdict:
        asked.append(service["metadata"]["name"])
        return doubtful("ModelNotFound", "404.")

    cluster = Cluster((0, listed()))
    outcome = run(cluster, probe)
    assert (outcome.verdict.state, outcome.verdict.reason) == (State.HOPELESS, "ModelNotFound")
    assert (outcome.seconds, outcome.model_ready) == (30, False)
    assert len(asked) == 30 / PROBE_INTERVAL + 1


def test_a_model_that_comes_late_serves() -> None:
    answers = [doubtful("ModelNotReady", "503."), doubtful("ModelNotReady", "503."), SERVING]
    outcome = run(Cluster((0, listed())), lambda _service: answers.pop(0))
    assert (outcome.verdict, outcome.seconds) == (SERVING, 2 * PROBE_INTERVAL)


def test_the_model_is_not_asked_before_the_objects_are_right_nor_in_knative_mode() -> None:
    def probe(_service: Mapping[str, Any]) -> Verdict:
        raise AssertionError

    assert run(Cluster((0, listed(changes=ROLLING))), probe).model_ready is None
    knative = run(Cluster((0, listed("knative_serving"))), probe)
    assert (knative.verdict.state, knative.model_ready) == (State.SERVING, None)


def test_errors_of_the_cluster_end_the_wait() -> None:
    with pytest.raises(NotThere, match="KServe is not installed on this cluster; run the inference_platform role"):
        run(Cluster((0, [Change("service", error=ApiError("404", 404))])))
    with pytest.raises(ApiError, match="lack a right"):
        run(Cluster((0, [Change("pods", error=ApiError("lack a right", 403))])))
    with pytest.raises(Unreachable):
        run(Cluster((0, [Change("pods", error=Unreachable("away"))])))


def test_sources_name_the_service_and_its_namespace_only() -> None:
    found = sources(OPTIONS)
    assert found["service"].path == "/apis/serving.kserve.io/v1beta1/namespaces/models/inferenceservices"
    assert found["service"].query == {"fieldSelector": "metadata.name=iris"}
    assert found["pods"].path == "/api/v1/namespaces/models/pods"
    assert found["pods"].query == {"labelSelector": "serving.kserve.io/inferenceservice=iris"}
    assert [name for name, source in found.items() if source.optional] == ["routes"]


class Proxy:
    """A model server behind the API server's proxy."""

    def __init__(self, answer: str | Exception) -> None:
        self.answer = answer
        self.paths: list[str] = []

    def text(self, path: str, **query: Any) -> str:
        self.paths.append(path)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        raise AssertionError

    def watch(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        raise AssertionError


@pytest.mark.parametrize(
    ("answer", "state", "reason"),
    [
        (json.dumps({"name": "iris", "ready": True}), State.SERVING, "ModelReady"),
        ("", State.SERVING, "ModelReady"),
        ("[]", State.SERVING, "ModelReady"),
        (json.dumps({"name": "iris", "ready": False}), State.DOUBTFUL, "ModelNotReady"),
        (json.dumps({"name": "iris", "ready": "False"}), State.DOUBTFUL, "ModelNotReady"),
        (ApiError("x", 404), State.DOUBTFUL, "ModelNotFound"),
        (ApiError("x", 404, 'services "iris-predictor" not found'), State.DOUBTFUL, "ServiceMissing"),
        (ApiError("x", 503, "no endpoints available"), State.DOUBTFUL, "ModelNotReady"),
        (Unreachable("away"), State.PROGRESSING, "ModelNotAsked"),
    ],
)
def test_what_the_model_server_answers(answer: str | Exception, state: State, reason: str) -> None:
    proxy = Proxy(answer)
    service = {"metadata": {"name": "iris"}, "spec": {"predictor": {}}}
    verdict = probe_model(proxy, OPTIONS, service)
    assert (verdict.state, verdict.reason) == (state, reason)
    assert proxy.paths == ["/api/v1/namespaces/models/services/http:iris-predictor:80/proxy/v2/models/iris/ready"]


def test_a_named_predictor_has_its_own_service() -> None:
    proxy = Proxy("{}")
    probe_model(proxy, OPTIONS, {"metadata": {"name": "iris"}, "spec": {"predictor": {"name": "blue"}}})
    assert "/services/http:iris-blue-predictor:80/" in proxy.paths[0]


def test_a_right_that_is_missing_for_the_proxy_is_an_error_that_names_the_way_out() -> None:
    service = {"metadata": {"name": "iris"}, "spec": {"predictor": {}}}
    with pytest.raises(KServeError, match="An empty model_ready_path switches"):
        probe_model(Proxy(ApiError("The credentials lack a right.", 403)), OPTIONS, service)
