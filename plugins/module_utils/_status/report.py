# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The status as lines for people: one sentence, a table of the models, the platform, and each problem.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Json = Mapping[str, Any]

# Ansible's callbacks put up to eleven characters around a line, and those that print YAML fold a line at the first
# single space after 80: no row has one.
WIDTH, TEXT = 108, 72
# So many rows and problems fit on a screen; the result has all of them.
ROWS, PROBLEMS = 30, 12
UNKNOWN, NONE = "?", "-"
# The narrowest that the columns of what people have named can be.
_NARROW = {"MODEL": 16, "VERSION": 6}


def report(status: Json, cluster: Json, components: Mapping[str, Json]) -> dict[str, Any]:
    """Return the summary, and the lines as table."""
    return {"summary": summary(status, components), "table": lines(status, cluster, components)}


def summary(status: Json, components: Mapping[str, Json]) -> str:
    """Return whether everything is well, in one sentence."""
    if status["well"]:
        return f"Everything is well: {_joined(list(_good(status, components)))}."
    if len(status["problems"]) == 1:
        return f"Not well: {status['problems'][0]}"
    return f"Not well: {_joined(list(_bad(status, components)))}."


def lines(status: Json, cluster: Json, components: Mapping[str, Json]) -> list[str]:
    """Return the lines, none of them wider than WIDTH."""
    found = _wrapped(summary(status, components))
    if status["models"]:
        found += ["", *_table(status["models"], status["prometheus"] is not None)]
    found += ["", *_platform(status, cluster, components)]
    problems = status["problems"] if len(status["problems"]) > 1 else []
    if problems:
        found.append("")
    for text in problems[:PROBLEMS]:
        found += _wrapped(text, "* ")
    if len(problems) > PROBLEMS:
        found.append(f"* {len(problems) - PROBLEMS} more problems are in the result.")
    return found


def _good(status: Json, components: Mapping[str, Json]) -> Iterator[str]:
    yield f"{_count(len(status['models']), 'model')} {'serves' if len(status['models']) == 1 else 'serve'}"
    if status["namespaces"]:
        pods = sum(entry["pods"] for entry in status["namespaces"])
        yield f"{_count(pods, 'pod')} of the platform {'runs' if pods == 1 else 'run'}"
    if components:
        yield f"{_count(len(components), 'component')} {'is' if len(components) == 1 else 'are'} healthy"
    if status["prometheus"]:
        yield "no alert fires"


def _bad(status: Json, components: Mapping[str, Json]) -> Iterator[str]:
    models = status["models"]
    down = [entry for entry in models if entry["verdict"] != "serving"]
    if down:
        yield f"{len(down)} of {_count(len(models), 'model')} {'does' if len(down) == 1 else 'do'} not serve"
    sick = [entry for entry in components.values() if entry["problems"] or not entry["installed"]]
    if sick:
        yield f"{_count(len(sick), 'component')} {'is' if len(sick) == 1 else 'are'} not healthy"
    if count := sum(len(entry["problems"]) for entry in status["namespaces"]):
        yield f"{_count(count, 'pod or workload', 'pods or workloads')} of the platform {_do(count)} not run"
    if count := len(status["alerts"] or ()):
        yield f"{_count(count, 'alert')} {'fires' if count == 1 else 'fire'}"
    if count := sum(any((slo["error_budget_remaining"] or 0) < 0 for slo in entry["slo"] or ()) for entry in models):
        yield f"the error budget of {_count(count, 'model')} is spent"
    if count := sum(entry["scraped"] is False for entry in models if entry["verdict"] == "serving"):
        yield f"Prometheus has no fresh series of {_count(count, 'model')}"
    source = status["prometheus"]
    if source and source["state"] != "answers":
        yield "Prometheus does not answer" if source["state"] == "unreachable" else "Prometheus answers in part only"
    if source and source["clock_difference"] is not None:
        yield "its clock is wrong"


def _do(count: int) -> str:
    return "does" if count == 1 else "do"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def _joined(parts: Sequence[str]) -> str:
    return ", ".join(parts[:-1]) + " and " + parts[-1] if len(parts) > 1 else "".join(parts)


