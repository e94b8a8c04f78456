# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dashboards as Perses' JSON: https://perses.dev/perses/docs/api/dashboard."""

from __future__ import annotations

import json
from typing import Any

from dashboards.model import Chart, Dashboard, Panel, Query, Row, Stat, Step, Table, Unit, Variable, places

PROJECT = "models"
UNITS: dict[Unit, dict[str, Any]] = {
    Unit.COUNT: {"unit": "decimal", "shortValues": True},
    Unit.RATIO: {"unit": "percent-decimal"},
    Unit.SECONDS: {"unit": "seconds"},
    Unit.BYTES: {"unit": "bytes", "shortValues": True},
    Unit.CORES: {"unit": "decimal"},
    Unit.REQUESTS: {"unit": "requests/sec"},
    Unit.ROWS: {"unit": "rows/sec"},
    Unit.EVENTS: {"unit": "events/sec"},
}


def _format(unit: Unit, decimals: int | None = None) -> dict[str, Any]:
    return UNITS[unit] | ({} if decimals is None else {"decimalPlaces": decimals})


def _steps(steps: tuple[Step, ...]) -> list[dict[str, Any]]:
    return [{"value": step.value, "color": step.color} for step in steps]


def _query(expr: str, legend: str = "") -> dict[str, Any]:
    spec = {"query": expr} | ({"seriesNameFormat": legend} if legend else {})
    return {
        "kind": "TimeSeriesQuery",
        "spec": {"plugin": {"kind": "PrometheusTimeSeriesQuery", "spec": spec}},
    }


def _stat(panel: Stat) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "calculation": "last-number",
        "format": _format(panel.unit, panel.decimals),
        "thresholds": {"mode": "absolute", "defaultColor": panel.below, "steps": _steps(panel.steps)},
    }
    if panel.text:
        spec["metricLabel"] = panel.text
    else:
        spec["sparkline"] = {}
    return {"kind": "StatChart", "spec": spec}


def _colored(index: int, query: Query) -> dict[str, Any]:
    return {"queryIndex": index, "colorMode": "fixed", "colorValue": query.color}


def _chart(panel: Chart) -> dict[str, Any]:
    visual: dict[str, Any] = {"areaOpacity": 0.35 if panel.stacked else 0.06, "lineWidth": 2}
    axis: dict[str, Any] = {"format": _format(panel.unit)}
    if panel.stacked:
        visual["stack"] = "all"
    axis |= {name: bound for name, bound in (("min", panel.minimum), ("max", panel.maximum)) if bound is not None}
    spec: dict[str, Any] = {
        "legend": {"position": "bottom", "mode": "list", "size": "small"},
        "visual": visual,
        "yAxis": axis,
    }
    if panel.limits:
        spec["thresholds"] = {"mode": "absolute", "steps": _steps(panel.limits)}
    if colored := [_colored(index, query) for index, query in enumerate(panel.queries) if query.color]:
        spec["querySettings"] = colored
    return {"kind": "TimeSeriesChart", "spec": spec}


def _table(panel: Table) -> dict[str, Any]:
    """With several queries, Perses numbers the columns: `model #1`, `model #2`, and so on."""
    several = len(panel.columns) > 1
    settings: list[dict[str, Any]] = [{"name": label, "header": title} for label, title in panel.labels]
    for number, column in enumerate(panel.columns, 1):
        name = f"value #{number}" if several else "value"
        shown = _format(column.unit, column.decimals)
        settings.append({"name": name, "header": column.title, "format": shown, "align": "right"})
    settings.append({"name": "timestamp", "hide": True})
    spec: dict[str, Any] = {"density": "compact", "defaultColumnWidth": "auto", "columnSettings": settings}
    if several:
        labels = [label for label, _title in panel.labels]
        merged = [{"kind": "MergeIndexedColumns", "spec": {"column": label}} for label in labels]
        spec["transforms"] = [*merged, {"kind": "JoinByColumnValue", "spec": {"columns": labels}}]
    return {"kind": "Table", "spec": spec}


def _panel(panel: Panel) -> dict[str, Any]:
    match panel:
        case Stat():
            plugin, queries = _stat(panel), [_query(panel.query.expr, panel.query.legend)]
        case Chart():
            plugin, queries = _chart(panel), [_query(query.expr, query.legend) for query in panel.queries]
        case Table():
            plugin, queries = _table(panel), [_query(column.expr) for column in panel.columns]
        case _:
            raise TypeError(f"{type(panel).__name__} has no form in Perses.")
    display = {"name": panel.title, "description": panel.description}
    return {"kind": "Panel", "spec": {"display": display, "plugin": plugin, "queries": queries}}


def _variable(variable: Variable) -> dict[str, Any]:
    plugin = {
        "kind": "PrometheusLabelValuesVariable",
        "spec": {"labelName": variable.name, "matchers": [variable.series]},
    }
    spec: dict[str, Any] = {
        "name": variable.name,
        "display": {"name": variable.title},
        "allowAllValue": variable.all,
        "allowMultiple": variable.all,
        "sort": "alphabetical-asc",
        "plugin": plugin,
    }
    if variable.all:
        spec["defaultValue"] = ["$__all"]
    return {"kind": "ListVariable", "spec": spec}


def _name(number: int, row: Row, panel: Panel) -> str:
    """The key of a panel: titles repeat, and their characters are not allowed."""
    words = f"{row.title} {panel.title}".lower()
    return f"{number:02}-" + "-".join("".join(char if char.isalnum() else " " for char in words).split())


def document(dashboard: Dashboard) -> dict[str, Any]:
    """The dashboard as the API and the provisioning folder of Perses accept it."""
    panels: dict[str, Any] = {}
    layouts = []
    for row in dashboard.rows:
        items = []
        for panel, place in places(row):
            key = _name(len(panels), row, panel)
            panels[key] = _panel(panel)
            shape = {"x": place.x, "y": place.y, "width": place.width, "height": place.height}
            items.append({**shape, "content": {"$ref": f"#/spec/panels/{key}"}})
        grid = {"display": {"title": row.title, "collapse": {"open": True}}, "items": items}
        layouts.append({"kind": "Grid", "spec": grid})
    return {
        "kind": "Dashboard",
        "metadata": {"name": dashboard.uid, "project": PROJECT},
        "spec": {
            "display": {"name": dashboard.title, "description": dashboard.description},
            "duration": dashboard.since,
            "refreshInterval": "30s",
            "variables": [_variable(variable) for variable in dashboard.variables],
            "panels": panels,
            "layouts": layouts,
        },
    }


def dump(dashboard: Dashboard) -> str:
    """The dashboard as one JSON document."""
    return json.dumps(document(dashboard), indent=2, ensure_ascii=False) + "\n"
