# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Models are defined by a list: one entry adds a third model, and a model that does not match is not served."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from local import demo
from local.settings import REPOSITORY, Settings
from tests.integration.conftest import OnNode, reason

from .helpers import one_line, s3_client

BUCKET = "hashfoundry-ml-models"
Kubectl = Callable[..., str]
Playbook = Callable[..., "subprocess.CompletedProcess[str]"]
THIRD = "third-classifier"
# The iris recipe under another name.
TRAIN = (
    "import dataclasses, sys; from model.command import run; from model.iris.recipe import RECIPE; "
    f"sys.exit(run(dataclasses.replace(RECIPE, name='{THIRD}'), 'model.iris', sys.argv[1:]))"
)


def inventory() -> list[dict[str, Any]]:
    """The models of the local inventory, without templating."""
    text = (REPOSITORY / "inventories" / "local" / "group_vars" / "clusters.yml").read_text()
    models: list[dict[str, Any]] = yaml.safe_load(text)["models"]
    return models


@pytest.fixture
def store(settings: Settings) -> Any:
    return s3_client(settings)


def keys(store: Any, name: str) -> list[str]:
    return [entry["Key"] for entry in store.list_objects_v2(Bucket=BUCKET, Prefix=f"{name}/").get("Contents", [])]


@pytest.fixture
def third(kubectl: Kubectl, on_node: OnNode, store: Any, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """The entry of a third model, which is deleted after the test."""
    folder = str(tmp_path / THIRD / "v1")
    yield {
        "name": THIRD,
        "version": "v1",
        "source": {"folder": folder, "command": [sys.executable, "-c", TRAIN, "--output", folder, "--version", "v1"]},
        "format": "sklearn",
        "runtime": "kserve-sklearnserver",
        "storage": "pvc",
        "volume": "models",
        "resources": {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}},
        "scaling": {"max_replicas": 2},
        "owner": "a-team",
        "labels": {"tier": "third"},
    }
    kubectl("delete", "inferenceservice", THIRD, "-n", "ml-models", "--ignore-not-found")
    kubectl("delete", "jobs", "-n", "ml-models", "-l", f"kserve.hashfoundry.io/model={THIRD}")
    for key in keys(store, THIRD):
        store.delete_object(Bucket=BUCKET, Key=key)
    on_node("rm", "-rf", f"/srv/{THIRD}")


def test_a_third_model_takes_one_entry_and_absent_deletes_it(
    playbook: Playbook, kubectl: Kubectl, store: Any, third: dict[str, Any]
) -> None:
    words = json.dumps({"models": [*inventory(), third]})
    stages = [f"playbooks/{stage}.yml" for stage in ("train", "storage", "serving", "verify")]
    result = playbook(*stages, "-e", words)
    assert result.returncode == 0, reason(result)
    for protocol in ("v1", "v2"):
        assert f"ok: [local] => (item={THIRD} {protocol})" in result.stdout
    # An unchanged model is not measured again.
    result = playbook("playbooks/storage.yml", "playbooks/serving.yml", "playbooks/verify.yml", "-e", words)
    assert result.returncode == 0 and "changed=0" in result.stdout, reason(result)
    assert f"(item={THIRD} " not in result.stdout
    service = json.loads(kubectl("get", "inferenceservice", THIRD, "-n", "ml-models", "-o", "json"))
    labels = service["metadata"]["labels"]
    assert (labels["kserve.hashfoundry.io/owner"], labels["tier"]) == ("a-team", "third")
    # Without the model folder, the examples are downloaded from the bucket.
    stored = {key: value for key, value in third.items() if key != "source"}
    result = playbook("playbooks/verify.yml", "-e", json.dumps({"models": [stored]}))
    assert result.returncode == 0, reason(result)
    assert f"ok: [local] => (item={THIRD} v2)" in result.stdout and "changed=0" in result.stdout
    predictor = service["spec"]["predictor"]
    assert predictor["model"]["storageUri"] == f"pvc://models/{THIRD}/v1"
    assert predictor["maxReplicas"] == 2
    tags = ("playbooks/serving.yml", "--tags", "cluster_preflight,model_storage,model_serving")
    result = playbook(*tags, "-e", json.dumps({"models": inventory()}))
    assert f"{THIRD} in the namespace ml-models goes on serving" in one_line(result.stdout)
    result = playbook(*tags, "-e", json.dumps({"models": [*inventory(), {"name": THIRD, "state": "absent"}]}))
    assert result.returncode == 0, reason(result)
    assert kubectl("get", "inferenceservice", THIRD, "-n", "ml-models", "--ignore-not-found") == ""
    assert keys(store, THIRD)


def test_kserve_and_the_api_server_accept_every_key_of_an_entry(playbook: Playbook) -> None:
    """In check mode each object is sent as a server-side dry run, through KServe's webhooks."""
    small = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}}
    plain = {"version": "v1", "format": "sklearn", "runtime": "kserve-sklearnserver", "resources": small}
    models = [
        {**plain, "name": "from-image", "storage": "oci", "image": "registry.example.com/m:1", "exposure": "none"},
        {**plain, "name": "elsewhere", "storage": "uri", "uri": "gs://public/iris", "digest": "sha256:" + "0" * 64}
        | {"timeout": "1m30s", "retries": 3},
        {**plain, "name": "twice", "scaling": {"min_replicas": 2, "max_replicas": 4}, "exposure": "ingress"},
    ]
    tags = ("--check", "--diff", "--tags", "cluster_preflight,model_serving,model_exposure")
    result = playbook("playbooks/serving.yml", *tags, "-e", json.dumps({"models": models}))
    assert result.returncode == 0, reason(result)
    for sentence in (
        "storageUri: oci://registry.example.com/m:1",
        "storageUri: s3://hashfoundry-ml-models/twice/v1/",
        "storageUri: gs://public/iris",
        "minReplicas: 2",
        "PodDisruptionBudget ml-models/twice",
        "topologyKey: kubernetes.io/hostname",
        "HTTPRoute ml-models/elsewhere.public",
        "request: 1m30s",
        "name: x-envoy-max-retries",
        "Ingress ml-models/twice",
    ):
        assert sentence in result.stdout
    assert result.stdout.count("networking.kserve.io/visibility: cluster-local") == 3


