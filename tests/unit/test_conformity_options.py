# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that arrive as strings, from surveys or `-e name=value`, are converted to their declared type.

Ansible validates that "false" is a bool and leaves it a string, which is true in Jinja. So an expression that evaluates
an option of another type than str converts it: `| bool`, `| int`, `| hashfoundry.kserve.typed(...)`. An option that is
only passed to a module's argument or to another option is converted there.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import pytest
import yaml
from jinja2 import nodes

ROOT = Path(__file__).resolve().parents[2]
SPECS = sorted(ROOT.glob("roles/*/meta/argument_specs.yml"))
FILES = sorted(
    path
    for pattern in (
        "roles/*/defaults/*.yml",
        "roles/*/tasks/**/*.yml",
        "roles/*/vars/*.yml",
        "roles/*/templates/**/*.j2",
        "playbooks/*.yml",
        "inventories/**/*.yml",
    )
    for path in ROOT.glob(pattern)
)

# The filters that convert a string to its value; checked_models converts a list of models.
SAYS: dict[str, set[str]] = {
    "bool": {"bool"},
    "int": {"int", "string"},
    "float": {"float", "string"},
    "list": {"hashfoundry.kserve.typed", "hashfoundry.kserve.checked_models"},
    "dict": {"hashfoundry.kserve.typed"},
}
# A module converts these types itself; it would split a JSON list at its commas.
CONVERTED_BY_MODULES = {"bool", "int", "float", "dict"}
# Keywords that are expressions without braces.
EXPRESSIONS = {"when", "until", "failed_when", "changed_when", "that"}
NOT_FOR_ITS_ARGUMENTS = {"ansible.builtin.set_fact", "ansible.builtin.debug", "ansible.builtin.assert"}
JINJA = jinja2.Environment(extensions=["jinja2.ext.loopcontrols", "jinja2.ext.do"])


class Types(NamedTuple):
    """The declared types of options, and of the bools and numbers in them, by name."""

    options: dict[str, str]
    inner: dict[str, str]


def declared(spec: dict[str, Any]) -> Types:
    """Return the types of a role's options, except str."""
    types = Types({}, {})

    def note(options: dict[str, Any], into: dict[str, str], kinds: set[str]) -> None:
        for name, option in options.items():
            if option.get("type", "str") in kinds:
                into[name] = option["type"]
            # Those of a gate are converted by the module that gets it whole; elsewhere metadata is of an object.
            if not name.endswith("gate"):
                note(option.get("options") or {}, types.inner, {"bool", "int", "float"})

    for entry in spec["argument_specs"].values():
        note(entry.get("options") or {}, types.options, set(SAYS))
    return types


@cache
def all_declared() -> Types:
    """Return the types of all roles' options."""
    every = Types({}, {})
    for path in SPECS:
        types = declared(yaml.safe_load(path.read_text()))
        every.options.update(types.options)
        every.inner.update(types.inner)
    return every


def untyped(text: str, types: Types, bare: set[str]) -> list[str]:
    """Return the options that an expression or a template evaluates without conversion.

    bare: the types of which an option may be the complete expression, since its receiver converts it.
    """
    tree = JINJA.parse(text)
    parents = {id(child): parent for parent in tree.find_all(nodes.Node) for child in parent.iter_child_nodes()}
    parents.update((id(child), tree) for child in tree.iter_child_nodes())
    # A complete expression returns a string as it is; a template is read as YAML, in which 20 is a number.
    faults = []
    for node in tree.find_all((nodes.Name, nodes.Getattr, nodes.Getitem, nodes.Filter)):
        name, kind = _typed(node, types)
        if kind and not _says_type(node, kind, parents, bare):
            faults.append(name)
    for use in tree.find_all(nodes.Filter):
        words = [word.value for word in use.args if isinstance(word, nodes.Const)]
        if use.name in ("selectattr", "rejectattr") and words and types.inner.get(words[0]) == "bool":
            faults += [words[0]] if len(words) == 1 else []
    return sorted(set(faults))


