# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rollout of a model version, from a local folder to a prediction over TLS, by the playbooks and by hand."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any

from benchmarks import tools
from benchmarks.results import MeasurementError, Report
from benchmarks.tools import Tools
from local import __main__ as commands
from local import demo, settings
from local.cluster import Cluster
from local.demo import playbook_env
from local.progress import Progress
from local.run import run
from local.settings import REPOSITORY, Settings

ROUNDS = 3
NAMESPACE, BUCKET, VOLUME = "benchmark-rollout", "benchmark-rollout", "models"
STORAGES = ("s3", "pvc")
PLAYBOOKS, BY_HAND = "storage.yml and serving.yml", "aws, kubectl and curl"
TOOLS = (PLAYBOOKS, BY_HAND)
# A separate model per tool, because the objects of the playbooks contain the digest of the version.
NAMES = {PLAYBOOKS: "rollout", BY_HAND: "rollout-by-hand"}
DOMAIN = "ml.hashfoundry.local"
TIMEOUT_S = 300
POLL_S = 0.02
S3_KEY = "local-owner"  # of inventories/local
SCRIPT = Path(__file__).with_name("by_hand") / "rollout.sh"
RESOURCES = {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}}


@dataclass(frozen=True)
class Rollout:
    """One rollout, in seconds from the start of the command."""

    served: float
    finished: float


