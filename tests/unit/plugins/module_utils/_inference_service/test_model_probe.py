# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Collection, Iterator
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._health.verdict import State, Verdict
from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_service.model_probe import (
    AT_ONCE,
    Answer,
    Askers,
    Prediction,
    Question,
    ask,
    target,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_service.readiness import Objects
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import (
    AnswerTimeout,
    ApiError,
    Unreachable,
)

from ..cluster_fixtures import objects as cluster_objects

READY = Question("/v2/models/{name}/ready")


class Proxy:
    """A model server behind the API server's proxy."""

    def __init__(self, answer: str | Exception) -> None:
        self.answer = answer
        self.paths: list[str] = []
        self.bodies: list[Any] = []
        self.endpoints: list[str] | Exception = []

    def text(self, path: str, **query: Any) -> str:
        self.paths.append(path)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def post(self, path: str, body: Any) -> str:
        self.bodies.append(body)
        return self.text(path)

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        assert path == "/api/v1/namespaces/models/endpoints/iris-predictor"
        if isinstance(self.endpoints, Exception):
            raise self.endpoints
        addresses = [{"ip": "10.0.0.1", "targetRef": {"kind": "Pod", "name": name}} for name in self.endpoints]
        return {"subsets": [{"addresses": addresses}]} if addresses else {}

    def end_watches(self) -> None:
        pass

    def watch(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        raise AssertionError


FORBIDDEN = 'services "http:iris-predictor:80" is forbidden: User "x" cannot get resource "services/proxy"'


@pytest.mark.parametrize(
    ("answer", "state", "reason"),
    [
        (json.dumps({"name": "iris", "ready": True}), State.SERVING, "ModelReady"),
        ("", State.SERVING, "ModelReady"),
        ("[]", State.SERVING, "ModelReady"),
        (json.dumps({"name": "iris", "ready": False}), State.DEGRADED, "ModelNotReady"),
        (json.dumps({"name": "iris", "ready": "False"}), State.DEGRADED, "ModelNotReady"),
        (ApiError("x", 404), State.DEGRADED, "ModelNotFound"),
        (ApiError("x", 404, 'services "iris-predictor" not found'), State.DEGRADED, "ServiceMissing"),
        (ApiError("x", 503, "no endpoints available"), State.DEGRADED, "ModelNotReady"),
        (ApiError("x", 400, "bad request"), State.DEGRADED, "ModelNotReady"),
        (ApiError("x", 401, "Unauthorized"), State.DEGRADED, "ProbeForbidden"),
        (ApiError("x", 403, FORBIDDEN), State.DEGRADED, "ProbeForbidden"),
        (ApiError("x", 403, "the model's own refusal"), State.DEGRADED, "ModelNotReady"),
        (Unreachable("away"), State.PROGRESSING, "ProbeFailed"),
        (AnswerTimeout("no answer"), State.DEGRADED, "ProbeTimeout"),
    ],
)
def test_responses_of_the_model_server(answer: str | Exception, state: State, reason: str) -> None:
    proxy = Proxy(answer)
    verdict = ask(proxy, "models", READY, "iris", "iris-predictor")
    assert (verdict.state, verdict.reason) == (state, reason)
    assert proxy.paths == ["/api/v1/namespaces/models/services/http:iris-predictor:80/proxy/v2/models/iris/ready"]


def test_a_missing_permission_for_the_proxy_is_reported_with_an_alternative() -> None:
    verdict = ask(Proxy(ApiError("The credentials lack a permission.", 403, FORBIDDEN)), "n", READY, "iris", "s")
    assert "An empty model_ready_path turns the probe off" in verdict.message


@pytest.mark.parametrize(
    ("digests", "metadata", "reason"),
    [
        ({"iris": "sha256:a"}, {"digest": "sha256:a"}, "ModelReady"),
        ({"iris": "sha256:a"}, {"digest": "sha256:b"}, "ModelDiffers"),
        ({"iris": "sha256:a"}, {}, "ModelReady"),
        ({"other": "sha256:a"}, {"digest": "sha256:b"}, "ModelReady"),
    ],
)
def test_the_servers_digest_must_match(digests: dict[str, str], metadata: dict[str, str], reason: str) -> None:
    proxy = Proxy(json.dumps({"ready": True, "properties": metadata}))
    verdict = ask(proxy, "models", Question(READY.ready_path, digests=digests), "iris", "iris-predictor")
    assert verdict.reason == reason
    assert len(proxy.paths) == (2 if "iris" in digests else 1)
    assert proxy.paths[-1].endswith("/proxy/v2/models/iris" if "iris" in digests else "/ready")


def test_a_server_without_model_metadata_is_accepted() -> None:
    class Plain(Proxy):
        def text(self, path: str, **query: Any) -> str:
            if not path.endswith("/ready"):
                raise ApiError("x", 404)
            return super().text(path)

    with_digest = Question(READY.ready_path, digests={"iris": "sha256:a"})
    assert ask(Plain("{}"), "models", with_digest, "iris", "iris-predictor").reason == "ModelReady"


@pytest.mark.parametrize(
    ("endpoints", "reason"),
    [
        (["new", "old"], "PreviousPodServing"),
        (["new"], "ModelReady"),
        ([], "ModelReady"),
        (ApiError("forbidden", 403), "ModelReady"),
    ],
)
def test_a_terminating_pod_does_not_count_for_the_new_one(endpoints: Any, reason: str) -> None:
    proxy = Proxy('{"ready": true}')
    proxy.endpoints = endpoints
    verdict = ask(proxy, "models", READY, "iris", "iris-predictor", {"old", "older"})
    assert verdict.reason == reason
    assert (proxy.paths == []) is (reason == "PreviousPodServing")


UNSET = {"protocol": "v1", "path": None, "instances": None, "body": None, "expected": None}
ROWS = {"instances": [[1, 2], [3, 4]], "expected": [0, 2]}


def predicted(answer: str | Exception, **options: Any) -> tuple[Verdict, Proxy]:
    proxy = Proxy(answer)
    question = Question("/unused", Prediction.of({**UNSET, **options}))
    return ask(proxy, "models", question, "iris", "iris-predictor"), proxy


@pytest.mark.parametrize(
    ("answer", "options", "state", "reason"),
    [
        ('{"predictions": [0, 2]}', ROWS, State.SERVING, "ModelPredicts"),
        ('{"predictions": [0, 1]}', ROWS, State.DEGRADED, "PredictionWrong"),
        ('{"predictions": [0]}', ROWS, State.DEGRADED, "PredictionWrong"),
        ("no JSON", ROWS, State.DEGRADED, "PredictionWrong"),
        ('{"outputs": [{"name": "o", "datatype": "INT64", "shape": [2], "data": [0, 2]}]}', {**ROWS, "protocol": "v2"},
         State.SERVING, "ModelPredicts"),
        ("anything", {"instances": [[1]]}, State.SERVING, "ModelPredicts"),
        ("anything", {"body": {"text": "x"}}, State.SERVING, "ModelPredicts"),
        (ApiError("x", 400, "no such feature"), ROWS, State.FAILED, "PredictionRejected"),
        (ApiError("x", 404), ROWS, State.DEGRADED, "ModelNotFound"),
        (ApiError("x", 500, "out of memory"), ROWS, State.DEGRADED, "ModelNotReady"),
        (ApiError("x", 403, FORBIDDEN), ROWS, State.DEGRADED, "ProbeForbidden"),
    ],
)  # fmt: skip
def test_responses_to_a_prediction_request(
    answer: str | Exception, options: dict[str, Any], state: State, reason: str
) -> None:
    verdict, _proxy = predicted(answer, **options)
    assert (verdict.state, verdict.reason) == (state, reason)


def test_a_secret_that_the_model_server_repeats_is_masked() -> None:
    verdict, _proxy = predicted(ApiError("x", 400, "password=PLANTED"), **ROWS)
    assert "PLANTED" not in verdict.message


@pytest.mark.parametrize(
    ("options", "path", "body"),
    [
        ({"instances": [[1]]}, "/v1/models/iris:predict", {"instances": [[1]]}),
        ({"body": {"a": 1}, "path": "/predict/{name}"}, "/predict/iris", {"a": 1}),
        ({"body": {"a": 1}, "protocol": "v2"}, "/v2/models/iris/infer", {"a": 1}),
    ],
)
def test_path_and_body_of_the_request(options: dict[str, Any], path: str, body: Any) -> None:
    _verdict, proxy = predicted("{}", **options)
    (sent,) = proxy.paths
    assert sent == f"/api/v1/namespaces/models/services/http:iris-predictor:80/proxy{path}"
    assert proxy.bodies == [body]


def test_expected_values_must_fit_the_instances() -> None:
    with pytest.raises(KServeError, match="one value for each"):
        predicted("{}", instances=[[1]], expected=[1, 2])


def service(mode: str = "Standard", **fields: Any) -> dict[str, Any]:
    revision = {"latestReadyRevision": fields.pop("revision", "iris-predictor-00002")}
    status = {"deploymentMode": mode, "components": {"predictor": revision, "transformer": {**revision}}}
    return {"metadata": {"name": "iris"}, "spec": {"predictor": {}, **fields}, "status": status}


def pod(revision: str, ready: str = "True", **metadata: Any) -> dict[str, Any]:
    labels = {"serving.knative.dev/revision": revision}
    return {
        "metadata": {"name": "p", "labels": labels, **metadata},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }


PREDICT = Question("", Prediction("/x", {}))


@pytest.mark.parametrize(
    ("objects", "question", "name"),
    [
        (Objects(), READY, None),
        (Objects(service()), READY, "iris-predictor"),
        (Objects(service(predictor={"name": "blue"})), READY, "iris-blue-predictor"),
        (Objects(service(transformer={"minReplicas": 1})), READY, "iris-predictor"),
        (Objects(service(transformer={"minReplicas": 1})), PREDICT, "iris-transformer"),
        # Knative: the pods of the ready revision, if there are any
        (Objects(service("Knative")), READY, None),
        (Objects(service("Knative"), pods=[pod("iris-predictor-00002")]), READY, "iris-predictor-00002-private"),
        (Objects(service("Knative"), pods=[pod("iris-predictor-00001")]), READY, None),
        (Objects(service("Knative"), pods=[pod("iris-predictor-00002", deletionTimestamp="2026")]), READY, None),
        (
            Objects(service("Knative", revision="r" * 60), pods=[pod("r" * 60)]),
            READY,
            f"{'r' * 23}fc58ac6720764672e18f97efd7ef704e-private",
        ),
    ],
)
def test_the_service_that_is_queried(objects: Objects, question: Question, name: str | None) -> None:
    assert target(objects, question) == name


def test_a_pod_that_starts_from_zero_is_waited_for() -> None:
    starting = pod("iris-predictor-00002", "False")
    verdict = target(Objects(service("Knative"), pods=[starting]), READY)
    assert isinstance(verdict, Verdict)
    assert (verdict.state, verdict.reason) == (State.PROGRESSING, "PodStarting")
    waiting = {"name": "kserve-container", "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    starting["status"]["containerStatuses"] = [waiting]
    verdict = target(Objects(service("Knative"), pods=[starting]), READY)
    assert isinstance(verdict, Verdict) and verdict.state is State.DEGRADED


def test_without_a_query_no_request_is_sent() -> None:
    assert not Question("") and Question("/x") and PREDICT


def test_models_are_queried_in_parallel_up_to_a_limit() -> None:
    answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
    # A thread continues only when all of them are querying.
    together = threading.Barrier(AT_ONCE, timeout=10)
    asking, most = threading.Semaphore(AT_ONCE), []

    def asks(name: str, _service: str, _old: Collection[str]) -> Verdict:
        most.append(asking.acquire(blocking=False))
        together.wait()
        asking.release()
        if name == "7":
            raise ValueError("password=PLANTED")
        return Verdict(State.SERVING, name, "")

    askers = Askers(asks, answers.put)
    for number in range(2 * AT_ONCE):
        askers.ask(str(number), "service", (), about=number)
    found = {answer.name: answer for answer in (answers.get(timeout=10) for _number in range(2 * AT_ONCE))}
    assert all(most) and len(found) == 2 * AT_ONCE
    assert found["3"] == Answer("3", 3, Verdict(State.SERVING, "3", ""))
    # An error of one query affects only that service.
    assert found["7"].verdict.reason == "ProbeFailed" and "PLANTED" not in found["7"].verdict.message

    before = threading.active_count()
    askers.stop()
    deadline = time.monotonic() + 5
    while threading.active_count() > before - AT_ONCE and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before - AT_ONCE


def test_a_model_that_is_scaled_to_zero_in_standard_mode_is_not_queried() -> None:
    asleep = cluster_objects("standard_serving", {"Deployment/iris-predictor": {"spec": {"replicas": 0}}})
    assert target(asleep, READY) is None
    assert target(cluster_objects("standard_serving"), READY) == "iris-predictor"
