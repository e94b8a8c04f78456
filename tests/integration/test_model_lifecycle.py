# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Operations on served models: rollback, credential rotation, and restore after everything is deleted.

The models have a separate namespace and S3 server. One is on S3, the other on a PVC. They receive constant load during
a rollback or a credential rotation, and no request may fail.
"""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from local.settings import REPOSITORY
from tests.integration.conftest import reason

BUCKET = "lifecycle-models"
OF_SERVICE = "serving.kserve.io/inferenceservice"  # a pod's label in both deployment modes
RATE, WINDOW = 10, 6
ROWS, EXPECTED = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.1, 5.6, 2.4]], [0, 2]


class Lifecycle:
    """The models and the operations on them.

    key: access key and secret key of the S3 server's owner; node_port: where that server is reached.
    """

    node_port = 30071

    def __init__(self, settings: Any, playbook: Any, kubectl: Any, folder: Path) -> None:
        self.settings, self.playbook, self.kubectl, self.folder = settings, playbook, kubectl, folder
        self.namespace = f"lifecycle-{secrets.token_hex(3)}"
        self.store_namespace = f"{self.namespace}-store"
        self.stored, self.mounted = f"{self.namespace}-s3", f"{self.namespace}-pvc"
        self.key = ("first-owner", secrets.token_hex(20))
        address = 'jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}'
        self.endpoint = f"http://{kubectl('get', 'nodes', '-o', address)}:{self.node_port}"

    def model(self, name: str, version: str, **options: Any) -> dict[str, Any]:
        """The entry of a model in the list."""
        folder = str(self.folder / name / version)
        command = [sys.executable, "-m", "model.iris", "--output", folder, "--version", version]
        return {
            "name": name,
            "version": version,
            "source": {"folder": folder, "command": command},
            "format": "sklearn",
            "runtime": "kserve-sklearnserver",
            # In Knative mode several revisions run at once, on a node of two cores. The model on S3 requests 100m
            # in any case, for its storage initializer.
            "resources": {"requests": {"cpu": "10m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
            # The model was trained under another name.
            "gate": {"metadata": False, "load": False},
            **options,
        }

    def _words(self, listed: str, options: dict[str, Any]) -> str:
        """The variables of a playbook."""
        access_key, secret_key = self.key
        words = {
            "models": [
                self.model(self.stored, listed),
                self.model(self.mounted, "v1", storage="pvc", volume="models"),
            ],
            "platform_model_namespace": self.namespace,
            # In Knative mode a pod has two containers, and a previous revision retains its pods for a minute.
            "model_namespace_quota": {"limits.cpu": "24", "limits.memory": "32Gi"},
            "platform_bucket": BUCKET,
            "platform_endpoint_url": self.endpoint,
            "platform_access_key": access_key,
            "platform_secret_key": secret_key,
            "platform_object_storage_namespace": self.store_namespace,
            "object_storage_node_port": self.node_port,
            **options,
        }
        return json.dumps(words)

    def play(self, *names: str, listed: str = "v1", flags: Sequence[str] = (), **options: Any) -> str:
        """Run playbooks on these models, in the listed version, and return the output."""
        output = ""
        for name in names:
            result = self.playbook(f"playbooks/{name}.yml", *flags, "-e", self._words(listed, options))
            output += " ".join(result.stdout.split())
            assert result.returncode == 0 or options.get("fails"), f"{name}: {reason(result)}"
        return output

    def check(self, *names: str, listed: str = "v1", **options: Any) -> str:
        """Run playbooks in check mode, in one run of Ansible, assert that it succeeds, and return the output."""
        files = [f"playbooks/{name}.yml" for name in names]
        result = self.playbook(*files, "--check", "--diff", "-e", self._words(listed, options))
        assert result.returncode == 0, f"{' '.join(files)} --check: {reason(result)}"
        return " ".join(result.stdout.split())

    def bucket(self, key: tuple[str, str] | None = None) -> Any:
        access_key, secret_key = key or self.key
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            config=Config(s3={"addressing_style": "path"}),
        )

    def ask(self, name: str, path: str, body: Any = None) -> Any:
        authority = f"{name}.ml.hashfoundry.local:{self.settings.https_port}"
        command = [
            "curl",
            "--silent",
            "--show-error",
            "--fail",
            "--max-time",
            "20",
            "--retry",
            "5",
            "--retry-all-errors",
        ]
        command += ["--cacert", str(self.settings.state / "ca.crt"), "--resolve", f"{authority}:127.0.0.1"]
        command += [] if body is None else ["-H", "Content-Type: application/json", "--data-binary", json.dumps(body)]
        result = subprocess.run(
            [*command, f"https://{authority}{path}"], capture_output=True, text=True, check=True, timeout=120
        )
        return json.loads(result.stdout)

    def serves(self, name: str) -> dict[str, Any]:
        """The version and digest that the model reports, and its predictions."""
        metadata = self.ask(name, f"/v2/models/{name}")
        predicted = self.ask(name, f"/v1/models/{name}:predict", {"instances": ROWS})["predictions"]
        return {"versions": metadata["versions"], **metadata["properties"], "predictions": predicted}

    @contextmanager
    def load(self, name: str) -> Iterator[list[dict[str, Any]]]:
        """Apply open-loop load during the operation, and return the figures of each window.

        Two windows overlap by half, so that requests are sent while the other window restarts.
        """
        figures: list[dict[str, Any]] = []
        over = threading.Event()

        def ask(delay: float) -> None:
            over.wait(delay)
            while not over.is_set():
                figures.append(self._window(name))

        askers = [threading.Thread(target=ask, args=(delay,)) for delay in (0, WINDOW / 2)]
        for asker in askers:
            asker.start()
        try:
            time.sleep(WINDOW / 2)  # the load starts before the operation
            yield figures
        finally:
            over.set()
            for asker in askers:
                asker.join()

    def _window(self, name: str) -> dict[str, Any]:
        arguments = {
            "host": f"{name}.ml.hashfoundry.local",
            "address": "127.0.0.1",
            "port": self.settings.https_port,
            "ca_path": str(self.settings.state / "ca.crt"),
            "model_name": name,
            "instances": ROWS,
            "expected": EXPECTED,
            "rate": RATE,
            "seconds": WINDOW,
            # Every failure counts, and none stops the load.
            "thresholds": {"error_rate": 1},
            "retry_for": 0,
        }
        result = subprocess.run(
            [sys.executable, "-m", "ansible_collections.hashfoundry.kserve.plugins.modules.inference_smoke_test"],
            env={"PYTHONPATH": str(REPOSITORY / "collections")},
            input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
            capture_output=True,
            text=True,
            check=False,
        )
        figures: dict[str, Any] = json.loads(result.stdout)
        return figures

    def clear(self) -> None:
        # Later tests may check that no InferenceService exists.
        self.kubectl("delete", "inferenceservices", "--all", "-n", self.namespace, "--timeout=60s", check=False)
        for namespace in (self.namespace, self.store_namespace):
            self.kubectl("delete", "namespace", namespace, "--ignore-not-found", "--wait=false")
            self.kubectl("delete", "pods", "--all", "-n", namespace, "--grace-period=1", "--timeout=60s", check=False)
        self.kubectl("delete", "persistentvolume", f"{self.namespace}-models", "--ignore-not-found", "--wait=false")


def failures(figures: list[dict[str, Any]]) -> list[Any]:
    """The failures of a load: its first request, wrong predictions, or requests without an answer."""
    assert requests(figures) > RATE * WINDOW
    return [
        entry.get("msg") or entry["load"]["error_causes"] for entry in figures if entry.get("failed") or errors(entry)
    ]


def errors(entry: dict[str, Any]) -> int:
    return int(entry["load"]["errors"])


def requests(figures: list[dict[str, Any]]) -> int:
    return sum(entry["load"]["requests"] for entry in figures if "load" in entry)


L = TypeVar("L", bound=Lifecycle)


@contextmanager
def deployed(models: L) -> Iterator[L]:
    """The models at v2 after v1, which remains in the bucket; deleted at the end."""
    try:
        models.play("train", "storage", "serving", listed="v1")
        models.play("train", "storage", "serving", listed="v2")
        yield models
    finally:
        models.clear()


@pytest.fixture(scope="module")
def models(settings, playbook, kubectl, tmp_path_factory) -> Iterator[Lifecycle]:
    with deployed(Lifecycle(settings, playbook, kubectl, tmp_path_factory.mktemp("models"))) as made:
        yield made


def test_one_command_rolls_back_to_the_previous_version_and_no_request_fails(models, capsys) -> None:
    assert models.serves(models.stored)["versions"] == ["v2"]
    with models.load(models.stored) as figures:
        began = time.monotonic()
        output = models.play("rollback", listed="v2", model=models.stored)
        took = time.monotonic() - began
        now = models.serves(models.stored)
    with capsys.disabled():
        print(f"\nrolled back in {took:.1f} s under load; {requests(figures)} requests, failed: {failures(figures)}")
    assert failures(figures) == []
    assert (now["versions"], now["predictions"]) == (["v1"], EXPECTED)
    assert "serves v1 instead of v2." in output
    assert (
        "The list of models names v2, which the next run of site.yml would deploy again. Set version: v1 there, and "
        "remove source, which is that of v2: the bucket contains v1." in output
    )
    following = [
        models.model(models.stored, "v1", source=None),
        models.model(models.mounted, "v1", storage="pvc", volume="models"),
    ]
    output = models.play("storage", "serving", models=following)
    assert output.count("changed=0") == 2


def test_a_rollback_to_the_serving_version_changes_nothing(models) -> None:
    output = models.play("rollback", listed="v1", model=models.stored, version="v1")
    assert "serves v1 as before." in output
    assert "changed=0" in output


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"version": "v9"}, "still serves v1: the version v9 is not complete in the bucket lifecycle-models."),
        ({"model": "nobody"}, "The list of models has no nobody; it has "),
    ],
)
def test_a_missing_version_is_rejected_and_nothing_changes(models, words, sentence) -> None:
    output = models.play("rollback", **{"model": models.stored, **words}, fails=True)
    assert sentence in output
    assert "changed=0" in output
    assert models.serves(models.stored)["versions"] == ["v1"]


@pytest.mark.parametrize("listed", ["v1", "v3"])
def test_every_playbook_succeeds_in_check_mode_before_and_after_a_change(models, tmp_path, listed) -> None:
    """v1 serves after a rollback; v3 is trained and neither uploaded nor deployed."""
    models.play("train", listed=listed)
    spec = ("get", "inferenceservices", "-n", models.namespace, "-o", "jsonpath={.items[*].spec}")
    before = models.kubectl(*spec)
    names = ("site", "rollback", "backup", "rotate_credentials", "account", "upgrade")
    words = {"model": models.stored, "folder": str(tmp_path / "backup")}
    output = models.check(*names, listed=listed, **words)
    assert models.kubectl(*spec) == before
    shown = re.search(rf'\+ "?kserve\.hashfoundry\.io/version"?: "?{listed}', output)
    assert bool(shown) is (listed == "v3")


def test_credentials_are_rotated_and_no_request_fails(models) -> None:
    old, models.key = models.key, ("second-owner", secrets.token_hex(20))
    pods = models.kubectl("get", "pods", "-n", models.namespace, "-o", "name").split()
    words = {"credential_rotation_old_access_key": old[0], "credential_rotation_old_secret_key": old[1]}
    models.play("rotate_credentials", flags=["--check"], **words)
    with models.load(models.stored) as figures:
        output = models.play("rotate_credentials", **words)
    assert failures(figures) == []
    assert f"The models are read with the access key {models.key[0]}. The object store rejects {old[0]}." in output
    with pytest.raises(ClientError, match=r"InvalidAccessKeyId|XAdminUserNotFound|403"):
        models.bucket(old).list_objects_v2(Bucket=BUCKET)
    assert models.bucket().list_objects_v2(Bucket=BUCKET)["KeyCount"] > 0
    # In Knative mode the pods of previous revisions remain for a minute, without requests.
    path = "jsonpath={.status.components.predictor.latestReadyRevision}"
    revision = models.kubectl("get", "inferenceservice", models.stored, "-n", models.namespace, "-o", path)
    serving = f"{OF_SERVICE}={models.stored}" + (f",serving.knative.dev/revision={revision}" if revision else "")
    now = json.loads(models.kubectl("get", "pods", "-n", models.namespace, "-l", serving, "-o", "json"))
    left = {f"pod/{pod['metadata']['name']}" for pod in now["items"] if "deletionTimestamp" not in pod["metadata"]}
    assert left and not left & set(pods)
    assert "changed=0" in models.play("rotate_credentials", **words).rpartition("PLAY RECAP")[2]


def test_a_restore_after_the_loss_of_everything_has_the_same_digests_and_predictions(models, tmp_path) -> None:
    before = {name: models.serves(name) for name in (models.stored, models.mounted)}
    folder = tmp_path / "backup"
    output = models.play("backup", folder=str(folder))
    assert re.search(r"contains 3 versions and \d+ objects\.", output)
    assert "Before a restore, create: model-reader" in output
    for file in folder.rglob("*"):
        assert not file.is_file() or models.key[1].encode() not in file.read_bytes()
    assert "changed=0" in models.play("backup", folder=str(folder)).rpartition("PLAY RECAP")[2]

    models.kubectl("delete", "namespace", models.namespace, "--timeout=120s")
    bucket = models.bucket()
    for entry in bucket.list_objects_v2(Bucket=BUCKET)["Contents"]:
        bucket.delete_object(Bucket=BUCKET, Key=entry["Key"])
    bucket.delete_bucket(Bucket=BUCKET)

    models.check("restore", folder=str(folder))
    models.play("restore", folder=str(folder))
    assert {name: models.serves(name) for name in before} == before
    assert "changed=0" in models.play("restore", folder=str(folder)).rpartition("PLAY RECAP")[2]
    # Applying the list of models does not change the restored objects.
    pods = models.kubectl("get", "pods", "-n", models.namespace, "-o", "name")
    models.play("serving", listed=before[models.stored]["versions"][0])
    assert models.kubectl("get", "pods", "-n", models.namespace, "-o", "name") == pods


def test_a_modified_backup_is_rejected(models, tmp_path) -> None:
    folder = tmp_path / "backup"
    models.play("backup", folder=str(folder))
    with (folder / "objects.yml").open("a") as file:
        file.write("# more\n")
    output = models.play("restore", folder=str(folder), fails=True)
    assert "objects.yml does not match the checksum in backup.json; nothing was restored." in output
    assert "contains no complete backup" in models.play("restore", folder=str(tmp_path), fails=True)
