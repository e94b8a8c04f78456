# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._capacity.check import check
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError

SPACE = "ml-models"
RUNTIME = {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"cpu": "1", "memory": "2Gi"}}


STORAGE_CONTAINERS = "/apis/serving.kserve.io/v1alpha1/clusterstoragecontainers"


class Cluster:
    """What a cluster has, by the paths of its API; `refused` paths answer with a status."""

    def __init__(self) -> None:
        self.objects: dict[str, Any] = {
            f"/apis/serving.kserve.io/v1beta1/namespaces/{SPACE}/inferenceservices": {"items": []},
            f"/apis/batch/v1/namespaces/{SPACE}/jobs": {"items": []},
            f"/api/v1/namespaces/{SPACE}/persistentvolumeclaims": {"items": []},
            f"/api/v1/namespaces/{SPACE}/resourcequotas": {"items": []},
            f"/api/v1/namespaces/{SPACE}/limitranges": {"items": []},
            "/apis/serving.kserve.io/v1alpha1/clusterservingruntimes/sklearn": {
                "spec": {"containers": [{"name": "kserve-container", "resources": RUNTIME}]}
            },
            "/api/v1/namespaces/kserve/configmaps/inferenceservice-config": {
                "data": {"storageInitializer": json.dumps({"cpuRequest": "100m", "memoryRequest": "100Mi"})}
            },
            "/api/v1/nodes": {"items": [node("a", "4", "16Gi")]},
            "/api/v1/pods": {"items": []},
        }
        self.refused: dict[str, int] = {}
        self.read: list[str] = []

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        self.read.append(path)
        status = self.refused.get(path, 200 if path in self.objects else 404)
        if status != 200:
            raise ApiError(f"{path}: {status}", status)
        return dict(self.objects[path])

    def add(self, path: str, *things: Any) -> None:
        self.objects[path]["items"] += things

    def quota(self, hard: dict[str, str], used: dict[str, str] | None = None, **spec: Any) -> None:
        quota = {
            "metadata": {"name": "models", "namespace": SPACE},
            "spec": {"hard": hard, **spec},
            "status": {"used": used or {}},
        }
        self.add(f"/api/v1/namespaces/{SPACE}/resourcequotas", quota)

    def limits(self, **limit: dict[str, str]) -> None:
        entry = {"metadata": {"name": "models"}, "spec": {"limits": [{"type": "Container", **limit}]}}
        self.add(f"/api/v1/namespaces/{SPACE}/limitranges", entry)


def node(name: str, cpu: str, memory: str, pods: str = "110", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": spec,
        "status": {
            "allocatable": {"cpu": cpu, "memory": memory, "pods": pods},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def service(name: str, resources: dict[str, Any] | None = None, replicas: int = 1, **predictor: Any) -> dict[str, Any]:
    model = {"runtime": "sklearn", "storageUri": "pvc://models/x", **({"resources": resources} if resources else {})}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name, "namespace": SPACE, "annotations": {}},
        "spec": {"predictor": {"minReplicas": replicas, "model": model, **predictor}},
    }


def job(name: str, cpu: str = "100m", memory: str = "128Mi") -> dict[str, Any]:
    resources = {"requests": {"cpu": cpu, "memory": memory}, "limits": {"cpu": "1", "memory": "512Mi"}}
    return {
        "kind": "Job",
        "metadata": {"name": name, "namespace": SPACE},
        "spec": {"template": {"spec": {"containers": [{"name": "loader", "resources": resources}]}}},
    }


def resources(cpu: str, memory: str) -> dict[str, Any]:
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"cpu": cpu, "memory": memory}}


def sentence(cluster: Cluster, *things: dict[str, Any]) -> str:
    return str(check(cluster, things, "kserve")["msg"])


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    yield Cluster()


def test_requests_that_fit_have_no_fault(cluster: Cluster) -> None:
    cluster.quota({"requests.cpu": "4", "requests.memory": "8Gi", "pods": "40"})
    result = check(cluster, [service("iris"), service("churn"), job("load-iris")], "kserve")
    assert (result["faults"], result["msg"], result["pods"], result["unchecked"]) == ([], "", 3, [])


