# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from datetime import UTC, datetime
from xml.etree import ElementTree

from ansible_collections.hashfoundry.kserve.plugins.module_utils._load_test.junit import document

CHECKS = [
    {"name": "predictions", "passed": True, "seconds": 0.25},
    {"name": "threshold p95_ms", "passed": False, "seconds": 0.0, "message": 'p95_ms is "2" & <more>\x00\x1b'},
]


def test_jenkins_and_gitlab_can_read_the_document() -> None:
    """Elements and attributes of junit-10.xsd of Jenkins' xUnit plugin; GitLab reads a part of them."""
    root = ElementTree.fromstring(document("smoke.iris.v2", CHECKS, datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)))
    figures = {"tests": "2", "failures": "1", "errors": "0", "skipped": "0", "time": "0.25"}
    assert (root.tag, root.attrib) == ("testsuites", figures)
    (suite,) = root
    assert suite.tag == "testsuite"
    assert suite.attrib == figures | {"name": "smoke.iris.v2", "timestamp": "2026-01-02T03:04:05+00:00"}
    good, bad = suite
    assert (good.tag, good.attrib) == (
        "testcase",
        {"classname": "smoke.iris.v2", "name": "predictions", "time": "0.25"},
    )
    assert list(good) == []
    (failure,) = bad
    assert failure.tag == "failure" and failure.attrib["type"] == "failure"
    assert failure.text == failure.attrib["message"] == 'p95_ms is "2" & <more>??'


def test_without_checks_there_is_a_document() -> None:
    assert ElementTree.fromstring(document("smoke", [], datetime(2026, 1, 2, tzinfo=UTC))).attrib["tests"] == "0"
