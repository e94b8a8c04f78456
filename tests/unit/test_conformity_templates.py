# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each scalar that a template writes is quoted: YAML reads a model named `no` as false, and an owner 0123 as 83.

An expression ends in `| to_json` or `| int`, or is inside double quotes. A macro writes lines that are checked in turn.
"""

from __future__ import annotations

import re
from pathlib import Path

import jinja2
import pytest
from jinja2 import nodes

ROOT = Path(__file__).resolve().parents[2]
# The others are texts.
TEMPLATES = sorted([*ROOT.glob("roles/*/templates/*.yml.j2"), *ROOT.glob("roles/*/templates/allowed_traffic.j2")])

JINJA = jinja2.Environment(extensions=["jinja2.ext.loopcontrols", "jinja2.ext.do"])
# Macros, and the separator between the ports of a list.
LINES = re.compile(r"(traffic\.)?(\w+)\(.*\)|'' if loop\.last else ', '", re.DOTALL)
SAFE = re.compile(r".*\| (to_json(\(.*\))?|int)|number|undef\(.*\)", re.DOTALL)


def unquoted(text: str) -> list[str]:
    """Return the expressions of a template that YAML could take for another type than a string."""
    # Blocks of lines, which are checked where they are set.
    blocks = {block.target.name for block in JINJA.parse(text).find_all(nodes.AssignBlock)}
    faults: list[str] = []
    line, expression, inside = "", "", False
    for _number, kind, value in JINJA.lex(text):
        if kind == "variable_begin":
            expression, inside = "", True
        elif kind == "variable_end":
            inside = False
            stripped = expression.strip()
            lines = LINES.fullmatch(stripped) or stripped.partition("|")[0].strip() in blocks
            if line.count('"') % 2 == 0 and not SAFE.fullmatch(stripped) and not lines:
                faults.append(stripped)
        elif inside:
            expression += value
        elif kind == "data":
            line = (line + value).rpartition("\n")[2]
    return faults


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT / "roles")))
def test_each_scalar_of_a_template_is_quoted(path: Path) -> None:
    assert unquoted(path.read_text()) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("name: {{ name }}", ["name"]),
        ("name: {{ name | to_json }}", []),
        ("name: {{ name }}-pdb", ["name"]),
        ('name: "{{ name }}-{{ number }}"', []),
        ('a: "b"\nname: {{ name }}', ["name"]),
        ("{{ key }}: {{ value | to_json }}", ["key"]),
        ("replicas: {{ replicas | int }}", []),
        ("{% set a = '{{' %}{# {{ name }} #}", []),
        ("{{ traffic.policy(here) }}", []),
        ("{% set spec %}a: {{ name }}{% endset %}{{ spec | indent(2) }}", ["name"]),
    ],
)
def test_an_unquoted_scalar_is_found(text: str, found: list[str]) -> None:
    assert unquoted(text) == found
