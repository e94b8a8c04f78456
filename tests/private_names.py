# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check that plugins/ uses documented interfaces only: no name of another package that begins with an underscore.

A release of ansible-core may change such a name, and an action plugin that cannot be imported fails every play.
Settings of the whole process, which a worker shares with Ansible, are checked as well. ALLOWED lists the exceptions,
each with the page that documents it.

Usage: private_names.py [file or folder ...], by default plugins/.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OURS = "ansible_collections.hashfoundry.kserve"
GUIDE = "https://docs.ansible.com/ansible/latest/dev_guide/"
REFERENCE = "https://docs.ansible.com/ansible/latest/reference_appendices/"
PYTHON = "https://docs.python.org/3/library/"
ALLOWED = {
    "self._task": f"{GUIDE}developing_plugins.html#action-plugins",
    "self._execute_module": f"{GUIDE}developing_plugins.html#action-plugins",
    # The DataLoader, which the guide shows in a lookup plugin. ActionBase has it under the same name.
    "self._loader": f"{GUIDE}developing_plugins.html#lookup-plugins",
    # For a forked process.
    "os._exit": f"{PYTHON}os.html#os._exit",
    "module._diff": f"{GUIDE}developing_program_flow_modules.html#ansible-diff",
    "validated._no_log_values": f"{REFERENCE}module_utils.html#validationresult",
    "record._asdict": f"{PYTHON}collections.html#collections.somenamedtuple._asdict",
    "record._replace": f"{PYTHON}collections.html#collections.somenamedtuple._replace",
    "record._fields": f"{PYTHON}collections.html#collections.somenamedtuple._fields",
}
"""What may be used: an attribute of an action plugin, of what a library returns, or a function."""

ANSIBLE = {
    "ansible.constants": f"{REFERENCE}config.html",  # the values of the configuration
    "ansible.errors": f"{GUIDE}developing_plugins.html#raising-errors",
    "ansible.module_utils.basic": f"{REFERENCE}module_utils.html#ansiblemodule",
    "ansible.module_utils.common.arg_spec": f"{REFERENCE}module_utils.html#argumentspec",
    "ansible.module_utils.common.parameters": f"{REFERENCE}module_utils.html#parameters",
    "ansible.module_utils.common.validation": f"{REFERENCE}module_utils.html#validation",
    "ansible.module_utils.common.yaml": f"{GUIDE}developing_module_utilities.html",
    "ansible.module_utils.errors": f"{REFERENCE}module_utils.html#errors",
    "ansible.module_utils.parsing.convert_bool": f"{GUIDE}developing_module_utilities.html",
    "ansible.plugins.action": f"{GUIDE}developing_plugins.html#action-plugins",
    "ansible.plugins.lookup": f"{GUIDE}developing_plugins.html#lookup-plugins",
    "ansible.template": "https://docs.ansible.com/ansible/latest/porting_guides/porting_guide_core_2.19.html",
    "ansible.utils.display": f"{GUIDE}developing_plugins.html#lookup-plugins",
}
"""Which modules of ansible-core may be imported, and names from them, but not their submodules."""

ANYWHERE = {name.partition(".")[2] for name in ALLOWED if name.startswith("record.")}
IMPORTS = {"import_module", "__import__", "find_spec"}
PROCESS_WIDE = {
    "gc": {"collect", "freeze", "unfreeze", "set_threshold", "set_debug"},
    "atexit": {"unregister"},
    "os": {"register_at_fork"},
}
"""Functions that change what Ansible's own process does afterwards."""


def faults(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the name of each private name in a Python source that is neither its own nor allowed."""
    tree = ast.parse(source)
    own = set(_defined(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [] if node.level else [alias.name for alias in node.names]
            for name in names:
                if name in PROCESS_WIDE.get(node.module, ()) or not _may_be_imported(f"{node.module}.{name}"):
                    yield node.lineno, f"{node.module}.{name}"
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if not _is_module(alias.name))
        elif isinstance(node, ast.Attribute):
            yield from ((node.lineno, name) for name in _attribute(node.value, node.attr, own))
        elif isinstance(node, ast.Call):
            yield from ((node.lineno, name) for name in _by_text(node, own))


def _attribute(value: ast.expr, attribute: str, own: set[str]) -> Iterator[str]:
    """Yield an attribute that may not be used; own attributes are those of the classes of the file."""
    name = f"{_name(value)}.{attribute}"
    known = attribute in own | ANYWHERE or name in ALLOWED
    if attribute in PROCESS_WIDE.get(_name(value), ()) or (_is_private(attribute) and not known):
        yield name


def _by_text(call: ast.Call, own: set[str]) -> Iterator[str]:
    """Yield what a call imports or gets by a name in a string."""
    function = call.func.attr if isinstance(call.func, ast.Attribute) else _name(call.func)
    texts = [text.value if isinstance(text, ast.Constant) else None for text in call.args]
    if function in IMPORTS and texts and isinstance(texts[0], str) and not _is_module(texts[0]):
        yield texts[0]
    elif function in ("getattr", "setattr", "attrgetter"):
        position = 0 if function == "attrgetter" else 1
        for text in texts[position : position + 1]:
            if isinstance(text, str):
                yield from _attribute(call.args[0], text, own)


def _is_module(name: str) -> bool:
    return not _is_private(name) and (name.split(".")[0] != "ansible" or name in ANSIBLE)


def _may_be_imported(name: str) -> bool:
    """Return whether a module or a name of one may be imported; a submodule of an allowed module has to be a row."""
    return _is_module(name) or (
        not _is_private(name) and name.rpartition(".")[0] in ANSIBLE and not _is_submodule(name)
    )


def _is_submodule(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # the module is no package
        return False


def _is_private(name: str) -> bool:
    return not name.startswith(f"{OURS}.") and any(
        part.startswith("_") and not part.startswith("__") for part in name.split(".")
    )


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else "..."


def _defined(tree: ast.AST) -> Iterator[str]:
    """Yield the attributes that a file defines itself: of its classes, and those that it assigns to self."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for member in node.body:
                if isinstance(member, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    yield member.name
                yield from (name.id for name in ast.walk(member) if isinstance(name, ast.Name)
                            and isinstance(name.ctx, ast.Store))  # fmt: skip
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _name(node.value) == "self":
            yield node.attr


def main(arguments: list[str]) -> int:
    """Print each fault with its place; 0 if there is none."""
    places = [Path(argument) for argument in arguments] or [ROOT / "plugins"]
    files = [path for place in places for path in (sorted(place.rglob("*.py")) if place.is_dir() else [place])]
    found = [(path, line, name) for path in files for line, name in faults(path.read_text(encoding="utf-8"))]
    for path, line, name in found:
        print(f"{path}:{line}: {name} is no documented interface; use one that is, or give its page in ALLOWED.")
    print(f"private names: {len(files)} files, {len(found)} faults")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
