# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.hashfoundry.kserve.plugins.module_utils._backup.namespace import backup
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError

from ..manifests_server import Server

Json = dict[str, Any]
PLANTED = "PLANTED-SECRET"
CORE = ["configmaps ConfigMap", "persistentvolumeclaims PersistentVolumeClaim", "pods Pod", "secrets Secret"]
CORE += ["serviceaccounts ServiceAccount", "services Service"]

# Created by Kubernetes, Istio, Knative and OpenShift.
EVERYWHERE = [
    "kube-root-ca.crt",
    "istio-ca-root-cert",
    "config-openshift-service-cabundles",
    "openshift-service-ca.crt",
]


def thing(name: str, **rest: Any) -> Json:
    metadata = {"name": name, "namespace": "models", "uid": "1", "resourceVersion": "2", **rest.pop("metadata", {})}
    return {"metadata": metadata, **rest}


class Api(Server):
    """The ApplyApi port: a namespace with objects of several resources.

    stale: what the API server last saw of APIs that are not available, by version.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stale: dict[str, list[Json]] = {}

        def kinds(*names: str) -> Json:
            words = [name.split() for name in names]
            found = [
                {"name": plural, "kind": kind, "namespaced": True, "verbs": ["create", "list"]}
                for plural, kind in words
            ]
            others = [
                {"name": "services/status", "kind": "Service", "namespaced": True, "verbs": ["get"]},
                {"name": "nodes", "kind": "Node", "namespaced": False, "verbs": ["create", "list"]},
                {"name": "bindings", "kind": "Binding", "namespaced": True, "verbs": ["create"]},
            ]
            return {"resources": [*found, *others]}

        versions = [{"groupVersion": f"serving.kserve.io/{version}"} for version in ("v1beta1", "v1alpha1")]
        rotated = {"predictor": {"labels": {"kserve.hashfoundry.io/keys": "0123"}}}
        iris = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "name": "iris", "uid": "9"}
        owner = [{**iris, "controller": True}]
        goes_with = [iris, {**iris, "name": "elsewhere"}]
        service = {"spec": {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ports": [{"port": 80}]}}
        claim = {"volumeName": "pvc-1", "storageClassName": "standard"}
        bound = {"annotations": {"pv.kubernetes.io/bind-completed": "yes", "team": "a"}}
        root = "/api/v1/namespaces/models"
        self.answers: dict[str, Json | ApiError] = {
            root: thing("models", spec={"finalizers": ["kubernetes"]}, metadata={"labels": {"a": "b"}}),
            "/api/v1": kinds(*CORE),
            "/apis": {"groups": [{"name": "serving.kserve.io", "versions": versions}]},
            "/apis/serving.kserve.io/v1beta1": kinds("inferenceservices InferenceService"),
            "/apis/serving.kserve.io/v1alpha1": kinds(
                "inferenceservices InferenceService", "trainedmodels TrainedModel"
            ),
            f"{root}/configmaps": {"items": [*map(thing, EVERYWHERE), thing("settings", data={"a": "b"})]},
            f"{root}/persistentvolumeclaims": {"items": [thing("models", spec=claim, metadata=bound)]},
            f"{root}/serviceaccounts": {"items": [thing("default"), thing("model-reader")]},
            f"{root}/services": {
                "items": [
                    thing("mine", metadata={"ownerReferences": goes_with}, **service),
                    thing("its", metadata={"ownerReferences": owner}, **service),
                ]
            },
            f"{root}/secrets": {
                "items": [
                    thing("keys", type="Opaque", data={"b": base64.b64encode(PLANTED.encode()).decode(), "a": ""}),
                    thing("token", type="kubernetes.io/service-account-token", data={"token": ""}),
                    thing("its", metadata={"ownerReferences": owner}),
                ]
            },
            "/apis/serving.kserve.io/v1beta1/namespaces/models/inferenceservices": {
                "items": [thing("iris", spec=rotated, status={"url": "http://iris"})]
            },
            "/apis/serving.kserve.io/v1alpha1/namespaces/models/trainedmodels": ApiError("gone", 404),
        }

    def get(self, path: str, **query: Any) -> Json:
        """See KubeApi."""
        answer = self.answers[path]
        if isinstance(answer, ApiError):
            raise answer
        return answer

    def discovery(self, path: str = "/apis") -> Json:
        """See ApplyApi."""
        split = {version: version.split("/") for version in self.stale}
        return {
            "items": [
                {"metadata": {"name": name}, "versions": [{"version": which, "resources": self.stale[version]}]}
                for version, (name, which) in split.items()
            ]
        }


def test_the_backup_can_be_applied_and_contains_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "objects.yml"
    result = backup(Api(), "models", file, check_mode=False)
    assert result["changed"] is True
    assert result["counts"] == {
        "ConfigMap": 1,
        "InferenceService": 1,
        "Namespace": 1,
        "PersistentVolumeClaim": 1,
        "Service": 1,
        "ServiceAccount": 1,
    }
    assert result["secrets"] == [{"name": "keys", "keys": ["a", "b"]}]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    text = file.read_text()
    assert PLANTED not in text and base64.b64encode(PLANTED.encode()).decode() not in text
    things = {thing["kind"]: thing for thing in yaml.safe_load_all(text)}
    assert next(yaml.safe_load_all(text))["kind"] == "Namespace"
    assert things["Namespace"] == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "models", "namespace": "models", "labels": {"a": "b"}},
    }
    assert things["PersistentVolumeClaim"]["metadata"]["annotations"] == {"team": "a"}
    assert things["PersistentVolumeClaim"]["spec"] == {"storageClassName": "standard"}
    assert things["Service"]["spec"] == {"ports": [{"port": 80}]}
    assert "ownerReferences" not in text
    assert things["InferenceService"] == {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "iris", "namespace": "models"},
        "spec": {"predictor": {}},
    }


def test_an_owner_of_the_backup_is_named_where_the_objects_are_applied_in_order(tmp_path: Path) -> None:
    applied = tmp_path / "applied.yml"
    backup(Api(), "models", tmp_path / "objects.yml", applied, check_mode=False)
    groups = list(yaml.safe_load_all(applied.read_text()))
    [service] = groups[-1]["objects"]
    # It gets another UID when it is restored. The other owner is not in the backup.
    owner = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "name": "iris"}
    assert service["kind"] == "Service" and service["metadata"]["ownerReferences"] == [owner]


METRICS = "metrics.k8s.io/v1beta1"
OTHER = "wardle.example.com/v1"
READ_ONLY = {"resource": "flunders", "scope": "Namespaced", "verbs": ["get", "list"]}


@pytest.mark.parametrize(
    ("version", "known", "refused"),
    [
        (METRICS, [], False),
        (OTHER, [READ_ONLY, {**READ_ONLY, "scope": "Cluster", "verbs": ["create", "list"]}], False),
        (OTHER, [READ_ONLY, {**READ_ONLY, "verbs": ["create", "list"]}], True),
        # The API server has not seen it since it was started.
        (OTHER, [], True),
    ],
)
def test_an_api_that_is_not_available(version: str, known: list[Json], refused: bool, tmp_path: Path) -> None:
    api, warnings = Api(), list[str]()
    groups = api.answers["/apis"]
    assert isinstance(groups, dict)
    groups["groups"].append({"name": version.partition("/")[0], "versions": [{"groupVersion": version}]})
    api.answers[f"/apis/{version}"] = ApiError("service unavailable", 503)
    api.stale[version] = known
    file = tmp_path / "objects.yml"
    if refused:
        with pytest.raises(KServeError, match=f"^The API {version} is not available, so the backup would") as error:
            backup(api, "models", file, check_mode=False, warn=warnings.append)
        assert error.value.reason == "APINotAvailable" and not warnings and not file.exists()
    else:
        result = backup(api, "models", file, check_mode=False, warn=warnings.append)
        assert result["counts"]["InferenceService"] == 1
        (warning,) = warnings
        assert warning.startswith(f"The API {version} is not available. Nothing is missing")


def test_an_api_whose_crd_was_just_deleted(tmp_path: Path) -> None:
    api = Api()
    api.answers["/apis/serving.kserve.io/v1alpha1"] = ApiError("404 page not found", 404)
    assert backup(api, "models", tmp_path / "objects.yml", check_mode=False)["counts"]["InferenceService"] == 1


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "objects.yml"
    first = backup(Api(), "models", file, check_mode=False)
    again = backup(Api(), "models", file, check_mode=False)
    assert (again["changed"], again["sha256"]) == (False, first["sha256"])


def test_check_mode_writes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "objects.yml"
    assert backup(Api(), "models", file, check_mode=True)["changed"] is True
    assert not file.exists()


def test_a_missing_namespace(tmp_path: Path) -> None:
    api = Api()
    api.answers["/api/v1/namespaces/models"] = ApiError("not found", 404)
    with pytest.raises(KServeError, match="There is no namespace models; correct namespace"):
        backup(api, "models", tmp_path / "objects.yml", check_mode=False)


def test_an_error_of_the_api_server_is_passed_on(tmp_path: Path) -> None:
    api = Api()
    api.answers["/api/v1/namespaces/models/services"] = ApiError("The credentials lack a permission.", 403)
    with pytest.raises(KServeError, match="lack a permission"):
        backup(api, "models", tmp_path / "objects.yml", check_mode=False)
    assert not list(tmp_path.iterdir())


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(KServeError, match=r"gone/objects\.yml cannot be written \(No such file or directory\)"):
        backup(Api(), "models", tmp_path / "gone" / "objects.yml", check_mode=False)
