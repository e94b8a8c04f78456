# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Readiness verdicts in Standard mode against the real controller, with each cause of failure and each false Ready.

All services are created at once, before the first test. The tests check the results of inference_service_ready.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from local.settings import REPOSITORY, Settings

from .helpers import wait_until
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
    after_grace,
    assert_model_not_found,
    assert_no_supporting_runtime,
    assert_secret_missing,
    at_once,
    at_timeout,
    cluster,
    delete_namespaces,
    model_files,
    outcomes,
    says,
    service,
)

# A command that prints secrets and exits.
LEAKY_SERVER = [
    "python3",
    "-c",
    f"import sys; print('AWS_SECRET_ACCESS_KEY={PLANTED}'); print('Authorization: Bearer {PLANTED}'); "
    "sys.exit('no GPU was found')",
]


def cases(namespace: str) -> dict[str, tuple[Json, Json]]:
    """By name: an InferenceService, and the options of the module that waits for it."""

    def uri(path: str) -> Json:
        return {"storageUri": f"s3://{namespace}/{path}/"}

    # Their pods are rejected on admission, so they need neither the bucket nor the ServiceAccounts of the tests.
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


def namespaces_with_limits(namespace: str) -> list[Json]:
    """Namespaces with ResourceQuotas and a Pod Security Standard; another pod uses half of the shared quota."""
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
    """One service updated to: a good model, an unknown URI, a good model, no runtime, a corrupt and a missing model."""

    def uri(path: str) -> Json:
        return {"storageUri": f"s3://{made.namespace}/{path}/"}

    outcome: dict[str, Any] = {"first": made.run("rolled", **SERVES)}
    made.patch("rolled", storageUri="ftp://store/iris/")
    made.await_event("rolled", "StorageURI not supported")
    outcome["not taken up"] = made.run("rolled", "stale-ready-not-taken-up", timeout=3)
    made.patch("rolled", **uri("iris/v2"))
    outcome["just patched"] = made.run("rolled", "stale-ready-rolling-out", timeout=0)
    outcome["rolled out"] = made.run("rolled", "serving-after-rollout", **SERVES)
    outcome["deployment"] = made.get("deployment", "rolled-predictor")["status"]
    made.patch("rolled", runtime="not-there")
    outcome["no runtime"] = made.run("rolled", "unknown-runtime-behind-old-replica-set", **AT_ONCE)
    made.patch("rolled", runtime=RUNTIME, **uri("corrupt/v1"))
    outcome["crashing"] = made.run("rolled", "crashing-behind-old-replica-set", **AFTER_GRACE)
    made.patch("rolled", **uri("nothing/v1"))
    outcome["missing"] = made.run("rolled", "failed-download-behind-old-replica-set", **AFTER_GRACE)
    pass_the_deadline(made, "rolled")
    outcome["past the deadline"] = made.run("rolled", "past-progress-deadline", **AFTER_GRACE)
    return outcome


def pass_the_deadline(made: Cluster, name: str) -> None:
    """Shorten the progress deadline of a stuck rollout, which KServe sets to ten minutes, until it has passed.

    KServe resets the deadline, sometimes before Kubernetes has read it. The condition that Kubernetes sets remains.
    """

    def passed() -> bool:
        status = made.get("inferenceservice", name)["status"]
        if any(entry["type"] == "Ready" and entry["status"] == "False" for entry in status["conditions"]):
            return True
        words = ("deployment", f"{name}-predictor", "-n", made.namespace, "--type=merge")
        made.kubectl("patch", *words, "-p", json.dumps({"spec": {"progressDeadlineSeconds": 1}}))
        return False

    wait_until(passed, pause=0.5, what="the rollout passes its progress deadline")


