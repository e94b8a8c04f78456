# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates that decide: which namespaces the collection has created, which models have no pod with new credentials."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.ansible_run import ROOT, run_ansible

ROLES = ROOT / "roles"
OURS = {
    "manager": "hashfoundry.kserve.model_namespace",
    "operation": "Apply",
    "fieldsV1": {"f:metadata": {"f:labels": {"f:a": {}}}},
}
SECURED = {**OURS, "manager": "hashfoundry.kserve.namespace-security"}
NAMED = {"f:metadata": {"f:labels": {".": {}, "f:kubernetes.io/metadata.name": {}}}}
LABEL = "kserve.hashfoundry.io/keys"


def rendered(name: str, variables: dict[str, Any], folder: Path) -> Any:
    """The rendered template of a role, parsed as YAML."""
    return yaml.safe_load(text_of(name, variables, folder))


def text_of(name: str, variables: dict[str, Any], folder: Path) -> str:
    """The rendered template of a role."""
    (folder / "variables.json").write_text(json.dumps(variables))
    words = ["localhost", "-c", "local", "-e", f"@{folder / 'variables.json'}", "-m", "ansible.builtin.template"]
    arguments = json.dumps({"src": str(ROLES / name), "dest": str(folder / "rendered.yml")})
    run_ansible("ansible", *words, "-a", arguments, folder=folder)
    return (folder / "rendered.yml").read_text()


@pytest.mark.parametrize(
    ("managers", "made"),
    [
        ([OURS, SECURED], True),
        # As a role has applied it that had no field manager of its own.
        ([{**OURS, "manager": "hashfoundry.kserve"}, SECURED], True),
        ([OURS, {"manager": "kubectl-label", "operation": "Update", "fieldsV1": {"f:metadata": {}}}], True),
        ([{"manager": "kubectl-create", "operation": "Update", "fieldsV1": NAMED}, OURS], False),
        ([{"manager": "kubectl", "operation": "Apply", "fieldsV1": {"f:metadata": {}}}, OURS], False),
        ([SECURED], False),
        ([], False),
    ],
)
def test_only_namespaces_that_the_collection_has_created_are_deleted(
    managers: list[Any], made: bool, tmp_path: Path
) -> None:
    space = {"metadata": {"name": "models", "managedFields": managers}}
    variables = {"__platform_teardown_spaces": {"results": [{"resources": [space]}, {"resources": []}]}}
    assert rendered("platform_teardown/templates/made.yml.j2", variables, tmp_path) == (["models"] if made else None)


def pod(mark: str | None, ready: bool = True) -> dict[str, Any]:
    initializer = {"name": "storage-initializer", "ready": ready}
    return {
        "metadata": {"name": "iris-1", "labels": {LABEL: mark} if mark else {}},
        "status": {"initContainerStatuses": [initializer]},
    }


@pytest.mark.parametrize(
    ("pods", "fault"),
    [
        ([pod("new")], False),
        ([pod("old"), pod("new")], False),
        ([pod("old")], True),
        ([pod(None)], True),
        ([pod("new", ready=False)], True),
        ([], False),  # scaled to zero
    ],
)
def test_a_model_without_a_pod_with_new_credentials_is_a_fault(pods: list[Any], fault: bool, tmp_path: Path) -> None:
    variables = {
        "__credential_rotation_ready": {"services": [{"name": "iris", "pods": pods}]},
        "__credential_rotation_label": LABEL,
        "__credential_rotation_mark": "new",
    }
    assert rendered("credential_rotation/templates/faults.yml.j2", variables, tmp_path) == (["iris"] if fault else None)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"s3-region": "us-east-1", "s3-verifyssl": "1"}),
        ({"endpoint_url": None, "region": None}, {"s3-region": "us-east-1", "s3-verifyssl": "1"}),
        (
            {"endpoint_url": "https://s3.example.com/", "region": "fra1", "verify_ssl": False},
            {"s3-region": "fra1", "s3-verifyssl": "0", "s3-endpoint": "s3.example.com", "s3-usehttps": "1"},
        ),
    ],
)
def test_kserve_is_configured_with_the_object_store_or_uses_aws(
    given: dict[str, Any], expected: dict[str, str], tmp_path: Path
) -> None:
    keys = {"name": "reader", "access_key": "a", "secret_key": "b"}
    variables = {
        "model_namespace_credentials": {**keys, **given},
        "model_namespace_name": "models",
        "model_namespace_quota": {},
        "model_namespace_container_defaults": {},
        "model_namespace_image_pull_secrets": [],
        "model_namespace_keys_needed": True,
    }
    text = text_of("model_namespace/templates/namespace.yml.j2", variables, tmp_path)
    secret = next(one for one in yaml.safe_load_all(text) if one and one["kind"] == "Secret")
    assert secret["metadata"]["annotations"] == {f"serving.kserve.io/{name}": value for name, value in expected.items()}


