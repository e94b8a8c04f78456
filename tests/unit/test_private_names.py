# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that the check of undocumented interfaces finds, and names that it accepts."""

from __future__ import annotations

import pytest

from tests.private_names import faults


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("from ansible import _internal", "ansible._internal"),
        ("import ansible._internal", "ansible._internal"),
        ("import ansible.vars.clean", "ansible.vars.clean"),
        ("from ansible.vars.clean import remove_internal_keys", "ansible.vars.clean.remove_internal_keys"),
        ("from ansible.module_utils.basic import _load_params", "ansible.module_utils.basic._load_params"),
        ("from yaml._yaml import CParser", "yaml._yaml.CParser"),
        ("from gc import freeze", "gc.freeze"),
        ("import gc\ngc.freeze()", "gc.freeze"),
        ("import atexit\natexit._clear()", "atexit._clear"),
        ("self._connection.transport", "self._connection"),
        ("getattr(x, '_internal')", "x._internal"),
        ("import importlib\nimportlib.import_module('ansible._internal._json')", "ansible._internal._json"),
        ("__import__('ansible.vars.clean')", "ansible.vars.clean"),
        ("import ansible.parsing as p", "ansible.parsing"),
        ("from ansible import cli", "ansible.cli"),
        ("import ansible.plugins.action.normal", "ansible.plugins.action.normal"),
        ("from ansible.plugins.action import normal", "ansible.plugins.action.normal"),
        ("def _task(): ...\nplay._task()", "play._task"),
        ("def _diff(): ...\nother._diff", "other._diff"),
    ],
)
def test_an_undocumented_name_is_found(source: str, name: str) -> None:
    assert [found for _line, found in faults(source)] == [name]


@pytest.mark.parametrize(
    "source",
    [
        "from __future__ import annotations",
        "from ansible import constants",
        "from ansible.plugins.action import ActionBase",
        "from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import session",
        "from ansible_collections.hashfoundry.kserve.plugins.plugin_utils import _version_sets",
        "self._task.args",
        "class Own:\n    def _own(self, other): return other._own",
        "module._diff",
    ],
)
def test_a_documented_or_own_name_is_accepted(source: str) -> None:
    assert not list(faults(source))