def recovery(made: Cluster) -> dict[str, Any]:
    """One service that names a missing runtime, recovers, gets another probe, and is scaled to zero."""
    outcome: dict[str, Any] = {"no runtime": made.run("recovered", "unknown-runtime", **AT_ONCE)}
    made.patch("recovered", runtime=RUNTIME)
    outcome["recovered"] = made.run("recovered", "serving-with-old-failure", **SERVES)
    made.patch("recovered", readinessProbe={"tcpSocket": {"port": 8080}, "periodSeconds": 3}, workingDir="/tmp")
    outcome["probed"] = made.run("recovered", **SERVES)
    outcome["container"] = made.get("deployment", "recovered-predictor")["spec"]["template"]["spec"]["containers"][0]
    made.kubectl("scale", "deployment", "recovered-predictor", "-n", made.namespace, "--replicas=0")
    outcome["scaled to zero"] = made.run("recovered", "scaled-to-zero", timeout=3)
    annotations = {"serving.kserve.io/autoscalerClass": "external"}
    asleep = {"metadata": {"annotations": annotations}, "spec": {"predictor": {"minReplicas": 0}}}
    words = ("inferenceservice", "recovered", "-n", made.namespace, "--type=merge", "--field-manager=ansible")
    made.kubectl("patch", *words, "-p", json.dumps(asleep))
    outcome["asleep"] = made.run("recovered", **SERVES)
    return outcome


@pytest.fixture(scope="module")
def made(settings: Settings) -> Iterator[Cluster]:
    with cluster(settings, model_files(settings)) as found:
        *others, pod = namespaces_with_limits(found.namespace)

        def counted(name: str, field: str, memory: str) -> None:
            wanted = f"--for=jsonpath={{.status.{field}.limits\\.memory}}={memory}"
            words = ("resourcequota/models", "-n", f"{found.namespace}-{name}", wanted, "--timeout=60s")
            found.kubectl("wait", *words)

        try:
            # A pod that is older than the status of the quota may not be counted for five minutes.
            found.apply(*others)
            counted("quota", "hard", "256Mi")
            counted("quota-shared", "hard", "1200Mi")
            found.apply(pod)
            counted("quota-shared", "used", "256Mi")
            yield found
        finally:
            delete_namespaces(found, *(thing["metadata"]["name"] for thing in others if thing["kind"] == "Namespace"))


@pytest.fixture(scope="module")
def outcome(made: Cluster) -> Iterator[Callable[..., Any]]:
    """Start every wait, and return the outcome of one: outcome("no-account"), outcome("rolled", "crashing")."""
    iris = {"storageUri": f"s3://{made.namespace}/iris/v1/"}
    broken = cases(made.namespace)
    made.apply(
        service("rolled", made.namespace, model=iris),
        service("recovered", made.namespace, model={**iris, "runtime": "not-there"}),
        *(thing for thing, _options in broken.values()),
    )
    waits: dict[str, Callable[[], Any]] = {"rolled": partial(rollouts, made), "recovered": partial(recovery, made)}
    for name, (thing, options) in broken.items():
        waits[name] = partial(made.run, name, name, namespace=thing["metadata"]["namespace"], **options)
    with outcomes(waits) as outcome_of:
        yield outcome_of


# Services that serve, and false Ready.


def test_a_service_that_serves(outcome):
    first = outcome("rolled", "first")
    assert not first.failed
    assert first.verdict == ("serving", "ModelReady")
    assert first.result["model_ready"] is True
    assert first.result["generation"] == 1


def test_ready_stays_true_for_a_spec_that_the_controller_cannot_reconcile(outcome):
    stale = outcome("rolled", "not taken up")
    assert stale.ready == "True"
    assert at_timeout(stale) and stale.verdict == ("progressing", "SpecNotObserved")
    assert says(stale, "has not applied predictor.model.storageUri of generation 2 to the Deployment", "the events")
    assert "StorageURI not supported" in stale.event_text


def test_ready_is_stale_right_after_a_patch(outcome):
    stale = outcome("rolled", "just patched")
    assert stale.ready == "True"
    assert at_timeout(stale) and stale.verdict[0] == "progressing"
    assert stale.verdict[1] in ("SpecNotObserved", "DeploymentNotObserved", "RollingOut")
    assert says(stale, "does not serve after 0 seconds")


def test_the_patched_spec_serves_only_when_no_previous_pod_is_left(outcome):
    rolled = outcome("rolled", "rolled out")
    assert rolled.verdict == ("serving", "ModelReady")
    assert rolled.result["generation"] == 3
    status = outcome("rolled", "deployment")
    assert (status["replicas"], status["updatedReplicas"], status["availableReplicas"]) == (1, 1, 1)


def test_a_missing_runtime_while_the_previous_pods_serve(outcome):
    unknown = outcome("rolled", "no runtime")
    assert unknown.ready == "True"
    assert at_once(unknown) and unknown.verdict[1] == "RuntimeNotRecognized"
    assert says(unknown, "create the serving runtime that spec.predictor.model.runtime names, or name another.")
    assert unknown.result["generation"] == 4


