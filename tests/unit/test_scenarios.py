# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which scenarios `make test` chooses; the table and molecule/ contain every test."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from local import settings
from tests import scenarios
from tests.scenarios import Change, History, Scenario, Table, UnknownScenario, choose

REPOSITORY = Path(__file__).resolve().parents[2]
CORE = Scenario("core", 10, cluster="Standard", core=True)
OTHER = Scenario("other", 10, cluster="Knative", core=True)
STORE = Scenario("store", 20, cluster="Standard", paths=("roles/store/*", "tests/test_store.py"))
SERVE = Scenario("serve", 20, cluster="Standard", paths=("roles/serve/*",))
SLOW = Scenario("slow", 20, cluster="Knative", paths=("roles/slow/*",), components="more.toml", build_minutes=30)
ROWS = Table((CORE, STORE, SERVE, OTHER, SLOW), everywhere=("plugins/*",))


def nothing_missing(_row: Scenario) -> list[str]:
    return []


def names(choice: scenarios.Choice) -> list[str]:
    return [row.name for row in choice.chosen]


def of(changed: tuple[str, ...] | None, commits: int = 0, **options: object) -> scenarios.Choice:
    rows = options.get("rows", ROWS)
    missing = options.get("missing", nothing_missing)
    return choose(rows, "", History(Change(changed, "since abc"), {}, commits), missing)  # type: ignore[arg-type]


def test_unchanged_scenarios_are_skipped_except_the_one_in_turn() -> None:
    for commits, turn in ((0, "store"), (1, "serve"), (2, "slow"), (3, "store")):
        choice = of(("docs/a.md",), commits)
        assert {row.name for row in choice.chosen} == {"core", "other", turn}
        assert choice.chosen[next(row for row in choice.chosen if row.name == turn)] == "in turn"
        assert set(choice.skipped.values()) == {"unchanged since abc"}


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("roles/serve/tasks/main.yml", ["core", "store", "serve", "other"]),
        ("tests/test_store.py", ["core", "store", "other"]),
        ("tests/test_store.pyc", ["core", "store", "other"]),  # in turn only
        ("plugins/modules/a.py", ["core", "store", "serve", "other", "slow"]),
    ],
)
def test_changed_scenarios_run_in_the_order_of_the_table(file: str, expected: list[str]) -> None:
    assert names(of((file,))) == expected


def test_the_reason_names_the_file() -> None:
    assert of(("roles/serve/a.yml",)).chosen[SERVE] == "roles/serve/a.yml has changed since abc"


def test_without_a_history_all_run() -> None:
    choice = choose(ROWS, "", History(Change(None, "the checkout is not a git repository")), nothing_missing)
    assert names(choice) == [row.name for row in ROWS.scenarios]
    assert choice.chosen[STORE] == "the checkout is not a git repository"


def test_each_scenario_has_a_commit_of_its_own() -> None:
    changes = {"serve": Change(("roles/store/a.yml",), "since def"), "slow": Change((), "since abc")}
    choice = choose(ROWS, "", History(Change(None, "passed has no commit of it"), changes), nothing_missing)
    assert choice.chosen[STORE] == "passed has no commit of it"
    assert choice.skipped == {SERVE: "unchanged since def", SLOW: "unchanged since abc"}


def test_a_scenario_beyond_the_time_limit_is_skipped_and_first_another_time() -> None:
    rows = replace(ROWS, scenarios=(CORE, STORE, SERVE, replace(STORE, name="third"), OTHER, SLOW))
    choice = of(("plugins/a.py",), 0, rows=rows)
    assert names(choice) == ["core", "store", "serve", "other", "slow"]
    assert list(choice.skipped.values()) == ["beyond the time limit of 60 minutes; plugins/a.py has changed since abc"]
    assert names(of(("plugins/a.py",), 1, rows=rows)) == ["core", "serve", "third", "other", "slow"]


def test_each_cluster_has_its_own_time_limit() -> None:
    assert names(of(("plugins/a.py",))) == [row.name for row in ROWS.scenarios]


def test_a_scenario_with_a_long_build_is_skipped_unless_it_is_built() -> None:
    choice = of(("roles/slow/a.yml",), missing=lambda row: ["program v1"])
    assert names(choice) == ["core", "store", "other"]
    assert choice.skipped[SLOW] == (
        "program v1 is neither cached nor in HASHFOUNDRY_SEED, and takes 30 minutes to build"
    )


def test_a_scenario_with_a_short_build_is_not_skipped() -> None:
    rows = replace(ROWS, scenarios=(CORE, replace(SLOW, build_minutes=15)))
    assert names(of(("roles/slow/a.yml",), rows=rows, missing=lambda row: ["program v1"])) == ["core", "slow"]


