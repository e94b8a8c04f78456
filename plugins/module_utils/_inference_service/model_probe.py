# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asking a model itself, through the API server's service proxy, whether it is ready or what it predicts.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import hashlib
import json
import queue
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.redact import short
from ansible_collections.hashfoundry.kserve.plugins.module_utils._health.pod import is_ready, pod_problem
from ansible_collections.hashfoundry.kserve.plugins.module_utils._health.verdict import (
    State,
    Verdict,
    degraded,
    failed,
    progressing,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_protocol import codec
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import (
    READ_TIMEOUT,
    AnswerTimeout,
    ApiError,
    KubeApi,
    Unreachable,
)

from .readiness import REVISION, Objects, component_name, deployment_mode

# How many models are asked at the same time. The API server proxies each question.
AT_ONCE = 16
# Statuses with which a server says that the question itself is wrong: asking again does not help.
_WRONG_QUESTION = (400, 405, 413, 415, 422)
_LONGEST_NAME = 63


@dataclass(frozen=True)
class Prediction:
    """What to predict and what must come out; without expected, any answer with status 200 is right."""

    path: str
    body: Any
    protocol: str = "v1"
    rows: int = 0
    expected: Sequence[Any] | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Prediction:
        """Return what the module's option prediction asks for.

        :raises KServeError: the instances do not fit the protocol, or expected does not fit them.
        """
        protocol, instances, expected = options["protocol"], options["instances"], options["expected"]
        body = options["body"] if instances is None else json.loads(codec.encode(protocol, instances))
        if expected is not None and len(expected) != len(instances or ()):
            raise KServeError(
                "prediction.expected must have one value for each of prediction.instances.", reason="InvalidOption"
            )
        # {name} stands where the protocol has the model's name.
        path = options["path"] or codec.path(protocol, "{name}").replace(quote("{name}"), "{name}")
        return cls(path, body, protocol, len(instances or ()), expected)


@dataclass(frozen=True)
class Question:
    """What a model is asked: the prediction, or else the path of its readiness; neither for nothing.

    digests: what a model must then say that it serves, by its name.
    """

    ready_path: str = ""
    prediction: Prediction | None = None
    digests: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.ready_path or self.prediction)


def target(objects: Objects, question: Question) -> str | Verdict | None:
    """Return the name of the Service to ask, or None where nothing runs that could be asked, or why not yet.

    A Knative service's own Service is an alias of the gateway, which the API server's proxy does not follow, and a
    call would scale it up. The revision's private Service leads to its pods, so it is asked while there are any.
    """
    service = objects.service
    if service is None:
        return None
    # A prediction goes the way of the users' ones, of which a transformer is the first stop.
    component = "transformer" if question.prediction and service["spec"].get("transformer") else "predictor"
    if deployment_mode(service) != "Knative":
        name = component_name(service, component)
        return None if _scaled_to_zero(objects, name) else name
    status = (service.get("status", {}).get("components") or {}).get(component) or {}
    revision = status.get("latestReadyRevision")
    pods = [pod for pod in objects.pods if _stays(pod, revision)]
    if not revision or not pods:
        return None
    if any(map(is_ready, pods)):
        return _private_service(revision)
    starting = progressing(
        "PodStarting", f"The first pod of revision {revision} is starting; it is probed when it is ready."
    )
    return pod_problem(pods) or starting


def _scaled_to_zero(objects: Objects, name: str) -> bool:
    found = [entry for entry in objects.deployments if entry["metadata"]["name"] == name]
    return any(entry["spec"].get("replicas", 1) == 0 for entry in found)


def _stays(pod: Mapping[str, Any], revision: str | None) -> bool:
    metadata = pod["metadata"]
    return (metadata.get("labels") or {}).get(REVISION) == revision and not metadata.get("deletionTimestamp")


def _private_service(revision: str) -> str:
    # names.PrivateService of Knative Serving v1.21, and ChildName of knative.dev/pkg/kmeta for long names
    suffix = "-private"
    if len(revision) + len(suffix) <= _LONGEST_NAME:
        return revision + suffix
    digest = hashlib.md5(revision.encode(), usedforsecurity=False).hexdigest()
    return revision[: _LONGEST_NAME - len(digest) - len(suffix)] + digest + suffix


def ask(
    api: KubeApi, namespace: str, question: Question, name: str, service: str, old: Collection[str] = ()
) -> Verdict:
    """Ask the model of an InferenceService; see target for its Service.

    :param old: names of pods whose answer does not count, while there are any.

    Answers of KServe's servers (python/kserve/kserve/errors.py of v0.20.0): 404 for a model that is
    not loaded, 503 for one that is not ready, 200 with ready otherwise.
    """
    prediction = question.prediction
    path = (prediction.path if prediction else question.ready_path).replace("{name}", quote(name, safe=""))
    base, host = f"/api/v1/namespaces/{quote(namespace, safe='')}", quote(service, safe="")
    server = f"{base}/services/http:{host}:80/proxy"
    if old and (still := _still_leads_to(api, f"{base}/endpoints/{host}", old)):
        return progressing(
            "PreviousPodServing", f"Service {service} still routes to pod {still}, which is terminating."
        )
    try:
        answer = api.post(server + path, prediction.body) if prediction else api.text(server + path)
        verdict = _verdict_on_predictions(prediction, answer) if prediction else _verdict_on_readiness(answer, name)
        digest = question.digests.get(name)
        if digest and verdict.state is State.SERVING:
            verdict = _other_model(api, f"{server}/v2/models/{quote(name, safe='')}", digest) or verdict
    except AnswerTimeout:
        return degraded(
            "ProbeTimeout", f"The model server has not answered {path} in {READ_TIMEOUT:g} s; see its logs."
        )
    except Unreachable as error:
        return progressing("ProbeFailed", f"The model cannot be probed: {error}")
    except ApiError as error:
        return _refusal(error, name, path, prediction is not None)
    return verdict


