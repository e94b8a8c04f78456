# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook status, and the entry points of verify.yml, on an in-memory cluster with a model and a Prometheus."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.ansible_run import ROOT, environment, exit_code_and_output

from ..plugins.module_utils.prometheus_fake import Prometheus
from ..plugins.module_utils.services_fixtures import PLURALS, things
from .http_cluster import MODEL, Cluster, serving, write_kubeconfig
from .http_cluster import _handler as handler

IRIS = {"namespace": "models", "model": "iris"}
POD = {"metadata": {"name": "manager", "uid": "1"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
PROXY = "/services/http:prometheus-operated:9090/proxy"
SERIES = {
    "up": [(IRIS, "1")],
    "slo:objective:ratio": [({**IRIS, "slo": "availability"}, "0.999")],
    "slo:error_budget_remaining:ratio": [({**IRIS, "slo": "availability"}, "0.5")],
    "sli:inference_error_rate:5m": [(IRIS, "0.001")],
}
Run = Callable[..., tuple[int, str]]


class Monitored(Cluster):
    """A cluster whose API server is also the proxy to a model and to Prometheus."""

    prometheus: Prometheus

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        if path.endswith("/ready"):
            return {"name": "iris", "ready": True}
        if PROXY in path:
            self.prometheus.asked.append(("", query))
            return json.loads(self.prometheus.answer(query["query"])[2])
        if path == "/api/v1/namespaces/kube-system":
            return {"metadata": {"uid": "cluster-uid"}}
        return super().answer(method, path, query, body)


@pytest.fixture
def prometheus() -> Iterator[Prometheus]:
    with Prometheus(SERIES) as made:
        yield made


@pytest.fixture
def cluster(tmp_path: Path, prometheus: Prometheus) -> Iterator[Monitored]:
    made = Monitored(tmp_path)
    made.prometheus = prometheus
    groups = {"InferenceService": "serving.kserve.io/v1beta1", "HTTPRoute": "gateway.networking.k8s.io/v1"}
    plurals = {kind: plural for plural, kind in PLURALS.items()}
    for entry in things():
        group = "api/v1" if entry["kind"] == "Pod" else f"apis/{groups.get(entry['kind'], 'apps/v1')}"
        name = entry["metadata"]["name"]
        made.objects[f"/{group}/namespaces/models/{plurals[entry['kind']]}/{name}"] = entry
    made.objects["/api/v1/namespaces/kserve/pods/manager"] = POD
    with serving(handler(made)) as url:
        write_kubeconfig(made.kubeconfig, url)
        yield made


@pytest.fixture
def play(tmp_path: Path, cluster: Monitored) -> Run:
    """Run a playbook of the collection on the cluster, in one process or by a module, and return code and output."""

    def run(playbook: str, *words: str, python: str = sys.executable, **more: object) -> tuple[int, str]:
        hosts = {"mine": {"ansible_connection": "local", "ansible_python_interpreter": python}}
        (tmp_path / "hosts.json").write_text(json.dumps({"clusters": {"hosts": hosts}}))
        variables = {
            "models": [MODEL],
            "platform_kubeconfig": str(cluster.kubeconfig),
            "platform_domain": "localhost",
            "platform_bucket": "models",
            **{f"platform_{name}_key": "PLANTED-KEY" for name in ("access", "secret")},
            "platform_model_namespace": "models",
            "platform_monitoring": "managed",
            "platform_status_components": [],
            "platform_status_namespaces": ["kserve"],
            "platform_status_pods_retry_for": 0,
            "platform_status_series_retry_for": 0,
            "platform_status_timeout": 2,
        }
        env = environment("AWS_", "HASHFOUNDRY_", "SPACES_", "K8S_", "KUBECONFIG", PWD=str(tmp_path))
        env["ANSIBLE_CALLBACK_RESULT_FORMAT"] = "yaml"
        words = ("-i", "hosts.json", str(ROOT / "playbooks" / f"{playbook}.yml"), *words)
        given = ("-e", json.dumps({**variables, **more}))
        return exit_code_and_output("ansible-playbook", *words, *given, folder=tmp_path, env=env)

    return run


@pytest.fixture(params=["in process", "module"])
def python(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The Python of the host: Ansible's own, in which the action plugin runs the use case, or another."""
    if request.param == "in process":
        return sys.executable
    link = tmp_path / "python"
    link.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    link.chmod(0o755)
    return str(link)


def test_the_status_is_one_screen_and_a_file_both_ways(play: Run, python: str, tmp_path: Path) -> None:
    code, output = play("status", python=python, status_file="status.json")
    assert code == 0 and "changed=0" in output, output
    message = output.partition("msg:")[2].partition("PLAY RECAP")[0]
    assert max(map(len, message.splitlines())) <= 120 and message.count("\n") < 20
    assert "- 'Everything is well: 1 model serves, 1 pod of the platform runs and no'" in output
    row = next(line for line in output.splitlines() if line.strip().startswith("- iris"))
    assert row.split()[1:] == ["iris", "-", "-", "2/2", "serving", "99.9%/99.9%", "-", "-", "50%", "-"]
    document = json.loads((tmp_path / "status.json").read_text())
    assert document["well"] is True and document["cluster"]["uid"] == "cluster-uid" and "table" not in document
    assert document["models"][0]["slo"][0]["error_budget_remaining"] == 0.5


def test_prometheus_at_a_url_with_a_token(play: Run, prometheus: Prometheus) -> None:
    options = {"platform_prometheus_url": prometheus.url, "platform_status_prometheus_token": "PLANTED-TOKEN"}
    code, output = play("status", "-vvv", **options)
    assert code == 0 and "Everything is well" in output, output
    assert {header for header, _query in prometheus.asked} == {"Bearer PLANTED-TOKEN"}
    assert "PLANTED" not in output.replace('"platform_status_prometheus_token": "PLANTED-TOKEN"', "")


def test_without_monitoring_nothing_of_it_is_asked(play: Run, prometheus: Prometheus) -> None:
    code, output = play("status", platform_monitoring="absent")
    assert code == 0 and "Everything is well: 1 model serves and 1 pod of the platform runs." in output, output
    assert "BUDGET" not in output and prometheus.asked == []


def test_prometheus_is_down(play: Run, closed_url: str) -> None:
    code, output = play("status", platform_prometheus_url=closed_url)
    assert code == 0, output
    printed = " ".join(output.replace("- '", "").replace("'", "").replace("- ", "").split())
    assert "Not well: Prometheus cannot be queried: http://127.0.0.1:" in printed
    assert "iris - - 2/2 serving ? ? ? ? ?" in " ".join(output.split())
    code, output = play("verify", "--tags", "platform_status", platform_prometheus_url=closed_url)
    assert code == 2 and "(PrometheusUnreachable)" in output and "Traceback" not in output


def test_verify_passes_with_pods_and_series(play: Run, python: str) -> None:
    code, output = play("verify", "--tags", "platform_status", python=python)
    assert code == 0 and "changed=0" in output, output


def test_verify_fails_for_a_pod_that_does_not_run(play: Run, cluster: Monitored) -> None:
    waiting = {"name": "c", "ready": False, "state": {"waiting": {"reason": "ImagePullBackOff", "message": "gone"}}}
    broken = {"metadata": {"name": "broken", "uid": "2"}, "status": {"containerStatuses": [waiting]}}
    cluster.objects["/api/v1/namespaces/kserve/pods/broken"] = broken
    code, output = play("verify", "--tags", "platform_status")
    printed = " ".join(output.split())
    assert code == 2 and "Pod kserve/broken does not run: The image of container c of pod broken cannot be" in printed
    assert "(PodsNotRunning)" in printed
    code, output = play("verify", "--tags", "platform_status", "--check")
    assert code == 0, output


@pytest.mark.parametrize(
    ("up", "says"),
    [
        ([], "Model models/iris: Prometheus has no series of it;"),
        ([(IRIS, "0")], "Model models/iris: Prometheus cannot scrape it;"),
    ],
)
def test_verify_fails_for_a_model_without_series(play: Run, prometheus: Prometheus, up: Any, says: str) -> None:
    prometheus.series["up"] = up
    code, output = play("verify", "--tags", "platform_status")
    printed = " ".join(output.split())
    assert code == 2 and says in printed and "(SeriesMissing)" in printed
    code, output = play("verify", "--tags", "platform_status", "--check")
    assert code == 0, output


def test_verify_asks_for_no_series_without_monitoring_or_models(play: Run, prometheus: Prometheus) -> None:
    assert play("verify", "--tags", "platform_status", platform_monitoring="absent")[0] == 0
    assert play("verify", "--tags", "platform_status", models=[])[0] == 0
    assert prometheus.asked == []
