# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules for every plugin of the collection. Each check is also run on a tree that violates it."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]

ATTRIBUTES = {"action_group", "check_mode", "diff_mode", "idempotent"}
MAX_CODE = 200
MEDIAN_CODE = 60


def modules(root: Path) -> list[Path]:
    """Return the files of the collection's modules."""
    return sorted(path for path in (root / "plugins" / "modules").glob("*.py") if path.name != "__init__.py")


def action_group_faults(root: Path) -> list[str]:
    """Compare the modules with the action group kserve, in both directions."""
    runtime = yaml.safe_load((root / "meta" / "runtime.yml").read_text())
    group = set(runtime.get("action_groups", {}).get("kserve", []))
    names = {path.stem for path in modules(root)}
    return [
        *(f"{name} is missing from the action group kserve in meta/runtime.yml" for name in sorted(names - group)),
        *(f"meta/runtime.yml lists {name}, which is no module" for name in sorted(group - names)),
    ]


def strings(body: list[ast.stmt]) -> dict[str, str]:
    """Return the string constants that statements assign to a name."""
    return {
        target.id: statement.value.value
        for statement in body
        if isinstance(statement, ast.Assign)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }


def code_lines(module: Path) -> int:
    """Count the lines below the RETURN block, with blank lines and comments."""
    text = module.read_text()
    for statement in ast.parse(text).body:
        if isinstance(statement, ast.Assign) and [getattr(target, "id", None) for target in statement.targets] == [
            "RETURN"
        ]:
            assert statement.end_lineno is not None
            return len(text.splitlines()) - statement.end_lineno
    raise ValueError(f"{module.name} has no RETURN block")


def code_length_faults(root: Path) -> list[str]:
    """Return the modules whose code is too long, and the collection if its median is."""
    lengths = {path.name: code_lines(path) for path in modules(root)}
    faults = [
        f"{name} has {lines} lines after RETURN, not at most {MAX_CODE}"
        for name, lines in lengths.items()
        if lines > MAX_CODE
    ]
    if lengths and statistics.median(lengths.values()) > MEDIAN_CODE:
        faults.append(f"the median of lines after RETURN is over {MEDIAN_CODE}: {lengths}")
    return faults


def fragment(root: Path, name: str) -> dict[str, Any]:
    """Return the attributes of a doc fragment of this collection; none for one of another collection."""
    prefix = "hashfoundry.kserve."
    if not name.startswith(prefix):
        return {}
    file, _dot, part = name.removeprefix(prefix).partition(".")
    tree = ast.parse((root / "plugins" / "doc_fragments" / f"{file}.py").read_text())
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "ModuleDocFragment")
    return yaml.safe_load(strings(body)[(part or "documentation").upper()]).get("attributes", {})


def attribute_faults(root: Path) -> list[str]:
    """Return the attributes that neither a module nor its doc fragments document."""
    faults = []
    for module in modules(root):
        documentation = yaml.safe_load(strings(ast.parse(module.read_text()).body)["DOCUMENTATION"])
        stated: dict[str, Any] = {}
        names = documentation.get("extends_documentation_fragment", [])
        for name in [names] if isinstance(names, str) else names:
            stated |= fragment(root, name)
        for attribute, text in documentation.get("attributes", {}).items():
            stated[attribute] = stated.get(attribute, {}) | text
        supported = {attribute for attribute, text in stated.items() if "support" in text}
        faults += [f"{module.name} does not say support for {name}" for name in sorted(ATTRIBUTES - supported)]
    return faults


def private_name_faults(root: Path) -> list[str]:
    """Return the module_utils with public names, on which another collection could depend."""
    utils = root / "plugins" / "module_utils"
    return [
        f"{path.relative_to(root)} must begin with an underscore"
        for path in sorted(utils.rglob("*.py"))
        if not path.relative_to(utils).parts[0].startswith("_")
    ]


def reason_faults(root: Path) -> list[str]:
    """Return the errors without a reason code, by which programs and tests distinguish them."""
    faults = []
    for path in sorted((root / "plugins").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "KServeError"):
                continue
            # ** passes the keys of another error on.
            if not {"reason", None} & {keyword.arg for keyword in node.keywords}:
                faults.append(f"{path.relative_to(root)}:{node.lineno} gives no reason")
    return faults


Check = Callable[[Path], list[str]]
CHECKS: list[Check] = [action_group_faults, code_length_faults, attribute_faults, private_name_faults, reason_faults]


def test_the_collection_has_modules() -> None:
    assert modules(ROOT)


@pytest.mark.parametrize("check", CHECKS)
def test_the_collection_follows_the_rule(check: Check) -> None:
    assert check(ROOT) == []


MODULE = '''DOCUMENTATION = r"""
module: probe
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - hashfoundry.kserve.attributes
  - hashfoundry.kserve.attributes.group
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
"""
RETURN = r"""
"""
'''

FRAGMENT = '''class ModuleDocFragment:
    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: Changes nothing.
"""
    GROUP = r"""
attributes:
  action_group:
    support: full
"""
'''


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A collection of one module that violates no rule."""
    files = {
        "meta/runtime.yml": "action_groups: {kserve: [probe]}\n",
        "plugins/modules/probe.py": MODULE,
        "plugins/module_utils/_probe.py": "",
        "plugins/doc_fragments/attributes.py": FRAGMENT,
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_a_correct_tree_has_no_fault(tree: Path) -> None:
    assert [check(tree) for check in CHECKS] == [[], [], [], [], []]


@pytest.mark.parametrize(
    ("check", "file", "text", "fault"),
    [
        (action_group_faults, "plugins/modules/other.py", MODULE, "other is missing"),
        (action_group_faults, "meta/runtime.yml", "action_groups: {kserve: [probe, gone]}", "lists gone"),
        (action_group_faults, "meta/runtime.yml", "{}", "probe is missing"),
        (code_length_faults, "plugins/modules/probe.py", MODULE + "pass\n" * 61, "median"),
        (code_length_faults, "plugins/modules/probe.py", MODULE + "pass\n" * 201, "201 lines"),
        (attribute_faults, "plugins/modules/probe.py", MODULE.replace("diff_mode", "raw"), "support for diff_mode"),
        (attribute_faults, "plugins/modules/probe.py", MODULE.replace("check_mode", "raw"), "support for check_mode"),
        (attribute_faults, "plugins/modules/probe.py", MODULE.replace("idempotent", "raw"), "support for idempotent"),
        (
            attribute_faults,
            "plugins/modules/probe.py",
            MODULE.replace("attributes.group", "attributes"),
            "action_group",
        ),
        (private_name_faults, "plugins/module_utils/public.py", "", "module_utils/public.py"),
        (private_name_faults, "plugins/module_utils/public/_inner.py", "", "public/_inner.py"),
        (reason_faults, "plugins/module_utils/_probe.py", "raise KServeError('It is wrong.')", "_probe.py:1 gives"),
    ],
)
def test_a_broken_tree_has_the_fault(tree: Path, check: Check, file: str, text: str, fault: str) -> None:
    (tree / file).parent.mkdir(exist_ok=True)
    (tree / file).write_text(text)
    assert any(fault in found for found in check(tree))
