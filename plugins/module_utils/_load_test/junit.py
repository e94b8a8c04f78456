# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks as JUnit XML, in the form that Jenkins and GitLab read.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from xml.etree import ElementTree

# What XML 1.0 cannot hold, even escaped; a server's error may.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def document(suite: str, checks: Sequence[dict[str, Any]], when: datetime) -> bytes:
    """Return the document with one test case for each check: name, passed, seconds and, where it failed, message."""
    failures = sum(not check["passed"] for check in checks)
    seconds = sum(check["seconds"] for check in checks)
    figures = {
        "tests": str(len(checks)),
        "failures": str(failures),
        "errors": "0",
        "time": f"{seconds:.3f}",
    }
    root = ElementTree.Element("testsuites", figures)
    element = ElementTree.SubElement(
        root,
        "testsuite",
        {"name": _text(suite), **figures, "skipped": "0", "timestamp": when.isoformat(timespec="seconds")},
    )
    for check in checks:
        names = {"classname": _text(suite), "name": _text(check["name"]), "time": f"{check['seconds']:.3f}"}
        case = ElementTree.SubElement(element, "testcase", names)
        if not check["passed"]:
            message = _text(check["message"])
            ElementTree.SubElement(case, "failure", {"message": message, "type": "failure"}).text = message
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _text(value: str) -> str:
    return _NOT_XML.sub("?", value)
