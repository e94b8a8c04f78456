# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dashboards as Grafana's JSON, by Grafana's own builders."""

from __future__ import annotations

import json
from string import ascii_uppercase
from typing import Any

from grafana_foundation_sdk.builders import common as looks
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common, units
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.model import Chart, Column, Dashboard, Panel, Place, Query, Row, Stat, Step, Table, Unit, places
from dashboards.model import Variable as Choice

TAGS = ["hashfoundry-kserve"]
SOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
UNITS = {
    Unit.COUNT: units.Short,
    Unit.RATIO: units.PercentUnit,
    Unit.SECONDS: units.Seconds,
    Unit.BYTES: units.BytesIEC,
    Unit.CORES: units.Short,
    Unit.REQUESTS: units.RequestsPerSecond,
    Unit.ROWS: units.RowsPerSecond,
    Unit.EVENTS: units.OpsPerSecond,
}
ALL = "$__all"


def _position(place: Place, top: int) -> model.GridPos:
    return model.GridPos(h=place.height, w=place.width, x=place.x, y=top + place.y)


def _steps(below: str, steps: tuple[Step, ...]) -> build.ThresholdsConfig:
    thresholds = [
        model.Threshold(value=None, color=below),
        *(model.Threshold(step.value, step.color) for step in steps),
    ]
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(thresholds)


def _fixed(color: str) -> list[model.DynamicConfigValue]:
    return [model.DynamicConfigValue("color", {"mode": model.FieldColorModeId.FIXED, "fixedColor": color})]


def _target(letter: str, query: Query) -> prometheus.Dataquery:
    return prometheus.Dataquery().ref_id(letter).datasource(SOURCE).expr(query.expr).legend_format(query.legend).range()


def _stat(panel: Stat) -> stat.Panel:
    shown = common.BigValueTextMode.NAME if panel.text else common.BigValueTextMode.VALUE
    graph = common.BigValueGraphMode.NONE if panel.text else common.BigValueGraphMode.AREA
    built = (
        stat.Panel()
        .unit(UNITS[panel.unit])
        .thresholds(_steps(panel.below, panel.steps))
        .color_scheme(build.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
        .color_mode(common.BigValueColorMode.VALUE)
        .graph_mode(graph)
        .text_mode(shown)
        .reduce_options(looks.ReduceDataOptions().calcs(["lastNotNull"]))
        .no_value("-")
        .with_target(_target("A", panel.query))
    )
    return built if panel.decimals is None else built.decimals(panel.decimals)


def _chart(panel: Chart) -> timeseries.Panel:
    built = (
        timeseries.Panel()
        .unit(UNITS[panel.unit])
        .color_scheme(build.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        .line_width(2)
        .fill_opacity(30 if panel.stacked else 8)
        .gradient_mode(common.GraphGradientMode.OPACITY)
        .show_points(common.VisibilityMode.NEVER)
        .legend(looks.VizLegendOptions().display_mode(common.LegendDisplayMode.LIST).show_legend(True))
        .tooltip(looks.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING))
    )
    if panel.stacked:
        built.stacking(looks.StackingConfig().mode(common.StackingMode.NORMAL))
    if panel.minimum is not None:
        built.min(panel.minimum)
    if panel.maximum is not None:
        built.max(panel.maximum)
    if panel.limits:
        built.thresholds(_steps("transparent", panel.limits))
        built.thresholds_style(looks.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED))
    for letter, query in zip(ascii_uppercase, panel.queries, strict=False):
        built.with_target(_target(letter, query))
        if query.color:
            built.override_by_query(letter, _fixed(query.color))
    return built


def _cell(column: Column) -> list[model.DynamicConfigValue]:
    values: dict[str, Any] = {
        "unit": UNITS[column.unit],
        "thresholds": _steps(column.below, column.steps).build(),
        "custom.cellOptions": common.TableColorTextCellOptions(),
        "custom.align": "right",
    }
    if column.decimals is not None:
        values["decimals"] = column.decimals
    return [model.DynamicConfigValue(name, value) for name, value in values.items()]


def _table(panel: Table) -> table.Panel:
    built = table.Panel().cell_height(common.TableCellHeight.SM).no_value("-")
    names = dict(panel.labels)
    order = {label: place for place, (label, _title) in enumerate(panel.labels)}
    for place, (letter, column) in enumerate(zip(ascii_uppercase, panel.columns, strict=False), len(order)):
        field = f"Value #{letter}" if len(panel.columns) > 1 else "Value"
        names[field] = column.title
        order[field] = place
        target = prometheus.Dataquery().ref_id(letter).datasource(SOURCE).expr(column.expr)
        built.with_target(target.instant().format(PromQueryFormat.TABLE))
        built.override_by_name(column.title, _cell(column))
    if panel.link:
        fields = "&".join(f"var-{label}=${{__data.fields.{title}}}" for label, title in panel.labels)
        link = {"title": "Open", "url": f"/d/{panel.link}?{fields}&${{datasource:queryparam}}"}
        built.override_by_name(dict(panel.labels)["model"], [model.DynamicConfigValue("links", [link])])
    built.with_transformation(model.DataTransformerConfig("merge", options={}))
    arranged = {"excludeByName": {"Time": True}, "renameByName": names, "indexByName": order}
    return built.with_transformation(model.DataTransformerConfig("organize", options=arranged))


def _panel(panel: Panel) -> stat.Panel | timeseries.Panel | table.Panel:
    match panel:
        case Stat():
            return _stat(panel)
        case Chart():
            return _chart(panel)
        case Table():
            return _table(panel)
    raise TypeError(f"{type(panel).__name__} has no form in Grafana.")


def _variable(choice: Choice) -> build.QueryVariable:
    built = (
        build.QueryVariable(choice.name)
        .label(choice.title)
        .datasource(SOURCE)
        .query({"query": f"label_values({choice.series}, {choice.name})", "refId": choice.name})
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
    )
    if choice.all:
        built.multi(True).include_all(True).current(model.VariableOption(text="All", value=[ALL]))
    return built


def _row(built: build.Dashboard, row: Row, top: int) -> int:
    """Append a row below the line `top`, and return the first free line below it."""
    built.with_row(build.Row(row.title).grid_pos(model.GridPos(h=1, w=24, x=0, y=top)))
    bottom = top + 1
    for panel, place in places(row):
        shape = _panel(panel).title(panel.title).description(panel.description).datasource(SOURCE)
        built.with_panel(shape.grid_pos(_position(place, top + 1)))
        bottom = max(bottom, top + 1 + place.y + place.height)
    return bottom


def dump(dashboard: Dashboard) -> str:
    """The dashboard as one JSON document."""
    built = (
        build.Dashboard(dashboard.title)
        .uid(dashboard.uid)
        .description(dashboard.description)
        .tags(TAGS)
        .readonly()
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .refresh("30s")
        .time(f"now-{dashboard.since}", "now")
        .timezone("browser")
        .with_variable(build.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .link(
            build.DashboardLink("Models")
            .type(model.DashboardLinkType.DASHBOARDS)
            .tags(TAGS)
            .keep_time(True)
            .include_vars(True)
        )
    )
    for choice in dashboard.variables:
        built.with_variable(_variable(choice))
    top = 0
    for row in dashboard.rows:
        top = _row(built, row, top)
    return json.dumps(built.build(), cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
