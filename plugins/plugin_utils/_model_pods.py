# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the pods of models are made of: pure functions over objects as the API server returns them.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._health.pod import STORAGE_INITIALIZER

Json = Mapping[str, Any]

# pkg/constants/constants.go of KServe v0.20.0
SERVICE = "serving.kserve.io/inferenceservice"
VERSION = "kserve.hashfoundry.io/version"
DIGEST = "kserve.hashfoundry.io/digest"
# Of Knative Serving v1.21
_REVISION = "serving.knative.dev/revision"
# Where the bucket has the versions.
STORED = ("s3", "pvc")
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def serving_versions(objects: Iterable[Json]) -> dict[str, list[str]]:
    """Return the versions of each model that InferenceServices ask for or pods serve, in order.

    A previous pod during a rollout, or one of a Knative revision that receives part of the requests, serves another
    version than its InferenceService asks for.
    """
    found: dict[str, set[str]] = {}
    for thing in objects:
        metadata = thing["metadata"]
        labels: Json = metadata.get("labels") or {}
        name = metadata["name"] if thing["kind"] == "InferenceService" else labels.get(SERVICE)
        if name and VERSION in labels:
            found.setdefault(name, set()).add(labels[VERSION])
    return {name: sorted(found[name]) for name in sorted(found)}


def pod_faults(
    pods: Iterable[Json],
    models: Iterable[Json],
    bucket: str,
    credentials: Json,
    digests: Mapping[str, str],
) -> list[str]:
    """Return a sentence for each way in which a pod differs from its model's entry.

    KServe passes over what it does not find in silence: a ServiceAccount, a Secret, an annotation with a misspelt key.
    If a public bucket or another object store answers nevertheless, the pod serves an unintended model.

    :param models: the checked list; bucket: the bucket with them.
    :param credentials: as the role model_namespace takes them; no access key is read.
    :param digests: of the versions, by their URI in the bucket.
    """
    wanted = {model["name"]: model for model in models}
    faults = []
    for pod in pods:
        metadata = pod["metadata"]
        labels: Json = metadata.get("labels") or {}
        model = wanted.get(labels.get(SERVICE))
        if model is None or metadata.get("deletionTimestamp"):
            continue
        stored = f"s3://{bucket}/{model['name']}/{model['version']}/"
        elsewhere = model["storage"] not in STORED
        found = [*_identity(metadata, model, model.get("digest") if elsewhere else digests.get(stored))]
        if found and _REVISION in labels:
            continue  # Knative lets the pods of an older revision go after a while
        if model["storage"] == "s3":
            found += _initializer(pod["spec"].get("initContainers") or (), stored, credentials)
        elif model["storage"] == "uri":
            found += _source(pod["spec"].get("initContainers") or (), model["uri"])
        elif model["storage"] == "pvc":
            found += _mount(pod["spec"], model)
        faults += [f"Pod {metadata['name']} of model {model['name']} {fault}." for fault in found]
    return faults


def _identity(metadata: Json, model: Json, digest: str | None) -> Iterator[str]:
    version = (metadata.get("labels") or {}).get(VERSION)
    if version != model["version"]:
        yield f"is of version {version} and not {model['version']}"
    current = (metadata.get("annotations") or {}).get(DIGEST)
    if digest and current != digest:
        yield f"has the digest {current} in its annotations and not {digest}"


def _container(containers: Collection[Json]) -> Json | None:
    return next((one for one in containers if one["name"] == STORAGE_INITIALIZER), None)


def _source(containers: Collection[Json], uri: str) -> Iterator[str]:
    container = _container(containers)
    if container is None:
        yield f"has no init container {STORAGE_INITIALIZER}; see whether KServe's webhook for pods works"
        return
    source = (container.get("args") or [None])[0]
    if source != uri:
        yield f"takes its model from {source} and not {uri}"


def _initializer(containers: Collection[Json], uri: str, credentials: Json) -> Iterator[str]:
    yield from _source(containers, uri)
    container = _container(containers)
    if container is None:
        return
    env = {entry["name"]: entry for entry in container.get("env") or ()}
    for key in _KEYS:
        secret = (env.get(key, {}).get("valueFrom") or {}).get("secretKeyRef") or {}
        if secret.get("name") != credentials["name"]:
            yield (
                f"has not got {key} from the Secret {credentials['name']}; see whether the ServiceAccount of that name "
                "lists the Secret"
            )
    endpoint = (credentials.get("endpoint_url") or "").rstrip("/")
    for key, value in (("AWS_ENDPOINT_URL", endpoint), ("AWS_DEFAULT_REGION", credentials.get("region"))):
        current = env.get(key, {}).get("value")
        if value and current != value:
            yield f"has {key} {current} and not {value}; see the annotations of the Secret {credentials['name']}"


def _mount(spec: Json, model: Json) -> Iterator[str]:
    claims = {
        volume["name"]: volume["persistentVolumeClaim"]["claimName"]
        for volume in spec.get("volumes") or ()
        if "persistentVolumeClaim" in volume
    }
    path = f"{model['name']}/{model['version']}"
    mounts = [
        (claims.get(mount["name"]), (mount.get("subPath") or "").strip("/"))
        for container in spec["containers"]
        for mount in container.get("volumeMounts") or ()
        if mount["name"] in claims
    ]
    if (model["volume"], path) not in mounts:
        yield f"does not mount {path} of the volume {model['volume']}; see the storageUri of its InferenceService"
