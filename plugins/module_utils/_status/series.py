# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Prometheus is asked about the models and the platform: one query of each kind, however many models there are.

The series are those of the role model_monitoring. This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._prometheus.client import Answers, Sample

# The label of each of the collection's alerts. Prometheus writes a series ALERTS for each alert that is active.
_OURS = 'part_of="hashfoundry-kserve"'
_SEVERITIES = ("critical", "warning")
SLOS = ("availability", "latency_p95", "latency_p99")


def queries(namespaces: Sequence[str], labels: Mapping[str, str]) -> dict[str, str]:
    """Return the queries by name.

    :param namespaces: those of the models.
    :param labels: further labels of the series, where one Prometheus has those of several clusters.
    """
    further = [f"{name}={json.dumps(str(value), ensure_ascii=False)}" for name, value in sorted(labels.items())]
    of_models = ",".join([f"namespace=~{json.dumps('|'.join(map(re.escape, namespaces)))}", *further])
    ours = ",".join([_OURS, *further])

    def of_slo(series: str) -> str:
        return f"min by (namespace, model, slo) ({series}{{{of_models}}})"

    def measured(series: str, slo: str) -> str:
        return f'label_replace(max by (namespace, model) ({series}{{{of_models}}}), "slo", "{slo}", "", "")'

    return {
        "objective": of_slo("slo:objective:ratio"),
        "threshold": of_slo("slo:latency_threshold:seconds"),
        "error_budget": of_slo("slo:error_budget_remaining:ratio"),
        "current": " or ".join(
            [
                measured("sli:inference_error_rate:5m", "availability"),
                measured("sli:inference_latency_p95:5m", "latency_p95"),
                measured("sli:inference_latency_p99:5m", "latency_p99"),
            ]
        ),
        "scraped": f'max by (namespace, model) (up{{model!="",{of_models}}})',
        "alerts": f'max by (namespace, model, slo, alertname, severity) (ALERTS{{alertstate="firing",{ours}}})',
    }


class Series:
    """The answers, by model; nothing is known of what has no answer."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._values = {
            name: {_key(sample): sample.value for sample in samples or ()} for name, samples in answers.samples.items()
        }

    def scraped(self, namespace: str, model: str) -> bool | None:
        """Say whether Prometheus has series of a model that are fresh: None if that is not known.

        A target that does not answer leaves the series up, with the value 0. What is not in a part of an answer may be
        in the rest of it.
        """
        value = self._values["scraped"].get((namespace, model, ""))
        if self._answers.samples["scraped"] is None or (value is None and self._answers.warnings):
            return None
        return value == 1

    def is_target(self, namespace: str, model: str) -> bool | None:
        """Say whether Prometheus tries to scrape a model: None if that is not known."""
        known = self._answers.samples["scraped"] is not None
        return (namespace, model, "") in self._values["scraped"] if known else None

    def objectives(self, namespace: str, model: str) -> list[dict[str, Any]] | None:
        """Return the SLOs of a model, with null for what Prometheus has no number of; None if they are not known."""
        if self._answers.samples["objective"] is None:
            return None
        return [
            {
                "name": slo,
                "objective": self._values["objective"][key],
                "threshold_seconds": self._values["threshold"].get(key),
                "current": self._current(key),
                "error_budget_remaining": self._values["error_budget"].get(key),
            }
            for slo in SLOS
            if (key := (namespace, model, slo)) in self._values["objective"]
        ]

    def alerts(self) -> list[dict[str, Any]] | None:
        """Return the firing alerts, the critical ones first; None if they are not known."""
        samples = self._answers.samples["alerts"]
        if samples is None:
            return None
        found = {tuple(alert.items()): alert for alert in map(_alert, samples) if alert["severity"] in _SEVERITIES}
        return sorted(
            found.values(),
            key=lambda alert: (
                _SEVERITIES.index(alert["severity"]),
                *(str(alert[name] or "") for name in sorted(alert)),
            ),
        )

    def _current(self, key: tuple[str, str, str]) -> float | None:
        value = self._values["current"].get(key)
        # The series has the fraction of errors.
        return 1 - value if value is not None and key[2] == "availability" else value


def _key(sample: Sample) -> tuple[str, str, str]:
    return sample.labels.get("namespace", ""), sample.labels.get("model", ""), sample.labels.get("slo", "")


def _alert(sample: Sample) -> dict[str, Any]:
    labels = sample.labels
    return {
        "name": labels.get("alertname", ""),
        "severity": labels.get("severity", ""),
        "namespace": labels.get("namespace") or None,
        "model": labels.get("model") or None,
        "slo": labels.get("slo") or None,
    }


def of_model(alerts: Sequence[Mapping[str, Any]] | None, namespace: str, model: str) -> list[Mapping[str, Any]] | None:
    """Return the alerts that are about a model; None if they are not known."""
    if alerts is None:
        return None
    return [alert for alert in alerts if (alert["namespace"], alert["model"]) == (namespace, model)]


def described(alerts: Sequence[Mapping[str, Any]]) -> str:
    """Return the alerts in a few words."""
    return ", ".join(dict.fromkeys(_words(alert) for alert in alerts))


def _words(alert: Mapping[str, Any]) -> str:
    def parts() -> Iterator[str]:
        yield str(alert["severity"])
        if alert["slo"]:
            yield str(alert["slo"]).replace("_", " ")

    return f"{alert['name']} ({', '.join(parts())})"
