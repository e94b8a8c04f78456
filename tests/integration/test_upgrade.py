# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A platform is installed in an earlier version and upgraded under load.

The tests depend on each other in the order of this file, and leave the cluster as site.yml does. Both versions of
KServe are real; the earlier one is built from the Go module proxy the first time. The deployment mode is Standard,
because KServe v0.19.0 cannot finalize an InferenceService in Knative mode: its validator treats an empty status as
Standard (inference_service_validation.go, validateDeploymentMode).
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any

import pytest

from local import demo
from local.settings import Settings
from tests.integration.conftest import reason

from . import earlier_kserve
from .helpers import one_line
from .test_teardown import LONG, SERVICES, CRDs, Kubectl, Playbook, controller, crds, recap
from .test_trouble import says

# Fixtures are found by their names in this module.
__all__ = ["crds"]

# Resources whose objects users create.
COUNTED = (SERVICES, "clusterservingruntimes.serving.kserve.io", "gateways.gateway.networking.k8s.io")
MODEL = "iris-classifier"
PREDICT = f"/v1/models/{MODEL}:predict"


@pytest.fixture(scope="module")
def earlier(settings: Settings) -> list[str]:
    """The options of ansible-playbook with which site.yml installs the earlier KServe."""
    version, charts = earlier_kserve.provide(settings)
    words: dict[str, Any] = {"kserve_version": version, "kserve_chart_source": str(charts)}
    # The images of model servers and storage initializers are those that the cluster has.
    words["kserve_values"] = {"kserve": {"storage": {"tag": "v0.20.0"}}}
    return ["-e", json.dumps({**words, "cluster_preflight_untested": "warn"})]


def test_site_installs_the_earlier_version(playbook: Playbook, kubectl: Kubectl, earlier: list[str]) -> None:
    # A downgrade requires that KServe is uninstalled first.
    result = playbook("playbooks/teardown.yml", "-e", "platform_teardown_models=delete", timeout=LONG)
    assert result.returncode == 0, reason(result)
    result = playbook("playbooks/site.yml", *earlier, timeout=LONG)
    assert result.returncode == 0, reason(result)
    assert controller(kubectl).endswith(":v0.19.0")


def test_an_upgrade_over_two_versions_is_rejected_with_the_upgrade_path(playbook: Playbook) -> None:
    words = {"kserve_version": "v0.21.0", "cluster_preflight_untested": "warn"}
    result = playbook("playbooks/upgrade.yml", "-e", json.dumps(words))
    says(
        result,
        "The platform of local was not upgraded, and nothing was changed. KServe is upgraded one minor version at a "
        "time, and v0.19.0 to v0.21.0 is more: upgrade to v0.20 first.",
    )
    assert recap(result, "changed") == 0


class Load:
    """Sends prediction requests in a loop, one connection at a time, and counts the answers."""

    def __init__(self, settings: Settings) -> None:
        self.answers: Counter[str] = Counter()
        self._settings = settings
        self._context = ssl.create_default_context(cafile=str(settings.state / "ca.crt"))
        self._ended = threading.Event()

    def _ask(self) -> str:
        link = HTTPSConnection(demo.HOST, self._settings.https_port, context=self._context, timeout=10)
        try:
            # To this host, whatever DNS resolves the name to.
            plain = socket.create_connection(("127.0.0.1", self._settings.https_port), timeout=10)
            link.sock = self._context.wrap_socket(plain, server_hostname=demo.HOST)
            link.request("POST", PREDICT, demo.QUESTIONS[MODEL], {"Content-Type": "application/json"})
            answer = link.getresponse()
            body = answer.read()
            return (
                "right" if answer.status == 200 and json.loads(body) == {"predictions": [0, 2]} else str(answer.status)
            )
        except (OSError, HTTPException, ValueError) as error:
            return type(error).__name__
        finally:
            link.close()

    def run(self) -> None:
        while not self._ended.wait(0.02):
            self.answers[self._ask()] += 1

    def stop(self) -> None:
        self._ended.set()


@contextmanager
def loaded(settings: Settings) -> Iterator[Load]:
    load = Load(settings)
    thread = threading.Thread(target=load.run, daemon=True)
    thread.start()
    try:
        yield load
    finally:
        load.stop()
        thread.join(30)


def counts(kubectl: Kubectl) -> dict[str, int]:
    """The number of objects of each resource whose objects users create."""
    return {plural: len(kubectl("get", plural, "-A", "-o", "name").split()) for plural in COUNTED}


def test_an_upgrade_under_load_loses_neither_objects_nor_requests(
    playbook: Playbook, kubectl: Kubectl, settings: Settings, crds: CRDs, tmp_path: Path
) -> None:
    before = (counts(kubectl), uid(kubectl))
    known = crds()
    with loaded(settings) as load:
        result = playbook("playbooks/upgrade.yml", "-e", f"platform_upgrade_backup_folder={tmp_path}", timeout=LONG)
    assert result.returncode == 0, reason(result)
    print(load.answers)
    assert controller(kubectl).endswith(":v0.20.0")
    after = counts(kubectl)
    # A new version may add CRDs and runtimes, and removes none.
    assert known <= crds()
    assert all(after[plural] >= count for plural, count in before[0].items()), (before, after)
    assert (after[SERVICES], uid(kubectl)) == (before[0][SERVICES], before[1])
    (backup,) = tmp_path.iterdir()
    kept = json.loads((backup / "index.json").read_text())
    assert kept["objects"][SERVICES]["ml-models/iris-classifier"] == uid(kubectl)
    assert "from: v0.19.0 to: v0.20.0" in one_line(result.stdout)
    assert load.answers["right"] > 100
    assert set(load.answers) == {"right"}, load.answers


def uid(kubectl: Kubectl) -> str:
    return kubectl("get", SERVICES, "iris-classifier", "-n", "ml-models", "-o", "jsonpath={.metadata.uid}")


def test_site_changes_nothing_after_the_upgrade(playbook: Playbook) -> None:
    result = playbook("playbooks/site.yml")
    assert result.returncode == 0, reason(result)
    assert recap(result, "changed") == 0
