# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""inference_smoke_test on the served model, through the Gateway: load, thresholds, reports, schema and health."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from local.settings import Settings
from tests.integration.conftest import reason

MODEL = "iris-classifier"
SVG = "{http://www.w3.org/2000/svg}"
Smoke = Callable[..., dict[str, dict[str, Any]]]


@pytest.fixture
def smoke(playbook: Callable[..., Any], settings: Settings, tmp_path: Path) -> Smoke:
    """Run the module once for each set of options in one play, and return the results by name."""
    folder = settings.state / "models" / MODEL / "v1"
    examples = json.loads((folder / "metadata.json").read_text())["examples"]
    common = {
        "host": f"{MODEL}.ml.hashfoundry.local",
        "address": "127.0.0.1",
        "port": settings.https_port,
        "ca_path": str(settings.state / "ca.crt"),
        "model_name": MODEL,
        "metadata_path": str(folder / "metadata.json"),
        "instances": examples["instances"],
        "expected": examples["predictions"],
    }

    def run(**cases: dict[str, Any]) -> dict[str, dict[str, Any]]:
        tasks: list[dict[str, Any]] = [
            {
                "name": name,
                "hashfoundry.kserve.inference_smoke_test": {**common, **options},
                "register": f"result_{name}",
                "failed_when": False,
            }
            for name, options in cases.items()
        ]
        results = ", ".join(f"'{name}': result_{name}" for name in cases)
        kept = {"dest": str(tmp_path / "results.json"), "content": f"{{{{ {{{results}}} | to_json }}}}"}
        tasks.append({"name": "Keep the results", "ansible.builtin.copy": kept})
        path = tmp_path / "play.yml"
        path.write_text(yaml.safe_dump([{"hosts": "clusters", "gather_facts": False, "tasks": tasks}]))
        result: subprocess.CompletedProcess[str] = playbook(path, timeout=120)
        assert result.returncode == 0, reason(result)
        found: dict[str, dict[str, Any]] = json.loads((tmp_path / "results.json").read_text())
        return found

    return run


def names(result: dict[str, Any]) -> dict[str, bool]:
    return {check["name"]: check["passed"] for check in result["checks"]}


def test_loads_and_thresholds(smoke: Smoke, tmp_path: Path) -> None:
    # Thresholds that a busy machine meets as well, and one that no machine meets.
    kept = {"p50_ms": 5000, "p999_ms": 10000, "error_rate": 0.05, "throughput": 1}
    reports = {"junit_path": str(tmp_path / "kept.xml"), "svg_path": str(tmp_path / "kept.svg")}
    late = {"junit_path": str(tmp_path / "missed.xml"), "svg_path": str(tmp_path / "missed.svg")}
    results = smoke(
        closed={"requests": 60, "concurrency": 3, "warmup": 3, "batch_size": 2, "health": ["v1", "v2"]},
        opened={"rate": 20, "seconds": 2, "thresholds": kept, **reports},
        missed={"protocol": "v1", "requests": 20, "thresholds": {"p95_ms": 0.01, "throughput": 0.5}, **late},
    )
    closed, opened, missed = (results[name] for name in ("closed", "opened", "missed"))
    assert (closed["predictions"], closed["load"]["requests"], closed["load"]["errors"]) == ([0, 1, 2], 60, 0)
    assert (closed["load"]["model"], closed["load"]["concurrency"]) == ("closed", 3)
    assert {"health /v2/models/iris-classifier/ready", "schema", "load"} <= names(closed).keys()
    latency = [closed["latency_ms"][name] for name in ("min", "p50", "p95", "p99", "p999", "max")]
    assert latency == sorted(latency) and latency[0] > 0.1

    assert (opened["load"]["model"], opened["load"]["requests"], opened["load"]["rate"]) == ("open", 40, 20)
    assert opened["load"]["seconds"] >= 2 and opened["load"]["throughput"] <= 20
    assert all(names(opened).values()) and "threshold p999_ms" in names(opened)
    suite = ElementTree.parse(tmp_path / "kept.xml").getroot()[0]
    assert (suite.attrib["tests"], suite.attrib["failures"]) == (str(len(opened["checks"])), "0")

    assert missed["msg"].startswith("Model iris-classifier misses its thresholds: p95_ms is ")
    assert "and must be at most 0.01" in missed["msg"]
    assert missed["latency_ms"]["count"] == 20
    assert (names(missed)["threshold p95_ms"], names(missed)["threshold throughput"]) == (False, True)
    (failure,) = ElementTree.parse(tmp_path / "missed.xml").iter("failure")
    assert failure.attrib["message"] in missed["msg"]
    for name in ("kept", "missed"):
        drawn = ElementTree.parse(tmp_path / f"{name}.svg").getroot()
        bars = [part for part in drawn.iter(f"{SVG}rect") if part.get("class") == "bar"]
        assert drawn.tag == f"{SVG}svg" and bars


