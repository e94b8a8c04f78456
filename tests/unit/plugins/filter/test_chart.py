# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter chart."""

from __future__ import annotations

import pytest

from ansible_collections.hashfoundry.kserve.plugins.filter.chart import FilterModule


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("https://charts.example.com", {"ref": "one", "repository": "https://charts.example.com", "version": "v1"}),
        ("http://127.0.0.1:8000", {"ref": "one", "repository": "http://127.0.0.1:8000", "version": "v1"}),
        ("oci://ghcr.io/charts", {"ref": "oci://ghcr.io/charts/one", "repository": "", "version": "v1"}),
        ("/srv/charts", {"ref": "/srv/charts/one", "repository": "", "version": ""}),
    ],
)
def test_a_chart_is_named_by_its_source(source: str, named: dict[str, str]) -> None:
    assert FilterModule().filters()["chart"]("one", source, "v1") == named