def test_the_pods_of_a_model_have_an_annotation_that_changes_with_each_of_their_fields(tmp_path: Path) -> None:
    model = {"name": "iris", "version": "v1", "format": "sklearn", "runtime": "r", "storage": "oci", "image": "a:1"}
    models = [
        {**model, "resources": {"limits": {"cpu": "1"}}, "scaling": {"min_replicas": 1}},
        {**model, "resources": {"limits": {"cpu": "1"}}, "scaling": {"min_replicas": 1, "max_replicas": 3}},
        {**model, "scaling": {"min_replicas": 1}},
    ]
    variables = {
        "__model_serving_models": models,
        "__model_serving_stored": [],
        "__model_serving_all_digests": {},
        "__model_serving_credentials": {"name": "reader"},
        "model_serving_bucket": "models",
        "model_serving_namespace": "models",
        "model_serving_deployment_mode": "Standard",
        "model_serving_exposure": "public",
        "model_serving_resources": {},
        "model_serving_user": 1000,
        "model_serving_group": 1000,
    }
    text = text_of("model_serving/templates/inference-services.yml.j2", variables, tmp_path)
    predictors = [thing["spec"]["predictor"] for thing in yaml.safe_load_all(text) if thing]
    # No field is left of the resources that the third has not.
    assert ["resources" in one["model"] for one in predictors] == [True, True, False]
    digests = [one["annotations"]["kserve.hashfoundry.io/pods"] for one in predictors]
    # More replicas need no other pods.
    assert digests[0] == digests[1] != digests[2]
    assert predictors[1]["maxReplicas"] == 3
    probes = {probe: predictors[1]["model"][probe]["periodSeconds"] for probe in ("startupProbe", "readinessProbe")}
    assert probes == {"startupProbe": 1, "readinessProbe": 5}


@pytest.mark.parametrize("exposure", ["gateway", "ingress", "none"])
@pytest.mark.parametrize("mode", ["Standard", "Knative"])
def test_kserve_creates_no_route_in_standard_mode(mode: str, exposure: str, tmp_path: Path) -> None:
    model = {"name": "iris", "version": "v1", "format": "sklearn", "runtime": "r", "storage": "oci", "image": "a:1"}
    variables = {
        "__model_serving_models": [{**model, "exposure": exposure}],
        "__model_serving_stored": [],
        "__model_serving_all_digests": {},
        "__model_serving_credentials": {"name": "reader"},
        "model_serving_bucket": "models",
        "model_serving_namespace": "models",
        "model_serving_deployment_mode": mode,
        "model_serving_exposure": "gateway",
        "model_serving_resources": {},
        "model_serving_user": 1000,
        "model_serving_group": 1000,
    }
    service = rendered("model_serving/templates/inference-services.yml.j2", variables, tmp_path)
    found = {key: value for key, value in service["metadata"]["labels"].items() if key.endswith("/visibility")}
    knative = {"networking.knative.dev/visibility": "cluster-local"} if exposure == "none" else {}
    assert found == ({"networking.kserve.io/visibility": "cluster-local"} if mode == "Standard" else knative)
    # Readiness sees in the pods that KServe has read the label: only then does it create no route any more.
    digest = service["spec"]["predictor"]["annotations"]["kserve.hashfoundry.io/pods"]
    pods = {key: value for key, value in service["spec"]["predictor"].items() if key != "annotations"}
    text = json.dumps(pods | (found if mode == "Standard" else {}), sort_keys=True)
    assert digest == hashlib.sha256(text.encode()).hexdigest()[:16]


@pytest.mark.parametrize("digest", ["", "sha256:" + "0" * 64], ids=["without a digest", "with a digest"])
def test_a_model_from_elsewhere_is_served_from_its_uri(digest: str, tmp_path: Path) -> None:
    model = {"name": "iris", "version": "v1", "format": "sklearn", "runtime": "kserve-sklearnserver", "storage": "uri"}
    model |= {"uri": "gs://public/iris"} | ({"digest": digest} if digest else {})
    variables = {
        "__model_serving_models": [model],
        "__model_serving_stored": [],
        "__model_serving_all_digests": {},
        "__model_serving_credentials": {"name": "models"},
        "model_serving_bucket": "models",
        "model_serving_exposure": "gateway",
        "model_serving_deployment_mode": "Standard",
        "model_serving_namespace": "ml-models",
        "model_serving_resources": {},
        "model_serving_user": 1000,
        "model_serving_group": 1000,
    }
    service = rendered("model_serving/templates/inference-services.yml.j2", variables, tmp_path)
    assert service["spec"]["predictor"]["model"]["storageUri"] == "gs://public/iris"
    # By which NetworkPolicies select its pods.
    assert service["metadata"]["labels"]["kserve.hashfoundry.io/storage"] == "uri"
    wanted = {"MODEL_VERSION": "v1"} | ({"MODEL_DIGEST": digest} if digest else {})
    assert {entry["name"]: entry["value"] for entry in service["spec"]["predictor"]["model"]["env"]} == wanted
    assert service["metadata"]["annotations"].get("kserve.hashfoundry.io/digest") == (digest or None)
