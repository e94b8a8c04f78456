# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of the role model_monitoring as Prometheus gets them, and what promtool finds of them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import yaml

from local import programs
from tests.unit.ansible_run import ROOT, run_play

ROLES = ROOT / "roles"
Json = dict[str, Any]


def rendered(folder: Path, **variables: Any) -> list[Json]:
    """The objects that the role model_monitoring would apply.

    :param variables: of an inventory.
    """
    given = {"platform_monitoring": "managed", "platform_domain": "localhost", **variables}
    _render(folder, "model_monitoring", "{{ __model_monitoring_templates }}", given)
    found = [thing for path in sorted(folder.glob("*.j2")) for thing in yaml.safe_load_all(path.read_text())]
    return [thing for thing in found if thing]


def template(folder: Path, role: str, name: str, **variables: Any) -> str:
    """The rendered template of a role; parameters as of rendered."""
    _render(folder, role, [name], {"platform_domain": "localhost", **variables})
    return (folder / name).read_text()


def _render(folder: Path, role: str, names: str | list[str], variables: Json) -> None:
    """Write templates of a role into a folder, with the role's own variables and defaults."""
    files = [ROLES / "platform" / "defaults", *(ROLES / role / part for part in ("defaults", "vars"))]
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars_files": [str(file / "main.yml") for file in files],
        "tasks": [
            {
                "ansible.builtin.template": {
                    "src": f"{ROLES}/{role}/templates/{{{{ item }}}}",
                    "dest": f"{folder}/{{{{ item }}}}",
                },
                "loop": names,
            }
        ],
    }
    run_play(folder, play, "-e", json.dumps(variables))


@dataclass(frozen=True)
class Series:
    """A series with a sample for each step: None where there is none."""

    name: str
    values: Sequence[float | None]

    def as_input(self) -> Json:
        return {"series": self.name, "values": " ".join("_" if one is None else f"{one:g}" for one in self.values)}


def steady(name: str, value: float, steps: int) -> Series:
    """A series with the same value all the time."""
    return Series(name, [value] * steps)


def counter(name: str, *phases: tuple[float, int]) -> Series:
    """A counter that grows by so much in each of so many steps, one phase after another."""
    return Series(name, list(accumulate(step for step, steps in phases for _time in range(steps))))


@dataclass(frozen=True)
class Promtool:
    """promtool with the rules of some objects."""

    folder: Path

    @staticmethod
    def path() -> Path:
        """The program, which is built if it is missing."""
        return programs.provided("promtool")

    def write(self, objects: Iterable[Json]) -> None:
        """Write the rules into the folder, and assert that promtool finds no fault in them."""
        self.folder.mkdir()
        for thing in objects:
            if thing["kind"] == "PrometheusRule":
                path = self.folder / f"{thing['metadata']['name']}.yml"
                path.write_text(yaml.safe_dump({"groups": thing["spec"]["groups"]}))
        self._run("check", "rules", "--lint=all", "--lint-fatal", *sorted(map(str, self.folder.glob("*.yml"))))

    def assert_samples(
        self, series: Iterable[Series], expected: Iterable[tuple[str, str, dict[str, float]]], every: str = "1m"
    ) -> None:
        """Assert what expressions have at a time.

        :param series: with a sample in each minute.
        :param expected: each with the time, the expression, and its samples by their labels.
        :param every: the evaluation interval of all rules: promtool ignores that of a group.
        """
        found = [
            {
                "expr": expression,
                "eval_time": at,
                "exp_samples": [{"labels": labels, "value": value} for labels, value in samples.items()],
            }
            for at, expression, samples in expected
        ]
        self.test({"promql_expr_test": found}, series, every)

    def test(self, test: Json, series: Iterable[Series], every: str = "1m") -> None:
        """Run one test in promtool's format."""
        rules = sorted(path.name for path in self.folder.glob("*.yml"))
        test = {"interval": "1m", "input_series": [one.as_input() for one in series], **test}
        # As Prometheus has them at hand, which evaluates the groups by their own intervals.
        groups = [
            group["name"] for rule in rules for group in yaml.safe_load((self.folder / rule).read_text())["groups"]
        ]
        order = sorted(groups, key=lambda name: (not name.endswith("-objectives"), name.endswith("-alerts")))
        content = {"rule_files": rules, "evaluation_interval": every, "group_eval_order": order, "tests": [test]}
        path = self.folder / "test.yaml"
        path.write_text(json.dumps(content))
        self._run("test", "rules", str(path))

    def _run(self, *words: str) -> None:
        result = subprocess.run([self.path(), *words], capture_output=True, text=True, check=False)
        assert result.returncode == 0, re.sub(r"\n\s*\n", "\n", result.stdout + result.stderr)
