# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CPU time of cgroups, thresholds, and when alerts become true and arrive."""

from __future__ import annotations

import pytest

from benchmarks import monitoring
from benchmarks.monitoring import NODE, WITH, WITHOUT
from benchmarks.results import Report

UID = "6b252d25-c2ed-ed59-f3b0-d619e6cde41a"
# Lines that the command has printed on a node with cgroup v1, and those of systemd's names with v2.
V1 = f"""\
/sys/fs/cgroup/cpuacct/kubelet/kubepods/burstable/pod{UID}/f383f6645c57/cpuacct.usage:1000000000
/sys/fs/cgroup/cpuacct/kubelet/kubepods/burstable/pod{UID}/cpuacct.usage:2500000000
/sys/fs/cgroup/cpuacct/kubelet/kubepods/cpuacct.usage:60000000000
/sys/fs/cgroup/cpuacct/cpuacct.usage:78433460390
/sys/fs/cgroup/unified/cpu.stat:usage_usec 5
"""
SLICE = f"kubelet-kubepods-burstable-pod{UID.replace('-', '_')}.slice"
V2 = f"""\
/sys/fs/cgroup/cpu.stat:usage_usec 78433460
/sys/fs/cgroup/kubelet.slice/kubelet-kubepods.slice/cpu.stat:usage_usec 60000000
/sys/fs/cgroup/kubelet.slice/kubelet-kubepods.slice/{SLICE}/cpu.stat:usage_usec 2500000
/sys/fs/cgroup/kubelet.slice/kubelet-kubepods.slice/{SLICE}/cri-f383f6645c57.scope/cpu.stat:usage_usec 1000000
"""


@pytest.mark.parametrize("text", [V1, V2])
def test_the_cpu_time_of_pods_and_of_the_node_is_that_of_their_cgroups(text: str) -> None:
    assert monitoring.cpu_seconds(text) == {UID: pytest.approx(2.5), NODE: pytest.approx(78.433, abs=0.001)}


def test_each_pod_belongs_to_one_part() -> None:
    label = {"serving.kserve.io/inferenceservice": "iris-classifier"}
    pods = [
        {"namespace": "ml-models", "name": "iris-classifier-predictor-1-2", "labels": label},
        {"namespace": "ml-models", "name": "churn-classifier-predictor-1-2", "labels": {}},
        {"namespace": "projectcontour", "name": "envoy-hashfoundry-x", "labels": {}},
        {"namespace": "monitoring", "name": "prometheus-prometheus-0"},
        {"namespace": "kserve", "name": "kserve-controller-manager-1"},
    ]
    assert [monitoring.part_of(pod) for pod in pods] == ["model", "", "Envoy", "monitoring", ""]


@pytest.mark.parametrize(("with_it", "met"), [(1.04, True), (1.06, False)])
def test_cpu_time_and_site_have_limits_relative_to_the_cluster_without_monitoring(with_it: float, met: bool) -> None:
    report = Report("monitoring", "", {})
    figures = ("CPU time for each request", "CPU time of monitoring's pods in a minute", "site.yml again")
    monitoring.compared(report, {figure: {WITH: [with_it], WITHOUT: [1.0]} for figure in figures})
    rows = {row.figure: row for row in report.rows if row.tool == WITH}
    assert [rows[figure].met for figure in figures] == [met, None, True]
    assert [rows[figure].unit for figure in figures] == ["ms", "s", "s"]


def test_a_further_model_costs_its_part_of_the_difference() -> None:
    assert monitoring.each({"series": [4000]}, {"series": [5800]}, "series") == 1800 / monitoring.FURTHER_MODELS


def test_an_alert_is_on_its_way_from_the_first_sample_that_is_true_to_its_first_notification() -> None:
    notifications = [
        {"at": 140.5, "alerts": [{"labels": {"model": "alert-0"}}, {"labels": {"model": "alert-1"}}]},
        {"at": 200.0, "alerts": [{"labels": {"model": "alert-1"}}]},
    ]
    series = [
        {"metric": {"resourcequota": f"alert-{number}"}, "values": [[85, "1"], [true, "9"], [true + 15, "9"]]}
        for number, true in enumerate((100, 115.5))
    ]
    assert monitoring.delays(series, monitoring.arrivals(notifications)) == [40.5, 25.0]
