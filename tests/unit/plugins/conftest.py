# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixture of the module tests: a module, run in this process, and its JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from ansible.module_utils.common.parameters import PASS_VARS
from ansible.module_utils.testing import patch_module_args

RunModule = Callable[..., dict[str, Any]]


@pytest.fixture
def run_module(capsys: pytest.CaptureFixture[str]) -> RunModule:
    """Return a function that calls a module's main with arguments and returns its JSON."""

    def run(main: Callable[[], None], arguments: dict[str, Any], **internal: bool) -> dict[str, Any]:
        if "inject_invocation" in PASS_VARS:  # since ansible-core 2.21
            internal["inject_invocation"] = True
        arguments = {**arguments, **{f"_ansible_{key}": value for key, value in internal.items()}}
        with patch_module_args(arguments), pytest.raises(SystemExit) as stop:
            main()
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert stop.value.code == (1 if result.get("failed") else 0)
        return result

    return run
