# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._manifest_source.images import Images
from ansible_collections.hashfoundry.kserve.plugins.module_utils._manifest_source.load import load

from ..manifests_server import crd, thing

DIGEST = f"sha256:{'a' * 64}"
IMAGES = {
    "registries": {
        "docker.io": "mirror.example.com/hub/",
        "gcr.io/knative-releases": "mirror.example.com:5000/knative",
        "gcr.io/knative-releases/special": "other.example.com",
    },
    "digests": {"docker.io/kserve/agent:v0.20.0": DIGEST, "quay.io/a/b:v1": DIGEST},
}


@pytest.mark.parametrize(
    ("image", "mapped"),
    [
        ("docker.io/envoyproxy/envoy:v1", "mirror.example.com/hub/envoyproxy/envoy:v1"),
        ("kserve/agent:v0.20.0", f"mirror.example.com/hub/kserve/agent:v0.20.0@{DIGEST}"),
        ("kserve/agent:v0.19.0", "mirror.example.com/hub/kserve/agent:v0.19.0"),
        ("kserve/art-explainer", "mirror.example.com/hub/kserve/art-explainer"),
        ("nginx:1.2", "mirror.example.com/hub/library/nginx:1.2"),
        ("gcr.io/knative-releases/knative.dev/queue:v1", "mirror.example.com:5000/knative/knative.dev/queue:v1"),
        # The longest prefix wins, and only complete path components match.
        ("gcr.io/knative-releases/special/x", "other.example.com/x"),
        ("gcr.io/knative-releases-more/x", "gcr.io/knative-releases-more/x"),
        # Another registry, with and without a digest.
        ("quay.io/a/b:v1", f"quay.io/a/b:v1@{DIGEST}"),
        ("localhost:5000/a:v1", "localhost:5000/a:v1"),
        (f"docker.io/a/b@sha256:{'b' * 64}", f"mirror.example.com/hub/a/b@sha256:{'b' * 64}"),
        # Strings that are no image, or only a part of one.
        ("auto", "auto"),
        ("", ""),
        ("{{ .Values.image }}", "{{ .Values.image }}"),
        ("$(AN_IMAGE)", "$(AN_IMAGE)"),
        ("https://docker.io/x", "https://docker.io/x"),
    ],
)
def test_an_image_comes_from_the_mirror(image: str, mapped: str) -> None:
    assert Images.of(IMAGES).mapped(image) == mapped


def test_an_invalid_digest() -> None:
    with pytest.raises(KServeError, match=r"images.digests has latest for a:b, which is no digest"):
        Images.of({"digests": {"a:b": "latest"}})


def bodies(*objects: dict[str, Any], images: dict[str, Any] | None = None) -> list[Any]:
    return [one.body for one in load(objects, [], images=IMAGES if images is None else images)]


CONTAINER = {
    "name": "manager",
    "image": "kserve/agent:v0.20.0",
    "args": ["--envoy-image=docker.io/a/b:v1", "--contour-image", "docker.io/c/d:v1", "docker.io/not/this", "--image"],
    "env": [
        {"name": "SIDECAR_IMAGE", "value": "docker.io/e/f:v1"},
        {"name": "REGISTRY", "value": "docker.io"},
        {"name": "FROM_IMAGE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ],
}


@pytest.mark.parametrize(
    "registries", [{"docker.io": None}, {"docker.io": ""}, {"": "a"}, {"docker.io": 5}, {None: "a"}]
)
def test_a_registry_without_a_name_is_rejected(registries: dict[Any, Any]) -> None:
    with pytest.raises(KServeError, match="give the name of a registry for each prefix") as caught:
        Images.of({"registries": registries})
    assert caught.value.reason == "InvalidOption"


def test_images_in_containers_arguments_and_environment() -> None:
    pod = {"containers": [CONTAINER], "initContainers": [{"name": "i", "image": "docker.io/g/h"}]}
    [body] = bodies(thing("Deployment", "d", api="apps/v1", spec={"template": {"spec": pod}}))
    spec = body["spec"]["template"]["spec"]
    assert spec["containers"][0]["image"] == f"mirror.example.com/hub/kserve/agent:v0.20.0@{DIGEST}"
    assert spec["containers"][0]["args"] == [
        "--envoy-image=mirror.example.com/hub/a/b:v1",
        "--contour-image",
        "mirror.example.com/hub/c/d:v1",
        "docker.io/not/this",
        "--image",
    ]
    assert [entry.get("value") for entry in spec["containers"][0]["env"]] == [
        "mirror.example.com/hub/e/f:v1",
        "docker.io",
        None,
    ]
    assert spec["initContainers"][0]["image"] == "mirror.example.com/hub/g/h"


def test_images_of_custom_resources() -> None:
    runtime = thing("ClusterServingRuntime", "r", None, "serving.kserve.io/v1alpha1", spec={"containers": [CONTAINER]})
    storage = thing(
        "ClusterStorageContainer", "s", None, "serving.kserve.io/v1alpha1", spec={"container": {"image": "kserve/s:v1"}}
    )
    proxy = thing("Image", "queue-proxy", api="caching.internal.knative.dev/v1alpha1", spec={"image": "docker.io/q:1"})
    first, second, third = bodies(runtime, storage, proxy)
    assert first["spec"]["containers"][0]["image"].startswith("mirror.example.com/hub/kserve/agent")
    assert second["spec"]["container"]["image"] == "mirror.example.com/hub/kserve/s:v1"
    assert third["spec"]["image"] == "mirror.example.com/hub/q:1"


def test_images_in_a_config_map() -> None:
    agent = '{\n    "image" : "kserve/agent:v0.20.0",\n    "memoryRequest": "100Mi"\n}'
    data = {
        "queue-sidecar-image": "gcr.io/knative-releases/knative.dev/queue:v1",
        "agent": agent,
        "explainers": json.dumps({"art": {"image": "kserve/art-explainer", "defaultImageVersion": "latest"}}),
        "deploy": '{ "defaultDeploymentMode": "Standard" }',
        "broken": "{ no JSON",
        "_example": "queue-sidecar-image: gcr.io/knative-releases/knative.dev/queue:v1",
        "_image": "docker.io/a/b",
    }
    [body] = bodies(thing("ConfigMap", "c", data=data))
    after = body["data"]
    assert after["queue-sidecar-image"] == "mirror.example.com:5000/knative/knative.dev/queue:v1"
    assert json.loads(after["agent"]) == {
        "image": f"mirror.example.com/hub/kserve/agent:v0.20.0@{DIGEST}",
        "memoryRequest": "100Mi",
    }
    assert json.loads(after["explainers"])["art"] == {
        "image": "mirror.example.com/hub/kserve/art-explainer",
        "defaultImageVersion": "latest",
    }
    # Unchanged, including their format.
    assert {key: after[key] for key in ("deploy", "broken", "_example", "_image")} == {
        key: data[key] for key in ("deploy", "broken", "_example", "_image")
    }


def test_crds_and_no_mapping() -> None:
    definition = crd()
    definition["spec"]["image"] = "docker.io/a/b"
    config = thing("ConfigMap", "c", data={"image": "docker.io/a/b", "none": None})
    assert bodies(definition) == [definition]
    assert bodies(config, images={}) == [config]