def test_a_previous_replica_set_hides_crashing_pods(outcome):
    crashing = outcome("rolled", "crashing")
    assert crashing.ready == "True"
    assert after_grace(crashing) and crashing.verdict[1] == "CrashLoopBackOff"
    assert says(crashing, "container kserve-container of pod rolled-predictor-", "exit code 1 (Error); see its logs.")
    assert "model.joblib cannot be loaded" in crashing.log_text
    assert crashing.result["generation"] == 5


def test_a_failed_new_revision_while_the_previous_serves(outcome):
    missing = outcome("rolled", "missing")
    assert missing.ready == "True"
    assert after_grace(missing) and missing.verdict[1] == "StorageInitializerFailed"
    assert says(missing, "No model found in nothing/v1/; check storageUri")
    assert missing.result["generation"] == 6


def test_the_cause_is_reported_after_the_progress_deadline_too(outcome, made):
    stuck = outcome("rolled", "past the deadline")
    assert stuck.ready == "False"  # though the old pod still serves
    assert made.get("deployment", "rolled-predictor")["status"]["availableReplicas"] == 1
    assert after_grace(stuck) and stuck.verdict[1] == "StorageInitializerFailed"
    assert says(stuck, "No model found in nothing/v1/; check storageUri")


def test_a_past_failure_is_not_reported(outcome, made):
    recovered = outcome("recovered", "recovered")
    assert recovered.verdict == ("serving", "ModelReady")
    status = made.get("inferenceservice", "recovered")["status"]["modelStatus"]
    assert status["lastFailureInfo"]["reason"] == "RuntimeNotRecognized"


def test_a_field_that_is_added_serves_only_with_the_pods_that_have_it(outcome):
    assert outcome("recovered", "probed").verdict == ("serving", "ModelReady")
    container = outcome("recovered", "container")
    assert (container["readinessProbe"]["periodSeconds"], container["workingDir"]) == (3, "/tmp")


def test_scaled_to_zero_by_kubectl(outcome):
    scaled = outcome("recovered", "scaled to zero")
    assert scaled.ready == "True"
    assert at_timeout(scaled) and scaled.verdict == ("progressing", "ScaledToZero")
    assert says(scaled, "Deployment recovered-predictor is scaled to zero; scale it up to serve.")


def test_scaled_to_zero_by_its_own_autoscaler(outcome):
    asleep = outcome("recovered", "asleep")
    assert asleep.verdict == ("serving", "Serving")
    assert "it is scaled to zero" in asleep.result["message"]


def test_a_wrong_model_file_name_becomes_ready(outcome):
    empty = outcome("empty")
    assert_model_not_found(empty)
    assert empty.result["model_ready"] is False
    assert empty.event_text and empty.log_text


def test_a_wrong_model_file_name_stops_the_collections_server(outcome):
    misnamed = outcome("misnamed")
    assert after_grace(misnamed) and misnamed.verdict[1] == "CrashLoopBackOff"
    assert says(misnamed, "see its logs.")
    assert "contains no model file: add exactly one of *.joblib" in misnamed.log_text


# Failures that no waiting resolves: reported at once.


def test_stopped_by_annotation(outcome):
    stopped = outcome("stopped")
    assert at_once(stopped) and stopped.verdict[1] == "Stopped"
    assert says(stopped, "remove the annotation serving.kserve.io/stop.")


def test_no_supporting_runtime(outcome):
    unsupported = outcome("no-runtime")
    assert_no_supporting_runtime(unsupported)
    assert "no runtime found to support predictor" in unsupported.event_text


def test_a_missing_runtime(outcome):
    unknown = outcome("recovered", "no runtime")
    assert at_once(unknown) and unknown.verdict[1] == "RuntimeNotRecognized"
    assert says(unknown, "create the serving runtime that spec.predictor.model.runtime names, or name another.")
    assert "not-there" in unknown.event_text


def test_a_missing_service_account(outcome):
    missing = outcome("no-account")
    assert at_once(missing) and missing.verdict[1] == "ServiceAccountMissing"
    assert says(missing, 'serviceaccount "nobody" not found; create the ServiceAccount or name another.')
    assert "serviceaccount" in missing.event_text


