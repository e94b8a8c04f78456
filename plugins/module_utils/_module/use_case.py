# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a module of the collection does, apart from how Ansible runs it.

A module file describes one use case: options in, result out, one family of errors. Two adapters call it: run_module as
an AnsibleModule in a process of its own, on any host, and the action plugins (plugin_utils/_use_case_action.py) in the
process that runs the task, where the task runs on the controller itself.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError

Options = Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """What Ansible says about the run of which a use case is a part.

    check_mode: whether nothing may be changed; diff: whether the user wants to see differences; warn: shows a warning;
    report: shows how far a long wait has come, which only the process that runs the task can do.
    """

    check_mode: bool
    diff: bool
    warn: Callable[[str], None]
    report: Callable[[str], None] | None = None


@dataclass(frozen=True)
class UseCase:
    """A module's options and what it does with them.

    argument_spec: the options as AnsibleModule takes them; rules: AnsibleModule's arguments of the same names, such as
    required_together, which ArgumentSpecValidator takes as well; run: returns the result, or raises KServeError; shown:
    returns the options as they may be shown and logged, apart from those with no_log, which Ansible masks itself.
    """

    argument_spec: Mapping[str, Any]
    run: Callable[[Options, Run], dict[str, Any]]
    rules: Mapping[str, Any] = field(default_factory=dict)
    shown: Callable[[Options], Options] | None = None


class _Module(AnsibleModule):
    """An AnsibleModule whose result shows the options as the use case wants them shown."""

    def __init__(self, use_case: UseCase) -> None:
        self._use_case = use_case
        super().__init__(
            argument_spec=dict(use_case.argument_spec),
            supports_check_mode=True,
            # AnsibleModule logs the options as they are before anything can be masked.
            no_log=use_case.shown is not None,
            **use_case.rules,
        )

    def exit_json(self, **kwargs: Any) -> None:
        """End with a result."""
        super().exit_json(**self._invocation(), **kwargs)

    def fail_json(self, msg: str, **kwargs: Any) -> None:
        """End with a failure; that of AnsibleModule itself is about the options."""
        super().fail_json(msg, **{"reason": "InvalidOption", **self._invocation(), **kwargs})

    def _invocation(self) -> dict[str, Any]:
        shown = self._use_case.shown
        return {"invocation": {"module_args": shown(self.params)}} if shown else {}


def run_module(use_case: UseCase) -> None:
    """Run a use case as an Ansible module: read the options, and end the process with the result."""
    module = _Module(use_case)
    try:
        result = use_case.run(module.params, Run(module.check_mode, module._diff, module.warn))
    except KServeError as error:
        module.fail_json(msg=str(error), **error.result)
    except Exception as error:
        # Ansible would show the traceback as it is, with what the message may hold of an option with no_log.
        module.fail_json(**broken(error))
    module.exit_json(**result)


def broken(error: BaseException) -> dict[str, Any]:
    """Return the result of a use case that ended by an unexpected error; call it where the error is caught."""
    return {
        "failed": True,
        "msg": f"{type(error).__name__}: {error}",
        "reason": "InternalError",
        "exception": traceback.format_exc(),
    }
