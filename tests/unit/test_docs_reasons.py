# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The troubleshooting guide explains each reason code that a result may have, and no others.

Codes are found in the syntax tree: the argument reason of an error, the class attribute REASON, the reason of a
verdict, and what is assigned to a variable of that name. Of a code with a variable part one example is enough.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "docsite" / "rst" / "troubleshoot.rst"
CODE = re.compile(r"(?:[A-Z][a-z]*){2,}|Absent|Connecting|Conflict|Deleting|Failed|Forbidden|Stopped|Terminating"
                  r"|Unauthorized|Unschedulable")  # fmt: skip
# Verdicts by their functions, with the position of the reason; model and object are healthy with these.
VERDICTS = {"progressing": 0, "degraded": 0, "failed": 0, "refusal": 0, "judged": 0, "Verdict": 1}
HEALTHY = {"Serving", "ModelReady", "ModelPredicts"}


def given() -> Iterator[str]:
    """Yield each reason code of the plugins as a regular expression."""
    for path in sorted((ROOT / "plugins").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield from (
                    code for keyword in node.keywords if keyword.arg == "reason" for code in codes(keyword.value)
                )
                position = VERDICTS.get(node.func.id, 9) if isinstance(node.func, ast.Name) else 9
                yield from (code for argument in node.args[position : position + 1] for code in codes(argument))
            elif isinstance(node, ast.Assign):
                for target in node.targets:
                    if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                        pairs = list(zip(target.elts, node.value.elts, strict=True))
                    else:
                        pairs = [(target, node.value)]
                    for name, value in pairs:
                        if isinstance(name, ast.Name) and name.id in ("reason", "REASON", "_REASONS"):
                            yield from codes(value)


def codes(value: ast.expr) -> Iterator[str]:
    """Yield the codes that an expression may have as its value."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str) and CODE.fullmatch(value.value):
        yield value.value
    elif isinstance(value, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else r"\w+" for part in value.values)
    elif isinstance(value, ast.IfExp):
        yield from [*codes(value.body), *codes(value.orelse)]
    elif isinstance(value, (ast.BoolOp, ast.Dict)):
        yield from (code for part in value.values for code in codes(part))


def explained() -> set[str]:
    """Return the codes in the first column of the guide's tables."""
    rows = re.findall(r"^   \* - (``.*(?:\n       .*)*)", GUIDE.read_text(), re.MULTILINE)
    return {code for row in rows for code in re.findall(r"``(\w+)``", row) if CODE.fullmatch(code)}


def test_each_reason_code_is_explained() -> None:
    found, guide = set(given()) - HEALTHY, explained()
    assert len(found) > 100
    assert sorted(code for code in found if not any(re.fullmatch(code, known) for known in guide)) == []


def test_no_other_code_is_explained() -> None:
    found = set(given())
    plugins = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "plugins").rglob("*.py"))]
    # Codes of Kubernetes and KServe that are passed on, and those of a role's assertions.
    words = set(re.findall(r"[\"'(|](\w+)(?=[\"')|])", "\n".join(plugins)))
    words |= {word for path in ROOT.glob("roles/*/*/*.yml") for word in re.findall(r"['(](\w+)[')]", path.read_text())}
    known = "|".join(sorted(found))
    assert sorted(code for code in explained() - words if not re.fullmatch(known, code)) == []
