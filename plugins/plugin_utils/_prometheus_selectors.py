# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which labels the objects of models need so that an existing Prometheus selects them.

A Prometheus of the Prometheus Operator selects ServiceMonitors, PodMonitors and PrometheusRules by their labels and by
those of their namespaces. A selector that is absent selects nothing, and an empty one everything. This file is private
to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]
Labels = dict[str, str]

_VALUE = "hashfoundry-kserve"  # of a label whose selector asks only that it exists
_KINDS = {"ServiceMonitors": "serviceMonitor", "PodMonitors": "podMonitor", "PrometheusRules": "rule"}


@dataclass(frozen=True)
class Selected:
    """prometheus: which one; labels: that it selects; fault, reason: why none does, in one sentence."""

    prometheus: str = ""
    labels: Labels = field(default_factory=dict)
    fault: str = ""
    reason: str = ""


def selected(prometheuses: Sequence[Json], namespaces: Sequence[Json], wanted: Labels, namespace: str) -> Selected:
    """Return the first Prometheus that selects the objects, and their labels.

    wanted: labels that the objects have in any case; namespace: where the Prometheus objects are.
    """
    if not prometheuses:
        return Selected(
            fault=f"The namespace {namespace} has no object Prometheus of the Prometheus Operator: set "
            "platform_monitoring_namespace to its namespace, or platform_monitoring to managed.",
            reason="PrometheusNotFound",
        )
    faults = []
    for one in sorted(prometheuses, key=lambda thing: str(thing["metadata"]["name"])):
        name = f"{one['metadata']['namespace']}/{one['metadata']['name']}"
        labels = dict(wanted)
        fault = next(_faults(one, namespaces, labels), "")
        if not fault:
            return Selected(name, labels)
        faults.append(f"Prometheus {name} {fault}")
    return Selected(fault=f"{'; '.join(faults)}.", reason="MonitoringSelectorNotMet")


def _faults(prometheus: Json, namespaces: Sequence[Json], labels: Labels) -> Iterator[str]:
    """Yield what is in the way; the labels that are needed are added to those that are given."""
    spec, own = prometheus.get("spec") or {}, prometheus["metadata"]["namespace"]
    # All objects get the same labels, so that each selector is asked before any is chosen.
    asked = [one for name in _KINDS.values() for one in _expressions(spec.get(f"{name}Selector") or {})]
    labels.update(_needed(asked, labels))
    for kind, field_name in _KINDS.items():
        selector = spec.get(f"{field_name}Selector")
        if selector is None:
            yield f"selects no {kind}, because its {field_name}Selector is not set: set it to {{}} to select all"
        else:
            for expression in _expressions(selector):
                if not _holds(expression, labels):
                    key = expression["key"]
                    yield (
                        f"selects {kind} with {_written(expression)}, and their label {key} is {labels.get(key)}: "
                        "change the selector, or platform_monitoring_labels"
                    )
        spaces = spec.get(f"{field_name}NamespaceSelector")
        for space in namespaces:
            name, given = space["metadata"]["name"], space["metadata"].get("labels") or {}
            if spaces is None and name != own:
                yield (
                    f"selects {kind} of its own namespace only, and not of {name}: set its "
                    f"{field_name}NamespaceSelector, or {{}} to select all"
                )
            elif spaces is not None and not all(_holds(one, given) for one in _expressions(spaces)):
                wants = ", ".join(map(_written, _expressions(spaces)))
                yield f"selects {kind} of namespaces with {wants}: set these labels on the namespace {name}"


def _expressions(selector: Json) -> list[Json]:
    """Return matchLabels as expressions, too."""
    exact = [
        {"key": key, "operator": "In", "values": [value]}
        for key, value in sorted((selector.get("matchLabels") or {}).items())
    ]
    return [*exact, *(selector.get("matchExpressions") or ())]


def _needed(expressions: Sequence[Json], given: Json) -> Labels:
    """Return the labels that are needed besides those given: of each key the first value that meets all expressions."""
    needed: Labels = {}
    for key in dict.fromkeys(one["key"] for one in expressions if one["operator"] in ("In", "Exists")):
        of_key = [one for one in expressions if one["key"] == key]
        values = [value for one in of_key if one["operator"] == "In" for value in one.get("values") or ()] or [_VALUE]
        if key not in given:
            needed[key] = next(
                (value for value in values if all(_holds(one, {key: value}) for one in of_key)), values[0]
            )
    return needed


def _holds(expression: Json, labels: Json) -> bool:
    key, values = expression["key"], expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":  # also of what has no such label
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    return False


def _written(expression: Json) -> str:
    key, operator, values = expression["key"], expression["operator"], list(expression.get("values") or [])
    if operator == "In" and len(values) == 1:
        return f"{key}={values[0]}"
    return {
        "In": f"{key} in ({', '.join(values)})",
        "NotIn": f"{key} not in ({', '.join(values)})",
        "Exists": f"a label {key}",
        "DoesNotExist": f"no label {key}",
    }.get(operator, f"{key} {operator}")
