# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the check of undocumented interfaces finds, and what it lets through."""

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
        "def _own(): ...\nmodule._own()",
    ],
)
def test_a_documented_name_or_one_of_our_own_is_not(source: str) -> None:
    assert not list(faults(source))
