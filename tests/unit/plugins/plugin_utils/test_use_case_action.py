# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A use case returns the same by the action plugin and as a module: one table of tasks, run in both ways.

The two hosts of the inventory differ only in their interpreter: that of "here" is Ansible's.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.ansible_run import environment, run_play

PROBE = """
import os
import subprocess
import sys
import time
from pathlib import Path

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._module.use_case import UseCase, run_module

SPEC = {
    "crash": {"type": "bool"},
    "refuse": {"type": "bool", "aliases": ["deny"]},
    "end": {"type": "int"},
    "number": {"type": "int"},
    "sleep": {"type": "int"},
    "path": {"type": "path"},
    "any": {"type": "raw"},
    "list": {"type": "list", "elements": "str", "default": []},
    "fallback": {"type": "str"},
    "secret": {"type": "str", "no_log": True, "aliases": ["hidden"]},
    "count": {"type": "int", "no_log": True},
    "one": {"type": "str"},
    "two": {"type": "str"},
    "entries": {"type": "list", "elements": "dict", "options": {"name": {}, "key": {"no_log": True}}},
}


def run(options, run):
    left = os.environ.get("LEFT")
    os.environ["LEFT"] = "behind"
    print("printed", file=sys.stderr)
    values = {**{key: options[key] for key in SPEC}, "sum": f"secret {options['secret']} inside"}
    if options["crash"]:
        raise ValueError(f"the probe broke over {options['secret']}")
    if options["refuse"]:
        raise KServeError(f"There is no {options['secret']} here; give another.", reason="NoSecret", values=values)
    if options["end"]:
        sys.exit(options["end"])
    if options["one"] and not options["secret"] and run.report:
        run.report(f"Half way with {options['one']}.")
    if options["sleep"]:
        subprocess.run(["sleep", str(options["sleep"])], check=True)
    if options["number"]:
        run.warn(f"This is number {options['number']} of {os.path.basename(sys.argv[0])}.")
    files = len(os.listdir("/proc/self/fd"))
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "changed": not run.check_mode, "check": run.check_mode, "values": values,
        "variable": os.environ.get("VARIABLE"),
        "left": left, "folder": os.getcwd(), "exists": os.path.exists(options["path"] or "nowhere"),
        "user": os.geteuid(), "program": os.path.basename(sys.argv[0]), "files": files, "pages": pages,
        **({"diff": {"before": "a", "after": f"b {options['secret']}"}} if run.diff else {}),
    }


USE_CASE = UseCase(SPEC, run, {"mutually_exclusive": [("one", "two")]})


def main():
    run_module(USE_CASE)


if __name__ == "__main__":
    main()
"""
ACTION = """
import importlib.util

from ansible_collections.hashfoundry.kserve.plugins.plugin_utils._use_case_action import UseCaseAction

found = importlib.util.spec_from_file_location("probe", {path!r})
probe = importlib.util.module_from_spec(found)
found.loader.exec_module(probe)


class ActionModule(UseCaseAction):
    USE_CASE = probe.USE_CASE
"""
SECRETS = {
    "secret": "{{ planted.one }}",
    "count": "{{ planted_count }}",
    "entries": [{"name": "a", "key": "{{ planted.two }}"}, {"key": "x"}],
}
BOTH_WAYS: dict[str, dict[str, Any]] = {
    "plain": {"probe": SECRETS, "environment": {"VARIABLE": "{{ 40 + 2 }}"}},
    "by_alias": {"probe": {"hidden": "{{ planted.alias }}", "deny": "false"}},
    "environment_of_play_and_task": {"probe": {}},
    "environment_is_emptied": {"probe": {}, "environment": {"VARIABLE": ""}},
    "relative_path": {"probe": {"path": "beside.txt"}},
    "home_path": {"probe": {"path": "~/beside.txt"}, "environment": {"HOME": "{{ playbook_dir }}"}},
    "types": {"probe": {"number": "7", "list": "a,b", "any": {"date": "{{ '2026-11-29' }}", "1": [1.5, None, True]}}},
    "yaml_types": {"probe": {"any": {"set": [1, 2], "text": "{{ 'a' ~ 'b' }}", "null": None}}},
    "dates": {"probe": {"any": [datetime(2026, 11, 29, 6, 5, tzinfo=UTC), date(2026, 11, 29)]}},
    "vault": {"probe": {"one": "{{ vaulted }}", "secret": "{{ vaulted }}"}},
    "unsafe": {"probe": {"one": "{{ unsafe_text }}"}},
    "omitted": {"probe": {"one": "{{ nothing | default(omit) }}"}},
    "defaults": {
        "probe": {},
        "module_defaults": {"probe": {"one": "of the defaults", "secret": "{{ planted.default }}"}},
    },
    "checked": {"probe": {}, "check_mode": True},
    "shown": {"probe": {"secret": "{{ planted.diff }}"}, "diff": True},
    "masked_by_the_task": {"probe": {"one": "{{ planted.task }}"}, "no_log": True},
    "looped": {
        "probe": {"number": "{{ item }}"},
        "loop": [1, 2],
        "environment": {"VARIABLE": "{{ item if item == 1 else '' }}"},
    },
    "wrong_type": {"probe": {"number": "many"}},
    "wrong_secret": {"probe": {"count": "{{ planted.type }}", "secret": "{{ planted.type }}"}},
    "unknown": {"probe": {"bogus": 1}},
    "unknown_and_wrong": {"probe": {"bogus": 1, "number": "many"}},
    "both": {"probe": {"one": "a", "two": "b"}},
    "refused": {"probe": {"refuse": True, **SECRETS}},
    "in_time": {"probe": {}, "timeout": 60},
    "retried": {"probe": {"refuse": True}, "retries": 1, "delay": 0, "until": "probe is success"},
}
# Values that must be in no output. They are variables, because Ansible prints the lines of a failed task.
PLANTED = {
    name: f"PLANTED-{name.upper()}"
    for name in ("alias", "async", "crash", "default", "diff", "one", "task", "two", "type")
}
# Tasks that end without a result, or always run as a module.
OTHERS: dict[str, dict[str, Any]] = {
    "crashed": {"probe": {"crash": True, "secret": "{{ planted.crash }}"}},
    "ended": {"probe": {"end": 3}},
    "timed_out": {"probe": {"sleep": 20}, "timeout": 2},
    "read_at_start": {"probe": {}, "environment": {"KUBECONFIG": "/of/this/cluster"}},
    "by_async": {"probe": {"secret": "{{ planted.async }}"}, "async": 60, "poll": 1},
    "become": {"probe": {}, "become": True, "become_method": "ansible.builtin.su"},
    "become_by_variable": {"probe": {}, "vars": {"ansible_become": True, "ansible_become_method": "su"}},
    "delegated": {"probe": {}, "delegate_to": "{{ inventory_hostname }}"},
    "many": {"probe": {"number": 0}, "loop": "{{ range(300) | list }}", "when": "inventory_hostname == 'here'"},
}
# Keys about the process, not the result.
OF_THE_PROCESS = {"program", "files", "pages", "exception", "warnings"}
PASSWORD = "of the test"
Results = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Results], str]:
    """The results of the probe by host and task, and the output of Ansible at -vvv."""
    from ansible.parsing.vault import VaultLib, VaultSecret

    folder = tmp_path_factory.mktemp("probe")
    (folder / "remote").mkdir(mode=0o700)
    for name, text in (("library", PROBE), ("action_plugins", ACTION.format(path=str(folder / "library/probe.py")))):
        (folder / name).mkdir()
        (folder / name / "probe.py").write_text(text)
    (folder / "beside.txt").touch()
    (folder / "password").write_text(PASSWORD)
    vaulted = VaultLib([("default", VaultSecret(PASSWORD.encode()))]).encrypt("PLANTED-VAULT").decode()
    variables = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "planted": PLANTED,
        "planted_count": 7353173,
    }
    hosts = {"here": {}, "process": {"ansible_python_interpreter": str(_another_name(folder))}}
    inventory = yaml.safe_dump({"all": {"hosts": hosts, "vars": variables}})
    vault = "".join(f"        {line}\n" for line in vaulted.splitlines())
    inventory += f'    vaulted: !vault |\n{vault}    unsafe_text: !unsafe "{{{{ not a template }}}}"\n'
    (folder / "hosts.yml").write_text(inventory)
    tasks = [{**task, "name": name, "register": name, "ignore_errors": True} for name, task in TASKS.items()]
    kept = {name: f"{{{{ {name} }}}}" for name in TASKS}
    copy = {"content": "{{ kept | to_json }}", "dest": str(folder / "{{ inventory_hostname }}.json")}
    tasks.append({"ansible.builtin.copy": copy, "vars": {"kept": kept}, "diff": False, "no_log": True})
    play = {"hosts": "all", "gather_facts": False, "tasks": tasks, "environment": {"VARIABLE": "by the play"}}
    words = ("-i", "hosts.yml", "-vvv", "--vault-password-file", "password")
    places = {"ANSIBLE_REMOTE_TEMP": str(folder / "remote"), "ANSIBLE_ASYNC_DIR": str(folder / "async")}
    output = run_play(folder, play, *words, env=environment(**places))
    results = {host: json.loads((folder / f"{host}.json").read_text()) for host in hosts}
    return results, output


