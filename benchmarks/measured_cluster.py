# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kind cluster for benchmarks, with KServe, an audit log and capacity for hundreds of pods."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.results import MeasurementError
from benchmarks.tools import FOLDER
from local import __main__ as commands
from local import images, programs, settings, table
from local.cache import build_missing, locked
from local.cluster import Cluster
from local.demo import playbook_command, playbook_env
from local.progress import Progress
from local.run import run
from local.settings import REPOSITORY, Settings

NAMESPACE = "benchmark"
IMAGE = "hashfoundry.local/predictor:v1"
SWITCHES = "/var/benchmark-switches"  # in the node; the predictor reads it
SETTINGS = {
    "HASHFOUNDRY_CLUSTER": "hashfoundry-bench",
    "HASHFOUNDRY_STATE": str(REPOSITORY / ".local-bench"),
    "HASHFOUNDRY_HTTPS_PORT": "48443",
    "HASHFOUNDRY_S3_PORT": "47070",
    "HASHFOUNDRY_MODE": "Standard",
    "HASHFOUNDRY_AUDIT": "true",
    "HASHFOUNDRY_MONITORING": "false",
    "HASHFOUNDRY_PODS": "400",
}


@dataclass(frozen=True)
class Measured:
    """The cluster, and the switches that make its predictors ready."""

    cluster: Cluster

    @property
    def settings(self) -> Settings:
        return self.cluster.settings

    @property
    def env(self) -> dict[str, str]:
        """The environment of a user of the cluster, with its tools on the PATH."""
        return {**playbook_env(self.settings), "KUBECONFIG": str(self.settings.kubeconfig)}

    def kubectl(self, *arguments: str | Path) -> str:
        """Run kubectl and return what it printed."""
        command = [self.settings.state / "bin" / "kubectl", *arguments]
        return run(command, env=self.env, hint="inspect the cluster.")

    def make(self, names: Iterable[str], probe_s: int) -> None:
        """Create an InferenceService for each name; probe_s: the period of the readiness probe."""
        file = self.settings.state / "services.json"
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        items = [namespace, *(service(name, probe_s) for name in names)]
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
        self.kubectl("apply", "--server-side", "--filename", file)

    def switch(self, name: str, on: bool) -> None:
        """Make the predictor of that name, or of `all`, ready or not ready."""
        path = f"{SWITCHES}/{name}"
        self.cluster.engine.docker("exec", self.cluster.node, *(["touch", path] if on else ["rm", "-f", path]))

    def ready(self) -> set[str]:
        """The names of the InferenceServices whose condition Ready is True."""
        answer = json.loads(self.kubectl("get", "inferenceservices", "--namespace", NAMESPACE, "--output", "json"))
        return {
            item["metadata"]["name"]
            for item in answer["items"]
            for condition in item.get("status", {}).get("conditions") or ()
            if condition["type"] == "Ready" and condition["status"] == "True"
        }

    def most(self, names: Sequence[str], timeout: float) -> list[str]:
        """Wait until all services are ready or the timeout; return the ready ones and delete the rest."""
        deadline = time.monotonic() + timeout
        while True:
            ready = self.ready()
            found = [name for name in names if name in ready]
            if len(found) == len(names):
                return found
            if time.monotonic() > deadline:
                rest = sorted(set(names) - set(found))
                self.kubectl("delete", "inferenceservices", "--namespace", NAMESPACE, *rest)
                return found
            time.sleep(2)

    def wait_until(self, ready: bool, names: Iterable[str], timeout: float) -> None:
        """Wait until all the named services are ready, or until none is."""
        wanted, deadline = set(names), time.monotonic() + timeout
        while (found := self.ready() & wanted) != (wanted if ready else set()):
            if time.monotonic() > deadline:
                raise MeasurementError(f"{len(found)} of {len(wanted)} services are ready after {timeout:.0f} s.")
            time.sleep(1)


def service(name: str, probe_s: int) -> dict[str, Any]:
    """An InferenceService of the fixed predictor, which is ready while its switch is on."""
    container = {
        "name": "kserve-container",
        "image": IMAGE,
        "env": [{"name": "MODEL_NAME", "value": name}, {"name": "SWITCH_FOLDER", "value": SWITCHES}],
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {
            "httpGet": {"path": "/ready", "port": 8080},
            "periodSeconds": probe_s,
            "failureThreshold": 1,
        },
        "resources": {"requests": {"cpu": "1m", "memory": "8Mi"}, "limits": {"cpu": "1", "memory": "64Mi"}},
        "volumeMounts": [{"name": "switches", "mountPath": SWITCHES, "readOnly": True}],
    }
    volume = {"name": "switches", "hostPath": {"path": SWITCHES, "type": "DirectoryOrCreate"}}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "annotations": {"serving.kserve.io/autoscalerClass": "none"},
        },
        "spec": {"predictor": {"containers": [container], "volumes": [volume]}},
    }


@contextmanager
def running() -> Iterator[Measured]:
    """The cluster, taken away at the end, and the engine stopped where it was started for it."""
    config = settings.load({**os.environ, **SETTINGS})
    rows = table.load(table.TABLE, FOLDER / "components.toml").of_mode(config.mode)
    # Images of Python programs serve and fetch models, of which there are none here: they take a minute to load.
    rows = replace(rows, images=tuple(image for image in rows.images if not image.python))
    progress = Progress()
    (predictor,) = (image for image in rows.images if image.ref == IMAGE)
    try:
        with locked(config.cache):
            product = programs.product(rows.programs[predictor.program], config)
            build_missing([product, images.product(predictor, rows, config)], progress)
        cluster = commands.up(config, rows, progress)
        cluster.engine.docker("exec", cluster.node, "mkdir", "-p", SWITCHES)
        _install(config, progress)
        yield Measured(cluster)
    finally:
        commands.down(config, rows)


def _install(config: Settings, progress: Progress) -> None:
    with progress.stage("playbooks/addons.yml"):
        run_playbook(config, "playbooks/addons.yml")


def run_playbook(config: Settings, playbook: str, *arguments: str) -> str:
    """Run a playbook on a cluster with the local inventory and return what it printed.

    :raises MeasurementError: it failed.
    """
    result = subprocess.run(
        [*playbook_command(playbook), *arguments],
        cwd=REPOSITORY,
        env=playbook_env(config),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if result.returncode:
        raise MeasurementError(f"{playbook} failed:\n{result.stdout[-3000:]}")
    return result.stdout
