# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make test` runs, in which order on a cluster, and what it prints at the end."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests import run_all
from tests.run_all import CheckResult, Molecule, Results
from tests.scenarios import Choice, Scenario

CORE = Scenario("core", 1, cluster="Standard", core=True)
FIRST, SECOND, THIRD = (Scenario(name, 1, cluster="Standard") for name in ("first", "second", "third"))
OF_KNATIVE = Scenario("knative", 1, cluster="Knative", core=True, components="more.toml")
MADE = Scenario("matrix", 1, kind="make")


class Script(Results):
    """Runs nothing; records the started commands, and fails those that contain one of the given strings."""

    def __init__(self, *failing: str, minutes: float | None = None) -> None:
        super().__init__(minutes)
        self.started: list[str] = []
        self._failing = failing

    def run(self, name: str, command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> CheckResult:
        command_line = " ".join(
            [*(env or {}).get("HASHFOUNDRY_MODE", "").split(), Path(command[0]).name, *map(str, command[1:])]
        )
        self.started.append(command_line.removeprefix("nice -n 10 "))
        return CheckResult(not any(command_line.endswith(failing) for failing in self._failing), f"end of {name}", 1)


def passed(results: Results) -> dict[str, bool]:
    return {name: check.passed for name, check in results.checks.items()}


def test_the_scenarios_share_one_new_cluster_that_is_deleted() -> None:
    script = Script()
    Molecule(script, [CORE, FIRST, SECOND]).lane()
    assert script.started == [
        "molecule destroy -s core",
        "molecule test --destroy=never -s core",
        "molecule verify -s first",
        "molecule verify -s second",
        "molecule destroy -s core",
    ]
    assert passed(script) == {"core": True, "first": True, "second": True}


def test_a_failure_shows_the_cluster_and_the_next_scenario_starts_with_site_yml() -> None:
    script = Script("verify -s first")
    Molecule(script, [CORE, FIRST, SECOND, THIRD]).lane()
    assert script.started[2:] == [
        "molecule verify -s first",
        "molecule cleanup -s first",
        "molecule converge -s second",
        "molecule verify -s second",
        "molecule verify -s third",
        "molecule destroy -s core",
    ]
    assert passed(script) == {"core": True, "first": False, "second": True, "third": True}


def test_nothing_is_verified_on_a_cluster_that_was_not_created() -> None:
    script = Script("test --destroy=never -s core", "converge -s first", "converge -s second")
    Molecule(script, [CORE, FIRST, SECOND]).lane()
    assert not any("verify" in command for command in script.started)
    assert passed(script) == {"core": False, "first": False, "second": False}
    assert script.checks["first"].line == "site.yml fails on the cluster"


def test_after_the_time_limit_only_the_core_starts() -> None:
    script = Script(minutes=0)
    Molecule(script, [CORE, FIRST, SECOND]).lane()
    assert passed(script) == {"core": True}
    assert script.skipped == {
        FIRST: "it takes 1 minutes, and the run ends after 0",
        SECOND: "it takes 1 minutes, and the run ends after 0",
    }
    assert "first              skipped: it takes 1 minutes, and the run ends after 0" in run_all.summary(
        script, [], Choice()
    )


def test_a_scenario_starts_only_if_it_usually_ends_in_time() -> None:
    long = replace(FIRST, minutes=9)
    for minutes, started in ((10, True), (8, False)):
        script = Script(minutes=minutes)
        Molecule(script, [CORE, long, SECOND]).lane()
        assert passed(script) == {"core": True, "second": True} | ({"first": True} if started else {})
        script = Script(minutes=minutes)
        run_all.checks_lane(script, ["lint"], [replace(MADE, minutes=9)])
        assert passed(script) == {"lint": True} | ({"matrix": True} if started else {})


def test_a_cluster_that_cannot_be_deleted_is_a_failure() -> None:
    script = Script("destroy -s core")
    Molecule(script, [CORE]).lane()
    assert passed(script) == {"core": False, "core destroy": False}


def test_only_what_the_chosen_scenarios_need_is_built() -> None:
    choice = Choice(dict.fromkeys((CORE, FIRST), "requested"))
    script = Script()
    run_all.run(script, ["lint"], choice)
    builds = [command for command in script.started if " local build" in command]
    assert builds == ["Standard python -m local build"]
    choice = Choice(dict.fromkeys((CORE, OF_KNATIVE, MADE), "requested"))
    script = Script()
    run_all.run(script, ["lint"], choice)
    builds = [command for command in script.started if " local build" in command]
    assert sorted(builds) == [
        "Knative python -m local build",
        "Knative python -m local build more.toml",
        "Standard python -m local build",
    ]
    assert "make --no-print-directory matrix" in script.started
    assert passed(script) == {"lint": True, "matrix": True, "core": True, "knative": True}


def test_a_failed_build_fails_only_its_scenarios() -> None:
    script = Script("local build more.toml")
    run_all.run(script, ["lint"], Choice(dict.fromkeys((CORE, OF_KNATIVE), "core")))
    assert passed(script) == {"lint": True, "core": True, "knative": False}
    assert script.checks["knative"].line == "not run, because its components were not built: end of build-knative"


def test_after_the_time_limit_nothing_is_built() -> None:
    script = Script(minutes=0)
    Molecule(script, [CORE, replace(FIRST, components="more.toml")]).lane()
    assert not any(" local build" in command for command in script.started)


def test_without_a_virtual_environment_nothing_runs() -> None:
    script = Script("make --no-print-directory collections")
    run_all.run(script, ["lint"], Choice({CORE: "core"}))
    assert passed(script) == {"collections": False}
    assert len(script.started) == 1


OUTPUT = """
print('PLAY [Ask from outside]')
print('  - ============ 3 failed, 61 passed, 2 skipped in 210.31s (0:03:30) ============')
print('  - FAILED tests/a.py::test_b[c] - assert 1 == 2')
print('\\x1b[31mthe last line\\x1b[0m')
raise SystemExit(CODE)
"""


@pytest.mark.parametrize("code", [0, 1])
def test_the_output_is_printed_and_pytests_lines_are_recorded(
    code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "program.py"
    program.write_text(OUTPUT.replace("CODE", str(code)))
    result = Results().run("name", [sys.executable, program])
    assert result.passed is (code == 0)
    assert result.line == "the last line"
    assert result.summaries == ["3 failed, 61 passed, 2 skipped in 210.31s"]
    assert result.faults == ["FAILED tests/a.py::test_b[c] - assert 1 == 2"]
    shown = capsys.readouterr().out.splitlines()
    assert "[name] PLAY [Ask from outside]" in shown and all(line.startswith("[name] ") for line in shown)


@pytest.mark.parametrize(
    ("line", "summary"),
    [
        ("1 passed in 0.04s", "1 passed in 0.04s"),
        ("  - 2 passed, 1 warning in 3.1s (0:00:03)", "2 passed, 1 warning in 3.1s"),
        ("sanity: 4 passed, 0 failed, 1 skipped", None),
        ("5 ok in 3s", None),
    ],
)
def test_a_summary_of_pytest(line: str, summary: str | None) -> None:
    found = run_all.SUMMARY.search(line)
    assert (found and found.group()) == summary


def test_the_summary() -> None:
    results = Results()
    results.record(
        "core", CheckResult(False, "end", 60.4, ["FAILED tests/a.py::test_b"], ["1 failed in 3s", "2 passed in 4s"])
    )
    results.record("lint", CheckResult(True, "all is well", 31))
    choice = Choice({CORE: "core"}, {FIRST: "unchanged since abc"})
    lines = run_all.summary(results, ["lint", "core"], choice).splitlines()
    assert lines == [
        "",
        "=== summary",
        "lint               passed      31 s  all is well",
        "core               FAILED      60 s  1 failed in 3s; 2 passed in 4s",
        "  FAILED tests/a.py::test_b",
        "first              skipped: unchanged since abc",
        "total                           0 s",
        "",
        "checks: 1 passed, 1 failed",
    ]
    assert re.fullmatch(r"\w+: \d+ passed, \d+ failed", lines[-1])


def test_an_unknown_scenario_is_reported_before_anything_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_all.main(["--scenarios", "nothing"]) == 1
    output = capsys.readouterr()
    assert output.err.startswith(
        "Error: SCENARIOS=nothing contains unknown scenarios (nothing): use all, or names from default, "
    )
    assert output.out == ""
