# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways in which an InferenceService in Knative mode does not serve, or seems to, against the real controllers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from local.settings import Settings
from tests.integration.trap_cluster import (
    AFTER_GRACE,
    AT_ONCE,
    EMPTY_SERVER,
    SERVES,
    Cluster,
    Json,
    Told,
    after_grace,
    at_once,
    at_timeout,
    cluster,
    says,
    service,
)

# Knative's shortest window; after it come the 30 seconds of scale-to-zero-grace-period.
IDLE = {"autoscaling.knative.dev/window": "6s", "autoscaling.knative.dev/scale-to-zero-pod-retention-period": "0s"}
ZERO_SECONDS = 240


def traps(namespace: str) -> dict[str, tuple[Json, Json]]:
    """By name: an InferenceService, and the options with which it is waited for."""

    def uri(path: str) -> Json:
        return {"storageUri": f"s3://{namespace}/{path}/"}

    good = uri("iris/v1")
    made: dict[str, tuple[Json, Json]] = {
        "no-account": (AT_ONCE, {"account": "nobody"}),
        "no-secret": (AFTER_GRACE, {"account": "forgetful"}),
        "no-object": (AFTER_GRACE, {"model": uri("nothing/v1")}),
        "empty": (AFTER_GRACE, {"model": {**uri("misnamed/v1"), "command": EMPTY_SERVER}}),
        "no-runtime": (AT_ONCE, {"model": {**good, "modelFormat": {"name": "cobol"}, "runtime": None}}),
    }
    return {
        name: (service(name, namespace, mode="Knative", **{"model": good, **parts}), options)
        for name, (options, parts) in made.items()
    }


def rollouts(made: Cluster) -> dict[str, Any]:
    """One service through its revisions: good, unknown, good, corrupt."""

    def uri(path: str) -> Json:
        return {"storageUri": f"s3://{made.namespace}/{path}/"}

    told: dict[str, Any] = {"first": made.tell("rolled", "knative-serving", **SERVES)}
    made.patch("rolled", storageUri="ftp://store/iris/")
    made.await_event("rolled", "StorageURI not supported")
    told["not taken up"] = made.tell("rolled", "knative-stale-ready", timeout=3)
    made.patch("rolled", **uri("iris/v2"))
    told["just patched"] = made.tell("rolled", "knative-rolling-out", timeout=0)
    told["rolled out"] = made.tell("rolled", "knative-serving-after-rollout", **SERVES)
    told["components"] = made.get("inferenceservice", "rolled")["status"]["components"]
    made.patch("rolled", **uri("corrupt/v1"))
    told["crashing"] = made.tell("rolled", "knative-failed-revision", **AFTER_GRACE)
    return told


def idleness(made: Cluster) -> dict[str, Told]:
    """One service that nobody asks, until Knative has taken its last pod away."""
    told = {"first": made.tell("idle", **SERVES)}
    deadline = time.monotonic() + ZERO_SECONDS
    while made.owned("idle", "pods"):
        assert time.monotonic() < deadline, f"a pod of the idle service is left after {ZERO_SECONDS} seconds"
        time.sleep(1)
    told["scaled to zero"] = made.tell("idle", "knative-scaled-to-zero", **SERVES)
    return told


@pytest.fixture(scope="module")
def made(settings: Settings) -> Iterator[Cluster]:
    model = (settings.state / "models" / "iris-classifier" / "v1" / "model.joblib").read_bytes()
    files = {
        "iris/v1/model.joblib": model,
        "iris/v2/model.joblib": model,
        "misnamed/v1/model.onnx": model,
        "corrupt/v1/model.joblib": b"not a model",
    }
    with cluster(settings, files) as found:
        yield found


