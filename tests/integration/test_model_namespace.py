# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials of the object store for model pods: from one variable, or by reference through External Secrets."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.conftest import reason

Kubectl = Callable[..., str]
Playbook = Callable[..., "subprocess.CompletedProcess[str]"]
TAGS = ("--tags", "cluster_preflight,model_namespace")
STORE = {"name": "reader", "endpoint_url": "https://nyc3.digitaloceanspaces.com", "region": "nyc3"}
TEXT = {"type": "string"}


def fields(**properties: Any) -> dict[str, Any]:
    """The schema of an object in which each of these fields is required."""
    return {"type": "object", "properties": properties, "required": list(properties)}


# The CRD with the fields of external-secrets.io/v1 that the role uses, from the operator's API reference. The role
# applies with strict validation, so the API server rejects every other field.
SPEC = fields(
    refreshInterval=TEXT,
    secretStoreRef=fields(name=TEXT, kind={**TEXT, "enum": ["SecretStore", "ClusterSecretStore"]}),
    target=fields(
        name=TEXT,
        template=fields(metadata=fields(annotations={"type": "object", "additionalProperties": TEXT})),
    ),
    data={"type": "array", "items": fields(secretKey=TEXT, remoteRef=fields(key=TEXT, property=TEXT))},
)
KIND = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "externalsecrets.external-secrets.io"},
    "spec": {
        "group": "external-secrets.io",
        "scope": "Namespaced",
        "names": {"kind": "ExternalSecret", "plural": "externalsecrets", "singular": "externalsecret"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": SPEC}}},
            }
        ],
    },
}


@pytest.fixture
def namespace(kubectl: Kubectl) -> Iterator[str]:
    """The name of a namespace that is deleted after the test."""
    name = f"models-{uuid.uuid4().hex[:8]}"
    yield name
    kubectl("delete", "namespace", name, "--ignore-not-found")


@pytest.fixture
def external_secrets(kubectl: Kubectl, tmp_path: Path) -> Iterator[None]:
    """The CRD of ExternalSecret, without its operator."""
    manifest = tmp_path / "kind.yml"
    manifest.write_text(yaml.safe_dump(KIND))
    kubectl("apply", "-f", str(manifest))
    kubectl("wait", "--for=condition=Established", "-f", str(manifest), "--timeout=20s")
    yield
    kubectl("delete", "-f", str(manifest))


def run(playbook: Playbook, namespace: str, credentials: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    words = {"model_namespace_name": namespace, "model_namespace_credentials": credentials}
    return playbook("playbooks/serving.yml", *TAGS, "-e", json.dumps(words))


def test_one_variable_creates_secret_annotations_and_service_account(
    playbook: Playbook, kubectl: Kubectl, namespace: str
) -> None:
    result = run(playbook, namespace, {**STORE, "access_key": "reader-key", "secret_key": "reader-secret-word"})
    assert result.returncode == 0, reason(result)
    assert "reader-secret-word" not in result.stdout
    secret = json.loads(kubectl("get", "secret", "reader", "-n", namespace, "-o", "json"))
    assert set(secret["data"]) == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    annotations = {key.rpartition("/")[2]: value for key, value in secret["metadata"]["annotations"].items()}
    assert annotations == {
        "s3-endpoint": "nyc3.digitaloceanspaces.com",
        "s3-usehttps": "1",
        "s3-verifyssl": "1",
        "s3-region": "nyc3",
    }
    account = json.loads(kubectl("get", "serviceaccount", "reader", "-n", namespace, "-o", "json"))
    assert account["secrets"] == [{"name": "reader"}]


def test_external_secrets_by_reference(
    playbook: Playbook, kubectl: Kubectl, namespace: str, external_secrets: None
) -> None:
    result = run(playbook, namespace, {**STORE, "external_secret": {"store": "vault", "key": "ml/model-reader"}})
    assert result.returncode == 0, reason(result)
    spec = json.loads(kubectl("get", "externalsecret", "reader", "-n", namespace, "-o", "json"))["spec"]
    assert spec["secretStoreRef"] == {"name": "vault", "kind": "ClusterSecretStore"}
    assert [entry["remoteRef"]["key"] for entry in spec["data"]] == ["ml/model-reader"] * 2
    annotations = spec["target"]["template"]["metadata"]["annotations"]
    assert annotations["serving.kserve.io/s3-endpoint"] == "nyc3.digitaloceanspaces.com"
    # The operator writes the ServiceAccount's Secret; the role writes none.
    assert kubectl("get", "secrets", "-n", namespace, "-o", "name") == ""
    account = json.loads(kubectl("get", "serviceaccount", "reader", "-n", namespace, "-o", "json"))
    assert account["secrets"] == [{"name": spec["target"]["name"]}]


def test_missing_credentials(playbook: Playbook) -> None:
    result = run(playbook, "models-without-keys", {**STORE, "access_key": "", "secret_key": ""})
    assert result.returncode != 0
    output = " ".join(result.stdout.split())
    assert "model_namespace_credentials has neither access_key and secret_key nor external_secret" in output
