# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of the agent, from the metrics that kube-router v2.1.0 has returned."""

from __future__ import annotations

import pytest

from benchmarks.network_policies import agent_figures

METRICS = """\
# TYPE kube_router_controller_iptables_sync_time histogram
kube_router_controller_iptables_sync_time_bucket{le="0.5"} 60
kube_router_controller_iptables_sync_time_bucket{le="+Inf"} 71
kube_router_controller_iptables_sync_time_sum 20.020360886000006
kube_router_controller_iptables_sync_time_count 71
process_cpu_seconds_total 2.74
process_resident_memory_bytes 5.8339328e+07
"""


def test_the_figures_of_the_agent_are_read_from_its_metrics() -> None:
    assert agent_figures(METRICS) == {
        "one sync of all rules, mean": pytest.approx(0.282, abs=0.001),
        "CPU time of the agent": 2.74,
        "memory of the agent": pytest.approx(55.6, abs=0.1),
    }
