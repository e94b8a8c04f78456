# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Functions that the integration tests of every cluster share: waiting, kubectl's lists, and the object store."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, TypeVar

import boto3
import urllib3

from local.settings import Settings

T = TypeVar("T")
SHOWN = 2000  # characters of the last value in a failure


def wait_until(
    get: Callable[[], T],
    condition: Callable[[T], object] = bool,
    seconds: float = 120,
    *,
    pause: float = 0.25,
    what: str = "the condition holds",
) -> T:
    """Call `get` until its value meets the condition, and return that value; fail with the last one after the time."""
    deadline = time.monotonic() + seconds
    while not condition(value := get()):
        if time.monotonic() > deadline:
            raise AssertionError(f"Not within {seconds:g} s: {what}. The last value is {repr(value)[:SHOWN]}.")
        time.sleep(pause)
    return value


def one_line(text: str) -> str:
    """The text in one line: Ansible's callbacks wrap messages at the page width."""
    return " ".join(text.split())


def python_container(kubectl: Callable[..., str], name: str, program: str, **more: Any) -> dict[str, Any]:
    """A container for a model namespace that runs a Python program, with the image of the served iris model.

    It complies with the Pod Security Standard restricted.
    """
    label = "serving.kserve.io/inferenceservice=iris-classifier"
    pods = objects(kubectl, "pods", "-n", "ml-models", "-l", label)
    [image] = {one["image"] for one in pods[0]["spec"]["containers"] if one["name"] == "kserve-container"}
    security = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    return {"name": name, "image": image, "command": ["python3", "-c", program], "securityContext": security, **more}


def objects(kubectl: Callable[..., str], *words: str) -> list[dict[str, Any]]:
    """The objects that `kubectl get` lists."""
    items: list[dict[str, Any]] = json.loads(kubectl("get", *words, "-o", "json"))["items"]
    return items


def metrics_of(kubectl: Callable[..., str], name: str, namespace: str = "ml-models") -> str:
    """The metrics of a model's pod, at the port and path that its annotations name, where Prometheus reads them."""
    pods = objects(kubectl, "pods", "-n", namespace, "-l", f"serving.kserve.io/inferenceservice={name}")
    running = [pod["metadata"] for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    annotations = running[0]["annotations"]
    port, path = (annotations[f"prometheus.kserve.io/{key}"] for key in ("port", "path"))
    return kubectl("get", "--raw", f"/api/v1/namespaces/{namespace}/pods/{running[0]['name']}:{port}/proxy{path}")


def status_of(settings: Settings, host: str, path: str) -> int:
    """The status of GET for a path of a model, through the gateway."""
    pool = urllib3.HTTPSConnectionPool(
        "127.0.0.1",
        settings.https_port,
        ca_certs=str(settings.state / "ca.crt"),
        server_hostname=host,
        assert_hostname=host,
    )
    with pool:
        return int(pool.request("GET", path, headers={"Host": f"{host}:{settings.https_port}"}, timeout=20).status)


def s3_client(settings: Settings) -> Any:
    """A client of the in-cluster object store, with its owner's credentials."""
    return boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{settings.s3_port}",
        region_name="us-east-1",
        aws_access_key_id="local-owner",
        aws_secret_access_key=(settings.state / "s3-secret-key").read_text().split()[0],
    )


def iris_model(settings: Settings) -> bytes:
    """The model file of iris-classifier v1, as it was trained."""
    return (settings.state / "models" / "iris-classifier" / "v1" / "model.joblib").read_bytes()
