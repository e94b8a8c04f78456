# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks as JUnit XML, in the form that Jenkins and GitLab read.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import io
import re
import traceback
from collections.abc import Sequence
from datetime import datetime
from typing import Any

JUNITPARSER_IMPORT_ERROR: str | None = None
try:
    from junitparser import Failure, JUnitXml, TestCase, TestSuite
except ImportError:
    JUNITPARSER_IMPORT_ERROR = traceback.format_exc()

# Characters that XML 1.0 forbids even escaped. A server's error may contain them, and junitparser does not remove them.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def document(suite: str, checks: Sequence[dict[str, Any]], when: datetime) -> bytes:
    """Return the document with one test case for each check: name, passed, seconds and, if it failed, message."""
    test_suite = TestSuite(_text(suite))
    test_suite.timestamp = when.isoformat(timespec="seconds")
    for check in checks:
        case = TestCase(_text(check["name"]), _text(suite), check["seconds"])
        if not check["passed"]:
            failure = Failure(_text(check["message"]), "failure")
            failure.text = failure.message
            case.result = failure
        test_suite.add_testcase(case)
    report = JUnitXml()
    report.add_testsuite(test_suite)
    report.update_statistics()
    written = io.BytesIO()
    report.write(written)
    return written.getvalue()


def _text(value: str) -> str:
    return _NOT_XML.sub("?", value)