@dataclass(frozen=True)
class Bench:
    """The cluster, the tools, and a folder for the versions."""

    cluster: Cluster
    found: Tools
    folder: Path

    @property
    def settings(self) -> Settings:
        return self.cluster.settings

    @property
    def env(self) -> dict[str, str]:
        """The environment of a user of the cluster and its bucket."""
        state = self.settings.state
        env = {**playbook_env(self.settings), "KUBECONFIG": str(self.settings.kubeconfig)}
        env["PATH"] += f":{self.found.environment / 'bin'}"
        return env | {
            "AWS_ACCESS_KEY_ID": S3_KEY,
            "AWS_SECRET_ACCESS_KEY": (state / "s3-secret-key").read_text().split()[0],
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.settings.s3_port}",
        }

    def train(self, version: str) -> Path:
        """Train a version into a local folder."""
        target = self.folder / version
        command: list[str | Path] = [sys.executable, "-m", "model.iris", "--output", target, "--version", version]
        run(command, cwd=REPOSITORY, hint="inspect the training of the model.")
        # The upload requires the name of the model in the list, which is not that of the demo.
        metadata = target / "metadata.json"
        metadata.write_text(json.dumps(json.loads(metadata.read_text()) | {"name": NAMES[PLAYBOOKS]}))
        return target

    def playbooks(self, version: str, storage: str) -> list[str | Path]:
        """The argument list for a user who changed the version in the list of models."""
        model = {
            "name": NAMES[PLAYBOOKS],
            "version": version,
            "source": {"folder": str(self.folder / version)},
            "format": "sklearn",
            "runtime": "kserve-sklearnserver",
            "storage": storage,
            "resources": RESOURCES,
            **({"volume": VOLUME} if storage == "pvc" else {}),
        }
        variables = {
            "models": [model],
            "platform_model_namespace": NAMESPACE,
            "platform_bucket": BUCKET,
        }
        file = self.folder / "variables.json"
        file.write_text(json.dumps(variables))
        program = Path(sys.executable).with_name("ansible-playbook")
        return [program, "-i", "inventories/local", "-e", f"@{file}", "playbooks/storage.yml", "playbooks/serving.yml"]

    def create_by_hand(self, version: str, storage: str) -> None:
        """Apply the InferenceService for the rollout by hand; the script uploads its model."""
        name = NAMES[BY_HAND]
        uri = f"pvc://{VOLUME}/{name}/{version}" if storage == "pvc" else f"s3://{BUCKET}/{name}/{version}/"
        model = {"modelFormat": {"name": "sklearn"}, "runtime": "kserve-sklearnserver", "storageUri": uri}
        context = {"runAsNonRoot": True, "runAsUser": 1000, "runAsGroup": 1000}
        predictor = {"serviceAccountName": "model-reader", "model": {**model, "resources": RESOURCES}}
        service = {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "predictor": predictor | {"securityContext": context | {"seccompProfile": {"type": "RuntimeDefault"}}}
            },
        }
        file = self.folder / "service.json"
        file.write_text(json.dumps(service))
        kubectl = self.settings.state / "bin" / "kubectl"
        command: list[str | Path] = [kubectl, "apply", "--server-side", "--force-conflicts", "--filename", file]
        run(command, env=self.env, hint="inspect the cluster.")

    def roll_out(self, tool: str, version: str, storage: str) -> Rollout:
        """Start the command, and send requests until the version serves and the command has finished."""
        env, command, name = self.env, self.playbooks(version, storage), NAMES[tool]
        if tool == BY_HAND:
            command = ["sh", SCRIPT]
            env |= {
                "NAMESPACE": NAMESPACE, "NAME": name, "VERSION": version, "FOLDER": str(self.folder / version),
                "BUCKET": BUCKET, "STORAGE": storage, "CA": str(self.settings.state / "ca.crt"),
                "URL": f"https://{name}.{DOMAIN}:{self.settings.https_port}/v2/models/{name}",
                "RESOLVE": f"{name}.{DOMAIN}:{self.settings.https_port}:127.0.0.1",
            }  # fmt: skip
        started = time.monotonic()
        with (self.folder / "output").open("wb") as output:
            process = subprocess.Popen(
                command, cwd=REPOSITORY, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
            try:
                served = None
                while process.poll() is None or served is None:
                    if served is None and self._serves(name, version):
                        served = time.monotonic() - started
                    if time.monotonic() - started > TIMEOUT_S or process.poll():
                        break
                    time.sleep(POLL_S)
                finished = time.monotonic() - started
            finally:
                process.terminate()
                process.wait()
        if process.returncode or served is None:
            text = (self.folder / "output").read_text(errors="replace")
            raise MeasurementError(f"{version} was not rolled out by {tool}:\n{text[-3000:]}")
        return Rollout(served, finished)

    def _serves(self, name: str, version: str) -> bool:
        """Whether that version returns the right prediction, through the Gateway and over verified TLS."""
        context = ssl.create_default_context(cafile=str(self.settings.state / "ca.crt"))
        connection = _Connection(f"{name}.{DOMAIN}", self.settings.https_port, context)
        tensor = {"name": "input-0", "shape": [1, 4], "datatype": "FP64", "data": [6.7, 3.1, 5.6, 2.4]}
        try:
            connection.request("POST", f"/v2/models/{name}/infer", json.dumps({"inputs": [tensor]}))
            response = connection.getresponse()
            body = json.loads(response.read())
            return response.status == 200 and body["model_version"] == version and body["outputs"][0]["data"] == [2]
        except (OSError, HTTPException, ValueError, KeyError):
            return False
        finally:
            connection.close()

    def delete(self) -> None:
        """Delete the namespace, the PersistentVolume and the bucket."""
        kubectl = self.settings.state / "bin" / "kubectl"
        # The reclaim policy of a volume with models is Retain.
        for what in (("namespace", NAMESPACE), ("persistentvolume", f"{NAMESPACE}-{VOLUME}")):
            run([kubectl, "delete", *what, "--ignore-not-found"], env=self.env, hint="inspect the cluster.")
        aws: list[str | Path] = [self.found.script("aws"), "s3", "rb", "--force", f"s3://{BUCKET}"]
        subprocess.run(aws, env=self.env, capture_output=True, check=False)


class _Connection(HTTPSConnection):
    """A connection to the Gateway at 127.0.0.1 with the model's host name."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=5, context=context)
        self._create_connection = self._to_localhost

    def _to_localhost(self, address: tuple[str, int], *others: Any) -> Any:
        return socket.create_connection(("127.0.0.1", address[1]), *others)


@contextmanager
def running(config: Settings, found: Tools) -> Iterator[Bench]:
    """The demo cluster, created if missing, with a namespace and a bucket that are deleted at the end."""
    progress = Progress()
    cluster = commands.up(config, commands.rows_of(config), progress)
    demo.run_demo(cluster, progress)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        bench = Bench(cluster, found, Path(name))
        bench.delete()
        try:
            yield bench
        finally:
            bench.delete()


def measure(rounds: int = ROUNDS) -> Report:
    """Roll out one version after the other, alternately with both tools."""
    config = settings.load()
    found = tools.ensure()
    versions = found.versions(("ansible-core", "awscli", "kubectl", "kserve-manager", "contour", "versitygw"))
    report = Report("rollout", "From a local model version to its prediction over TLS", versions)
    with running(config, found) as bench:
        for storage in STORAGES:
            _measure(report, bench, storage, rounds)
    report.notes += [
        "A version is a folder of 2 files. The playbooks do more than the script: they validate the model, compare "
        "the uploaded and the serving version with its digest, and wait until all pods serve it.",
        f"The script is benchmarks/by_hand/{SCRIPT.name}. Both start with another version serving. The benchmark sends "
        f"a prediction request every {POLL_S * 1000:.0f} ms, until the response contains the new version.",
    ]
    return report


def _measure(report: Report, bench: Bench, storage: str, rounds: int) -> None:
    first = f"{storage}-v0"
    bench.train(first)
    bench.roll_out(PLAYBOOKS, first, storage)
    bench.create_by_hand(first, storage)
    bench.roll_out(BY_HAND, first, storage)
    rolled: dict[str, list[Rollout]] = {tool: [] for tool in TOOLS}
    for number in range(rounds):
        for tool in TOOLS[number % 2 :] + TOOLS[: number % 2]:
            version = f"{storage}-v{number + 1}-{TOOLS.index(tool)}"
            bench.train(version)
            rolled[tool].append(bench.roll_out(tool, version, storage))
            one = rolled[tool][-1]
            print(
                f"    {storage}, {tool}: served after {one.served:.1f} s, finished after {one.finished:.1f} s",
                flush=True,
            )
    served = {tool: [one.served for one in rolled[tool]] for tool in TOOLS}
    report.compare(f"{storage}: until the version predicts", PLAYBOOKS, served)
    report.compare(
        f"{storage}: until the command has finished",
        PLAYBOOKS,
        {tool: [one.finished for one in rolled[tool]] for tool in TOOLS},
    )