def test_a_resource_quota_that_no_pod_fits(outcome):
    over = outcome("over-quota")
    assert at_once(over) and over.verdict[1] == "QuotaExceeded"
    assert says(over, "requested: limits.memory=1", "limited: limits.memory=256Mi; raise the quota or ask for less.")
    assert "exceeded quota" in over.event_text


def test_a_pod_security_standard_that_the_pod_violates(outcome):
    refused = outcome("not-restricted")
    assert at_once(refused) and refused.verdict[1] == "PodSecurityViolated"
    assert says(refused, 'violates PodSecurity "restricted:latest"', "set the securityContext")


# Failures that may resolve by themselves: reported after the grace period.


def test_a_resource_quota_that_another_pod_has_used(outcome):
    beside = outcome("beside-quota")
    assert after_grace(beside) and beside.verdict[1] == "QuotaExceeded"
    assert says(beside, "used: limits.memory=256Mi", "raise the quota or ask for less.")


def test_a_missing_secret_of_the_service_account(outcome):
    missing = outcome("no-secret")
    assert_secret_missing(missing)
    assert "not-there" in missing.event_text


def test_a_missing_secret_of_the_container(outcome):
    missing = outcome("no-secret-for-env")
    assert after_grace(missing) and missing.verdict[1] == "SecretMissing"
    assert says(missing, 'secret "not-there" not found; create it, or correct the reference to it.')
    assert "not-there" in missing.event_text


def test_a_wrong_s3_secret_key(outcome):
    wrong = outcome("wrong-key")
    assert after_grace(wrong) and wrong.verdict[1] == "StorageInitializerFailed"
    assert says(wrong, "Forbidden; check the keys in the ServiceAccount's secret and what they may read.")
    assert "Forbidden" in wrong.log_text and wrong.event_text


def test_an_object_that_is_missing_from_the_bucket(outcome):
    missing = outcome("no-object")
    assert after_grace(missing) and missing.verdict[1] == "StorageInitializerFailed"
    assert says(missing, "No model found in nothing/v1/; check storageUri and what the ServiceAccount's secret says")
    assert "No model found" in missing.log_text and missing.event_text


def test_an_image_that_cannot_be_pulled(outcome):
    unpulled = outcome("no-image")
    assert after_grace(unpulled) and unpulled.verdict[1] == "ImagePullBackOff"
    assert says(unpulled, "lookup registry.invalid", "check the image's name, the registry and imagePullSecrets.")
    assert "registry.invalid/sklearnserver:v1" in unpulled.event_text


def test_a_pod_that_no_node_can_schedule(outcome):
    pending = outcome("no-node")
    assert after_grace(pending) and pending.verdict[1] == "Unschedulable"
    assert says(pending, "0/1 nodes are available", "or change the requested resources, node selector or tolerations.")
    assert "0/1 nodes are available" in pending.event_text


def test_secrets_that_a_container_prints_are_masked(outcome):
    leaky = outcome("leaky")
    assert after_grace(leaky) and leaky.verdict[1] == "CrashLoopBackOff"
    assert says(leaky, "exit code 1 (Error)", "see its logs.")
    assert "AWS_SECRET_ACCESS_KEY=********" in leaky.log_text
    assert "no GPU was found" in leaky.log_text
    assert PLANTED not in json.dumps(leaky.result)


# States that the objects do not show.


def test_a_storage_uri_that_kserve_does_not_support(outcome):
    unknown = outcome("unknown-store")
    assert at_timeout(unknown) and unknown.verdict == ("progressing", "DeploymentMissing")
    assert says(unknown, "does not serve after 8 seconds", "if this lasts, see its log and the events.")
    assert "StorageURI not supported" in unknown.event_text


# Run by a user.


def test_ansible_prints_the_message_and_no_secret(outcome, made, playbook_env):
    outcome("leaky")
    options = {"name": "leaky", "namespace": made.namespace, "timeout": 60, "grace_period": 0}
    words = ["localhost", "-m", "hashfoundry.kserve.inference_service_ready", "-vvv", "--diff"]
    result = subprocess.run(
        [Path(sys.executable).with_name("ansible"), *words, "-a", json.dumps(options)],
        cwd=REPOSITORY,
        env={**playbook_env, "K8S_AUTH_KUBECONFIG": str(made.settings.kubeconfig)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode != 0
    assert f"InferenceService leaky in namespace {made.namespace} does not serve: The container kserve" in result.stdout
    assert "Traceback" not in result.stdout + result.stderr
    assert PLANTED not in result.stdout + result.stderr
