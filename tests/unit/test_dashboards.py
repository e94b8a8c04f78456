# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dashboards: up to date with their source, valid PromQL, and only series that exist."""

from __future__ import annotations

import json
import subprocess
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as grafana_model

from dashboards import perses
from dashboards.__main__ import DASHBOARDS, ROLE, files
from dashboards.model import COLUMNS, Chart, Color, Dashboard, Query, Row, Stat, Table, Unit, places
from local import programs

ROOT = Path(__file__).resolve().parents[2]
KNOWN = {name for names in tomllib.loads((ROOT / "dashboards" / "series.toml").read_text()).values() for name in names}
QUERIES = [(dashboard.uid, title, expr) for dashboard in DASHBOARDS for title, expr in dashboard.queries()]


def parsed(expr: str) -> promql_parser.Expr:
    """The query as Prometheus receives it: with a range in place of the variable."""
    return promql_parser.parse(expr.replace("$__rate_interval", "2m"))


def series(expr: str) -> set[str]:
    """The names of the series that a query selects."""
    found = set()

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.add(node.name)

    promql_parser.walk(parsed(expr), visit)
    return found


@pytest.mark.parametrize("path", files(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_files_are_up_to_date(path: Path) -> None:
    assert path.read_text() == files()[path], "run: python -m dashboards"


def test_no_file_is_left_of_a_removed_dashboard() -> None:
    assert set(ROLE.rglob("*.json")) == set(files())


@pytest.mark.parametrize(("uid", "title", "expr"), QUERIES)
def test_every_query_uses_known_series(uid: str, title: str, expr: str) -> None:
    assert series(expr) and series(expr) <= KNOWN


def test_prometheus_itself_parses_every_query(tmp_path: Path) -> None:
    rules = [
        {"record": f"query:{number}", "expr": expr.replace("$__rate_interval", "2m")}
        for number, (_uid, _title, expr) in enumerate(QUERIES)
    ]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    command = [programs.provided("promtool"), "check", "rules", path]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{len(rules)} rules found" in result.stdout


def test_no_known_series_is_unused() -> None:
    assert {name for _uid, _title, expr in QUERIES for name in series(expr)} == KNOWN


@pytest.mark.parametrize("expr", ["sum by (model) rate(", "rate(up)", "sum(up) by"])
def test_a_wrong_query_is_found(expr: str) -> None:
    with pytest.raises(ValueError):
        parsed(expr)


def test_the_series_of_a_query_are_found_wherever_they_are() -> None:
    expr = 'label_replace(a{x="b"}, "c", "$1", "d", "(.+)") * on (e) group_left () max by (f) (rate(g:h[5m])) or i'
    assert series(expr) == {"a", "g:h", "i"}


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.uid)
def test_the_panels_of_a_row_fill_the_grid(dashboard: Dashboard) -> None:
    for row in dashboard.rows:
        cells = Counter(
            (x, y)
            for _panel, at in places(row)
            for x in range(at.x, at.x + at.width)
            for y in range(at.y, at.y + at.height)
        )
        assert max(cells.values()) == 1, f"panels overlap in {row.title}"
        assert max(x for x, _y in cells) == COLUMNS - 1, f"{row.title} leaves the right edge free"


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.uid)
def test_a_reader_is_told_what_a_panel_shows(dashboard: Dashboard) -> None:
    assert [panel.title for panel in dashboard.panels() if not panel.description.endswith(".")] == []


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.uid)
def test_both_programs_show_the_same_queries(dashboard: Dashboard) -> None:
    def exprs(value: Any, key: str) -> Counter[str]:
        if isinstance(value, dict):
            own = Counter([value[key]] if isinstance(value.get(key), str) else [])
            return sum((exprs(item, key) for item in value.values()), own)
        return sum((exprs(item, key) for item in value), Counter()) if isinstance(value, list) else Counter()

    wanted = Counter(expr for panel in dashboard.panels() for expr in panel.expressions())
    shown = files()
    assert exprs(json.loads(shown[ROLE / "grafana" / f"{dashboard.uid}.json"]), "expr") == wanted
    assert exprs(json.loads(shown[ROLE / "perses" / f"{dashboard.uid}.json"])["spec"]["panels"], "query") == wanted


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.uid)
def test_every_panel_of_grafana_asks_the_chosen_data_source(dashboard: Dashboard) -> None:
    document = json.loads(files()[ROLE / "grafana" / f"{dashboard.uid}.json"])
    assert document["templating"]["list"][0]["type"] == "datasource"
    shown = [panel for panel in document["panels"] if panel["type"] != "row"]
    sources = [source["datasource"]["uid"] for panel in shown for source in [panel, *panel["targets"]]]
    assert set(sources) == {"${datasource}"}


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.uid)
def test_grafanas_own_model_reads_the_json(dashboard: Dashboard) -> None:
    document = json.loads(files()[ROLE / "grafana" / f"{dashboard.uid}.json"])
    read = grafana_model.Dashboard.from_json(document)
    assert json.loads(json.dumps(read, cls=JSONEncoder)) == document


def test_the_columns_of_a_table_are_joined_by_its_labels() -> None:
    table = next(panel for panel in DASHBOARDS[0].panels() if isinstance(panel, Table))
    labels = [label for label, _title in table.labels]
    spec = next(
        panel["spec"]["plugin"]["spec"]
        for panel in perses.document(DASHBOARDS[0])["spec"]["panels"].values()
        if panel["spec"]["plugin"]["kind"] == "Table"
    )
    assert spec["transforms"][-1] == {"kind": "JoinByColumnValue", "spec": {"columns": labels}}


def test_panels_that_do_not_fit_go_to_the_next_line() -> None:
    shape = Chart("c", "c.", 16, 8, (Query("up"),), Unit.COUNT)
    number = Stat("s", "s.", 4, 4, Query("up"), Unit.COUNT, below=Color.GOOD)
    laid = [(at.x, at.y) for _panel, at in places(Row("r", (number, shape, number, number)))]
    assert laid == [(0, 0), (4, 0), (20, 0), (0, 8)]
