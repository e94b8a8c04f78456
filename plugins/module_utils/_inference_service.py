# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting until an InferenceService serves, and telling why when it does not.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from ansible_collections.hashfoundry.kserve.plugins.module_utils._diagnosis import diagnose
from ansible_collections.hashfoundry.kserve.plugins.module_utils._errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube import (
    READ_TIMEOUT,
    ApiError,
    KubeApi,
    Unreachable,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._readiness import (
    Objects,
    component_name,
    deployment_mode,
    judge,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._verdict import (
    Patience,
    State,
    Verdict,
    doubtful,
    progressing,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._watch import Change, Followers, Source, Store

# A model has nothing to watch: when all objects are as they should be, it is asked again after this many seconds.
PROBE_INTERVAL = 2.0
_LABEL = "serving.kserve.io/inferenceservice"
_NO_CRD = "KServe is not installed on this cluster; run the inference_platform role."


@dataclass(frozen=True)
class Options:
    """timeout and grace_period: seconds; model_ready_path: with {name} for the service's name, empty for no probe."""

    name: str
    namespace: str
    timeout: float
    grace_period: float
    model_ready_path: str


class Feed(Protocol):
    """Where changes come from."""

    def next(self, timeout: float) -> list[Change]:
        """Wait for changes for the given seconds; return them, or nothing."""


class NotThere(KServeError):
    """The InferenceService or its CRD is absent, which in check mode is as expected."""


@dataclass(frozen=True)
class Outcome:
    """How the waiting ended; seconds: how long it took; model_ready: None when it was not asked."""

    verdict: Verdict
    objects: Objects
    seconds: float
    model_ready: bool | None


def sources(options: Options) -> dict[str, Source]:
    """Return what has to be followed. KServe labels a component's Deployment and what comes of it."""

    def path(group: str, plural: str) -> str:
        return f"/{group}/namespaces/{quote(options.namespace, safe='')}/{plural}"

    own = {"labelSelector": f"{_LABEL}={options.name}"}
    return {
        "service": Source(
            path("apis/serving.kserve.io/v1beta1", "inferenceservices"),
            {"fieldSelector": f"metadata.name={options.name}"},
        ),
        "deployments": Source(path("apis/apps/v1", "deployments"), own),
        "replica_sets": Source(path("apis/apps/v1", "replicasets"), own),
        "pods": Source(path("api/v1", "pods"), own),
        "routes": Source(path("apis/gateway.networking.k8s.io/v1", "httproutes"), optional=True),
    }


def wait(
    feed: Feed,
    probe: Callable[[Mapping[str, Any]], Verdict] | None,
    options: Options,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Follow the feed until the verdict is final or the time is over.

    :param probe: asks the model itself, when the objects leave nothing else to ask; None for not at all.
    :param clock: seconds of a monotonic clock.
    :raises KServeError: the cluster cannot be read.
    """
    store, patience, start = Store(sources(options)), Patience(options.grace_period), clock()
    deadline = start + options.timeout
    while True:
        objects = _objects(store)
        verdict = judge(objects) if store.complete else progressing("Connecting", "The cluster is being read.")
        probing = probe is not None and verdict.state is State.SERVING and _probed(objects)
        if probe and probing and objects.service:
            verdict = probe(objects.service)
        now = clock()
        verdict = patience.judge(verdict, now)
        # The cluster is read once in any case, which ends by itself: each follower lists its source or gives up.
        if verdict.state in (State.SERVING, State.HOPELESS) or (now >= deadline and store.complete):
            model_ready = verdict.state is State.SERVING if probing else None
            return Outcome(verdict, objects, now - start, model_ready)
        left = deadline - now if store.complete else READ_TIMEOUT
        limits = [left, patience.left(now), PROBE_INTERVAL if probing else None]
        for change in feed.next(min(limit for limit in limits if limit is not None)):
            _apply(store, change)


def _probed(objects: Objects) -> bool:
    # A Knative service's Service is an alias of the gateway, which the API server's proxy does not follow, and
    # a call would scale it up.
    return objects.service is not None and deployment_mode(objects.service) != "Knative"


def _objects(store: Store) -> Objects:
    service = store.get("service")
    parts: dict[str, Sequence[Any]] = {
        name: store.get(name) for name in ("deployments", "replica_sets", "pods", "routes")
    }
    return Objects(service=service[0] if service else None, **parts)


def _apply(store: Store, change: Change) -> None:
    error = change.error
    if change.source == "service" and isinstance(error, ApiError) and error.status == 404:
        raise NotThere(_NO_CRD)
    store.apply(change)


def probe_model(api: KubeApi, options: Options, service: Mapping[str, Any]) -> Verdict:
    """Ask the model through the API server's service proxy whether it is ready.

    Answers of KServe's servers (python/kserve/kserve/errors.py of v0.20.0): 404 for a model that is
    not loaded, 503 for one that is not ready, 200 with ready otherwise.

    :raises KServeError: the credentials may not use the proxy.
    """
    name, namespace = quote(component_name(service, "predictor"), safe=""), quote(options.namespace, safe="")
    path = options.model_ready_path.replace("{name}", quote(options.name, safe=""))
    try:
        answer = api.text(f"/api/v1/namespaces/{namespace}/services/http:{name}:80/proxy{path}")
    except Unreachable as error:
        return progressing("ModelNotAsked", str(error))
    except ApiError as error:
        if error.status in (401, 403):
            raise KServeError(f"{error} An empty model_ready_path switches the question to the model off.") from None
        if error.text.startswith("services "):  # the API server's own 404
            return doubtful("ServiceMissing", f"The predictor has no Service: {error.text}; see the controller's log.")
        if error.status == 404:
            return doubtful(
                "ModelNotFound",
                f"The model server runs without the model {options.name} (404 to {path}); check that storageUri "
                "holds exactly one model file in the runtime's format.",
            )
        said = f" ({error.text})" if error.text else ""
        return doubtful("ModelNotReady", f"The model server answers {error.status} to {path}{said}; see its logs.")
    try:
        ready = json.loads(answer).get("ready", True)
    except (ValueError, AttributeError):
        ready = True  # another server's own format; it did say 200
    if ready is False or ready == "False":
        return doubtful("ModelNotReady", f"The model server says that {options.name} is not ready; see its logs.")
    return Verdict(State.SERVING, "ModelReady", "The InferenceService serves its current spec and its model is ready.")


def ready(api: KubeApi, options: Options, check_mode: bool) -> dict[str, Any]:
    """Wait, and return the module's result.

    :raises KServeError: it does not serve; the result has the verdict and what explains it.
    """

    def probe(service: Mapping[str, Any]) -> Verdict:
        return probe_model(api, options, service)

    feed = Followers(api, sources(options))
    try:
        outcome = wait(feed, probe if options.model_ready_path else None, options)
        if outcome.verdict.reason == "NotFound":
            raise NotThere(f"{_title(options)} is not there; create it, or check name and namespace.")
    except NotThere as error:
        if check_mode:
            return {"changed": False, "skipped": True, "msg": f"{error} In check mode this is no failure."}
        raise
    finally:
        feed.stop()
    if outcome.verdict.state is not State.SERVING:
        raise _failure(api, options, outcome)
    return {"changed": False, **_facts(outcome)}


def _title(options: Options) -> str:
    return f"InferenceService {options.name} in namespace {options.namespace}"


def _facts(outcome: Outcome) -> dict[str, Any]:
    service = outcome.objects.service or {}
    status = service.get("status", {})
    return {
        "url": status.get("url"),
        "address": (status.get("address") or {}).get("url"),
        "model_ready": outcome.model_ready,
        "waited_seconds": round(outcome.seconds, 1),
        "generation": service.get("metadata", {}).get("generation"),
        "verdict": outcome.verdict.state.value,
        "reason": outcome.verdict.reason,
    }


def _failure(api: KubeApi, options: Options, outcome: Outcome) -> KServeError:
    verdict = outcome.verdict
    if verdict.state is State.HOPELESS:
        message = f"{_title(options)} does not serve: {verdict.message}"
    else:
        message = f"{_title(options)} does not serve after {options.timeout:g} seconds: {verdict.message}"
    facts = {**_facts(outcome), "message": verdict.message}
    return KServeError(message, **facts, **diagnose(api, options.namespace, outcome.objects))