def test_all_or_named_scenarios_run_whatever_must_be_built() -> None:
    seen = History(Change((), "since abc"))
    assert names(choose(ROWS, "all", seen, lambda row: ["program"])) == [row.name for row in ROWS.scenarios]
    choice = choose(ROWS, "slow, store", seen, lambda row: ["program"])
    assert names(choice) == ["core", "store", "other", "slow"]
    assert choice.skipped == {SERVE: "not requested"}


def test_an_unknown_name_is_reported_with_the_known_ones() -> None:
    with pytest.raises(
        UnknownScenario,
        match=r"SCENARIOS=store,stoer contains unknown scenarios \(stoer\): use all, or names from core, store, ",
    ):
        choose(ROWS, "store,stoer", History(Change((), "")), nothing_missing)


class Checkout:
    """A git repository with one commit."""

    def __init__(self, root: Path) -> None:
        self.root, self.passed = root, root / "passed"
        self.git("init", "-q")
        self.commit("first")

    def git(self, *arguments: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
        result = subprocess.run(["git", "-C", self.root, *who, *arguments], check=True, capture_output=True, text=True)
        return result.stdout.strip()

    def commit(self, name: str) -> None:
        (self.root / name).write_text(name)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", name)

    def history(self) -> History:
        return scenarios.history(self.root, self.passed)

    def record(self, *names: str) -> str:
        return scenarios.record(names, self.root, self.passed)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_files_that_differ_from_the_commit_that_passed(checkout: Checkout) -> None:
    first = checkout.git("rev-parse", "HEAD")
    assert checkout.record("store", "serve") == f"passed now has {first[:10]} for serve, store: commit it."
    assert checkout.passed.read_text() == f"serve {first}\nstore {first}\n"
    checkout.commit("second")
    second = checkout.git("rev-parse", "HEAD")
    (checkout.root / "new ä").write_text("new")
    (checkout.root / "first").write_text("changed")
    seen = checkout.history()
    assert seen.commits == 2
    assert seen.of(STORE) == Change(("first", "new ä", "passed", "second"), f"since {first[:10]}")
    assert seen.of(SLOW) == Change(None, "passed has no commit of it")
    checkout.git("checkout", "-q", "first")
    (checkout.root / "new ä").unlink()
    checkout.record("store")
    assert checkout.passed.read_text() == f"serve {first}\nstore {second}\n"
    assert checkout.history().of(STORE) == Change(("passed",), f"since {second[:10]}")


def test_a_renamed_file_counts_by_both_names(checkout: Checkout) -> None:
    checkout.record("store")
    checkout.git("mv", "first", "moved")
    files = checkout.history().of(STORE).files
    assert files is not None and {"first", "moved"} <= set(files)


def test_without_a_known_commit_there_is_no_history(checkout: Checkout) -> None:
    assert checkout.history().of(STORE) == Change(None, "passed has no commit of it")
    checkout.passed.write_text("store 0123456789abcdef0123456789abcdef01234567\n")
    assert checkout.history().of(STORE) == Change(None, "git does not have the commit 0123456789 of passed")


def test_without_git_there_is_no_history(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert checkout.history() == History(Change(None, "the checkout is not a git repository"))
    assert checkout.record("store") == "passed was not updated: the checkout is not a git repository."


def test_only_a_committed_state_is_recorded_as_passed(checkout: Checkout) -> None:
    (checkout.root / "first").write_text("changed")
    assert checkout.record("store") == "passed was not updated: there are uncommitted changes."
    assert not checkout.passed.exists()


def test_a_program_is_available_if_it_is_cached_or_seeded(tmp_path: Path) -> None:
    (row,) = (row for row in scenarios.load().scenarios if row.name == "upgrade")
    (tmp_path / "seed").mkdir()
    cache = tmp_path / "cache" / "programs"
    cache.mkdir(parents=True)
    where = settings.load({"HASHFOUNDRY_CACHE": str(tmp_path / "cache"), "HASHFOUNDRY_SEED": str(tmp_path / "seed")})
    assert scenarios.unbuilt_programs(row, where) == ["kserve-manager-earlier v0.19.0"]
    packed = tmp_path / "seed" / "kserve-manager-earlier-v0.19.0.zst"
    packed.touch()
    assert scenarios.unbuilt_programs(row, where) == []
    packed.unlink()
    (cache / "kserve-manager-earlier-v0.19.0").touch()
    assert scenarios.unbuilt_programs(row, where) == []
    assert scenarios.unbuilt_programs(CORE, where) == []


# The table of this checkout.


@pytest.fixture(scope="module")
def rows() -> Table:
    return scenarios.load()


def environment(name: str) -> dict[str, str]:
    """The environment of a scenario's playbooks, merged into that of the base configuration."""
    found: dict[str, str] = {}
    for path in (REPOSITORY / ".config" / "molecule" / "config.yml", REPOSITORY / "molecule" / name / "molecule.yml"):
        found |= yaml.safe_load(path.read_text())["provisioner"]["env"]
    return found


def files_of(name: str) -> set[str]:
    """The test files of a scenario of molecule/, complete or in part."""
    return {test.partition("::")[0] for test in environment(name)["HASHFOUNDRY_TESTS"].split()}


def test_the_table_and_molecule_have_the_same_scenarios(rows: Table) -> None:
    folders = {path.parent.name for path in (REPOSITORY / "molecule").glob("*/molecule.yml")}
    assert {row.name for row in rows.scenarios if row.kind == "molecule"} == folders
    makefile = (REPOSITORY / "Makefile").read_text()
    assert all(f"\n{row.name}:" in makefile for row in rows.scenarios if row.kind == "make")


def test_each_scenario_runs_on_the_cluster_of_the_table(rows: Table) -> None:
    places = {row.name: environment(row.name) for row in rows.scenarios if row.kind == "molecule"}
    assert {row.cluster for row in rows.core} == {"Standard", "Knative"}
    for row in rows.scenarios:
        if row.kind == "molecule":
            (core,) = (other.name for other in rows.core if other.cluster == row.cluster)
            assert places[row.name]["HASHFOUNDRY_MODE"] == row.cluster
            for part in ("CLUSTER", "STATE", "HTTPS_PORT", "S3_PORT"):
                assert places[row.name][f"HASHFOUNDRY_{part}"] == places[core][f"HASHFOUNDRY_{part}"], row.name
    assert len({place["HASHFOUNDRY_CLUSTER"] for place in places.values()}) == 2
    assert len({place["HASHFOUNDRY_HTTPS_PORT"] for place in places.values()}) == 2


def test_the_core_is_first_on_its_cluster(rows: Table) -> None:
    for core in rows.core:
        assert next(row for row in rows.scenarios if row.cluster == core.cluster) is core


def test_every_integration_test_is_in_a_scenario(rows: Table) -> None:
    listed = {file for row in rows.scenarios if row.kind == "molecule" for file in files_of(row.name)}
    folders = ("integration*", "execution_environment")
    paths = [path for folder in folders for path in REPOSITORY.glob(f"tests/{folder}/test_*.py")]
    files = {str(path.relative_to(REPOSITORY)) for path in paths}
    assert listed == files


def test_every_test_that_a_scenario_names_exists(rows: Table) -> None:
    for row in rows.scenarios:
        if row.kind == "molecule":
            for named in environment(row.name)["HASHFOUNDRY_TESTS"].split():
                file, _separator, name = named.partition("::")
                assert not name or f"\ndef {name}(" in (REPOSITORY / file).read_text(), named


def test_tests_and_folder_of_a_scenario_are_among_its_paths(rows: Table) -> None:
    for row in rows.scenarios:
        if row.kind == "molecule":
            wanted = {*files_of(row.name), f"molecule/{row.name}/molecule.yml", row.components} - {""}
            assert {file for file in wanted if not scenarios.concerns(row.paths, [file])} == set(), row.name


def test_only_scenarios_of_the_table_are_recorded(rows: Table) -> None:
    assert set(scenarios.recorded()) <= {row.name for row in rows.scenarios}


def test_every_pattern_matches_a_file(rows: Table) -> None:
    listed = subprocess.run(
        ["git", "-C", REPOSITORY, "ls-files", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("the checkout is not a git repository")
    files = listed.stdout.splitlines()
    patterns = [*rows.everywhere, *(pattern for row in rows.scenarios for pattern in row.paths)]
    assert [pattern for pattern in patterns if not scenarios.concerns([pattern], files)] == []


def test_every_role_playbook_and_module_belongs_to_a_scenario(rows: Table) -> None:
    patterns = [*rows.everywhere, *(pattern for row in rows.scenarios for pattern in row.paths)]
    found = [*REPOSITORY.glob("plugins/modules/*.py"), *REPOSITORY.glob("playbooks/*.yml")]
    found += REPOSITORY.glob("roles/*/defaults/main.yml")
    files = [str(path.relative_to(REPOSITORY)) for path in found]
    assert [file for file in files if not scenarios.concerns(patterns, [file])] == []


def test_all_scenarios_fit_into_a_default_run(rows: Table) -> None:
    for cluster in ("Standard", "Knative"):
        assert sum(row.minutes for row in rows.core if row.cluster == cluster) <= scenarios.BUDGET
