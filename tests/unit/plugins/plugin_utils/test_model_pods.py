# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.filter import pod_faults as pod_faults_filter
from ansible_collections.hashfoundry.kserve.plugins.filter import serving_versions as serving_versions_filter
from ansible_collections.hashfoundry.kserve.plugins.plugin_utils._model_pods import pod_faults, serving_versions

DIGEST = "sha256:" + "a" * 64
MODELS = [
    {"name": "iris", "version": "v1", "storage": "s3"},
    {"name": "churn", "version": "v2", "storage": "pvc", "volume": "models"},
]
DIGESTS = {"s3://bucket/iris/v1/": DIGEST, "s3://bucket/churn/v2/": DIGEST}
CREDENTIALS = {"name": "reader", "endpoint_url": "https://store.example.com/", "region": "nyc3"}


def metadata(name: str, version: str) -> dict[str, Any]:
    labels = {"serving.kserve.io/inferenceservice": name, "kserve.hashfoundry.io/version": version}
    return {"name": f"{name}-1", "labels": labels, "annotations": {"kserve.hashfoundry.io/digest": DIGEST}}


def key(name: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": "reader", "key": name}}}


# The pods of KServe v0.20.0 for both storages, with the fields that are compared.
IRIS: dict[str, Any] = {
    "kind": "Pod",
    "metadata": metadata("iris", "v1"),
    "spec": {
        "containers": [{"name": "kserve-container"}],
        "initContainers": [
            {
                "name": "storage-initializer",
                "args": ["s3://bucket/iris/v1/", "/mnt/models"],
                "env": [
                    key("AWS_ACCESS_KEY_ID"),
                    key("AWS_SECRET_ACCESS_KEY"),
                    {"name": "AWS_ENDPOINT_URL", "value": "https://store.example.com"},
                    {"name": "AWS_DEFAULT_REGION", "value": "nyc3"},
                ],
            }
        ],
    },
}
MOUNT = {"name": "kserve-pvc-source", "mountPath": "/mnt/models", "subPath": "churn/v2", "readOnly": True}
CHURN: dict[str, Any] = {
    "kind": "Pod",
    "metadata": metadata("churn", "v2"),
    "spec": {
        "containers": [{"name": "kserve-container", "volumeMounts": [MOUNT]}],
        "volumes": [{"name": "kserve-pvc-source", "persistentVolumeClaim": {"claimName": "models"}}],
    },
}


def faults(*pods: dict[str, Any]) -> list[str]:
    return pod_faults(pods, MODELS, "bucket", CREDENTIALS, DIGESTS)


def test_pods_that_match_the_spec_have_no_fault() -> None:
    assert faults(IRIS, CHURN) == []


def test_an_object_store_without_an_endpoint_is_aws() -> None:
    pod = copy.deepcopy(IRIS)
    env(pod).pop(2)
    for credentials in ({"name": "reader"}, {"name": "reader", "endpoint_url": None, "region": None}):
        assert not pod_faults([pod, CHURN], MODELS, "bucket", credentials, DIGESTS)


def env(pod: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pod["spec"]["initContainers"][0]["env"]
    return found


@pytest.mark.parametrize(
    ("pod", "change", "message"),
    [
        (IRIS, lambda pod: env(pod).pop(0), "has not got AWS_ACCESS_KEY_ID from the Secret reader; see whether"),
        (
            IRIS,
            lambda pod: env(pod)[1]["valueFrom"]["secretKeyRef"].update(name="other"),
            "has not got AWS_SECRET_ACCESS_KEY from the Secret reader",
        ),
        (
            IRIS,
            lambda pod: env(pod).pop(2),
            "has AWS_ENDPOINT_URL None and not https://store.example.com; see the anno",
        ),
        (IRIS, lambda pod: env(pod)[3].update(value="us-east-1"), "has AWS_DEFAULT_REGION us-east-1 and not nyc3"),
        (IRIS, lambda pod: pod["spec"].pop("initContainers"), "has no init container storage-initializer"),
        (
            IRIS,
            lambda pod: pod["spec"]["initContainers"][0].update(args=["s3://bucket/iris/v0/"]),
            "takes its model from s3://bucket/iris/v0/ and not s3://bucket/iris/v1/",
        ),
        (
            IRIS,
            lambda pod: pod["metadata"].pop("annotations"),
            f"has the digest None in its annotations and not {DIGEST}",
        ),
        (CHURN, lambda pod: pod["metadata"].update(metadata("churn", "v1")), "is of version v1 and not v2"),
        (
            CHURN,
            lambda pod: pod["spec"]["containers"][0]["volumeMounts"][0].update(subPath="churn/v1"),
            "does not mount churn/v2 of the volume models; see the storageUri",
        ),
        (CHURN, lambda pod: pod["spec"].pop("volumes"), "does not mount churn/v2 of the volume models"),
    ],
)
def test_a_pod_that_does_not_match_the_spec(
    pod: dict[str, Any], change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    changed = copy.deepcopy(pod)
    change(changed)
    (fault,) = faults(changed)
    name = pod["metadata"]["labels"]["serving.kserve.io/inferenceservice"]
    assert fault.startswith(f"Pod {name}-1 of model {name} {message}") and fault.endswith(".")


def test_pods_without_a_model_and_terminating_ones_are_ignored() -> None:
    going = copy.deepcopy(IRIS)
    going["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "annotations": {}}
    assert faults(going, {"metadata": {"name": "other"}}, {"metadata": metadata("fraud", "v1")}) == []
    assert pod_faults_filter.FilterModule().filters()["pod_faults"]([IRIS], [], "b", {}, {}) == []


def test_pods_of_an_older_revision_are_ignored() -> None:
    older = copy.deepcopy(CHURN)
    older["metadata"] = metadata("churn", "v1")
    older["metadata"]["labels"]["serving.knative.dev/revision"] = "churn-00001"
    assert faults(older) == []


def test_an_unknown_digest_and_an_image_are_not_compared() -> None:
    pod = copy.deepcopy(IRIS)
    pod["metadata"]["annotations"] = {}
    assert pod_faults([pod], MODELS, "bucket", CREDENTIALS, {}) == []
    assert pod_faults([pod], [{**MODELS[0], "storage": "oci"}], "bucket", CREDENTIALS, DIGESTS) == []


def test_a_model_from_elsewhere_is_compared_with_its_own_uri_and_digest() -> None:
    pod = copy.deepcopy(IRIS)
    pod["spec"]["initContainers"][0]["args"] = ["gs://public/iris", "/mnt/models"]
    # Its credentials are not those of the bucket.
    pod["spec"]["initContainers"][0]["env"] = []
    entry = {**MODELS[0], "storage": "uri", "uri": "gs://public/iris"}
    assert pod_faults([pod], [entry], "bucket", CREDENTIALS, DIGESTS) == []
    (fault,) = pod_faults([pod], [entry | {"digest": "sha256:" + "0" * 64}], "bucket", CREDENTIALS, DIGESTS)
    assert f"has the digest {DIGEST} in its annotations and not sha256:0" in fault
    (fault,) = pod_faults([IRIS], [entry], "bucket", CREDENTIALS, DIGESTS)
    assert "takes its model from s3://bucket/iris/v1/ and not gs://public/iris" in fault
    del pod["spec"]["initContainers"]
    (fault,) = pod_faults([pod], [entry], "bucket", CREDENTIALS, DIGESTS)
    assert "has no init container storage-initializer" in fault


def test_serving_versions_are_those_of_services_and_pods() -> None:
    service = {"kind": "InferenceService", "metadata": {**metadata("churn", "v3"), "name": "churn"}}
    foreign = {"kind": "InferenceService", "metadata": {"name": "foreign"}}
    found = serving_versions([service, foreign, CHURN, CHURN, IRIS, {"kind": "Pod", "metadata": {"name": "x"}}])
    assert found == {"churn": ["v2", "v3"], "iris": ["v1"]}
    assert serving_versions_filter.FilterModule().filters()["serving_versions"]([]) == {}
