# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objectives on a real cluster: under load each rule has data; a model that errs and one that is slow spend their error
budgets, and the alerts fire and end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from local import demo
from local.settings import Settings

from .alert_receiver import firing, query
from .conftest import Playbook, reason
from .gateway_load import Load, under_load
from .helpers import objects, python_container, wait_until

Json = dict[str, Any]
Kubectl = Callable[..., str]
PLACE = "ml-models"
BODIES = {"iris-classifier": [[5.1, 3.5, 1.4, 0.2]], "churn-classifier": json.loads(f"[{demo.CUSTOMERS}]")}
FAULTY = ("erring", "slow")
# Answers as each request asks for.
PROGRAM = """
import json, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.answer(200, b"")
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        time.sleep(asked["seconds"])
        self.answer(asked["status"], b"{}")
    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass
ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"""


def faulty(kubectl: Kubectl, name: str) -> Json:
    """An InferenceService whose server answers what it is asked to, with an image that the node has."""
    container = python_container(
        kubectl,
        "kserve-container",
        PROGRAM,
        ports=[{"containerPort": 8080, "protocol": "TCP"}],
        readinessProbe={"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
        resources={"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"cpu": "500m", "memory": "128Mi"}},
    )
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": name,
            "namespace": PLACE,
            "annotations": {"serving.kserve.io/deploymentMode": "Standard"},
        },
        "spec": {"predictor": {"containers": [container]}},
    }


@dataclass
class Faults:
    """What the faulty models answer from now on."""

    status: int = 200
    seconds: float = 0


