# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Templates become definitions; tested without a cluster, by the validation errors of the module."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.ansible_run import run_play

OBJECT = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "of-a-template"}}
TEMPLATE = """
{% import 'words.j2' as words with context %}
{% for word in ['template'] %}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ words.named(word) }}
data:
  a: {{ value | to_json }}
{% endfor %}
"""
WORDS = "{% macro named(word) %}{{ prefix }}-{{ word }}{% endmacro %}"


def failure_message(folder: Path, **options: Any) -> str:
    """Return the message of a task with these options."""
    (folder / "templates").mkdir()
    (folder / "templates" / "one.yml.j2").write_text(TEMPLATE)
    (folder / "templates" / "words.j2").write_text(WORDS)
    (folder / "templates" / "empty.yml.j2").write_text("{# nothing #}\n")
    task = {"hashfoundry.kserve.manifests": options, "register": "done", "ignore_errors": True}
    copy = {"content": "{{ done | to_json }}", "dest": str(folder / "failure.json")}
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {"prefix": "of-a", "value": "{{ prefix }}"},
        "tasks": [task, {"ansible.builtin.copy": copy}],
    }
    run_play(folder, play, "-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}")
    found: str = json.loads((folder / "failure.json").read_text())["msg"]
    return found


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"definitions": [{**OBJECT, "data": {"a": "other"}}], "templates": ["one.yml.j2"]},
            "ConfigMap of-a-template is given twice with different content, in definitions[0] and in definitions[1], ",
        ),
        ({"definitions": OBJECT, "templates": "one.yml.j2"}, "given twice with different content"),
        ({"templates": ["one.yml.j2", "one.yml.j2", "gone.yml.j2"]}, "Could not find or access 'gone.yml.j2'"),
        ({"templates": ["empty.yml.j2"]}, "There is nothing to apply"),
        # A text in the place of the list is not split at its commas.
        (
            {
                "definitions": "{apiVersion: v1, kind: ConfigMap, metadata: {name: of-a-template}}",
                "templates": "one.yml.j2",
            },
            "ConfigMap of-a-template is given twice with different content, in definitions[0], document 1 and in",
        ),
        (
            {"definitions": "- {apiVersion: v1, kind: A, metadata: {name: a}}\n- {kind: B, metadata: {name: b}}\n"},
            "definitions[0], document 1 has no apiVersion",
        ),
        ({"definitions": json.dumps([OBJECT, {"kind": "B"}])}, "definitions[1] has no apiVersion"),
        ({"definitions": " "}, "There is nothing to apply"),
    ],
)
def test_templates_become_definitions(tmp_path: Path, options: dict[str, Any], says: str) -> None:
    assert says in failure_message(tmp_path, **options)
