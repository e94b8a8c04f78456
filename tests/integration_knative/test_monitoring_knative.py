# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Monitoring in Knative mode: the rules have data under load, and a model that has scaled to zero is no outage."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.settings import Settings
from tests.integration.alert_receiver import query, targets
from tests.integration.conftest import Kubectl, Playbook, reason
from tests.integration.gateway_load import Load, under_load
from tests.integration.helpers import objects, wait_until
from tests.integration.test_monitoring_models import BODIES, PLACE, counted, each_rule_has_data

# The stable window of the autoscaler and the time in which a pod terminates.
ZERO_SECONDS = 300
# More than the longest interval of a group of rules.
EVALUATED = 420


@pytest.fixture(scope="module")
def loads(settings: Settings) -> Iterator[list[Load]]:
    """The models of the demo are asked all the time; the first request wakes a model."""
    found = [Load(settings, name, lambda rows=rows: {"instances": rows}, 0.2, 120) for name, rows in BODIES.items()]
    with under_load(found):
        yield found


def test_each_target_is_up_under_load(kubectl: Kubectl, loads: list[Load]) -> None:
    def missing() -> list[str]:
        found = targets(kubectl)
        scraped = {target["labels"].get("model") for target in found}
        down = [f"{target['scrapeUrl']}: {target['lastError']}" for target in found if target["health"] != "up"]
        return [*(f"no target of {name}" for name in BODIES if name not in scraped), *down]

    wait_until(missing, lambda faults: not faults, 300, pause=2, what="each target is up")


def test_each_rule_has_data_under_load(kubectl: Kubectl, loads: list[Load]) -> None:
    each_rule_has_data(kubectl)
    for name in BODIES:
        assert query(kubectl, f'kn_serving_invocation_duration_seconds_count{{namespace="{PLACE}",model="{name}"}}'), (
            name
        )


def test_kourier_counts_what_the_clients_got(kubectl: Kubectl, loads: list[Load]) -> None:
    counted(kubectl, BODIES)
    for load in loads:
        assert set(load.statuses) == {200}, load
        [latency] = query(kubectl, f'sli:inference_latency_p95:5m{{namespace="{PLACE}",model="{load.model}"}}')
        assert 0 < float(latency["value"][1]) < 2


def test_a_model_that_has_scaled_to_zero_is_no_outage(
    kubectl: Kubectl, playbook: Playbook, loads: list[Load], tmp_path: Path
) -> None:
    for load in loads:
        load.stopped.set()

    def pods() -> list[Any]:
        return objects(kubectl, "pods", "-n", PLACE, "-l", "serving.knative.dev/revision")

    wait_until(pods, lambda found: not found, ZERO_SECONDS, pause=2, what="all models have scaled to zero")

    def scraped() -> list[str]:
        return [target["scrapeUrl"] for target in targets(kubectl) if target["labels"].get("model") in BODIES]

    wait_until(scraped, lambda found: not found, pause=2, what="the targets have gone with the pods")
    gone = time.time()
    evaluated = f"min(prometheus_rule_group_last_evaluation_timestamp_seconds) > {gone}"
    wait_until(lambda: query(kubectl, evaluated), seconds=EVALUATED, pause=5, what="all rules are evaluated")
    # None is pending, either. The disk of the machine may be full.
    assert not query(kubectl, f'ALERTS{{namespace="{PLACE}",alertname!="VolumeNearlyFull"}}')
    for name in ("verify", "status"):
        words = ("--tags", "platform_status") if name == "verify" else ("-e", f"status_file={tmp_path / 'status.json'}")
        result = playbook(f"playbooks/{name}.yml", *words)
        assert result.returncode == 0, reason(result)
    document = json.loads((tmp_path / "status.json").read_text())
    # The promise of a latency is that of a cluster, and not of a busy machine.
    assert [one for one in document["problems"] if "error budget for latency" not in one] == []
    assert {model["name"]: model["replicas"]["wanted"] for model in document["models"]} == dict.fromkeys(BODIES, 0)


def test_a_second_run_changes_nothing(playbook: Playbook) -> None:
    result = playbook("playbooks/site.yml")
    assert result.returncode == 0 and "changed=0" in result.stdout, reason(result)