@pytest.fixture(scope="module")
def told(made: Cluster) -> Iterator[Callable[..., Any]]:
    """Begin every wait; give what a wait has told: told("no-account"), told("rolled", "crashing")."""
    iris = {"storageUri": f"s3://{made.namespace}/iris/v1/"}
    broken = traps(made.namespace)
    made.apply(
        service("rolled", made.namespace, mode="Knative", model=iris),
        service("idle", made.namespace, mode="Knative", model=iris, annotations=IDLE, predictor={"minReplicas": 0}),
        *(thing for thing, _options in broken.values()),
    )
    with ThreadPoolExecutor(len(broken) + 2) as pool:
        waits: dict[str, Future[Any]] = {
            "rolled": pool.submit(rollouts, made),
            "idle": pool.submit(idleness, made),
        }
        for name, (_thing, options) in broken.items():
            waits[name] = pool.submit(made.tell, name, f"knative-{name}", **options)
        yield lambda name, step=None: waits[name].result()[step] if step else waits[name].result()


def test_a_service_that_serves(told):
    first = told("rolled", "first")
    assert first.verdict == ("serving", "ModelReady")
    assert first.result["model_ready"] is True


def test_ready_stays_true_for_a_spec_that_the_controller_cannot_take_up(told):
    stale = told("rolled", "not taken up")
    assert stale.ready == "True"
    assert at_timeout(stale) and stale.verdict == ("progressing", "SpecNotObserved")
    assert says(stale, "has not applied predictor.model.storageUri of generation 2 to the Deployment", "the events")
    assert says(stale, "The latest warning about it: ", "StorageURI not supported")
    assert "StorageURI not supported" in stale.event_text


def test_ready_is_stale_right_after_a_patch(told):
    stale = told("rolled", "just patched")
    assert at_timeout(stale) and stale.verdict[0] == "progressing"
    assert stale.verdict[1] in ("SpecNotObserved", "RevisionNotReady")


def test_the_patched_spec_serves_only_with_its_own_revision(told):
    rolled = told("rolled", "rolled out")
    assert rolled.verdict == ("serving", "ModelReady")
    assert rolled.result["generation"] == 3
    predictor = told("rolled", "components")["predictor"]
    assert predictor["latestReadyRevision"] == "rolled-predictor-00002"
    assert [(each["revisionName"], each["percent"]) for each in predictor["traffic"]] == [
        ("rolled-predictor-00002", 100)
    ]


def test_a_failed_new_revision_while_the_old_serves(told, made, ask):
    crashing = told("rolled", "crashing")
    assert after_grace(crashing) and crashing.verdict[1] == "CrashLoopBackOff"
    assert says(
        crashing, "kserve-container of pod rolled-predictor-00003-", "model.joblib cannot be loaded", "see its logs."
    )
    status = made.get("inferenceservice", "rolled")["status"]["components"]["predictor"]
    assert status["latestReadyRevision"] == "rolled-predictor-00002"
    assert ask("rolled")[0] == 200


def test_scaled_to_zero_is_serving(told):
    idle = told("idle", "scaled to zero")
    assert not idle.failed
    assert idle.verdict[0] == "serving"
    assert idle.result["model_ready"] is None  # nothing runs that could be asked, and a question would wake it


def test_a_wrong_model_file_name_goes_ready(told):
    empty = told("empty")
    assert empty.ready == "True"
    assert after_grace(empty) and empty.verdict[1] == "ModelNotFound"
    assert says(empty, "runs without the model empty (404", "check that storageUri holds exactly one model file")


def test_no_supporting_runtime(told):
    unsupported = told("no-runtime")
    assert at_once(unsupported) and unsupported.verdict[1] == "NoSupportingRuntime"
    assert says(unsupported, "install a serving runtime for this model format and protocol version, or name another.")


def test_a_service_account_that_is_not_there(told):
    missing = told("no-account")
    assert at_once(missing) and missing.verdict[1] == "ServiceAccountMissing"
    assert says(missing, 'serviceaccount "nobody" not found', "create the ServiceAccount or name another.")


def test_a_secret_that_the_service_account_names_is_not_there(told):
    missing = told("no-secret")
    assert after_grace(missing) and missing.verdict[1] == "SecretMissing"
    assert says(missing, 'secrets "not-there" not found; create the Secret, or remove it from the ServiceAccount.')


def test_an_object_that_is_not_in_the_bucket(told):
    missing = told("no-object")
    assert after_grace(missing) and missing.verdict[1] == "StorageInitializerFailed"
    assert says(missing, "No model found in nothing/v1/; check storageUri and what the ServiceAccount's secret says")
    assert "No model found" in missing.log_text