TASKS = {**BOTH_WAYS, **OTHERS}


@pytest.fixture(scope="module")
def results(ran: tuple[dict[str, Results], str]) -> dict[str, Results]:
    return ran[0]


def _another_name(folder: Path) -> Path:
    """The same Python under another path, which Ansible starts for each module."""
    link = folder / "python"
    link.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    link.chmod(0o755)
    return link


def _of_the_result(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _of_the_result(entry) for key, entry in value.items() if key not in OF_THE_PROCESS}
    return [_of_the_result(entry) for entry in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", BOTH_WAYS)
def test_the_action_plugin_and_the_module_return_the_same(results: dict[str, Results], name: str) -> None:
    assert _of_the_result(results["here"][name]) == _of_the_result(results["process"][name])


def test_the_action_plugin_starts_no_process(results: dict[str, Results]) -> None:
    assert results["here"]["plain"]["program"] == "ansible-playbook"
    assert results["process"]["plain"]["program"] != "ansible-playbook"


@pytest.mark.parametrize("name", ["by_async", "read_at_start", "become", "become_by_variable", "delegated"])
def test_tasks_outside_of_ansibles_process_run_as_a_module(results: dict[str, Results], name: str) -> None:
    assert not results["here"][name].get("failed"), json.dumps(results["here"][name])
    assert results["here"][name]["program"] != "ansible-playbook"


def test_no_secret_is_in_any_output(ran: tuple[dict[str, Results], str]) -> None:
    results, printed = ran
    output = printed + json.dumps({host: {**found, "masked_by_the_task": None} for host, found in results.items()})
    shown = [line for line in output.splitlines() if "PLANTED" in line or "7353173" in line]
    assert not shown
    assert results["here"]["plain"]["values"]["secret"] == "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
    assert "******" in results["here"]["plain"]["values"]["sum"]
    assert "******" in results["here"]["refused"]["msg"] and "******" in results["here"]["crashed"]["msg"]


def test_options_and_keywords_reach_the_use_case(results: dict[str, Results]) -> None:
    here = results["here"]
    assert here["plain"]["variable"] == "42" and here["environment_of_play_and_task"]["variable"] == "by the play"
    assert here["environment_is_emptied"]["variable"] == ""
    assert here["relative_path"]["exists"] and here["home_path"]["exists"]
    assert here["types"]["values"]["number"] == 7 and here["types"]["values"]["list"] == ["a", "b"]
    assert here["unsafe"]["values"]["one"] == "{{ not a template }}" and here["omitted"]["values"]["one"] is None
    assert here["defaults"]["values"]["one"] == "of the defaults"
    assert here["checked"]["check"] and not here["plain"]["check"]
    assert "diff" in here["shown"] and "diff" not in here["plain"]
    assert here["refused"]["failed"] and here["refused"]["reason"] == "NoSecret"


def test_a_report_is_shown_at_once_by_the_process_that_runs_the_task(ran: tuple[dict[str, Results], str]) -> None:
    # A task with no_log shows none, see test_no_secret_is_in_any_output.
    assert ran[1].count("[probe] Half way with {{ not a template }}.\n") == 1


def test_one_item_of_a_loop_does_not_affect_the_next(ran: tuple[dict[str, Results], str]) -> None:
    results, printed = ran
    first, second = results["here"]["looped"]["results"]
    assert (first["variable"], second["variable"]) == ("1", "")
    assert (first["left"], second["left"]) == (None, None)
    for program in ("ansible-playbook", "probe.py"):
        assert [printed.count(f"[WARNING]: This is number {number} of {program}.") for number in (1, 2)] == [1, 1]
    assert "errantly" not in printed


def test_an_exception_in_a_use_case_fails_its_task(results: dict[str, Results]) -> None:
    for host, found in results.items():
        assert found["crashed"]["failed"] and "ValueError: the probe broke" in found["crashed"]["msg"], host
        assert found["crashed"]["reason"] == "InternalError", host
        assert found["timed_out"]["failed"] and found["timed_out"]["timedout"]["period"] == 2, host
        assert found["ended"]["failed"], host


def test_a_long_loop_leaks_neither_files_nor_memory(results: dict[str, Results]) -> None:
    items = results["here"]["many"]["results"]
    assert {item["program"] for item in items} == {"ansible-playbook"} and len(items) == 300
    assert items[-1]["files"] == items[9]["files"]
    assert items[-1]["pages"] - items[9]["pages"] < 20 * 256  # 20 MiB, for the results of the items
