# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Readiness verdicts in Knative mode against the real controllers, with causes of failure and false Ready."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from local.settings import Settings
from tests.integration.helpers import wait_until
from tests.integration.trap_cluster import (
    AFTER_GRACE,
    AT_ONCE,
    EMPTY_SERVER,
    SERVES,
    Cluster,
    Json,
    Outcome,
    after_grace,
    assert_model_not_found,
    assert_no_supporting_runtime,
    assert_secret_missing,
    at_once,
    at_timeout,
    cluster,
    model_files,
    outcomes,
    says,
    service,
)

# Knative's shortest window, after which the scale-to-zero-grace-period of 30 seconds begins.
IDLE = {"autoscaling.knative.dev/window": "6s", "autoscaling.knative.dev/scale-to-zero-pod-retention-period": "0s"}
ZERO_SECONDS = 240


def cases(namespace: str) -> dict[str, tuple[Json, Json]]:
    """By name: an InferenceService, and the options of the module that waits for it."""

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
    """One service updated to: a good model, an unknown URI, a good and a corrupt model."""

    def uri(path: str) -> Json:
        return {"storageUri": f"s3://{made.namespace}/{path}/"}

    outcome: dict[str, Any] = {"first": made.run("rolled", "knative-serving", **SERVES)}
    made.patch("rolled", storageUri="ftp://store/iris/")
    made.await_event("rolled", "StorageURI not supported")
    outcome["not taken up"] = made.run("rolled", "knative-stale-ready", timeout=3)
    made.patch("rolled", **uri("iris/v2"))
    outcome["just patched"] = made.run("rolled", "knative-rolling-out", timeout=0)
    outcome["rolled out"] = made.run("rolled", "knative-serving-after-rollout", **SERVES)
    outcome["components"] = made.get("inferenceservice", "rolled")["status"]["components"]
    made.patch("rolled", **uri("corrupt/v1"))
    outcome["crashing"] = made.run("rolled", "knative-failed-revision", **AFTER_GRACE)
    return outcome


def idleness(made: Cluster) -> dict[str, Outcome]:
    """One service without requests, until Knative has scaled it to zero."""
    outcome = {"first": made.run("idle", **SERVES)}

    def pods() -> list[str]:
        return [pod["metadata"]["name"] for pod in made.owned("idle", "pods")]

    wait_until(pods, lambda names: not names, ZERO_SECONDS, pause=1, what="the idle service has no pod")
    outcome["scaled to zero"] = made.run("idle", "knative-scaled-to-zero", **SERVES)
    return outcome


@pytest.fixture(scope="module")
def made(settings: Settings) -> Iterator[Cluster]:
    with cluster(settings, model_files(settings)) as found:
        yield found


@pytest.fixture(scope="module")
def outcome(made: Cluster) -> Iterator[Callable[..., Any]]:
    """Start every wait, and return the outcome of one: outcome("no-account"), outcome("rolled", "crashing")."""
    iris = {"storageUri": f"s3://{made.namespace}/iris/v1/"}
    broken = cases(made.namespace)
    made.apply(
        service("rolled", made.namespace, mode="Knative", model=iris),
        service("idle", made.namespace, mode="Knative", model=iris, annotations=IDLE, predictor={"minReplicas": 0}),
        *(thing for thing, _options in broken.values()),
    )
    waits: dict[str, Callable[[], Any]] = {"rolled": partial(rollouts, made), "idle": partial(idleness, made)}
    for name, (_thing, options) in broken.items():
        waits[name] = partial(made.run, name, f"knative-{name}", **options)
    with outcomes(waits) as outcome_of:
        yield outcome_of


def test_a_service_that_serves(outcome):
    first = outcome("rolled", "first")
    assert first.verdict == ("serving", "ModelReady")
    assert first.result["model_ready"] is True


def test_ready_stays_true_for_a_spec_that_the_controller_cannot_reconcile(outcome):
    stale = outcome("rolled", "not taken up")
    assert stale.ready == "True"
    assert at_timeout(stale) and stale.verdict == ("progressing", "SpecNotObserved")
    assert says(stale, "has not applied predictor.model.storageUri of generation 2 to the Deployment", "the events")
    assert says(stale, "The latest warning about it: ", "StorageURI not supported")
    assert "StorageURI not supported" in stale.event_text


def test_ready_is_stale_right_after_a_patch(outcome):
    stale = outcome("rolled", "just patched")
    assert at_timeout(stale) and stale.verdict[0] == "progressing"
    assert stale.verdict[1] in ("SpecNotObserved", "RevisionNotReady")


def test_the_patched_spec_serves_only_with_its_own_revision(outcome):
    rolled = outcome("rolled", "rolled out")
    assert rolled.verdict == ("serving", "ModelReady")
    assert rolled.result["generation"] == 3
    predictor = outcome("rolled", "components")["predictor"]
    assert predictor["latestReadyRevision"] == "rolled-predictor-00002"
    assert [(each["revisionName"], each["percent"]) for each in predictor["traffic"]] == [
        ("rolled-predictor-00002", 100)
    ]


def test_a_failed_new_revision_while_the_previous_serves(outcome, made, ask):
    crashing = outcome("rolled", "crashing")
    assert after_grace(crashing) and crashing.verdict[1] == "CrashLoopBackOff"
    assert says(
        crashing, "kserve-container of pod rolled-predictor-00003-", "model.joblib cannot be loaded", "see its logs."
    )
    status = made.get("inferenceservice", "rolled")["status"]["components"]["predictor"]
    assert status["latestReadyRevision"] == "rolled-predictor-00002"
    assert ask("rolled")[0] == 200


def test_scaled_to_zero_is_serving(outcome):
    idle = outcome("idle", "scaled to zero")
    assert not idle.failed
    assert idle.verdict[0] == "serving"
    assert idle.result["model_ready"] is None  # no pod runs, and a request would scale it from zero


def test_a_wrong_model_file_name_becomes_ready(outcome):
    assert_model_not_found(outcome("empty"))


def test_no_supporting_runtime(outcome):
    assert_no_supporting_runtime(outcome("no-runtime"))


def test_a_missing_service_account(outcome):
    missing = outcome("no-account")
    assert at_once(missing) and missing.verdict[1] == "ServiceAccountMissing"
    assert says(missing, 'serviceaccount "nobody" not found', "create the ServiceAccount or name another.")


def test_a_missing_secret_of_the_service_account(outcome):
    assert_secret_missing(outcome("no-secret"))


def test_an_object_that_is_missing_from_the_bucket(outcome):
    missing = outcome("no-object")
    assert after_grace(missing) and missing.verdict[1] == "StorageInitializerFailed"
    assert says(missing, "No model found in nothing/v1/; check storageUri and what the ServiceAccount's secret says")
    assert "No model found" in missing.log_text