def test_a_quota_is_compared_with_the_sum_of_the_models(cluster: Cluster) -> None:
    cluster.quota({"requests.cpu": "4", "limits.memory": "16Gi"}, {"requests.cpu": "500m"})
    services = [service(f"m{number}", resources("200m", "512Mi"), replicas=2) for number in range(9)]
    assert sentence(cluster, *services) == (
        "ResourceQuota ml-models/models is too small for requests.cpu: 3.6 needed, 3.5 left"
    )
    assert sentence(cluster, *services[:8]) == ""


def test_pods_and_claims_count_too(cluster: Cluster) -> None:
    cluster.quota({"pods": "2", "persistentvolumeclaims": "1", "requests.storage": "5Gi"}, {"pods": "1"})
    claim = {
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "models", "namespace": SPACE},
        "spec": {"resources": {"requests": {"storage": "10Gi"}}},
    }
    result = check(cluster, [claim, service("a", resources("1m", "1Mi"), replicas=2)], "kserve")
    assert [fault.partition(" for ")[2] for fault in result["faults"]] == [
        "pods: 2 needed, 1 left",
        "requests.storage: 10Gi needed, 5Gi left",
    ]


def test_the_storage_initializer_counts_where_it_requests_more(cluster: Cluster) -> None:
    cluster.quota({"requests.memory": "150Mi"})
    small = service("iris", resources("10m", "64Mi"))
    assert sentence(cluster, small) == ""
    small["spec"]["predictor"]["model"]["storageUri"] = "s3://models/iris/v1/"
    cluster.objects["/api/v1/namespaces/kserve/configmaps/inferenceservice-config"]["data"]["storageInitializer"] = (
        json.dumps({"memoryRequest": "200Mi"})
    )
    assert "is too small for requests.memory: 200Mi needed, 150Mi left" in sentence(cluster, small)


@pytest.mark.parametrize(
    ("spec", "counts"),
    [
        ({"supportedUriFormats": [{"prefix": "gs://"}, {"prefix": "s3://"}]}, True),
        ({"supportedUriFormats": [{"regex": "models/.+/v1/"}], "workloadType": "initContainer"}, True),
        ({"supportedUriFormats": [{"prefix": "gs://"}, {"regex": "^https?://"}, {"regex": "(?!"}]}, False),
        ({"supportedUriFormats": [{"prefix": "s3://"}], "workloadType": "localModelDownloadJob"}, False),
        ({}, False),
    ],
)
def test_a_cluster_storage_container_stands_over_the_configuration(
    cluster: Cluster, spec: dict[str, Any], counts: bool
) -> None:
    cluster.quota({"requests.memory": "150Mi"})
    small = service("iris", resources("10m", "64Mi"))
    small["spec"]["predictor"]["model"]["storageUri"] = "s3://models/iris/v1/"
    container = {"name": "storage-initializer", "resources": {"requests": {"memory": "200Mi"}}}
    entry = {"metadata": {"name": "default"}, "spec": {"container": container, **spec}}
    cluster.objects[STORAGE_CONTAINERS] = {"items": [entry]}
    assert ("requests.memory: 200Mi needed" in sentence(cluster, small)) is counts
    entry["disabled"] = True
    assert sentence(cluster, small) == ""
    cluster.refused[STORAGE_CONTAINERS] = 403
    assert check(cluster, [small], "kserve")["unchecked"] == [
        "the ClusterStorageContainers, which the credentials may not list"
    ]


