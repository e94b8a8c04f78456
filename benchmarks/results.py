# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print and write the figures as a table with thresholds, versions and the machine."""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDER = Path(__file__).with_name("results")


class MeasurementError(Exception):
    """A measurement failed; the message says why."""


@dataclass(frozen=True)
class Row:
    """One figure of one tool: the values of all rounds.

    limit: the threshold as text.
    met: whether the figure meets it, or None if there is no threshold.
    ratio: the figure divided by that of the collection.
    """

    figure: str
    tool: str
    values: Sequence[float]
    unit: str = "s"
    limit: str = ""
    met: bool | None = None
    ratio: float | None = None
    note: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.values)


@dataclass
class Report:
    """The rows of one benchmark, and the versions of the measured tools."""

    name: str
    title: str
    versions: Mapping[str, str]
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def compare(self, figure: str, ours: str, values: Mapping[str, Sequence[float]], **fields: Any) -> None:
        """Add a row per tool with its ratio to the collection's figure; fields: of the collection's row."""
        reference = statistics.median(values[ours])
        for tool, numbers in values.items():
            row_fields = fields if tool == ours else {key: fields[key] for key in ("unit",) if key in fields}
            ratio = statistics.median(numbers) / reference if reference and tool != ours else None
            self.rows.append(Row(figure, tool, list(numbers), ratio=ratio, **row_fields))

    def markdown(self) -> str:
        """The table in Markdown."""
        lines = [
            "| figure | tool | median | min | max | relative to the collection | threshold | met |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for row in self.rows:
            numbers = [_text(number, row.unit) for number in (row.median, min(row.values), max(row.values))]
            ratio = f"{row.ratio:.2f}" if row.ratio is not None else ""
            met = {None: "", True: "yes", False: "**no**"}[row.met]
            tool = f"{row.tool} ({row.note})" if row.note else row.tool
            lines.append("| " + " | ".join([row.figure, tool, *numbers, ratio, row.limit, met]) + " |")
        return "\n".join(lines)

    def write(self) -> None:
        """Print the table, and write it to results/ as Markdown and JSON."""
        host, table = machine(), self.markdown()
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        heading = f"{host['date']}, commit {host['commit']}: {host['cpu']}, {host['cores']} cores, " + (
            f"{host['memory_gib']} GiB, Linux {host['linux']}, Python {host['python']}"
        )
        text = f"# {self.title}\n\n{heading}.\n\n{table}\n\n"
        text += "".join(f"- {note}\n" for note in self.notes) + f"- Versions: {versions}.\n"
        print(f"\n{text}", flush=True)
        FOLDER.mkdir(exist_ok=True)
        (FOLDER / f"{self.name}.md").write_text(text)
        rows = [{**asdict(row), "values": list(row.values), "median": row.median} for row in self.rows]
        content = {"title": self.title, "machine": host, "versions": dict(self.versions), "rows": rows}
        (FOLDER / f"{self.name}.json").write_text(json.dumps({**content, "notes": self.notes}, indent=1) + "\n")


def _text(number: float, unit: str) -> str:
    if unit in ("requests", "objects", "MiB", "requests/s", "rows/s"):
        text = f"{number:,.0f}"
    elif unit == "ms":
        text = f"{number:.2f}" if abs(number) < 10 else f"{number:,.0f}"
    else:
        text = f"{number:.2f}" if abs(number) < 10 else f"{number:,.1f}"
    return text if unit == "requests" else f"{text} {unit}".rstrip()


def machine() -> dict[str, Any]:
    """The machine, date and commit of the measurement."""
    cpu = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s+(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(),
        "cpu": cpu[1] if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(int(memory[1]) / 2**20) if memory else None,
        "linux": platform.release(),
        "python": platform.python_version(),
    }


def commit() -> str:
    """The current commit, marked as dirty if files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return result.stdout.strip() or "unknown"
