# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pods a rotation of credentials restarts, and what it advises to delete, without KServe's controller."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from ..plugins.module_utils.model_store_fake import MemoryStore, serving
from .conftest import Run, run_roles
from .http_cluster import MODEL, Cluster, cluster

SECRET = "/api/v1/namespaces/models/secrets/model-reader"
KEYS = "kserve.hashfoundry.io/keys"
NEW = {"platform_access_key": "another-access-key", "platform_secret_key": "another-secret-key"}
# On an image, so that no pod has to start with the new credentials.
IMAGE = {"models": [{**MODEL, "storage": "oci", "image": "registry.example.com/iris:1"}]}


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The objects of a cluster on which the roles of the namespace and of a model have run, once for all tests."""
    folder = tmp_path_factory.mktemp("deployed")
    with cluster(folder) as made:
        code, output = run_roles(folder, made, ["model_namespace"], "v1", platform_pod_endpoint_url=None)
        assert code == 0, output
        assert run_roles(folder, made, ["model_serving"], "v1")[0] == 2
    return made.objects


@pytest.fixture
def where(api: Cluster, objects: dict[str, Any]) -> Iterator[dict[str, object]]:
    """A model with a pod that is younger than its Secret; return the variables of a rotation."""
    api.objects.update(copy.deepcopy(objects))
    for entry in api.objects[SECRET]["metadata"]["managedFields"]:
        entry["time"] = "2026-11-20T10:00:00Z"
    add_pod(api, "2026-11-20T10:00:05Z")
    with serving(MemoryStore()) as store:
        yield {"platform_endpoint_url": store.url, "credential_rotation_timeout": 1, "platform_pod_endpoint_url": None}


def add_pod(api: Cluster, created: str) -> None:
    labels = {"serving.kserve.io/inferenceservice": "iris"}
    metadata = {"name": "iris-1", "namespace": "models", "uid": "1", "labels": labels, "creationTimestamp": created}
    path = "/api/v1/namespaces/models/pods/iris-1"
    api.objects[path] = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": {}}


def marked(api: Cluster) -> bool:
    """Whether the rotation has restarted the model's pods."""
    return KEYS in api.models()["iris"]["spec"]["predictor"].get("labels", {})


@pytest.mark.parametrize("old", [{}, {"access_key": "the-access-key", "secret_key": "the-secret-key"}])
def test_unchanged_credentials_restart_no_pod_and_advise_no_deletion(
    run: Run, api: Cluster, where: dict[str, object], old: dict[str, str]
) -> None:
    given = {f"credential_rotation_old_{name}": value for name, value in old.items()}
    code, output = run(["credential_rotation"], "v1", **where, **given)
    assert code == 0, output
    assert "changed=0" in output and not marked(api)
    assert "No pod was restarted, because all have started with the access key the-access-key." in output
    assert "elete" not in output.rpartition("Report the remaining steps")[2]


def test_a_pod_that_is_older_than_the_secret_is_restarted(run: Run, api: Cluster, where: dict[str, object]) -> None:
    """An earlier run was interrupted after it had written the Secret."""
    add_pod(api, "2026-11-20T09:59:59Z")
    code, output = run(["credential_rotation"], "v1", **where)
    assert code == 2 and "does not serve after 1 seconds" in output, output
    assert marked(api)


def test_new_credentials_restart_each_pod(run: Run, api: Cluster, where: dict[str, object]) -> None:
    code, output = run(["credential_rotation"], "v1", "--check", "--diff", **where, **NEW)
    assert code == 0, output
    assert f'+ "{KEYS}": "' in output and "The models would be read with the access key another-access-key." in output
    assert "another-secret-key" not in output and not marked(api)
    assert run(["credential_rotation"], "v1", **where, **NEW)[0] == 2  # no controller, so nothing serves
    assert marked(api)


def test_the_previous_access_key_is_named(run: Run, where: dict[str, object]) -> None:
    assert run(["model_serving"], "v1", **IMAGE)[0] == 2
    code, output = run(["credential_rotation"], "v1", **where, **NEW, **IMAGE)
    assert code == 0, output
    assert "Delete the-access-key where it was created, if nothing else uses it." in output
