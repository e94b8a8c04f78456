# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter monitoring_labels: which labels objects need so that an existing Prometheus selects them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.plugin_utils._prometheus_selectors import selected


def monitoring_labels(
    prometheuses: Sequence[Mapping[str, Any]],
    namespaces: Sequence[Mapping[str, Any]],
    labels: Mapping[str, str],
    namespace: str,
) -> dict[str, Any]:
    """Return prometheus, labels, fault and reason."""
    return asdict(selected(prometheuses, namespaces, dict(labels), namespace))


class FilterModule:
    """The collection's filters, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"monitoring_labels": monitoring_labels}
