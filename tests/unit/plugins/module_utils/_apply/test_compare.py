# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._apply.compare import first_difference, projection

from ..manifests_server import MANAGER, thing
from ..server_side_apply import applied_fields

# Managed fields of a Deployment in Kubernetes 1.35: ports and containers are merged, tolerations and selectors atomic.
FIELDS = {
    "f:metadata": {"f:labels": {"f:app": {}}, "f:finalizers": {".": {}, 'v:"a/b"': {}}},
    "f:spec": {
        "f:replicas": {},
        "f:paused": {},
        "f:selector": {},
        "f:template": {
            "f:spec": {
                "f:containers": {
                    'k:{"name":"web"}': {
                        ".": {},
                        "f:name": {},
                        "f:command": {},
                        "f:image": {},
                        "f:env": {'k:{"name":"NS"}': {".": {}, "f:name": {}, "f:valueFrom": {"f:fieldRef": {}}}},
                        "f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}},
                        "f:resources": {"f:limits": {"f:cpu": {}, "f:memory": {}}},
                    }
                },
                "f:tolerations": {},
            }
        },
    },
}
CONTAINER = {
    "name": "web",
    "image": "web:1",
    "command": ["a", "b"],
    "env": [{"name": "NS", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}],
    "ports": [{"containerPort": 80}],
    "resources": {"limits": {"cpu": "1000m", "memory": "1Gi"}},
}
DESIRED = thing(
    "Deployment",
    "web",
    api="apps/v1",
    spec={
        "replicas": 2,
        "paused": False,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"creationTimestamp": None},
            "spec": {"containers": [CONTAINER], "tolerations": [{"key": "a", "operator": "Exists"}]},
        },
    },
)
DESIRED["metadata"] |= {"labels": {"app": "web"}, "finalizers": ["a/b"]}


def live() -> dict[str, Any]:
    """Return DESIRED as the API server stores it: with defaults, and fields of others."""
    body = copy.deepcopy(DESIRED)
    body["metadata"]["managedFields"] = [
        {"manager": "kubectl", "operation": "Update", "fieldsV1": {}},
        {"manager": MANAGER, "operation": "Update", "fieldsV1": {}},
        {"manager": MANAGER, "operation": "Apply", "apiVersion": "apps/v1", "fieldsV1": FIELDS},
    ]
    body["metadata"]["labels"]["others"] = "x"
    body["metadata"]["finalizers"].append("others/x")
    body["spec"]["strategy"] = {"type": "RollingUpdate"}
    del body["spec"]["paused"]
    pod = body["spec"]["template"]["spec"]
    pod["containers"][0]["ports"][0]["protocol"] = "TCP"
    pod["containers"][0]["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] = "v1"
    pod["containers"][0]["env"].insert(0, {"name": "INJECTED", "value": "x"})
    pod["containers"][0]["resources"] = {"limits": {"cpu": "1", "memory": "1024Mi"}}
    pod["containers"].insert(0, {"name": "sidecar", "image": "x"})
    body["status"] = {"replicas": 2}
    return body


def container(body: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = body["spec"]["template"]["spec"]["containers"][-1]
    return entry


def test_fields_of_others_and_equivalent_values_are_no_difference() -> None:
    assert first_difference(DESIRED, live(), MANAGER) is None


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda body: body["spec"].update(replicas=3), "spec.replicas"),
        (lambda body: body["spec"].update(replicas=True), "spec.replicas"),
        (lambda body: body["spec"].update(minReadySeconds=5), "spec.minReadySeconds"),
        (lambda body: body["spec"].update(paused=True), "spec.paused"),
        (lambda body: body["spec"].pop("replicas"), "spec.replicas"),
        (lambda body: body["metadata"].pop("labels"), "metadata.labels"),
        (lambda body: body["metadata"]["labels"].pop("app"), "metadata.labels.app"),
        (lambda body: body["metadata"].update(finalizers=["c/d"]), "metadata.finalizers"),
        (lambda body: body["metadata"].update(finalizers=[]), "metadata.finalizers"),
        (lambda body: body["spec"]["selector"].update(matchLabels={}), "spec.selector.matchLabels.app"),
        (lambda body: body["spec"]["selector"].update(matchExpressions=[{}]), "spec.selector.matchExpressions"),
        (lambda body: container(body).update(image="web:2"), "spec.template.spec.containers.[name=web].image"),
        (lambda body: container(body).update(command=["b", "a"]), "spec.template.spec.containers.[name=web].command.0"),
        (lambda body: container(body).update(command=["a"]), "spec.template.spec.containers.[name=web].command"),
        (lambda body: container(body).update(env=[]), "spec.template.spec.containers.[name=web].env.[name=NS]"),
        (lambda body: container(body).update(name="new"), "spec.template.spec.containers.[name=new]"),
        (
            lambda body: container(body).update(ports=[{"containerPort": 80, "protocol": "UDP"}]),
            "spec.template.spec.containers.[name=web].ports.[containerPort=80, protocol=UDP]",
        ),
        (
            lambda body: container(body)["resources"]["limits"].update(cpu="1001m"),
            "spec.template.spec.containers.[name=web].resources.limits.cpu",
        ),
        (
            lambda body: body["spec"]["template"]["spec"].update(tolerations=[{"key": "a"}]),
            "spec.template.spec.tolerations.0.operator",
        ),
        (lambda body: body["spec"]["template"]["spec"].update(tolerations=[]), "spec.template.spec.tolerations"),
    ],
)
def test_each_change_of_the_manifest_is_found(change: Callable[[dict[str, Any]], Any], path: str) -> None:
    desired = copy.deepcopy(DESIRED)
    change(desired)
    assert first_difference(desired, live(), MANAGER) == path