def _still_leads_to(api: KubeApi, path: str, old: Collection[str]) -> str | None:
    """Return one of the pods if the API server's proxy may still choose it.

    It chooses among the addresses of the Endpoints (ResourceLocation in pkg/registry/core/service/storage of
    Kubernetes v1.35), which follow the pods after a moment.
    """
    try:
        subsets = api.get(path).get("subsets") or ()
    except KServeError:
        return None  # without permission to read them, the model's answer is trusted
    names = (address.get("targetRef", {}).get("name") for subset in subsets for address in subset.get("addresses", ()))
    return next((name for name in names if name in old), None)


def _refusal(error: ApiError, name: str, path: str, predicting: bool) -> Verdict:
    if error.status == 401 or (error.status == 403 and "services/proxy" in error.text):
        # Degraded, since an API server that has just started refuses for a moment what it allows later.
        way_out = "" if predicting else " An empty model_ready_path turns the probe off."
        return degraded("ProbeForbidden", f"The model cannot be probed: {error}{way_out}")
    if error.text.startswith("services "):  # the API server's own 404
        return degraded(
            "ServiceMissing", f"The predictor has no Service: {short(error.text)}; see the controller's log."
        )
    if error.status == 404:
        return degraded(
            "ModelNotFound",
            f"The model server runs without the model {name} (404 to {path}); check that storageUri "
            "holds exactly one model file in the runtime's format.",
        )
    message = f" ({short(error.text)})" if error.text else ""
    if predicting and error.status in _WRONG_QUESTION:
        return failed(
            "PredictionRejected",
            f"The model server rejects the prediction with {error.status}{message}; correct prediction, or the model.",
        )
    return degraded("ModelNotReady", f"The model server answers {error.status} to {path}{message}; see its logs.")


def _verdict_on_readiness(answer: str, name: str) -> Verdict:
    try:
        ready = json.loads(answer).get("ready", True)
    except (ValueError, AttributeError):
        ready = True  # another server's own format; it did say 200
    if ready is False or ready == "False":
        return degraded("ModelNotReady", f"The model server says that {name} is not ready; see its logs.")
    return Verdict(State.SERVING, "ModelReady", "The InferenceService serves its current spec and its model is ready.")


def _verdict_on_predictions(prediction: Prediction, answer: str) -> Verdict:
    if prediction.expected is not None:
        try:
            predictions = codec.decode(prediction.protocol, answer.encode(), prediction.rows)
            wrong = codec.first_difference(prediction.expected, predictions)
        except KServeError as error:
            wrong = str(error)
        if wrong:
            return degraded("PredictionWrong", f"The model does not predict what it must: {short(wrong)}")
    return Verdict(
        State.SERVING, "ModelPredicts", "The InferenceService serves its current spec and its model predicts."
    )


def _other_model(api: KubeApi, path: str, digest: str) -> Verdict | None:
    """Compare with what the server says of the model; one that reports no digest is not checked."""
    try:
        served = json.loads(api.text(path)).get("properties", {}).get("digest")
    except (ApiError, ValueError, AttributeError):
        return None  # a server that has no such description
    if served in (None, digest):
        return None
    # Degraded, since a previous pod may have been asked.
    return degraded(
        "ModelDiffers",
        f"The model server serves the digest {short(str(served))} where {digest} is wanted; see who has changed the "
        "version, and give other content another version.",
    )


@dataclass(frozen=True)
class Answer:
    """What a model has answered; about: what it was asked about, as whoever asked put it."""

    name: str
    about: Any
    verdict: Verdict


class Askers:
    """Threads that ask models, as many at once as AT_ONCE, so that a slow model delays no other's verdict."""

    def __init__(self, asks: Callable[[str, str, Collection[str]], Verdict], put: Callable[[Answer], None]) -> None:
        """:param asks: asks the model of the named InferenceService at the named Service, where some pods do not count.
        :param put: takes the answers.
        """
        self._asks = asks
        self._put = put
        self._waiting: queue.SimpleQueue[tuple[str, str, Collection[str], Any] | None] = queue.SimpleQueue()
        self._threads = 0

    def ask(self, name: str, service: str, old: Collection[str], about: Any) -> None:
        """Ask, and return at once."""
        self._waiting.put((name, service, old, about))
        if self._threads < AT_ONCE:
            self._threads += 1
            # Daemons: a model that does not answer must not keep the process.
            threading.Thread(target=self._run, daemon=True).start()

    def stop(self) -> None:
        """Let the threads end when they have asked what they are asking."""
        for _thread in range(self._threads):
            self._waiting.put(None)

    def _run(self) -> None:
        while question := self._waiting.get():
            name, service, old, about = question
            try:
                verdict = self._asks(name, service, old)
            except Exception as error:  # a thread that ended without a word would be waited for
                message = short(f"{error.__class__.__name__}: {error}")
                verdict = degraded("ProbeFailed", f"The model's answer cannot be parsed ({message}).")
            self._put(Answer(name, about, verdict))