def test_a_knative_pod_has_a_queue_proxy(cluster: Cluster) -> None:
    cluster.quota({"requests.cpu": "110m"})
    iris = service("iris", resources("100m", "64Mi"))
    assert sentence(cluster, iris) == ""
    iris["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] = "Knative"
    assert "requests.cpu: 0.125 needed" in sentence(cluster, iris)


def test_a_request_over_the_runtimes_limit(cluster: Cluster) -> None:
    given = {"requests": {"memory": "4Gi"}}
    assert sentence(cluster, service("iris", given)) == (
        "the container kserve-container of InferenceService iris requests 4Gi memory, more than its limit of 2Gi from "
        "the serving runtime or a LimitRange (set limits.memory)"
    )
    assert sentence(cluster, service("iris", {**given, "limits": {"memory": "4Gi"}})) == ""


def test_limit_ranges_give_defaults_and_bounds(cluster: Cluster) -> None:
    cluster.objects["/apis/serving.kserve.io/v1alpha1/clusterservingruntimes/sklearn"]["spec"]["containers"][0] = {
        "name": "kserve-container"
    }
    cluster.quota({"limits.cpu": "8"})
    assert (
        "requires limits.cpu, which the container kserve-container of InferenceService iris does not set"
        in sentence(cluster, service("iris"))
    )
    cluster.limits(default={"cpu": "1", "memory": "1Gi"}, max={"memory": "2Gi"})
    assert sentence(cluster, service("iris")) == ""
    assert "requests 2 cpu, more than its limit of 1 " in sentence(cluster, service("iris", {"requests": {"cpu": "2"}}))
    assert "has a limit of 4Gi memory, and a LimitRange allows at most 2Gi" in sentence(
        cluster, service("iris", {"limits": {"memory": "4Gi"}})
    )


def test_limit_ranges_of_pods_and_claims(cluster: Cluster) -> None:
    cluster.limits()
    limits = cluster.objects[f"/api/v1/namespaces/{SPACE}/limitranges"]["items"][0]["spec"]["limits"]
    limits[:] = [
        {"type": "Pod", "max": {"cpu": "1"}, "min": {"memory": "1Gi"}},
        {"type": "PersistentVolumeClaim", "max": {"storage": "5Gi"}},
    ]
    claim = {
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "models", "namespace": SPACE},
        "spec": {"resources": {"requests": {"storage": "10Gi"}}},
    }
    result = check(cluster, [claim, service("iris", resources("2", "512Mi"))], "kserve")
    assert result["faults"] == [
        "a pod of InferenceService iris has a limit of 2 cpu, and a LimitRange allows at most 1",
        "a pod of InferenceService iris requests 512Mi memory, and a LimitRange requires at least 1Gi",
        "PersistentVolumeClaim models requests 10Gi storage, and a LimitRange allows at most 5Gi",
    ]


def test_the_quota_that_will_be_applied_counts(cluster: Cluster) -> None:
    cluster.quota({"pods": "1"}, {"pods": "1"})
    raised = {
        "kind": "ResourceQuota",
        "metadata": {"name": "models", "namespace": SPACE},
        "spec": {"hard": {"pods": "9"}},
    }
    assert "is too small for pods: 1 needed, 0 left" in sentence(cluster, service("iris"))
    assert sentence(cluster, service("iris"), raised) == ""


def test_the_nodes_are_compared_pod_by_pod(cluster: Cluster) -> None:
    nodes = cluster.objects["/api/v1/nodes"]["items"]
    nodes[:] = [
        node("a", "4", "4Gi"),
        node("b", "4", "4Gi"),
        node("control", "9", "99Gi", taints=[{"key": "x", "effect": "NoSchedule"}]),
        node("drained", "9", "99Gi", unschedulable=True),
    ]
    running = {"requests": {"memory": "1Gi"}}
    pod = {"spec": {"nodeName": "a", "containers": [{"resources": running}]}, "status": {"phase": "Running"}}
    cluster.add("/api/v1/pods", pod, {**pod, "status": {"phase": "Succeeded"}})
    # 7Gi are free, and yet no node has 3Gi left twice beside 4Gi.
    fitting = [service("one", resources("1", "3Gi")), service("two", resources("1", "4Gi"))]
    assert sentence(cluster, *fitting) == ""
    assert sentence(cluster, *fitting, service("three", resources("1", "1Gi"))) == (
        "no node has room for 1 of 3 pods: the 3 pods request 3 cpu and 8Gi memory, and all nodes together have 8 cpu "
        "and 7Gi memory left"
    )
    assert sentence(cluster, service("gpu", resources("9", "9Gi"), nodeSelector={"gpu": "yes"})) == ""


def test_devices_and_the_number_of_pods_of_a_node(cluster: Cluster) -> None:
    resources_of_pod = {"requests": {"nvidia.com/gpu": 1}, "limits": {"nvidia.com/gpu": 1}}
    assert "1 nvidia.com/gpu, and all nodes together have 4 cpu, 16Gi memory and 0 nvidia" in sentence(
        cluster, service("llm", resources_of_pod)
    )
    cluster.objects["/api/v1/nodes"]["items"][:] = [node("a", "64", "256Gi", pods="1")]
    assert sentence(cluster, service("iris")) == ""
    bare = deployment(2, "1")
    del bare["spec"]["template"]["spec"]["containers"][0]["resources"]
    for entry in (service("iris", replicas=2), bare):
        assert sentence(cluster, entry) == "no node has room for 1 of 2 pods: all nodes together can run only 1 more"


