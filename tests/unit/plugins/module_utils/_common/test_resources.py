# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from kubernetes.utils.quantity import parse_quantity

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.resources import (
    container_faults,
    manifest_faults,
    quantity,
    same_quantity,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._manifest_source.load import load


@pytest.mark.parametrize(
    "text",
    ["0", "1", "0.5", "500m", "100n", "7u", "1k", "2M", "3G", "1T", "1P", "1E", "1Ki", "1.5Gi", "2Ti", "1Ei", "1e3"],
)
def test_a_quantity_is_what_the_kubernetes_client_reads(text: str) -> None:
    assert quantity(text) == parse_quantity(text)


@pytest.mark.parametrize("value", ["", "1 core", "half", "1Mb", "--1", True, None, "1m2", "1e9999999"])
def test_anything_else_is_no_quantity(value: Any) -> None:
    assert quantity(value) is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("0.5", "500m", True), (1, "1000m", True), (0.1, "100m", True), ("1G", "1Gi", False), ("x", "x", False)],
)
def test_quantities_are_the_same_by_their_amount(one: Any, other: Any, same: bool) -> None:
    for left, right in ((one, other), (other, one)):
        assert same_quantity(left, right) is same


@pytest.mark.parametrize(
    ("part", "name", "amount", "says"),
    [
        ("limits", "memory", "512m", "is 512m, which is 0.512 bytes, since m is a thousandth; write 512Mi"),
        ("limits", "memory", 512, "is 512, which is only 512 bytes; write 512Mi"),
        ("requests", "memory", "512k", "is 512k, which is only 512000 bytes; write 512Mi"),
        ("requests", "memory", "0.5", "is 0.5, which is 0.5 bytes"),
        ("requests", "memory", "1Mb", "is 1Mb, and must be a quantity such as 500m or 1Gi"),
        ("requests", "memory", "-1Gi", "is -1Gi, and must be a quantity"),
        ("requests", "ephemeral-storage", "500m", "write 500Mi"),
        ("requests", "hugepages-2Mi", "4m", "write 4Mi"),
        ("requests", "cpu", "500Mi", "is 500Mi, which are bytes; write 500m for thousandths of a core"),
        ("requests", "cpu", "0.0005", "is 0.0005, and 1m, a thousandth of a core, is the smallest part"),
        ("limits", "nvidia.com/gpu", 0.5, "is 0.5, and a device is not divided; write a whole number"),
        ("limits", "gpu", 1, "is not a resource of Kubernetes; write nvidia.com/gpu"),
        ("requests", "mem", "1Gi", "is not a resource of Kubernetes; write memory"),
        ("requests", "disk", "1Gi", "is not a resource of Kubernetes; a device has a name such as nvidia.com/gpu"),
    ],
)
def test_a_wrong_unit_is_rejected_with_the_intended_one(part: str, name: str, amount: Any, says: str) -> None:
    (fault,) = container_faults({part: {name: amount}})
    assert fault.startswith(f"{part}.{name} is ") and says in fault


@pytest.mark.parametrize(
    "resources",
    [
        {},
        {"requests": None, "limits": {"cpu": 1, "memory": "1Gi", "nvidia.com/gpu": 1}},
        {"requests": {"cpu": "100m", "memory": "0"}, "limits": {"cpu": "0.1", "memory": "64M"}},
        {"requests": {"nvidia.com/gpu": "2"}, "limits": {"nvidia.com/gpu": 2}},
        {"requests": {"memory": "1e9", "ephemeral-storage": "1000"}},
    ],
)
def test_amounts_that_a_container_can_run_with(resources: dict[str, Any]) -> None:
    assert list(container_faults(resources)) == []


@pytest.mark.parametrize(
    ("name", "requested", "limited", "says"),
    [
        ("memory", "2Gi", "1Gi", "requests.memory is 2Gi, which is more than limits.memory, 1Gi"),
        ("cpu", 2, "1500m", "requests.cpu is 2, which is more than limits.cpu, 1500m"),
        ("nvidia.com/gpu", 1, 2, "requests.nvidia.com/gpu is 1 and limits.nvidia.com/gpu 2, and of a device both must"),
    ],
)
def test_a_request_over_its_limit_is_rejected(name: str, requested: Any, limited: Any, says: str) -> None:
    (fault,) = container_faults({"requests": {name: requested}, "limits": {name: limited}})
    assert says in fault


BAD = {"requests": {"memory": "512m"}}
POD = {"containers": [{"name": "a"}], "initContainers": [{"name": "b", "resources": BAD}]}


@pytest.mark.parametrize(
    ("kind", "spec", "says"),
    [
        ("Deployment", {"template": {"spec": POD}}, "resources.requests.memory is 512m, which"),
        ("CronJob", {"jobTemplate": {"spec": {"template": {"spec": POD}}}}, ", of the container b"),
        ("InferenceService", {"predictor": {"model": {"resources": BAD}}}, ", of the model"),
        (
            "ServingRuntime",
            {"containers": [{"name": "kserve-container", "resources": BAD}]},
            ", of the container kserve",
        ),
        ("ResourceQuota", {"hard": {"pods": "40", "requests.memory": "8m"}}, "spec.hard.requests.memory is 8m"),
        ("LimitRange", {"limits": [{"default": {"memory": "1m"}}]}, "spec.limits.default.memory is 1m"),
        ("PersistentVolumeClaim", {"resources": {"requests": {"storage": 10}}}, "only 10 bytes; write 10Gi"),
        ("PersistentVolume", {"capacity": {"storage": "10m"}}, "spec.capacity.storage is 10m"),
    ],
)
def test_manifests_are_checked_before_anything_is_sent(kind: str, spec: dict[str, Any], says: str) -> None:
    body = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "x"}, "spec": spec}
    (fault,) = manifest_faults(body)
    assert says in fault
    with pytest.raises(KServeError, match=rf"^{kind} x, in definitions\[0\]: ") as caught:
        load([body], [])
    assert caught.value.reason == "InvalidResources"


def test_a_crd_is_not_searched_for_resources() -> None:
    spec = {"versions": [{"schema": {"containers": [{"resources": BAD}]}}]}
    assert list(manifest_faults({"kind": "CustomResourceDefinition", "spec": spec})) == []
