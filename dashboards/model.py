# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a dashboard is, independent of the program that shows it: grafana.py and perses.py write it for theirs.

A query is PromQL. It may contain the dashboard's variables, such as `$namespace`, and `$__rate_interval`: Grafana and
Perses both replace it by a range that contains at least four scrapes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

COLUMNS = 24  # of the grid, in Grafana and in Perses


class Unit(Enum):
    """The units of the values; each writer translates all of them."""

    COUNT = "count"
    RATIO = "ratio"
    SECONDS = "seconds"
    BYTES = "bytes"
    CORES = "cores"
    REQUESTS = "requests per second"
    ROWS = "rows per second"
    EVENTS = "events per second"


class Color:
    """One color for one meaning, on all dashboards; legible on light and dark ground."""

    GOOD = "#3FA66B"
    WARN = "#E0A030"
    BAD = "#D9534F"
    CALM = "#4C86C6"
    FAINT = "#8A94A6"


@dataclass(frozen=True)
class Step:
    """From this value on, the color applies."""

    value: float
    color: str


# A share of an error budget that is left, from spent to untouched.
BUDGET = (Step(0, Color.WARN), Step(0.25, Color.GOOD))
# A number of things that should be zero.
NONE = (Step(1, Color.BAD),)


@dataclass(frozen=True)
class Query:
    """legend: the name of each series, with its labels as `{{label}}`. color: for queries of one series."""

    expr: str
    legend: str = ""
    color: str = ""


@dataclass(frozen=True)
class Panel:
    """width: in columns of the grid. height: in its rows. description: what a reader needs to judge the values."""

    title: str
    description: str
    width: int
    height: int

    def expressions(self) -> tuple[str, ...]:
        """What the panel queries."""
        raise NotImplementedError


@dataclass(frozen=True)
class Stat(Panel):
    """One large number. below: its color below the first step. text: a label to show in place of the value."""

    query: Query
    unit: Unit
    steps: tuple[Step, ...] = ()
    below: str = Color.GOOD
    decimals: int | None = None
    text: str = ""

    def expressions(self) -> tuple[str, ...]:
        return (self.query.expr,)


@dataclass(frozen=True)
class Chart(Panel):
    """Values over time. limits: horizontal lines. stacked: the series are parts of a whole. minimum, maximum: of the
    axis; None: by the values."""

    queries: tuple[Query, ...]
    unit: Unit
    limits: tuple[Step, ...] = ()
    stacked: bool = False
    minimum: float | None = 0
    maximum: float | None = None

    def expressions(self) -> tuple[str, ...]:
        return tuple(query.expr for query in self.queries)


@dataclass(frozen=True)
class Column:
    """A column of values: the last value of a query, in the row of its labels."""

    title: str
    expr: str
    unit: Unit = Unit.COUNT
    steps: tuple[Step, ...] = ()
    below: str = Color.GOOD
    decimals: int | None = None


@dataclass(frozen=True)
class Table(Panel):
    """One row for each combination of the labels. labels: (label, title). link: the dashboard of a row, by its UID.

    The queries return series with just these labels.
    """

    labels: tuple[tuple[str, str], ...]
    columns: tuple[Column, ...]
    link: str = ""

    def expressions(self) -> tuple[str, ...]:
        return tuple(column.expr for column in self.columns)


@dataclass(frozen=True)
class Row:
    """A titled part of a dashboard."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Variable:
    """A choice at the top of a dashboard: the values of a label in a series. all: may be all of them, which it is at
    first."""

    name: str
    title: str
    series: str
    all: bool = False


@dataclass(frozen=True)
class Dashboard:
    """uid: the stable name, in URLs and of files. since: the time range that is shown at first."""

    uid: str
    title: str
    description: str
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]
    since: str = "1h"

    def panels(self) -> Iterator[Panel]:
        """Every panel, in order."""
        for row in self.rows:
            yield from row.panels

    def queries(self) -> Iterator[tuple[str, str]]:
        """The title of the panel and the expression of every query, and of every variable."""
        for variable in self.variables:
            yield variable.title, variable.series
        for panel in self.panels():
            yield from ((panel.title, expr) for expr in panel.expressions())


@dataclass(frozen=True)
class Place:
    """The position of a panel on the grid of its row."""

    x: int
    y: int
    width: int
    height: int


def places(row: Row) -> list[tuple[Panel, Place]]:
    """Lay the panels of a row from left to right, line by line; a line is as high as its highest panel."""
    x = y = line = 0
    laid: list[tuple[Panel, Place]] = []
    for panel in row.panels:
        if x + panel.width > COLUMNS:
            x, y, line = 0, y + line, 0
        laid.append((panel, Place(x, y, panel.width, panel.height)))
        x += panel.width
        line = max(line, panel.height)
    return laid
