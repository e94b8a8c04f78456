# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every way in which an InferenceService in Standard mode does not serve, or seems to, against the real controller.

All services are made and waited for at once, before the first test, and the tests look at what the module has told.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from local.settings import REPOSITORY, Settings

from .trap_cluster import (
    AFTER_GRACE,
    AT_ONCE,
    AT_TIMEOUT,
    EMPTY_SERVER,
    PLANTED,
    RUNTIME,
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
    taken_away,
)

# A program that prints secrets and ends.
LEAKY_SERVER = [
    "python3",
    "-c",
    f"import sys; print('AWS_SECRET_ACCESS_KEY={PLANTED}'); print('Authorization: Bearer {PLANTED}'); "
    "sys.exit('no GPU was found')",
]


def traps(namespace: str) -> dict[str, tuple[Json, Json]]:
    """By name: an InferenceService, and the options with which it is waited for."""

    def uri(path: str) -> Json:
        return {"storageUri": f"s3://{namespace}/{path}/"}

    # Pods that are refused: nothing of the tests' own is needed for them.
    refused = {"account": "default", "predictor": {"storageContainerName": "default"}}
    good, misnamed = uri("iris/v1"), uri("misnamed/v1")
    reference = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "not-there", "key": "token"}}}
    made: dict[str, tuple[Json, Json]] = {
        "no-account": (AT_ONCE, {"account": "nobody"}),
        "no-secret": (AFTER_GRACE, {"account": "forgetful"}),
        "no-secret-for-env": (AFTER_GRACE, {"model": {**good, "env": [reference]}}),
        "wrong-key": (AFTER_GRACE, {"account": "stranger"}),
        "no-object": (AFTER_GRACE, {"model": uri("nothing/v1")}),
        "misnamed": (AFTER_GRACE, {"model": misnamed}),
        "empty": (AFTER_GRACE, {"model": {**misnamed, "command": EMPTY_SERVER}}),
        "leaky": (AFTER_GRACE, {"model": {**good, "command": LEAKY_SERVER}}),
        "no-runtime": (AT_ONCE, {"model": {**good, "modelFormat": {"name": "cobol"}, "runtime": None}}),
        "no-image": (AFTER_GRACE, {"model": {**good, "image": "registry.invalid/sklearnserver:v1"}}),
        "no-node": (AFTER_GRACE, {"predictor": {"nodeSelector": {"hashfoundry.local/gpu": "yes"}}}),
        "stopped": (AT_ONCE, {"annotations": {"serving.kserve.io/stop": "true"}}),
        "unknown-store": (AT_TIMEOUT, {"model": {"storageUri": "ftp://store/iris/"}}),
        "over-quota": (AT_ONCE, {"namespace": f"{namespace}-quota", **refused}),
        "beside-quota": (AFTER_GRACE, {"namespace": f"{namespace}-quota-shared", **refused}),
        "not-restricted": (AT_ONCE, {"namespace": f"{namespace}-restricted", **refused}),
    }
    return {
        name: (service(name, parts.pop("namespace", namespace), **{"model": good, **parts}), options)
        for name, (options, parts) in made.items()
    }


