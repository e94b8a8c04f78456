# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples of the API reference, run unchanged against the served iris model."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from local.demo import HOST
from local.settings import REPOSITORY, Settings

GUIDE = REPOSITORY / "docs" / "docsite" / "rst" / "api_reference.rst"
BLOCK = re.compile(r"^\.\. code-block:: (bash|python|json)\n\n((?:    .*\n|\n)+)", re.M)

# A user's client finds the model by DNS or /etc/hosts. The test changes neither.
CURL = 'curl() { command curl --resolve "$MODEL_HOST:$MODEL_PORT:127.0.0.1" "$@"; }\n'
PYTHON = """
import socket
_found = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **more: _found("127.0.0.1", *rest, **more)
"""


def examples(text: str) -> list[tuple[str, str, Any]]:
    """Language and source of each example of the page, and the response that the page shows below it."""
    blocks = [(language, textwrap.dedent(source)) for language, source in BLOCK.findall(text)]
    sources, answers = blocks[::2], blocks[1::2]
    assert [language for language, _source in answers] == ["json"] * len(sources), "an example without an answer"
    return [
        (language, source, json.loads(answer))
        for (language, source), (_json, answer) in zip(sources, answers, strict=True)
    ]


def within(shown: Any, answer: Any) -> bool:
    """Whether a response contains everything that the page shows; it may have more keys."""
    if isinstance(shown, dict) and isinstance(answer, dict):
        return all(key in answer and within(value, answer[key]) for key, value in shown.items())
    if isinstance(shown, list) and isinstance(answer, list):
        return len(shown) == len(answer) and all(map(within, shown, answer))
    return bool(shown == answer)


EXAMPLES = examples(GUIDE.read_text())


def test_the_page_has_examples_in_both_languages_of_both_protocols() -> None:
    covered = {
        (language, protocol)
        for language, source, _answer in EXAMPLES
        for protocol in ("/v1/", "/v2/")
        if protocol in source
    }
    assert covered == {("bash", "/v1/"), ("bash", "/v2/"), ("python", "/v1/"), ("python", "/v2/")}
    assert not within({"a": [1]}, {"a": [2]}) and not within({"a": 1}, {}) and within({"a": 1}, {"a": 1, "b": 2})


@pytest.mark.parametrize(
    ("language", "source", "shown"),
    EXAMPLES,
    ids=[f"{number}-{language}" for number, (language, *_rest) in enumerate(EXAMPLES, 1)],
)
def test_the_example_answers_what_the_page_shows(
    settings: Settings, tmp_path: Path, language: str, source: str, shown: Any
) -> None:
    command = ["bash", "-c", CURL + source] if language == "bash" else [sys.executable, "-c", PYTHON + source]
    env = {
        **os.environ,
        "MODEL_URL": f"https://{HOST}:{settings.https_port}",
        "MODEL_HOST": HOST,
        "MODEL_PORT": str(settings.https_port),
        "CA_FILE": str(settings.state / "ca.crt"),
        "NO_PROXY": "*",
        "no_proxy": "*",
    }
    result = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    assert within(shown, json.loads(result.stdout)), result.stdout