def _typed(node: nodes.Node, types: Types) -> tuple[str, str | None]:
    if isinstance(node, nodes.Name):
        return node.name, types.options.get(node.name) if node.ctx == "load" else None
    if isinstance(node, nodes.Getattr):
        return node.attr, types.inner.get(node.attr)
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        return str(node.arg.value), types.inner.get(node.arg.value)
    if isinstance(node, nodes.Filter) and node.name == "default" and node.args:
        # An option with a default of true or false is a bool, declared or not.
        default = node.args[0]
        is_bool = isinstance(default, nodes.Const) and isinstance(default.value, bool)
        return f"default({default.value})" if is_bool else "", "bool" if is_bool else None
    return "", None


def _says_type(node: nodes.Node, kind: str, parents: dict[int, nodes.Node], bare: set[str]) -> bool:
    parent = parents[id(node)]
    while (isinstance(parent, nodes.Filter) and parent.name in ("default", "d") and parent.node is node) or (
        isinstance(parent, nodes.Or) and isinstance(parent.right, nodes.Name) and parent.right.name == "omit"
    ):
        node, parent = parent, parents[id(parent)]
    if isinstance(parent, nodes.Filter) and parent.node is node:
        return parent.name.removeprefix("ansible.builtin.") in SAYS[kind]
    if isinstance(parent, nodes.Test):
        return parent.name in ("defined", "undefined")
    return isinstance(parent, nodes.Output) and kind in bare


def expressions(value: Any, bare: set[str], key: str = "") -> Iterator[tuple[str, set[str]]]:
    """Yield the expressions of tasks, plays or variables, each with the types that it may return unconverted."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from expressions(item, _bare_in(str(name), bare), str(name))
    elif isinstance(value, list):
        for item in value:
            yield from expressions(item, bare, key)
    elif isinstance(value, str) and key in EXPRESSIONS:
        yield "{{ " + value + " }}", set()
    elif isinstance(value, str) and "{" in value:
        yield value, bare


def _bare_in(key: str, bare: set[str]) -> set[str]:
    if key in NOT_FOR_ITS_ARGUMENTS or key in ("loop", "when") or key.startswith("__"):
        return set()
    if key == "environment":
        return {"dict"}  # Ansible rejects a string with one message
    if key.count(".") == 2:
        return CONVERTED_BY_MODULES
    if key in all_declared().options or key == "vars":
        # The value of another option, which is converted where that is evaluated.
        return set(SAYS)
    return bare


def faults(path: Path, types: Types) -> list[str]:
    """Return the options that a file evaluates as strings."""
    text = path.read_text()
    if path.suffix == ".j2":
        # In YAML the string of a number is the number; in a condition "false" is true.
        return untyped(text, types, {"int", "float"})
    every = expressions(yaml.safe_load(text), set())
    return sorted({name for expression, bare in every for name in untyped(expression, types, bare)})


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_expression_converts_every_option_that_it_evaluates(path: Path) -> None:
    assert faults(path, all_declared()) == []


@pytest.mark.parametrize(
    ("text", "bare", "found"),
    [
        ("{{ [] if yes else rest }}", set(), ["yes"]),
        ("{{ [] if yes | bool else rest }}", set(), []),
        ("{{ number + 8000 }}", set(), ["number"]),
        ("{{ number | default(443) | int + 8000 }}", set(), []),
        ("{% if yes %}a{% endif %}", {"int"}, ["yes"]),
        ("replicas: {{ number }}", {"int"}, []),
        ("{{ yes }}", {"bool"}, []),
        ("{{ yes or omit }}", {"bool"}, []),
        ("{% for name in names %}a{% endfor %}", set(), ["names"]),
        ("{% for name in names | hashfoundry.kserve.typed('list') %}a{% endfor %}", set(), []),
        ("{{ names | map('upper') }}", set(), ["names"]),
        ("{{ entry.existing | default(false) | ternary(1, 2) }}", set(), ["default(False)", "existing"]),
        ("{{ entries | selectattr('existing') }}", set(), ["existing"]),
        ("{{ undeclared | default(true) and other }}", set(), ["default(True)"]),
        ("{{ undeclared | default(true) | bool and other }}", set(), []),
        ("{{ yes is defined and names is not defined }}", set(), []),
    ],
)
def test_an_unconverted_option_is_found(text: str, bare: set[str], found: list[str]) -> None:
    types = Types({"yes": "bool", "number": "int", "names": "list"}, {"existing": "bool"})
    assert untyped(text, types, bare) == found