def test_drift_of_the_live_object_is_found() -> None:
    body = live()
    container(body)["image"] = "web:hotfix"
    assert first_difference(DESIRED, body, MANAGER) == "spec.template.spec.containers.[name=web].image"


def test_an_object_that_was_never_applied_by_this_manager_differs() -> None:
    assert first_difference(DESIRED, live(), "another") == "metadata.managedFields"
    older = live()
    older["metadata"]["managedFields"][-1]["apiVersion"] = "apps/v1beta1"
    assert first_difference(DESIRED, older, MANAGER) == "metadata.managedFields"
    # Identifying fields have no owner, so here there is nothing to apply.
    bare = thing("Namespace", "models", None)
    assert first_difference(bare, {**bare, "status": {"phase": "Active"}}, MANAGER) is None


@pytest.mark.parametrize(
    ("desired", "found", "same"),
    [
        ("1000m", "1", True),
        (1, "1", True),
        (0.01, "10m", True),
        ("1Gi", "1024Mi", True),
        ("1G", "1Gi", False),
        ("0.5", "500m", True),
        ("1e3", "1k", True),
        ("many", "1", False),
        (True, "1", False),
    ],
)
def test_quantities_are_compared_by_value(desired: Any, found: Any, same: bool) -> None:
    def quota(value: Any) -> dict[str, Any]:
        return thing("ResourceQuota", "q", spec={"hard": {"requests.cpu": value}})

    body = quota(found)
    fields = {"f:spec": {"f:hard": {"f:requests.cpu": {}}}}
    body["metadata"]["managedFields"] = [
        {"manager": MANAGER, "operation": "Apply", "apiVersion": "v1", "fieldsV1": fields}
    ]
    assert (first_difference(quota(desired), body, MANAGER) is None) is same


def test_a_string_that_looks_like_a_quantity_is_a_string() -> None:
    body = thing("ConfigMap", "c", data={"limits": "1"})
    body["metadata"]["managedFields"] = [
        {"manager": MANAGER, "operation": "Apply", "apiVersion": "v1", "fieldsV1": {"f:data": {"f:limits": {}}}}
    ]
    assert first_difference(thing("ConfigMap", "c", data={"limits": "1000m"}), body, MANAGER) == "data.limits"


