# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether everything is well: of the platform, by the cluster, and of each model, by the cluster and Prometheus.

What Prometheus does not answer is unknown, which is said, and everything else is there without it.
This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._health.verdict import State
from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_service import status as services
from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_service.model_probe import Question
from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_service.selection import Selection
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import KubeApi
from ansible_collections.hashfoundry.kserve.plugins.module_utils._prometheus import client as prometheus
from ansible_collections.hashfoundry.kserve.plugins.module_utils._prometheus.client import Answers
from ansible_collections.hashfoundry.kserve.plugins.module_utils._prometheus.sources import Source

from . import models
from .series import Series, described, queries

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Asked:
    """What to report.

    model_namespaces: whose models; expected: namespace and name of models that must be there; ready_path: where each
    model is asked whether it is ready; source: Prometheus, None where there is none; labels: of its series;
    alert_namespaces: further ones whose alerts are reported.
    """

    model_namespaces: Sequence[str]
    expected: Sequence[tuple[str, str]] = ()
    ready_path: str = ""
    source: Source | None = None
    labels: Mapping[str, str] | None = None
    alert_namespaces: Sequence[str] = ()


def status(api: KubeApi, asked: Asked, components: Mapping[str, Json], namespaces: Sequence[Json]) -> dict[str, Any]:
    """Return the status of everything.

    :param components: those of the platform, as platform_info returns them.
    :param namespaces: those of the platform, as pods.namespaces returns them.
    :raises KServeError: the cluster cannot be read.
    """
    wanted = list(dict.fromkeys([*asked.model_namespaces, *(namespace for namespace, _name in asked.expected)]))
    question = Question(asked.ready_path, None, {})
    watched = {namespace: _services(api, namespace, question) for namespace in wanted}
    answers = prometheus.ask(asked.source, queries(wanted, asked.labels or {})) if asked.source else None
    series = Series(answers) if answers else None
    alerts = _alerts(series, {*wanted, *asked.alert_namespaces, *(entry["name"] for entry in namespaces)})
    found = [
        models.row(namespace, entry.name, entry.objects, entry.verdict, series, alerts)
        for namespace in wanted
        for entry in watched[namespace]
    ]
    there = {(entry["namespace"], entry["name"]) for entry in found}
    found += [models.absent(*pair, series, alerts) for pair in dict.fromkeys(asked.expected) if pair not in there]
    source = _prometheus(asked.source, answers) if asked.source and answers else None
    platform_alerts = [alert for alert in alerts or () if (alert["namespace"], alert["model"]) not in _names(found)]
    problems = [
        *_of_components(components),
        *(text for entry in namespaces for text in entry["problems"]),
        *_of_models(found, source),
        *_of_alerts(platform_alerts),
        *(source["problems"] if source else ()),
    ]
    return {
        "well": not problems,
        "problems": problems,
        "namespaces": list(namespaces),
        "models": found,
        "alerts": alerts if asked.source else [],
        "prometheus": source,
    }


def unsettled(found: Json) -> bool:
    """Say whether time may cure it: a pod that starts, or a Prometheus that has yet to scrape what is new."""
    source = found["prometheus"]
    return (
        any(entry["problems"] for entry in found["namespaces"])
        or any(entry["scraped"] is False and entry["verdict"] == State.SERVING.value for entry in found["models"])
        or bool(source and ("scraped" in source["missing"] or source["warnings"]))
    )


def _names(found: Sequence[Json]) -> set[tuple[str, str]]:
    return {(entry["namespace"], entry["name"]) for entry in found}


def _services(api: KubeApi, namespace: str, question: Question) -> Sequence[Any]:
    try:
        return services.current(api, Selection(namespace), question)
    except services.NotFound:  # without KServe there are none
        return ()


def _alerts(series: Series | None, namespaces: set[str]) -> list[dict[str, Any]] | None:
    """Return the alerts about these namespaces or about none, since another inventory may have models elsewhere."""
    found = series.alerts() if series else None
    if found is None:
        return None
    return [alert for alert in found if not alert["namespace"] or alert["namespace"] in namespaces]


def _of_components(components: Mapping[str, Json]) -> Iterator[str]:
    for name, entry in components.items():
        title = name.replace("_", " ")
        if not entry["installed"]:
            yield f"The component {title} is not installed; run the playbook addons."
        else:
            yield from (f"The component {title} is not healthy: {text.rstrip('.')}." for text in entry["problems"])


def _of_models(found: Sequence[Json], source: Json | None) -> Iterator[str]:
    """Yield the problems of all models, and one sentence where it is not the models' fault."""
    unseen = [entry for entry in found if entry["scraped"] is False and entry["verdict"] == State.SERVING.value]
    elsewhere = len(unseen) > 1 and not any(entry["scraped"] for entry in found)
    if elsewhere and source:
        yield (
            f"{source['place']} has no series of any of the {len(unseen)} models; check that it is the Prometheus of "
            "this cluster, and that it selects the ServiceMonitors and PodMonitors of the role model_monitoring."
        )
    for entry in found:
        yield from (text for text in entry["problems"] if not (elsewhere and text == models.unscraped(entry)))


def _of_alerts(alerts: Sequence[Json]) -> Iterator[str]:
    for namespace in dict.fromkeys(alert["namespace"] for alert in alerts):
        own = [alert for alert in alerts if alert["namespace"] == namespace]
        where = f"Namespace {namespace}" if namespace else "The platform"
        count = f"{len(own)} alerts fire" if len(own) > 1 else "an alert fires"
        yield f"{where}: {count}: {described(own)}; follow the runbook that the alert names."


def _prometheus(source: Source, answers: Answers) -> dict[str, Any]:
    state = "answers" if not answers.missing else "partial"
    if len(answers.missing) == len(answers.samples):
        state = "unreachable"
    elif answers.warnings:
        state = "partial"
    return {
        "place": source.place,
        "state": state,
        "reason": answers.error.reason if answers.error else "PrometheusPartial" if answers.warnings else None,
        "missing": answers.missing,
        "warnings": list(answers.warnings),
        "clock_difference": answers.clock_difference,
        "problems": list(_of_prometheus(source, answers)),
    }


def _of_prometheus(source: Source, answers: Answers) -> Iterator[str]:
    if answers.error:
        what = ", ".join(name.replace("_", " ") for name in answers.missing)
        yield f"{answers.error} Unknown for that reason: {what}."
    if answers.warnings:
        yield f"{source.place} answered in part only: {answers.warnings[0].rstrip('.')}; see its log."
    if answers.clock_difference is not None:
        seconds = abs(answers.clock_difference)
        side = "ahead of" if answers.clock_difference > 0 else "behind"
        yield (
            f"The clock of {source.place} is {seconds:.0f} seconds {side} that of this controller, so alerts may begin "
            "and end late; synchronize both with NTP."
        )