def test_failures(smoke: Smoke, tmp_path: Path, settings: Settings) -> None:
    metadata = json.loads((settings.state / "models" / MODEL / "v1" / "metadata.json").read_text())
    metadata["outputs"][0]["datatype"] = "FP32"
    (tmp_path / "metadata.json").write_text(json.dumps(metadata))
    results = smoke(
        wrong_class={"expected": [0, 1, 1], "batch_size": 2, "junit_path": str(tmp_path / "wrong.xml")},
        tolerated={"expected": [0.1, 0.9, 2.1], "tolerance": {"absolute": 0.2}, "requests": 1},
        other_schema={"metadata_path": str(tmp_path / "metadata.json"), "requests": 1},
        no_such_server={"health": ["openai"], "retry_for": 0},
        another_authority={"ca_path": "/etc/ssl/certs/ca-certificates.crt"},
    )
    assert results["wrong_class"]["msg"] == (
        "Model iris-classifier predicts other values than expected. Row 3 of 3 differs: expected 1, predicted 2."
    )
    (failure,) = ElementTree.parse(tmp_path / "wrong.xml").iter("failure")
    assert failure.attrib["message"] == results["wrong_class"]["msg"]
    assert results["tolerated"]["latency_ms"]["count"] == 1
    assert "is of INT64, and metadata.json says FP32" in results["other_schema"]["msg"]
    assert results["no_such_server"]["msg"].startswith("The server answered 404")
    assert "is not accepted" in results["another_authority"]["msg"]
    assert not any(name in results["another_authority"] for name in ("predictions", "load"))


def test_the_role_checks_thresholds_and_writes_reports(playbook: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    result = playbook("playbooks/verify.yml", "-e", f"model_verification_report_folder={folder}")
    assert result.returncode == 0, reason(result)
    assert sorted(file.name for file in folder.iterdir()) == [
        f"{model}-{protocol}.{kind}"
        for model in ("churn-classifier", MODEL)
        for protocol in ("v1", "v2")
        for kind in ("svg", "xml")
    ]
    for file in folder.glob("*.xml"):
        cases = {case.attrib["name"] for case in ElementTree.parse(file).iter("testcase")}
        assert {"predictions", "schema", "load", "threshold p95_ms"} <= cases
        assert not list(ElementTree.parse(file).iter("failure"))


def test_the_role_repeats_the_measurement_and_then_fails(playbook: Callable[..., Any]) -> None:
    words = {"model_verification_thresholds": {"p50_ms": 0.01}, "model_verification_retries": 1}
    words |= {"model_verification_requests": 5, "model_verification_protocols": ["v2"]}
    result = playbook("playbooks/verify.yml", "-e", json.dumps(words))
    assert result.returncode == 2
    assert result.stdout.count("FAILED - RETRYING") == 2  # one for each model
    assert "p50_ms is " in result.stdout and "must be at most 0.01" in result.stdout
