# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model PVC as pods see it, and the messages of plays whose loader Jobs fail.

The Jobs run in a separate namespace, with 64 MiB of the node's /dev/shm as the volume.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.settings import Settings
from tests.integration.conftest import OnNode, reason

from .helpers import objects, one_line, s3_client

NAMESPACE = "model-volume-test"
MIB = 2**20
IMAGE = "kserve/storage-initializer:v0.20.0"
NODE = {
    "nodeSelectorTerms": [{"matchExpressions": [{"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}]}]
}
Kubectl = Callable[..., str]
Playbook = Callable[..., "subprocess.CompletedProcess[str]"]


def pod(name: str, script: str, read_only: bool) -> dict[str, Any]:
    """A pod under the Pod Security Standard restricted that mounts the model PVC and runs a Python script."""
    container = {
        "name": "main",
        "image": IMAGE,
        "command": ["python3", "-c", script],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "models", "mountPath": "/models", "readOnly": read_only}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "ml-models"},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 1000,
                "runAsGroup": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": "models", "persistentVolumeClaim": {"claimName": "models"}}],
        },
    }


def test_two_pods_share_one_volume(kubectl: Kubectl, tmp_path: Path) -> None:
    """A pod reads the file that another running pod has written, and both see the model that the Job has loaded."""
    writer, reader = (f"volume-{role}-{uuid.uuid4().hex[:6]}" for role in ("writer", "reader"))
    mark = f"/models/.{writer}"
    scripts = {
        writer: f"import signal; open('{mark}', 'w').write('seen'); signal.pause()",
        reader: f"import os, time\nwhile not os.path.exists('{mark}'): time.sleep(0.1)\n"
        f"print(open('{mark}').read(), *sorted(os.listdir('/models/churn-classifier/v1')))",
    }
    manifest = tmp_path / "pods.yml"
    manifest.write_text(yaml.safe_dump_all(pod(name, text, name == reader) for name, text in scripts.items()))
    kubectl("apply", "-f", str(manifest))
    try:
        kubectl(
            "wait", "--for=jsonpath={.status.phase}=Succeeded", "-n", "ml-models", f"pod/{reader}", "--timeout=120s"
        )
        assert kubectl("logs", "-n", "ml-models", reader).split() == [
            "seen",
            "manifest.json",
            "metadata.json",
            "model.joblib",
        ]
        assert kubectl("get", "pod", writer, "-n", "ml-models", "-o", "jsonpath={.status.phase}") == "Running"
        kubectl("exec", "-n", "ml-models", writer, "--", "python3", "-c", f"import os; os.remove('{mark}')")
    finally:
        kubectl("delete", "-f", str(manifest), "--wait=false")


def test_the_model_on_the_pvc_is_served_without_credentials(kubectl: Kubectl) -> None:
    pods = objects(kubectl, "pods", "-n", "ml-models", "-l", "serving.kserve.io/inferenceservice=churn-classifier")
    (found,) = [one for one in pods if not one["metadata"].get("deletionTimestamp")]
    assert "initContainers" not in found["spec"]
    assert "AWS_" not in json.dumps(found["spec"])
    (job,) = objects(kubectl, "jobs", "-n", "ml-models", "-l", "kserve.hashfoundry.io/model=churn-classifier")
    security = job["spec"]["template"]["spec"]["securityContext"]
    assert security["runAsUser"] == found["spec"]["securityContext"]["runAsUser"] == 1000
    assert security["runAsGroup"] == security["fsGroup"] == found["spec"]["securityContext"]["runAsGroup"] == 1000


def test_the_api_server_accepts_an_nfs_volume(playbook: Playbook) -> None:
    """Without an NFS server: check mode sends the PersistentVolume to the API server as a server-side dry run."""
    nfs = {"server": "nfs.example.com", "path": "/exports/models", "mount_options": ["nfsvers=4.1"]}
    volumes = [{"name": "shared", "size": "5Gi", "nfs": nfs}, {"name": "theirs", "existing": True}]
    words = {"model_volume_namespace": "nowhere", "model_volume_models": [], "model_volume_volumes": volumes}
    tags = ("--check", "--diff", "--tags", "cluster_preflight,model_volume")
    result = playbook("playbooks/serving.yml", *tags, "-e", json.dumps(words))
    assert result.returncode == 0, reason(result)
    assert "PersistentVolume nowhere-shared" in result.stdout
    assert "path: /exports/models" in result.stdout
    assert "PersistentVolumeClaim nowhere/theirs" not in result.stdout and "nowhere-theirs" not in result.stdout


def test_a_volume_without_a_size(playbook: Playbook) -> None:
    words = {"model_volume_volumes": [{"name": "models"}]}
    result = playbook("playbooks/serving.yml", "--tags", "model_volume", "-e", json.dumps(words))
    assert result.returncode != 0
    assert "The volume models in model_volume_volumes has no size. Set it, or set existing" in one_line(result.stdout)


class Models:
    """A bucket and a namespace for the test, and the play that loads a model onto its PVC."""

    def __init__(self, settings: Settings, playbook: Playbook, kubectl: Kubectl, on_node: OnNode) -> None:
        self._playbook = playbook
        self.kubectl = kubectl
        self.on_node = on_node
        self.bucket = f"test-{uuid.uuid4().hex[:12]}"
        self.store = s3_client(settings)
        self.store.create_bucket(Bucket=self.bucket)

    def publish(self, version: str, content: bytes) -> None:
        entry = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        manifest = json.dumps({"files": {"model.bin": entry}, "schema": 1}).encode()
        self.put(f"{version}/model.bin", content)
        self.put(f"{version}/manifest.json", manifest)

    def put(self, name: str, content: bytes) -> None:
        self.store.put_object(Bucket=self.bucket, Key=f"model/{name}", Body=content)

    def load(self, version: str, **more: Any) -> subprocess.CompletedProcess[str]:
        model = {"name": "model", "version": version, "format": "sklearn", "runtime": "none", "storage": "pvc"}
        variables = {
            "platform_model_namespace": NAMESPACE,
            "model_volume_bucket": self.bucket,
            "model_volume_models": [{**model, "volume": "small"}],
            "model_volume_volumes": [
                {
                    "name": "small",
                    "size": "64Mi",
                    "persistent_volume": {"local": {"path": "/dev/shm"}, "nodeAffinity": {"required": NODE}},
                }
            ],
            "model_volume_overwrite": False,
            "model_volume_digests": {},
            **more,
        }
        tags = ("--tags", "cluster_preflight,model_namespace,model_volume")
        return self._playbook("playbooks/serving.yml", *tags, "-e", json.dumps(variables))

    def jobs(self) -> list[dict[str, Any]]:
        return objects(self.kubectl, "jobs", "-n", NAMESPACE)

    def clear(self) -> None:
        for entry in self.store.list_objects_v2(Bucket=self.bucket).get("Contents", []):
            self.store.delete_object(Bucket=self.bucket, Key=entry["Key"])
        self.store.delete_bucket(Bucket=self.bucket)
        self.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")
        self.kubectl("delete", "persistentvolume", f"{NAMESPACE}-small", "--ignore-not-found")
        self.on_node("rm", "-rf", "/dev/shm/model")


@pytest.fixture(scope="module")
def models(settings: Settings, playbook: Playbook, kubectl: Kubectl, on_node: OnNode) -> Iterator[Models]:
    made = Models(settings, playbook, kubectl, on_node)
    yield made
    made.clear()


def test_a_corrupt_version_fails_the_play_with_the_jobs_message_and_a_second_run_succeeds(models: Models) -> None:
    models.publish("v1", b"model")
    models.put("v1/model.bin", b"mOdel")
    result = models.load("v1")
    assert result.returncode != 0
    output = one_line(result.stdout)
    assert "the container loader of pod load-model-" in output
    what = f"The object s3://{models.bucket}/model/v1/model.bin is not what the version's manifest says"
    assert f"{what}, its sha256 differs: upload the version again with overwrite" in output
    assert "exit code 1" in output and "Traceback" not in output
    models.publish("v1", b"model")
    result = models.load("v1")
    assert result.returncode == 0, reason(result)
    (job,) = models.jobs()
    assert job["status"]["succeeded"] == 1
    again = models.load("v1")
    assert "changed=0" in again.stdout, again.stdout[-3000:]


def test_a_full_volume_fails_the_play(models: Models) -> None:
    models.publish("v2", os.urandom(65 * MIB))
    result = models.load("v2")
    assert result.returncode != 0
    output = one_line(result.stdout)
    assert "bytes left and model v2 needs 68157440: make it larger, or keep fewer versions" in output


# Waits on the node until loading has begun, and kills the loader. The version is in the environment, so that the
# command line of this script does not contain it.
KILL = """
until [ -s "$(echo /dev/shm/model/.$WHICH.loading/*)" ]; do sleep 0.02; done
for file in $(grep -ls -e "--version=$WHICH" /proc/[0-9]*/cmdline); do
    process=${file%/cmdline}
    kill -9 ${process#/proc/} || true  # it may have exited with the previous one
done
"""


def test_an_interrupted_loader_is_restarted(models: Models) -> None:
    models.publish("v3", os.urandom(48 * MIB))
    with ThreadPoolExecutor() as pool:
        killing = pool.submit(models.on_node, "env", "WHICH=v3", "timeout", "120", "sh", "-c", KILL)
        result = models.load("v3")
        killing.result()
    assert result.returncode == 0, reason(result)
    (job,) = models.jobs()
    assert (job["status"]["failed"], job["status"]["succeeded"]) == (1, 1)
    pods = objects(models.kubectl, "pods", "-n", NAMESPACE, "-l", "kserve.hashfoundry.io/version=v3")
    codes = [one["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] for one in pods]
    assert sorted(codes) == [0, 137]
    # The temporary folder of the first loader is deleted.
    there = models.on_node("ls", "-A", "/dev/shm/model").split()
    assert "v3" in there and [name for name in there if name.startswith(".")] == [".lock"]


def test_loads_take_turns_within_a_quota(models: Models) -> None:
    models.publish("v5", b"model")
    for name in ("v5/model.bin", "v5/manifest.json"):
        source = {"Bucket": models.bucket, "Key": f"model/{name}"}
        models.store.copy_object(Bucket=models.bucket, Key=f"other/{name}", CopySource=source)
    entry = {"version": "v5", "format": "sklearn", "runtime": "none", "storage": "pvc", "volume": "small"}
    both = [{**entry, "name": name} for name in ("model", "other")]
    result = models.load("v5", model_volume_models=both, model_namespace_quota={"pods": "1"})
    models.on_node("rm", "-rf", "/dev/shm/other")
    assert result.returncode == 0, reason(result)
    loaded = {job["metadata"]["labels"]["kserve.hashfoundry.io/model"]: job["status"] for job in models.jobs()}
    assert loaded.keys() == {"model", "other"}
    assert loaded["model"]["completionTime"] <= loaded["other"]["startTime"]


def test_a_quota_without_room_for_a_loader(models: Models) -> None:
    models.publish("v6", b"model")
    result = models.load("v6", model_namespace_quota={"pods": "0"})
    assert result.returncode != 0
    output = one_line(result.stdout)
    assert f"ResourceQuota {NAMESPACE}/models is too small for pods: 1 needed, 0 left" in output
    assert not [job for job in models.jobs() if job["metadata"]["labels"]["kserve.hashfoundry.io/version"] == "v6"]


def test_refused_pods_of_a_loader_are_reported_at_once(models: Models) -> None:
    models.publish("v7", b"model")
    began = time.monotonic()
    result = models.load("v7", model_namespace_quota={"pods": "0"}, platform_capacity="ignore")
    assert result.returncode != 0 and time.monotonic() - began < 60
    output = one_line(result.stdout)
    assert "Kubernetes refuses the pods of Job " in output
    assert "exceeded quota: models" in output and "raise the quota or ask for less." in output