def applied(body: dict[str, Any]) -> dict[str, Any]:
    """The object as it is after its manifest was applied."""
    entry = {
        "manager": MANAGER,
        "operation": "Apply",
        "apiVersion": body["apiVersion"],
        "fieldsV1": applied_fields(body),
    }
    return {**body, "metadata": {**body["metadata"], "managedFields": [entry]}}


@pytest.mark.parametrize(
    ("api", "kind", "fields", "same"),
    [
        # A custom resource is stored as it was sent.
        ("example.com/v1", "Tool", ("limits", "version"), False),
        ("example.com/v1", "Tool", ("resources", "limits", "cpu"), False),
        ("example.com/v1", "Tool", ("default",), False),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition", ("default", "resources", "limits", "cpu"), False),
        # KServe's webhook writes quantities in their shortest form.
        ("serving.kserve.io/v1beta1", "InferenceService", ("predictor", "model", "resources", "limits", "cpu"), True),
        ("serving.kserve.io/v1beta1", "InferenceService", ("predictor", "model", "modelFormat", "version"), False),
        ("apps/v1", "Deployment", ("template", "spec", "containers", 0, "resources", "limits", "cpu"), True),
        ("apps/v1", "Deployment", ("template", "spec", "nodeSelector", "max"), False),
        ("v1", "Pod", ("volumes", 0, "emptyDir", "sizeLimit"), True),
        ("v1", "LimitRange", ("limits", 0, "defaultRequest", "cpu"), True),
        ("v1", "LimitRange", ("limits", 0, "type"), False),
        ("v1", "PersistentVolumeClaim", ("resources", "requests", "storage"), True),
        ("v1", "PersistentVolume", ("capacity", "storage"), True),
        ("autoscaling/v2", "HorizontalPodAutoscaler", ("metrics", 0, "pods", "target", "averageValue"), True),
        ("autoscaling/v2", "HorizontalPodAutoscaler", ("metrics", 0, "pods", "metric", "name"), False),
    ],
)
def test_only_fields_that_are_quantities_are_compared_by_value(
    api: str, kind: str, fields: tuple[Any, ...], same: bool
) -> None:
    def holding(value: Any) -> dict[str, Any]:
        for key in reversed(fields):
            value = [value] if isinstance(key, int) else {key: value}
        return thing(kind, "x", api=api, spec=value)

    assert (first_difference(holding("1.0"), applied(holding("1")), MANAGER) is None) is same
    assert first_difference(holding("1"), applied(holding("1")), MANAGER) is None


@pytest.mark.parametrize(("group", "path"), [("", None), ("rbac.authorization.k8s.io", "subjects.0.apiGroup")])
def test_the_empty_name_of_the_core_group_is_dropped(group: str, path: str | None) -> None:
    subject = {"kind": "ServiceAccount", "name": "x", "namespace": "n"}
    desired = thing("RoleBinding", "x", api="rbac.authorization.k8s.io/v1", subjects=[{"apiGroup": group, **subject}])
    body = {**copy.deepcopy(desired), "subjects": [subject]}
    version = desired["apiVersion"]
    entry = {"manager": MANAGER, "operation": "Apply", "apiVersion": version, "fieldsV1": {"f:subjects": {}}}
    body["metadata"]["managedFields"] = [entry]
    assert first_difference(desired, body, MANAGER) == path


def test_projection_contains_the_fields_of_the_manifest() -> None:
    shown = projection(live(), DESIRED)
    assert "status" not in shown and "managedFields" not in shown["metadata"] and "strategy" not in shown["spec"]
    assert [entry["name"] for entry in shown["spec"]["template"]["spec"]["containers"]] == ["web"]
    assert projection([1, 2], [1]) == [1] and projection({"a": 1}, 2) == {"a": 1}