def test_models_without_room_are_rejected_before_anything_is_sent(playbook: Playbook, kubectl: Kubectl) -> None:
    plain = {
        "version": "v1",
        "format": "sklearn",
        "runtime": "kserve-sklearnserver",
        "storage": "oci",
        "image": "x/y:1",
    }
    large = {"requests": {"cpu": "3", "memory": "1Gi"}, "limits": {"cpu": "3", "memory": "1Gi"}}
    models = [{**plain, "name": f"too-large-{number}", "resources": large} for number in range(2)]
    result = playbook("playbooks/serving.yml", "-e", json.dumps({"models": models}))
    assert result.returncode != 0
    output = one_line(result.stdout)
    assert "There is no room for the models on local: ResourceQuota ml-models/models is too small " in output
    assert "for requests.cpu: 6 needed, " in output
    assert "no node has room for 2 of 2 pods: the 2 pods request 6 cpu and 2Gi memory" in output
    assert "changed=0" in result.stdout
    names = kubectl("get", "inferenceservices", "-n", "ml-models", "-o", "name")
    assert "too-large" not in names


def test_a_canary_set_by_hand_is_a_warning_in_standard_mode(playbook: Playbook, kubectl: Kubectl) -> None:
    patch = ("patch", "inferenceservice", "iris-classifier", "-n", "ml-models", "--type=merge", "-p")
    kubectl(*patch, json.dumps({"spec": {"predictor": {"canaryTrafficPercent": 10}}}))
    try:
        result = playbook("playbooks/serving.yml", "-e", json.dumps(iris()))
    finally:
        kubectl(*patch, json.dumps({"spec": {"predictor": {"canaryTrafficPercent": None}}}))
    assert result.returncode == 0, reason(result)
    assert "spec.predictor.canaryTrafficPercent is 10, which KServe ignores in Standard mode" in one_line(result.stdout)


def iris(**change: Any) -> dict[str, Any]:
    """Variables with iris as the only model."""
    return {"models": [{**inventory()[0], **change}]}


def predicts(settings: Settings) -> bool:
    """Whether iris returns the expected predictions."""
    result = subprocess.run(demo.curl(settings), capture_output=True, text=True, check=False)
    return result.returncode == 0 and json.loads(result.stdout) == {"predictions": [0, 2]}


def test_a_digest_that_does_not_match_the_bucket_stops_the_rollout(
    playbook: Playbook, kubectl: Kubectl, settings: Settings
) -> None:
    wrong = f"sha256:{'0' * 64}"
    limits = {"model_serving_timeout": 90, "model_serving_grace_period": 5}
    words = {**iris(), **limits, "model_storage_digests": {f"s3://{BUCKET}/iris-classifier/v1/": wrong}}
    annotation = "jsonpath={.metadata.annotations.kserve\\.hashfoundry\\.io/digest}"
    service = ("get", "inferenceservice", "iris-classifier", "-n", "ml-models", "-o", annotation)
    right = kubectl(*service)
    try:
        result = playbook("playbooks/serving.yml", "--tags", "cluster_preflight,model_serving", "-e", json.dumps(words))
        assert result.returncode != 0
        output = one_line(result.stdout)
        assert f"MODEL_DIGEST is {wrong}, but the version in /mnt/models has {right}" in output
        # The previous pod still serves.
        assert predicts(settings)
    finally:
        result = playbook("playbooks/serving.yml", "-e", json.dumps(iris()))
    assert result.returncode == 0, reason(result)
    assert kubectl(*service) == right
    assert predicts(settings)


def test_a_pod_whose_object_store_does_not_match_the_inventory(playbook: Playbook) -> None:
    elsewhere = {"name": "model-reader", "endpoint_url": "https://elsewhere.example.com", "region": "nyc3"}
    words = {**iris(), "model_serving_credentials": elsewhere}
    tags = "cluster_preflight,model_storage,model_serving"
    result = playbook("playbooks/serving.yml", "--tags", tags, "-e", json.dumps(words))
    assert result.returncode != 0
    output = one_line(result.stdout)
    assert "of model iris-classifier has AWS_ENDPOINT_URL http://object-storage." in output
    assert "and not https://elsewhere.example.com; see the annotations of the Secret model-reader." in output
    assert "has AWS_DEFAULT_REGION us-east-1 and not nyc3" in output


def test_a_model_of_other_library_versions_is_not_uploaded(
    playbook: Playbook, settings: Settings, store: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "misfit"
    shutil.copytree(settings.state / "models" / "iris-classifier" / "v1", folder)
    metadata = json.loads((folder / "metadata.json").read_text())
    metadata["name"] = "misfit-classifier"
    metadata["libraries"]["scikit-learn"] = "1.7.0"
    (folder / "metadata.json").write_text(json.dumps(metadata))
    words = iris(name="misfit-classifier", source={"folder": str(folder)})
    result = playbook("playbooks/storage.yml", "--tags", "model_storage", "-e", json.dumps(words))
    assert result.returncode != 0
    output = one_line(result.stdout)
    assert "scikit-learn" in output and "1.7.0" in output and "1.5" in output
    assert keys(store, "misfit-classifier") == []