def _platform(status: Json, cluster: Json, components: Mapping[str, Json]) -> Iterator[str]:
    named = [f"Kubernetes {cluster['version']}"]
    named += [
        f"{name.replace('_', ' ')} {entry['version'] or UNKNOWN if entry['installed'] else 'is not installed'}"
        for name, entry in components.items()
    ]
    yield from _wrapped(f"Versions: {', '.join(named)}")
    if status["namespaces"]:
        pods = [f"{entry['name']} {entry['ready']}/{entry['pods']}" for entry in status["namespaces"]]
        yield from _wrapped(f"Pods: {', '.join(pods)}")
    if source := status["prometheus"]:
        words = {"answers": "answers", "partial": "answers in part only", "unreachable": "does not answer"}
        yield from _wrapped(f"Monitoring: {source['place']} {words[source['state']]}")


def _wrapped(text: str, begin: str = "") -> list[str]:
    return textwrap.wrap(
        text, TEXT, initial_indent=begin, subsequent_indent=" " * len(begin or "  "), break_on_hyphens=False
    )


def _table(models: Sequence[Json], monitored: bool) -> Iterator[str]:
    several = len({entry["namespace"] for entry in models}) > 1
    # What is not well is seen first where not all can be.
    shown = sorted(models, key=lambda entry: not entry["problems"])[:ROWS] if len(models) > ROWS else models
    rows = [_cells(entry, several, monitored) for entry in shown]
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
    for name, narrowest in _NARROW.items():
        excess = sum(widths.values()) + 2 * (len(widths) - 1) - WIDTH
        widths[name] = max(min(widths[name], narrowest), widths[name] - max(excess, 0))
    for row in [{name: name for name in widths}, *rows]:
        cells = [_cut(row[name], width).ljust(width) for name, width in widths.items()]
        yield "  ".join(cells).rstrip()[:WIDTH]
    if len(models) > len(shown):
        yield f"{len(models) - len(shown)} more models are in the result."


def _cells(model: Json, several: bool, monitored: bool) -> dict[str, str]:
    replicas = model["replicas"]
    wanted = UNKNOWN if replicas["wanted"] is None else replicas["wanted"]
    cells = {
        "MODEL": f"{model['namespace']}/{model['name']}" if several else model["name"],
        "VERSION": model["version"] or NONE,
        "DIGEST": (model["digest"] or NONE).removeprefix("sha256:")[:8],
        "READY": f"{replicas['ready']}/{wanted}",
        "VERDICT": model["verdict"],
    }
    if not monitored:
        return cells
    slos = None if model["slo"] is None else {entry["name"]: entry for entry in model["slo"]}
    budgets = [entry["error_budget_remaining"] for entry in model["slo"] or ()]
    numbers = [budget for budget in budgets if budget is not None]
    return cells | {
        "AVAILABILITY": _slo(slos, "availability"),
        "P95": _slo(slos, "latency_p95"),
        "P99": _slo(slos, "latency_p99"),
        "BUDGET": UNKNOWN if slos is None else _percent(min(numbers), 0) if numbers else UNKNOWN if budgets else NONE,
        "ALERTS": UNKNOWN if model["alerts"] is None else str(len(model["alerts"]) or NONE),
    }


def _slo(slos: Mapping[str, Json] | None, name: str) -> str:
    """Return what is measured now and what is asked for."""
    if slos is None:
        return UNKNOWN
    if name not in slos:
        return NONE
    entry = slos[name]
    shown, wanted = (_percent, entry["objective"]) if name == "availability" else (_time, entry["threshold_seconds"])
    now = NONE if entry["current"] is None else shown(entry["current"])
    return f"{now}/{UNKNOWN if wanted is None else shown(wanted)}"


def _percent(ratio: float, digits: int = 3) -> str:
    """Return a ratio rounded down, since 99.9996 % is not all; without zeros at its end."""
    # What binary fractions add to a decimal one is not to be rounded down.
    number = math.floor(ratio * 100 * 10**digits + 1e-6) / 10**digits
    return f"{number:.{digits}f}".rstrip("0").rstrip(".") + "%" if digits else f"{number:.0f}%"


def _time(seconds: float) -> str:
    milliseconds = seconds * 1000
    if milliseconds >= 1000:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    return f"{milliseconds:.0f}ms" if milliseconds >= 10 else f"{milliseconds:.2g}ms"


def _cut(text: str, width: int) -> str:
    """Return a text of at most this width; names differ at their ends, so the middle is left out."""
    if len(text) <= width:
        return text
    head = (width - 1) // 2
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"
