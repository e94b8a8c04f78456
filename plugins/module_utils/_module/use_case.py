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
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.url_credentials import (
    reject_credentials,
    without_credentials,
)

Options = Mapping[str, Any]

# The options of all modules that are URLs, and where credentials are set instead of in them.
URLS = {
    "endpoint_url": "set access_key and secret_key",
    "host": "set the module's options for credentials",
    "proxy": "set proxy_headers.proxy_basic_auth",
    "url": "set token",
}


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
    returns the options as they may be shown and logged, apart from those with no_log, which Ansible masks itself;
    preload: reads what every run needs; an action plugin calls it before Ansible forks the processes of the tasks.
    """

    argument_spec: Mapping[str, Any]
    run: Callable[[Options, Run], dict[str, Any]]
    rules: Mapping[str, Any] = field(default_factory=dict)
    shown: Callable[[Options], Options] | None = None
    preload: Callable[[], None] | None = None

    def result(self, options: Options, run: Run) -> dict[str, Any]:
        """Return the result.

        :raises KServeError: the use case raises it, or a URL contains credentials.
        """
        for name in URLS.keys() & options.keys():
            reject_credentials(name, options[name] or "", URLS[name])
        return self.run(options, run)

    def public(self, options: Options) -> dict[str, Any]:
        """Return the options as they may be shown, apart from those with no_log."""
        urls = {name: without_credentials(value) for name in URLS if isinstance(value := options.get(name), str)}
        return {**(self.shown(options) if self.shown else options), **urls}


class _Module(AnsibleModule):
    """An AnsibleModule whose result shows the options as the use case wants them shown."""

    def __init__(self, use_case: UseCase) -> None:
        self._use_case = use_case
        super().__init__(
            argument_spec=dict(use_case.argument_spec),
            supports_check_mode=True,
            **use_case.rules,
        )

    def log(self, msg: str, log_args: Mapping[str, Any] | None = None) -> None:
        """Log to the host's log, except options that must be masked: AnsibleModule logs them as they are.

        The argument no_log of AnsibleModule has no effect, since Ansible sends the value of the task's keyword.
        """
        if self._use_case.public(self.params) == self.params:
            super().log(msg, log_args)

    def exit_json(self, **kwargs: Any) -> None:
        """End with a result."""
        super().exit_json(**self._invocation(), **kwargs)

    def fail_json(self, msg: str, **kwargs: Any) -> None:
        """End with a failure; that of AnsibleModule itself is about the options."""
        super().fail_json(msg, **{"reason": "InvalidOption", **self._invocation(), **kwargs})

    def _invocation(self) -> dict[str, Any]:
        public = self._use_case.public(self.params)
        return {} if public == self.params else {"invocation": {"module_args": public}}


def run_module(use_case: UseCase) -> None:
    """Run a use case as an Ansible module: read the options, and end the process with the result."""
    module = _Module(use_case)
    try:
        result = use_case.result(module.params, Run(module.check_mode, module._diff, module.warn))
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
