# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._health.verdict import (
    GracePeriod,
    State,
    degraded,
    failed,
    progressing,
    worst,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_service.readiness import (
    Objects,
    current_pods,
    deployment_mode,
    judge,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_service.spec_match import unmatched_field

from ..cluster_fixtures import FIXTURES, load, objects

CASES = load("verdicts")

# The recordings of tests/integration for each case, with the verdict, and words of the message.
RECORDED = {
    "serving-after-rollout": (State.SERVING, "Serving", ""),
    "serving-with-old-failure": (State.SERVING, "Serving", ""),
    "serving-with-ingress": (State.SERVING, "Serving", ""),
    "knative-serving": (State.SERVING, "Serving", ""),
    "knative-serving-after-rollout": (State.SERVING, "Serving", ""),
    "knative-scaled-to-zero": (State.SERVING, "Serving", ""),
    "stale-ready-not-taken-up": (State.PROGRESSING, "SpecNotObserved", "model.storageUri of generation 2"),
    "stale-ready-rolling-out": (State.PROGRESSING, "RollingOut", "1 of them new and 1 old"),
    "knative-rolling-out": (State.PROGRESSING, "RevisionNotReady", "rolled-predictor-00002 is not ready"),
    "knative-stale-ready": (State.PROGRESSING, "SpecNotObserved", "model.storageUri of generation 2"),
    "crashing-behind-old-replica-set": (State.DEGRADED, "CrashLoopBackOff", "exit code 1 (Error); see its logs"),
    "failed-download-behind-old-replica-set": (State.DEGRADED, "StorageInitializerFailed", "check storageUri"),
    "past-progress-deadline": (State.DEGRADED, "StorageInitializerFailed", "check storageUri"),
    "knative-failed-revision": (State.DEGRADED, "CrashLoopBackOff", "rolled-predictor-00003-deployment"),
    "route-without-gateway": (State.PROGRESSING, "RouteNotAccepted", "check that its Gateway exists"),
    "scaled-to-zero": (State.PROGRESSING, "ScaledToZero", "scale it up to serve"),
    "stopped": (State.FAILED, "Stopped", "remove the annotation serving.kserve.io/stop"),
    "no-runtime": (State.FAILED, "NoSupportingRuntime", "install a serving runtime"),
    "knative-no-runtime": (State.FAILED, "NoSupportingRuntime", "install a serving runtime"),
    "unknown-runtime": (State.FAILED, "RuntimeNotRecognized", "create the serving runtime"),
    "unknown-runtime-behind-old-replica-set": (State.FAILED, "RuntimeNotRecognized", "create the serving runtime"),
    "unknown-store": (State.PROGRESSING, "DeploymentMissing", "see its log and the events"),
    "no-account": (State.FAILED, "ServiceAccountMissing", "create the ServiceAccount or name another"),
    "knative-no-account": (State.FAILED, "ServiceAccountMissing", "create the ServiceAccount or name another"),
    "over-quota": (State.FAILED, "QuotaExceeded", "limited: limits.memory=256Mi; raise the quota"),
    "beside-quota": (State.DEGRADED, "QuotaExceeded", "used: limits.memory=256Mi"),
    "not-restricted": (State.FAILED, "PodSecurityViolated", "set the securityContext"),
    "no-secret": (State.DEGRADED, "SecretMissing", "create the Secret, or remove it from the ServiceAccount"),
    "knative-no-secret": (State.DEGRADED, "SecretMissing", "create the Secret, or remove it from the ServiceAccount"),
    "no-secret-for-env": (State.DEGRADED, "SecretMissing", "create it, or correct the reference to it"),
    "wrong-key": (State.DEGRADED, "StorageInitializerFailed", "check the keys in the ServiceAccount's secret"),
    "no-object": (State.DEGRADED, "StorageInitializerFailed", "No model found in nothing/v1/; check storageUri"),
    "knative-no-object": (State.DEGRADED, "StorageInitializerFailed", "No model found in nothing/v1/"),
    "misnamed": (State.DEGRADED, "CrashLoopBackOff", "see its logs"),
    # Only the model itself reports what is wrong.
    "empty": (State.SERVING, "Serving", ""),
    "knative-empty": (State.SERVING, "Serving", ""),
    "leaky": (State.DEGRADED, "CrashLoopBackOff", "see its logs"),
    "no-image": (State.DEGRADED, "ImagePullBackOff", "lookup registry.invalid"),
    "no-node": (State.DEGRADED, "Unschedulable", "0/1 nodes are available"),
}


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_verdict(case: dict[str, Any]) -> None:
    verdict = judge(objects(case["base"], case.get("changes")))
    assert [verdict.state.value, verdict.reason] == case["verdict"]
    assert case.get("says", "") in verdict.message
    assert "PLANTED" not in verdict.message
    assert "\n" not in verdict.message and verdict.message.endswith(".")


@pytest.mark.parametrize(
    ("name", "mode", "canary", "too_long"),
    [
        ("i" * 49, "Standard", [], True),
        ("i" * 49, "Knative", [], False),
        ("i" * 49, None, [], False),  # the cluster's default is unknown
        ("i" * 54, "Knative", [], True),
        ("i" * 46, "Standard", [{"predictor": {"name": "next"}}], True),
    ],
)
def test_a_name_that_is_too_long_fails_at_once(name: str, mode: str | None, canary: list[Any], too_long: bool) -> None:
    annotations = {"serving.kserve.io/deploymentMode": mode} if mode else {}
    service = {
        "metadata": {"name": name, "uid": "u", "annotations": annotations},
        "spec": {"predictor": {"model": {}}, "canary": canary},
    }
    verdict = judge(Objects(service))
    assert (verdict.reason == "NameTooLong") == too_long, verdict
    assert (verdict.state is State.FAILED) == too_long


@pytest.mark.parametrize("trap", RECORDED)
def test_verdict_on_recorded_objects(trap: str) -> None:
    state, reason, says = RECORDED[trap]
    verdict = judge(objects(f"recorded/{trap}"))
    assert (verdict.state, verdict.reason) == (state, reason)
    assert says in verdict.message
    assert "PLANTED" not in verdict.message
    assert "\n" not in verdict.message and verdict.message.endswith(".")


def test_every_recording_has_a_case() -> None:
    assert {file.stem for file in (FIXTURES / "recorded").iterdir()} == set(RECORDED)


def test_every_state_has_a_case() -> None:
    assert {case["verdict"][0] for case in CASES} == {state.value for state in State}


def test_current_pods_are_those_of_the_current_replica_set() -> None:
    whole = objects("standard_serving")
    assert [pod["metadata"]["name"] for pod in current_pods(whole)] == ["iris-predictor-new-a"]
    old = {"Deployment/iris-predictor": {"metadata": {"annotations": {"deployment.kubernetes.io/revision": "1"}}}}
    assert current_pods(objects("standard_serving", old)) == []
    assert current_pods(objects("standard_serving", {"InferenceService/iris": None})) == []


@pytest.mark.parametrize(
    ("status", "annotation", "mode"),
    [
        ("RawDeployment", None, "Standard"),
        ("Serverless", None, "Knative"),
        (None, "Knative", "Knative"),
        (None, None, "Standard"),
        ("Standard", "Knative", "Standard"),
    ],
)
def test_deployment_mode(status: str | None, annotation: str | None, mode: str) -> None:
    annotations = {"serving.kserve.io/deploymentMode": annotation} if annotation else None
    service = {"metadata": {"annotations": annotations}, "status": {"deploymentMode": status}}
    assert deployment_mode(service) == mode


def deployment(container: dict[str, Any], init: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    container = {"name": "kserve-container", **container}
    return {"spec": {"template": {"spec": {"containers": [container], "initContainers": init or []}}}}


@pytest.mark.parametrize(
    ("spec", "container", "field"),
    [
        ({"containers": [{"image": "a:1"}]}, {"image": "a:1"}, None),
        ({"containers": [{"image": "a:2"}]}, {"image": "a:1"}, "image"),
        ({"containers": [{"name": "kserve-container", "args": ["x"]}]}, {"args": ["x", "--added=1"]}, None),
        ({"containers": [{"name": "kserve-container", "args": ["x", "y"]}]}, {"args": ["x"]}, "args"),
        ({"model": {"args": ["y"]}}, {"args": ["x", "y"]}, None),
        ({"model": {"args": ["x"]}}, {"args": ["x", "y"]}, "args"),
        ({"model": {"runtimeVersion": "2"}}, {"image": "a:2"}, None),
        ({"model": {"runtimeVersion": "2"}}, {"image": "a@sha256:00"}, None),
        ({"model": {"runtimeVersion": "3"}}, {"image": "a:2"}, "model.runtimeVersion"),
        ({"model": {"image": "a:1"}}, {"image": "a:1-gpu"}, None),
        ({"model": {"image": "a/vllm:1"}}, {"image": "a/vllm-cpu:1"}, None),
        ({"model": {"command": ["a", "b"]}}, {"command": ["a"]}, "command"),
        ({"model": {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}},
         {"env": [{"name": "B"}, {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}, None),
        ({"model": {"env": [{"name": "A", "value": "1"}]}}, {"env": [{"name": "A", "value": "1.0"}]}, "env"),
        ({"model": {"env": [{"name": "A", "value": ""}]}}, {"env": [{"name": "A"}]}, None),
        ({"model": {"resources": {"limits": {"cpu": "0.5", "memory": "1G"}}}},
         {"resources": {"limits": {"cpu": "500m", "memory": "1000M"}}}, None),
        ({"model": {"resources": {"limits": {"cpu": 1}}}}, {"resources": {"requests": {"cpu": "1"}}}, "resources"),
        ({"model": {"resources": {"limits": {"x/gpu": 4}}}, "workerSpec": {"size": 1}}, {}, None),
        ({"model": {}, "nodeSelector": {"gpu": "yes"}}, {}, "nodeSelector"),
    ],
)  # fmt: skip
def test_fields_of_the_spec_that_the_deployment_must_have(
    spec: dict[str, Any], container: dict[str, Any], field: str | None
) -> None:
    assert unmatched_field(spec, deployment(container)) == field


def test_several_storage_uris_are_arguments_of_the_init_container_unless_mounted() -> None:
    spec = {"model": {}, "storageUris": [{"uri": "s3://a/b", "mountPath": "/mnt/a"}, {"uri": "pvc://c/d"}]}
    assert (
        unmatched_field(spec, deployment({}, [{"name": "storage-initializer", "args": ["s3://a/b", "/mnt/a"]}])) is None
    )
    assert (
        unmatched_field(spec, deployment({}, [{"name": "storage-initializer", "args": ["s3://a/x", "/mnt/a"]}]))
        == "storageUris"
    )


def test_the_grace_period_spans_several_reasons() -> None:
    patience = GracePeriod(30)
    assert patience.left(0) is None
    assert patience.judge(degraded("ErrImagePull", ""), 100).state is State.DEGRADED
    assert patience.judge(degraded("CrashLoopBackOff", ""), 129).state is State.DEGRADED
    assert patience.left(129) == 1
    ended = patience.judge(degraded("CrashLoopBackOff", "why"), 130)
    assert (ended.state, ended.reason, ended.message) == (State.FAILED, "CrashLoopBackOff", "why")


def test_the_grace_period_restarts_after_recovery() -> None:
    patience = GracePeriod(30)
    patience.judge(degraded("A", ""), 0)
    assert patience.judge(progressing("B", ""), 20).state is State.PROGRESSING
    assert patience.judge(degraded("A", ""), 40).state is State.DEGRADED
    assert patience.left(40) == 30


def test_without_a_grace_period_a_failure_is_immediate() -> None:
    assert GracePeriod(0).judge(degraded("A", ""), 0).state is State.FAILED


def test_worst() -> None:
    verdicts = [None, progressing("a", ""), degraded("b", ""), degraded("c", ""), failed("d", "")]
    assert worst(verdicts) == verdicts[4]
    assert worst(verdicts[:4]) == verdicts[2]
    assert worst([None]) is None