def surroundings(namespace: str) -> list[Json]:
    """The namespaces with quotas and a pod security standard; half of the shared quota is another pod's."""
    names = [f"{namespace}-quota", f"{namespace}-quota-shared", f"{namespace}-restricted"]
    label = {"pod-security.kubernetes.io/enforce": "restricted"}
    things: list[Json] = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names]
    things[2]["metadata"]["labels"] = label
    for name, memory in (("quota", "256Mi"), ("quota-shared", "1200Mi")):
        metadata = {"name": "models", "namespace": f"{namespace}-{name}"}
        spec = {"hard": {"limits.memory": memory}}
        things.append({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": spec})
    pause = {"name": "other", "image": "registry.invalid/other:v1", "resources": {"limits": {"memory": "256Mi"}}}
    metadata = {"name": "other", "namespace": f"{namespace}-quota-shared"}
    spec = {"containers": [pause], "nodeSelector": {"hashfoundry.local/gpu": "yes"}}
    return [*things, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}]


def rollouts(made: Cluster) -> dict[str, Any]:
    """One service through its versions: good, unknown, good, without a runtime, corrupt, missing."""

    def uri(path: str) -> Json:
        return {"storageUri": f"s3://{made.namespace}/{path}/"}

    told: dict[str, Any] = {"first": made.tell("rolled", **SERVES)}
    made.patch("rolled", storageUri="ftp://store/iris/")
    made.await_event("rolled", "StorageURI not supported")
    told["not taken up"] = made.tell("rolled", "stale-ready-not-taken-up", timeout=3)
    made.patch("rolled", **uri("iris/v2"))
    told["just patched"] = made.tell("rolled", "stale-ready-rolling-out", timeout=0)
    told["rolled out"] = made.tell("rolled", "serving-after-rollout", **SERVES)
    told["deployment"] = made.get("deployment", "rolled-predictor")["status"]
    made.patch("rolled", runtime="not-there")
    told["no runtime"] = made.tell("rolled", "unknown-runtime-behind-old-replica-set", **AT_ONCE)
    made.patch("rolled", runtime=RUNTIME, **uri("corrupt/v1"))
    told["crashing"] = made.tell("rolled", "crashing-behind-old-replica-set", **AFTER_GRACE)
    made.patch("rolled", **uri("nothing/v1"))
    told["missing"] = made.tell("rolled", "failed-download-behind-old-replica-set", **AFTER_GRACE)
    pass_the_deadline(made, "rolled")
    told["past the deadline"] = made.tell("rolled", "past-progress-deadline", **AFTER_GRACE)
    return told


def pass_the_deadline(made: Cluster, name: str) -> None:
    """Let a rollout that is stuck pass its progress deadline before the ten minutes that KServe gives it are over.

    KServe puts the deadline back, sometimes before Kubernetes has seen it; what Kubernetes has concluded stays.
    """
    deadline = time.monotonic() + 120
    while True:
        status = made.get("inferenceservice", name)["status"]
        if any(entry["type"] == "Ready" and entry["status"] == "False" for entry in status["conditions"]):
            return
        assert time.monotonic() < deadline, "the rollout does not pass its progress deadline"
        words = ("deployment", f"{name}-predictor", "-n", made.namespace, "--type=merge")
        made.kubectl("patch", *words, "-p", json.dumps({"spec": {"progressDeadlineSeconds": 1}}))
        time.sleep(0.5)


def recovery(made: Cluster) -> dict[str, Told]:
    """One service that names a runtime that is not there, recovers, and is scaled to zero."""
    told = {"no runtime": made.tell("recovered", "unknown-runtime", **AT_ONCE)}
    made.patch("recovered", runtime=RUNTIME)
    told["recovered"] = made.tell("recovered", "serving-with-old-failure", **SERVES)
    made.kubectl("scale", "deployment", "recovered-predictor", "-n", made.namespace, "--replicas=0")
    told["scaled to zero"] = made.tell("recovered", "scaled-to-zero", timeout=3)
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
        *others, pod = surroundings(found.namespace)

        def counted(name: str, field: str, memory: str) -> None:
            wanted = f"--for=jsonpath={{.status.{field}.limits\\.memory}}={memory}"
            words = ("resourcequota/models", "-n", f"{found.namespace}-{name}", wanted, "--timeout=60s")
            found.kubectl("wait", *words)

        try:
            # A pod that is made before the quota's controller has taken it up may not be counted for five minutes.
            found.apply(*others)
            counted("quota", "hard", "256Mi")
            counted("quota-shared", "hard", "1200Mi")
            found.apply(pod)
            counted("quota-shared", "used", "256Mi")
            yield found
        finally:
            taken_away(found, *(thing["metadata"]["name"] for thing in others if thing["kind"] == "Namespace"))


@pytest.fixture(scope="module")
def told(made: Cluster) -> Iterator[Callable[..., Any]]:
    """Begin every wait; give what a wait has told: told("no-account"), told("rolled", "crashing")."""
    iris = {"storageUri": f"s3://{made.namespace}/iris/v1/"}
    broken = traps(made.namespace)
    made.apply(
        service("rolled", made.namespace, model=iris),
        service("recovered", made.namespace, model={**iris, "runtime": "not-there"}),
        *(thing for thing, _options in broken.values()),
    )
    with ThreadPoolExecutor(len(broken) + 2) as pool:
        waits: dict[str, Future[Any]] = {
            "rolled": pool.submit(rollouts, made),
            "recovered": pool.submit(recovery, made),
        }
        for name, (thing, options) in broken.items():
            namespace = thing["metadata"]["namespace"]
            waits[name] = pool.submit(made.tell, name, name, namespace=namespace, **options)
        yield lambda name, step=None: waits[name].result()[step] if step else waits[name].result()


# What serves, and what only seems to.


def test_a_service_that_serves(told):
    first = told("rolled", "first")
    assert not first.failed
    assert first.verdict == ("serving", "ModelReady")
    assert first.result["model_ready"] is True
    assert first.result["generation"] == 1


def test_ready_stays_true_for_a_spec_that_the_controller_cannot_take_up(told):
    stale = told("rolled", "not taken up")
    assert stale.ready == "True"
    assert at_timeout(stale) and stale.verdict == ("progressing", "SpecNotObserved")
    assert says(stale, "has not applied predictor.model.storageUri of generation 2 to the Deployment", "the events")
    assert "StorageURI not supported" in stale.event_text


def test_ready_is_stale_right_after_a_patch(told):
    stale = told("rolled", "just patched")
    assert stale.ready == "True"
    assert at_timeout(stale) and stale.verdict[0] == "progressing"
    assert stale.verdict[1] in ("SpecNotObserved", "DeploymentNotObserved", "RollingOut")
    assert says(stale, "does not serve after 0 seconds")


def test_the_patched_spec_serves_only_when_no_old_pod_is_left(told):
    rolled = told("rolled", "rolled out")
    assert rolled.verdict == ("serving", "ModelReady")
    assert rolled.result["generation"] == 3
    status = told("rolled", "deployment")
    assert (status["replicas"], status["updatedReplicas"], status["availableReplicas"]) == (1, 1, 1)


def test_a_runtime_that_is_not_there_while_the_old_serves(told):
    unknown = told("rolled", "no runtime")
    assert unknown.ready == "True"
    assert at_once(unknown) and unknown.verdict[1] == "RuntimeNotRecognized"
    assert says(unknown, "create the serving runtime that spec.predictor.model.runtime names, or name another.")
    assert unknown.result["generation"] == 4


def test_an_old_replica_set_covers_for_crashing_pods(told):
    crashing = told("rolled", "crashing")
    assert crashing.ready == "True"
    assert after_grace(crashing) and crashing.verdict[1] == "CrashLoopBackOff"
    assert says(crashing, "container kserve-container of pod rolled-predictor-", "exit code 1 (Error); see its logs.")
    assert "model.joblib cannot be loaded" in crashing.log_text
    assert crashing.result["generation"] == 5


def test_a_failed_new_revision_while_the_old_serves(told):
    missing = told("rolled", "missing")
    assert missing.ready == "True"
    assert after_grace(missing) and missing.verdict[1] == "StorageInitializerFailed"
    assert says(missing, "No model found in nothing/v1/; check storageUri")
    assert missing.result["generation"] == 6


def test_the_cause_is_told_past_the_progress_deadline_too(told, made):
    stuck = told("rolled", "past the deadline")
    assert stuck.ready == "False"  # though the old pod still serves
    assert made.get("deployment", "rolled-predictor")["status"]["availableReplicas"] == 1
    assert after_grace(stuck) and stuck.verdict[1] == "StorageInitializerFailed"
    assert says(stuck, "No model found in nothing/v1/; check storageUri")


def test_the_failure_of_long_ago_is_not_todays(told, made):
    recovered = told("recovered", "recovered")
    assert recovered.verdict == ("serving", "ModelReady")
    status = made.get("inferenceservice", "recovered")["status"]["modelStatus"]
    assert status["lastFailureInfo"]["reason"] == "RuntimeNotRecognized"


def test_scaled_to_zero_by_hand(told):
    scaled = told("recovered", "scaled to zero")
    assert scaled.ready == "True"
    assert at_timeout(scaled) and scaled.verdict == ("progressing", "ScaledToZero")
    assert says(scaled, "Deployment recovered-predictor is scaled to zero; scale it up to serve.")


def test_a_wrong_model_file_name_goes_ready(told):
    empty = told("empty")
    assert empty.ready == "True"
    assert after_grace(empty) and empty.verdict[1] == "ModelNotFound"
    assert says(empty, "runs without the model empty (404", "check that storageUri holds exactly one model file")
    assert empty.result["model_ready"] is False
    assert empty.event_text and empty.log_text


def test_a_wrong_model_file_name_ends_the_collections_server(told):
    misnamed = told("misnamed")
    assert after_grace(misnamed) and misnamed.verdict[1] == "CrashLoopBackOff"
    assert says(misnamed, "see its logs.")
    assert "holds no model file: put exactly one of *.joblib" in misnamed.log_text


# What will not serve whatever time passes.


def test_stopped_by_annotation(told):
    stopped = told("stopped")
    assert at_once(stopped) and stopped.verdict[1] == "Stopped"
    assert says(stopped, "remove the annotation serving.kserve.io/stop.")


def test_no_supporting_runtime(told):
    unsupported = told("no-runtime")
    assert at_once(unsupported) and unsupported.verdict[1] == "NoSupportingRuntime"
    assert says(unsupported, "install a serving runtime for this model format and protocol version, or name another.")
    assert "no runtime found to support predictor" in unsupported.event_text


def test_a_runtime_that_is_not_there(told):
    unknown = told("recovered", "no runtime")
    assert at_once(unknown) and unknown.verdict[1] == "RuntimeNotRecognized"
    assert says(unknown, "create the serving runtime that spec.predictor.model.runtime names, or name another.")
    assert "not-there" in unknown.event_text


def test_a_service_account_that_is_not_there(told):
    missing = told("no-account")
    assert at_once(missing) and missing.verdict[1] == "ServiceAccountMissing"
    assert says(missing, 'serviceaccount "nobody" not found; create the ServiceAccount or name another.')
    assert "serviceaccount" in missing.event_text


def test_a_quota_that_no_pod_fits_into(told):
    over = told("over-quota")
    assert at_once(over) and over.verdict[1] == "QuotaExceeded"
    assert says(over, "requested: limits.memory=1", "limited: limits.memory=256Mi; raise the quota or ask for less.")
    assert "exceeded quota" in over.event_text


def test_a_pod_security_standard_that_the_pod_violates(told):
    refused = told("not-restricted")
    assert at_once(refused) and refused.verdict[1] == "PodSecurityViolated"
    assert says(refused, 'violates PodSecurity "restricted:latest"', "set the securityContext")


# What may pass, and did not within the grace period.


def test_a_quota_that_others_have_used_up(told):
    beside = told("beside-quota")
    assert after_grace(beside) and beside.verdict[1] == "QuotaExceeded"
    assert says(beside, "used: limits.memory=256Mi", "raise the quota or ask for less.")


def test_a_secret_that_the_service_account_names_is_not_there(told):
    missing = told("no-secret")
    assert after_grace(missing) and missing.verdict[1] == "SecretMissing"
    assert says(missing, 'secrets "not-there" not found; create the Secret, or remove it from the ServiceAccount.')
    assert "not-there" in missing.event_text


def test_a_secret_that_the_container_names_is_not_there(told):
    missing = told("no-secret-for-env")
    assert after_grace(missing) and missing.verdict[1] == "SecretMissing"
    assert says(missing, 'secret "not-there" not found; create it, or correct the reference to it.')
    assert "not-there" in missing.event_text


def test_a_wrong_s3_key(told):
    wrong = told("wrong-key")
    assert after_grace(wrong) and wrong.verdict[1] == "StorageInitializerFailed"
    assert says(wrong, "Forbidden; check the keys in the ServiceAccount's secret and what they may read.")
    assert "Forbidden" in wrong.log_text and wrong.event_text


def test_an_object_that_is_not_in_the_bucket(told):
    missing = told("no-object")
    assert after_grace(missing) and missing.verdict[1] == "StorageInitializerFailed"
    assert says(missing, "No model found in nothing/v1/; check storageUri and what the ServiceAccount's secret says")
    assert "No model found" in missing.log_text and missing.event_text


def test_an_image_that_cannot_be_pulled(told):
    unpulled = told("no-image")
    assert after_grace(unpulled) and unpulled.verdict[1] == "ImagePullBackOff"
    assert says(unpulled, "lookup registry.invalid", "check the image's name, the registry and imagePullSecrets.")
    assert "registry.invalid/sklearnserver:v1" in unpulled.event_text


def test_a_pod_that_no_node_takes(told):
    pending = told("no-node")
    assert after_grace(pending) and pending.verdict[1] == "Unschedulable"
    assert says(pending, "0/1 nodes are available", "or change the requested resources, node selector or tolerations.")
    assert "0/1 nodes are available" in pending.event_text


def test_secrets_that_a_container_prints_are_masked(told):
    leaky = told("leaky")
    assert after_grace(leaky) and leaky.verdict[1] == "CrashLoopBackOff"
    assert says(leaky, "exit code 1 (Error)", "see its logs.")
    assert "AWS_SECRET_ACCESS_KEY=********" in leaky.log_text
    assert "no GPU was found" in leaky.log_text
    assert PLANTED not in json.dumps(leaky.result)


# What is not told from the objects.


def test_a_store_that_kserve_does_not_know(told):
    unknown = told("unknown-store")
    assert at_timeout(unknown) and unknown.verdict == ("progressing", "DeploymentMissing")
    assert says(unknown, "does not serve after 8 seconds", "if this lasts, see its log and the events.")
    assert "StorageURI not supported" in unknown.event_text


# As a user runs it.


def test_ansible_prints_the_sentence_and_no_secret(told, made, playbook_env):
    told("leaky")
    options = {"name": "leaky", "namespace": made.namespace, "timeout": 60, "grace_period": 0}
    words = ["localhost", "-m", "hashfoundry.kserve.inference_service_ready", "-vvv", "--diff"]
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible"), *words, "-a", json.dumps(options)],
        cwd=REPOSITORY,
        env={**playbook_env, "K8S_AUTH_KUBECONFIG": str(made.settings.kubeconfig)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode != 0
    assert f"InferenceService leaky in namespace {made.namespace} does not serve: The container kserve" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert PLANTED not in done.stdout + done.stderr
