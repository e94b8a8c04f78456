# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A module in Ansible's worker gives what it gives in a process of its own: one playbook runs a probe in both ways."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ..played import ROOT, played

PROBE = """
import os
import sys
import threading
import time

from ansible.module_utils.basic import AnsibleModule


def main():
    numbers = dict.fromkeys(("end", "number", "sleep"), {"type": "int"})
    spec = {"crash": {"type": "bool"}, "secret": {"no_log": True}, **numbers}
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    left = os.environ.get("LEFT")
    if module.params["crash"]:
        raise ValueError("the probe broke")
    if module.params["end"]:
        sys.exit(module.params["end"])
    if module.params["sleep"]:
        time.sleep(module.params["sleep"])
    if module.params["number"]:
        module.warn(f"This is number {module.params['number']} of {os.path.basename(sys.argv[0])}.")
    open(os.path.join(module.tmpdir, "left"), "w").close()
    os.environ["LEFT"] = "behind"
    print("a complaint", file=sys.stderr)
    module.exit_json(
        program=os.path.basename(sys.argv[0]), said=os.environ.get("PROBE"), left=left, check=module.check_mode,
        diff={"before": "", "after": "secret"}, threads=threading.active_count(), folder=module.tmpdir, changed=True,
        secret=module.params["secret"],
    )


if __name__ == "__main__":
    main()
"""
# What a fork has been given is out of the collector's sight; of the parent that is only what had been imported.
FORK = """
import gc
import os

from ansible_collections.hashfoundry.kserve.plugins.plugin_utils import _in_worker

imported = gc.get_freeze_count()
assert imported
later = [[] for _ in range(1000)]
child = os.fork()
if child == 0:
    os._exit(gc.get_freeze_count() < imported + len(later))
assert os.waitpid(child, 0)[1] == 0 and gc.get_freeze_count() <= imported
"""
ACTION = """
import importlib.util

from ansible_collections.hashfoundry.kserve.plugins.plugin_utils._in_worker import InWorkerAction

found = importlib.util.spec_from_file_location("probe", {path!r})
probe = importlib.util.module_from_spec(found)
found.loader.exec_module(probe)


class ActionModule(InWorkerAction):
    MODULE = probe
"""
TASKS: dict[str, dict[str, Any]] = {
    "plain": {"probe": {"secret": "PLANTED"}, "environment": {"PROBE": "{{ 40 + 2 }}"}},
    "read_at_start": {"probe": {}, "environment": {"KUBECONFIG": "/of/this/cluster"}},
    "checked": {"probe": {}, "check_mode": True},
    "looped": {
        "probe": {"number": "{{ item }}"},
        "loop": [1, 2],
        "environment": {"PROBE": "{{ item if item == 1 else '' }}"},
    },
    "refused": {"probe": {"number": "many"}},
    "crashed": {"probe": {"crash": True}},
    "ended": {"probe": {"end": 3}},
    "in_time": {"probe": {}, "timeout": 30},
    "timed_out": {"probe": {"sleep": 10}, "timeout": 1},
    "by_async": {"probe": {}, "async": 20, "poll": 1},
}
Results = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Results]:
    """What the probe gave, by the way in which it ran, and by the name of the task."""
    folder = tmp_path_factory.mktemp("probe")
    (folder / "remote").mkdir(mode=0o700)
    for name, text in (("library", PROBE), ("action_plugins", ACTION.format(path=str(folder / "library/probe.py")))):
        (folder / name).mkdir()
        (folder / name / "probe.py").write_text(text)
    hosts = {"worker": {}, "process": {"ansible_python_interpreter": str(_another_name(folder))}}
    tasks = [{**task, "register": name, "ignore_errors": True} for name, task in TASKS.items()]
    kept = {name: f"{{{{ {name} }}}}" for name in TASKS}
    copy = {"content": "{{ kept | to_json }}", "dest": str(folder / "{{ inventory_hostname }}.json")}
    tasks.append({"ansible.builtin.copy": copy, "vars": {"kept": kept}, "diff": False})
    variables = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts, "vars": variables}}))
    play = {"hosts": "all", "gather_facts": False, "strategy": "linear", "tasks": tasks}
    done = played(folder, play, "-i", "hosts.yml", ANSIBLE_REMOTE_TEMP=str(folder / "remote"))
    assert "errantly" not in done.stdout + done.stderr
    for number in (1, 2):
        assert done.stderr.count(f"[WARNING]: This is number {number} of ansible-playbook.") == 1
    return {host: json.loads((folder / f"{host}.json").read_text()) for host in hosts}


def _another_name(folder: Path) -> Path:
    """The same Python as another program, which Ansible starts for each module."""
    link = folder / "python"
    link.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    link.chmod(0o755)
    return link


def test_one_way_starts_no_program(results: dict[str, Results]) -> None:
    assert results["worker"]["plain"]["program"] == "ansible-playbook"
    assert results["process"]["plain"]["program"] != "ansible-playbook"
    assert results["worker"]["by_async"]["program"] != "ansible-playbook"
    # The Kubernetes client has read it before the worker is told of it.
    assert results["worker"]["read_at_start"]["program"] != "ansible-playbook"


@pytest.mark.parametrize("name", ["plain", "checked", "refused", "in_time"])
def test_both_ways_give_the_same(results: dict[str, Results], name: str) -> None:
    own = {"program", "folder"}
    ours, theirs = ({key: value for key, value in results[way][name].items() if key not in own} for way in results)
    assert ours == theirs


def test_the_environment_and_check_mode_reach_the_module(results: dict[str, Results]) -> None:
    assert results["worker"]["plain"]["said"] == "42"
    assert results["worker"]["plain"]["check"] is False
    assert results["worker"]["checked"]["check"] is True


def test_secrets_are_masked(results: dict[str, Results]) -> None:
    assert "PLANTED" not in json.dumps(results)
    assert results["worker"]["plain"]["secret"] == "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


def test_one_item_of_a_loop_leaves_the_next_nothing(results: dict[str, Results]) -> None:
    first, second = results["worker"]["looped"]["results"]
    assert (first["said"], second["said"]) == ("1", "")
    assert (first["left"], second["left"]) == (None, None)


def test_what_the_module_made_for_itself_is_gone(results: dict[str, Results]) -> None:
    assert not Path(results["worker"]["plain"]["folder"]).exists()


def test_a_worker_looks_for_garbage_only_in_what_it_has_made_itself() -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT / "collections")}
    subprocess.run([sys.executable, "-c", FORK], env=env, check=True)


def test_a_module_that_breaks_fails_its_task(results: dict[str, Results]) -> None:
    crashed = results["worker"]["crashed"]
    assert crashed["failed"] and "ValueError: the probe broke" in crashed["msg"]
    assert results["worker"]["timed_out"]["failed"] and "timedout" in results["worker"]["timed_out"]
    ended = results["worker"]["ended"]
    assert ended["failed"] and ended["rc"] == 3