@pytest.fixture(scope="module")
def faults(
    kubectl: Kubectl, playbook: Playbook, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Faults]]:
    """The faulty models serve, are monitored as listed ones, and are asked all the time, as the models of the demo."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "services.json").write_text(
        json.dumps({"apiVersion": "v1", "kind": "List", "items": [faulty(kubectl, name) for name in FAULTY]})
    )
    entry = {"version": "v1", "format": "sklearn", "runtime": "kserve-sklearnserver"}
    listed = [{"name": name, **entry} for name in (*BODIES, *FAULTY)]
    (folder / "models.json").write_text(json.dumps({"model_monitoring_models": listed}))
    tags = ("--tags", "cluster_preflight,model_monitoring")
    kubectl("apply", "--server-side", "--filename", str(folder / "services.json"))
    try:
        ready = ["--for=condition=Ready=true", "--timeout=180s", *(f"inferenceservice/{name}" for name in FAULTY)]
        kubectl("wait", "-n", PLACE, "--request-timeout=0", *ready)
        result = playbook("playbooks/serving.yml", *tags, "-e", f"@{folder / 'models.json'}")
        assert result.returncode == 0, reason(result)
        current = {name: Faults() for name in FAULTY}
        loads = [
            *(Load(settings, name, lambda rows=rows: {"instances": rows}, 0.2) for name, rows in BODIES.items()),
            # Slow answers come one after another, so that there are several clients.
            *(Load(settings, name, lambda fault=fault: vars(fault), 0.2) for name, fault in current.items()
              for _client in range(3)),
        ]  # fmt: skip
        with under_load(loads):
            yield current
            assert all(load.statuses for load in loads), [(load.model, load.statuses) for load in loads]
    finally:
        kubectl("delete", "inferenceservice", *FAULTY, "-n", PLACE, "--ignore-not-found")
        last = playbook("playbooks/serving.yml", *tags)
        assert last.returncode == 0, reason(last)


def recorded(kubectl: Kubectl) -> set[str]:
    """The names of the recording rules of the models."""
    rules = objects(kubectl, "prometheusrules", "-n", PLACE)
    groups = [group for rule in rules for group in rule["spec"]["groups"]]
    return {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}


def each_rule_has_data(kubectl: Kubectl) -> None:
    """Wait until each recording rule has data about each model of the demo."""
    names = recorded(kubectl)
    assert len(names) > 25

    def without() -> list[tuple[str, str]]:
        found = {
            (one["metric"]["__name__"], one["metric"]["model"])
            for one in query(kubectl, f'{{__name__=~"{"|".join(names)}",namespace="{PLACE}",model!=""}}')
        }
        return [(name, model) for name in names for model in BODIES if (name, model) not in found]

    # The rules of long windows run every five minutes.
    wait_until(without, lambda missing: not missing, 420, pause=5, what="each rule has data about each model")


def test_each_rule_has_data_under_load(kubectl: Kubectl, faults: dict[str, Faults]) -> None:
    each_rule_has_data(kubectl)


def counted(kubectl: Kubectl, models: Iterable[str]) -> None:
    """Wait until the gateway has counted more than one answer a second of each model."""

    def rate(model: str) -> float:
        found = query(kubectl, f'sum(gateway:requests:rate5m{{namespace="{PLACE}",model="{model}",code="200"}})')
        return float(found[0]["value"][1]) if found else 0

    for model in models:
        wait_until(lambda model=model: rate(model), lambda found: found > 1, 240, pause=5, what=f"{model} is counted")


def test_the_gateway_counts_what_the_clients_got(kubectl: Kubectl, faults: dict[str, Faults]) -> None:
    counted(kubectl, (*BODIES, *FAULTY))
    [latency] = query(kubectl, f'sli:inference_latency_p95:5m{{namespace="{PLACE}",model="iris-classifier"}}')
    assert 0 < float(latency["value"][1]) < 2


def test_a_model_that_errs_and_one_that_is_slow_page_until_they_recover(
    kubectl: Kubectl, faults: dict[str, Faults]
) -> None:
    page = {"alert": "ModelErrorBudgetBurn", "namespace": PLACE, "severity": "critical"}
    assert not firing(kubectl, **page)
    began = time.monotonic()
    faults["erring"].status = 500
    faults["slow"].seconds = 1.5
    wait_until(lambda: firing(kubectl, **page, model="erring", slo="availability"), seconds=300, pause=2,
               what="the model that errs pages")  # fmt: skip
    print(f"erring paged after {time.monotonic() - began:.0f} s")
    wait_until(lambda: firing(kubectl, **page, model="slow", slo="latency_p99"), seconds=300, pause=2,
               what="the model that is slow pages")  # fmt: skip
    print(f"slow paged after {time.monotonic() - began:.0f} s")
    # Each for its own fault, and no model beside them.
    assert not firing(kubectl, **page, model="erring", slo="latency_p99")
    assert not firing(kubectl, **page, model="slow", slo="availability")
    assert not firing(kubectl, **page, model="iris-classifier")
    left = f'slo:error_budget_remaining:ratio{{namespace="{PLACE}",model="erring",slo="availability"}} < 1'
    faults["erring"].status = 200
    faults["slow"].seconds = 0
    wait_until(lambda: query(kubectl, left), seconds=420, pause=5, what="the error budget has become less")
    wait_until(lambda: firing(kubectl, **page, short="5m"), lambda found: not found, 480, pause=5,
               what="the alerts of an hour have ended")  # fmt: skip
    print(f"ended after {time.monotonic() - began:.0f} s")


def test_the_series_of_a_model_are_bounded(kubectl: Kubectl, faults: dict[str, Faults]) -> None:
    scraped = query(kubectl, f'max by (model) (scrape_samples_post_metric_relabeling{{namespace="{PLACE}"}})')
    rules = query(kubectl, f'count by (model) ({{namespace="{PLACE}",model!="",job=""}})')
    gateway = query(kubectl, 'count by (envoy_cluster_name) ({__name__=~"envoy_cluster_.*"})')
    for name, found in (("scraped", scraped), ("rules", rules), ("gateway", gateway)):
        print(name, {str(one["metric"]): one["value"][1] for one in found})
    assert all(int(one["value"][1]) < 500 for one in scraped)
    assert all(int(one["value"][1]) < 400 for one in rules)
    assert all(int(one["value"][1]) < 100 for one in gateway)