def test_applied_objects_request_nothing_and_nodes_are_not_read(cluster: Cluster) -> None:
    cluster.quota({"pods": "1"}, {"pods": "1"})
    live = service("iris")
    live["spec"]["predictor"]["model"]["name"] = ""  # a default of the API server
    cluster.add(f"/apis/serving.kserve.io/v1beta1/namespaces/{SPACE}/inferenceservices", live)
    cluster.add(f"/apis/batch/v1/namespaces/{SPACE}/jobs", job("load-iris"))
    result = check(cluster, [service("iris"), job("load-iris")], "kserve")
    assert (result["faults"], result["pods"]) == ([], 0)
    assert not [path for path in cluster.read if path.endswith(("nodes", "pods", "resourcequotas"))]
    changed = service("iris")
    changed["spec"]["predictor"]["model"]["storageUri"] = "pvc://models/y"
    assert "pods: 1 needed, 0 left" in sentence(cluster, changed)


@pytest.mark.parametrize(("mode", "pods"), [("Standard", 1), ("Knative", 4)])
def test_a_rollout_needs_room_for_what_it_creates_first(cluster: Cluster, mode: str, pods: int) -> None:
    services = [service(name, resources("1", "1Gi"), replicas=4) for name in ("iris", "churn")]
    for entry in services:
        entry["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] = mode
    path = f"/apis/serving.kserve.io/v1beta1/namespaces/{SPACE}/inferenceservices"
    cluster.objects[path]["items"] = json.loads(json.dumps(services))
    for entry in services:
        entry["spec"]["predictor"]["model"]["storageUri"] = "pvc://models/v2"
    # One model can wait for the other.
    cluster.quota({"pods": str(pods)})
    cluster.objects["/api/v1/nodes"]["items"][:] = [node("a", "16", "64Gi")]
    assert sentence(cluster, *services) == ""
    cluster.objects[f"/api/v1/namespaces/{SPACE}/resourcequotas"]["items"][0]["spec"]["hard"]["pods"] = str(pods - 1)
    assert f"pods: {pods} needed" in sentence(cluster, *services)


def deployment(replicas: int, cpu: str) -> dict[str, Any]:
    container = {"name": "manager", "resources": {"requests": {"cpu": cpu, "memory": "300Mi"}}}
    return {
        "kind": "Deployment",
        "metadata": {"name": "controller", "namespace": "kserve"},
        "spec": {"replicas": replicas, "template": {"spec": {"containers": [container]}}},
    }


@pytest.mark.parametrize(
    ("replicas", "cpu", "pods"),
    [(2, "0.5", 0), (1, "500m", 0), (3, "500m", 1), (2, "600m", 1), (2, None, 2)],
)
def test_a_running_deployment_requests_nothing(cluster: Cluster, replicas: int, cpu: str | None, pods: int) -> None:
    live = deployment(2, "500m")
    live["spec"]["template"]["spec"]["containers"].append({"name": "sidecar"})
    path = "/apis/apps/v1/namespaces/kserve/deployments"
    cluster.objects[path] = {"items": [live] if cpu else []}
    result = check(cluster, [deployment(replicas, cpu or "1")], "kserve")
    assert (result["pods"], result["faults"]) == (pods, [])
    cluster.objects["/api/v1/nodes"]["items"][:] = [node("a", "100m", "16Gi")]
    assert bool(sentence(cluster, deployment(replicas, cpu or "1"))) == bool(pods)


def test_claims_that_may_not_be_listed_count_as_existing(cluster: Cluster) -> None:
    cluster.quota({"persistentvolumeclaims": "0"})
    cluster.refused = {f"/api/v1/namespaces/{SPACE}/persistentvolumeclaims": 403}
    claim = {"kind": "PersistentVolumeClaim", "metadata": {"name": "models", "namespace": SPACE}, "spec": {}}
    result = check(cluster, [claim], "kserve")
    assert result["faults"] == []
    assert result["unchecked"] == ["the existing PersistentVolumeClaims, which the credentials may not list"]


def test_loads_run_one_after_another_where_there_is_no_room_for_more(cluster: Cluster) -> None:
    loads = [job(f"load-{number}") for number in range(24)]
    cluster.quota({"requests.cpu": "500m", "pods": "40"}, {"requests.cpu": "150m"})
    result = check(cluster, loads, "kserve")
    assert (result["faults"], result["loads_at_once"]) == ([], 3)
    result = check(cluster, [job("load-large", memory="32Gi")], "kserve")
    assert result["loads_at_once"] == 1
    assert any(fault.startswith("no node has room for the pod: it requests ") for fault in result["faults"])
    cluster.objects["/api/v1/nodes"]["items"][:] = [node("a", "250m", "16Gi")]
    assert check(cluster, loads, "kserve")["loads_at_once"] == 2


def test_unreadable_resources_are_named(cluster: Cluster) -> None:
    cluster.refused = {"/api/v1/pods": 403, f"/api/v1/namespaces/{SPACE}/resourcequotas": 403}
    result = check(cluster, [service("iris", resources("5", "1Gi"))], "kserve")
    assert result["unchecked"] == [
        "the ResourceQuotas, which the credentials may not list",
        "the pods of the cluster, which the credentials may not list",
    ]
    assert result["msg"].startswith("no node has room for the pod: it requests ")
    cluster.refused = {"/api/v1/nodes": 403}
    result = check(cluster, [service("iris", resources("5", "1Gi"))], "kserve")
    assert (result["faults"], result["unchecked"]) == (
        [],
        ["the nodes of the cluster, which the credentials may not list"],
    )


def test_a_quota_with_scopes_is_named_as_unchecked(cluster: Cluster) -> None:
    cluster.quota({"pods": "0"}, scopes=["Terminating"])
    result = check(cluster, [service("iris")], "kserve")
    assert (result["faults"], result["unchecked"]) == ([], ["ResourceQuota models, which has scopes"])


def test_a_bare_cluster(cluster: Cluster) -> None:
    for path in [path for path in cluster.objects if "serving.kserve.io" in path or "kserve/" in path]:
        del cluster.objects[path]
    result = check(cluster, [service("iris", resources("1", "1Gi"))], "kserve")
    assert result["faults"] == []
    assert result["unchecked"] == ["the resources of the serving runtime sklearn, which cannot be read"]
    cluster.refused = {"/api/v1/nodes": 500}
    with pytest.raises(ApiError):
        check(cluster, [service("iris")], "kserve")


NO_RUNTIME = "the resources of the serving runtime of InferenceService iris, which names none"


@pytest.mark.parametrize("framework", ["sklearn", "xgboost", "huggingface", "paddle"])
def test_a_predictor_with_the_key_of_its_framework_counts(cluster: Cluster, framework: str) -> None:
    cluster.quota({"requests.memory": "150Mi"})
    iris = service("iris")
    model = {"storageUri": "s3://models/iris/v1/", "resources": resources("10m", "200Mi")}
    iris["spec"]["predictor"] = {"minReplicas": 2, framework: model}
    result = check(cluster, [iris], "kserve")
    assert (result["pods"], result["unchecked"]) == (2, [NO_RUNTIME])
    assert "requests.memory: 400Mi needed" in result["msg"]
    # The API server has the key model.
    live = service("iris", minReplicas=2, model={**model, "modelFormat": {"name": framework}})
    cluster.add(f"/apis/serving.kserve.io/v1beta1/namespaces/{SPACE}/inferenceservices", live)
    assert check(cluster, [iris], "kserve")["pods"] == 0


def test_a_container_beside_the_model_counts(cluster: Cluster) -> None:
    cluster.quota({"requests.cpu": "1"})
    beside = {"name": "collocated", "resources": resources("500m", "64Mi")}
    assert "requests.cpu: 1.5 needed" in sentence(cluster, service("iris", containers=[beside]))


@pytest.mark.parametrize(
    ("spec", "pods", "unchecked"),
    [
        (
            {"predictor": {"unknown": {}}},
            1,
            ["the predictor of InferenceService iris, which has no model and no conta"],
        ),
        ({"predictor": {"model": None, "minReplicas": 1}}, 1, ["the predictor of InferenceService iris, which has no"]),
        ({"predictor": {"model": {"modelFormat": {"name": "sklearn"}}}}, 1, [NO_RUNTIME]),
        (
            {"predictor": {"model": {"runtime": "sklearn"}, "workerSpec": {"containers": []}}},
            1,
            ["the workers of InferenceService iris, which the predictor has in workerSpec"],
        ),
        ({"predictor": {"model": {"runtime": "sklearn", "resources": None}, "minReplicas": None}}, 1, []),
        ({"predictor": {"containers": [{"name": "a", "resources": {"limits": None}}]}, "transformer": None}, 1, []),
        ({"predictor": None}, 0, []),
        (None, 0, []),
    ],
)
def test_what_is_null_is_absent_and_what_is_not_counted_is_named(
    cluster: Cluster, spec: Any, pods: int, unchecked: list[str]
) -> None:
    iris = {**service("iris"), "spec": spec}
    iris["metadata"]["annotations"] = None
    result = check(cluster, [iris, None, {}, {"kind": "Job", "metadata": {"name": "a", "namespace": SPACE}}], "kserve")
    assert (result["faults"], result["pods"]) == ([], pods + 1)
    assert [one[: len(wanted)] for one, wanted in zip(result["unchecked"], unchecked, strict=True)] == unchecked


def test_the_objects_of_a_list_count(cluster: Cluster) -> None:
    result = check(cluster, [{"kind": "List", "items": [service("iris"), job("load")]}], "kserve")
    assert result["pods"] == 2


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"metadata": None}, "InferenceService of definitions[1] has no metadata.name", "InvalidManifest"),
    ({"metadata": {"name": 1}}, "metadata.name of InferenceService of definitions[1] must be a str", "InvalidManifest"),
    ({"spec": []}, "spec of InferenceService iris must be a dictionary; correct it in definitions", "InvalidManifest"),
    ({"spec": {"predictor": "x"}}, "spec.predictor of InferenceService iris must be a dict", "InvalidManifest"),
    (
        {"spec": {"predictor": {"containers": [None]}}},
        "spec.predictor.containers[0] of InferenceService iris must be a dictionary",
        "InvalidManifest",
    ),
    (
        {"spec": {"predictor": {"sklearn": {"resources": ["cpu"]}}}},
        "spec.predictor.sklearn.resources of InferenceService iris must be a dictionary",
        "InvalidManifest",
    ),
    (
        {"spec": {"predictor": {"minReplicas": "many"}}},
        "spec.predictor.minReplicas of InferenceService iris must be a whole number",
        "InvalidManifest",
    ),
    (
        {"spec": {"predictor": {"model": {"resources": {"requests": {"memory": "1 Gi"}}}}}},
        "spec.predictor.model.resources.requests.memory of InferenceService iris is '1 Gi', and must be a quantity",
        "InvalidResources",
    ),
    ({"kind": "Job", "spec": {"template": []}}, "spec.template of Job iris must be a dictionary", "InvalidManifest"),
    (
        {"kind": "ResourceQuota", "spec": {"hard": {"pods": "-1"}}},
        "spec.hard.pods of ResourceQuota",
        "InvalidResources",
    ),
    (
        {"kind": "LimitRange", "spec": {"limits": {}}},
        "spec.limits of LimitRange iris must be a list",
        "InvalidManifest",
    ),
    (
        {"kind": "PersistentVolumeClaim", "spec": {"resources": {"requests": {"storage": True}}}},
        "spec.resources.requests.storage of PersistentVolumeClaim iris is 'True', and must be a quantity",
        "InvalidResources",
    ),
    ({"kind": "List", "items": "x"}, "items of the List of definitions[1] must be a list", "InvalidManifest"),
]


@pytest.mark.parametrize(("change", "message", "code"), WRONG)
def test_a_field_of_the_wrong_type_is_named(cluster: Cluster, change: dict[str, Any], message: str, code: str) -> None:
    with pytest.raises(KServeError, match=re.escape(message)) as caught:
        check(cluster, [job("load"), {**service("iris"), **change}], "kserve")
    assert caught.value.reason == code and str(caught.value).endswith(".")


@pytest.mark.parametrize("config", ["[]", "null", '{"memoryRequest": "much"}', '{"cpuRequest": null}', "{"])
def test_a_configuration_of_the_storage_initializer_that_is_not_valid(cluster: Cluster, config: str) -> None:
    data = cluster.objects["/api/v1/namespaces/kserve/configmaps/inferenceservice-config"]["data"]
    data["storageInitializer"] = config
    result = check(cluster, [service("iris")], "kserve")
    assert result["unchecked"] == (
        ["memoryRequest of the storage initializer, which is no quantity in inferenceservice-config"]
        if "much" in config
        else []
    )
