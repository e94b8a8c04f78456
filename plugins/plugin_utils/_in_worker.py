# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules of this collection in a fork of Ansible's worker, where they would run with the same Python anyway.

A module of its own process takes some 0.5 s before its first request: most of it are the starts of Python and of the
Kubernetes client. Ansible imports an action plugin before it forks its workers, so that its imports are there already.
ansible.netcommon runs its modules likewise (ansible_network_import_modules), within the worker itself; a fork keeps
what a module leaves behind, such as warnings or the environment, from the next item of a loop.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import re
import signal
import sys
import traceback
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any, ClassVar, NoReturn

from ansible import constants
from ansible.module_utils import _internal, basic
from ansible.module_utils.common.json import Direction, get_module_encoder
from ansible.plugins.action import ActionBase
from ansible.plugins.lookup import template  # noqa: F401 -- see below
from ansible.vars.clean import remove_internal_keys

# What templates call is imported before the fork, too: a worker that uses one filter of the collection loads them all.
from ansible_collections.hashfoundry.kserve.plugins.filter import (  # noqa: F401
    checked_models,
    pod_faults,
    serving_versions,
    upgrade_plan,
    version_faults,
)
from ansible_collections.hashfoundry.kserve.plugins.lookup import component_version  # noqa: F401

# What has been imported is no garbage, and what Ansible has before the fork is none of a worker, which ends with its
# task. To look for some there means to copy every page that is touched: a fifth of the time of a run in which nothing
# changes.
gc.freeze()
os.register_at_fork(after_in_child=gc.freeze)

# What is read when Python, or the Kubernetes client, starts, which was before the fork.
_READ_AT_START = re.compile(r"KUBECONFIG|TMPDIR|PYTHON.*")
PROFILE = "legacy"  # how AnsibleModule reads its arguments and writes its result


class InWorkerAction(ActionBase):
    """Runs a module of the collection; with another Python, on another host or as another user, as Ansible does."""

    MODULE: ClassVar[ModuleType]
    _supports_check_mode = True
    _supports_async = True

    def __init_subclass__(cls) -> None:
        """Import the module of the action plugin's name, unless it has one of its own."""
        super().__init_subclass__()
        if "MODULE" not in cls.__dict__:
            package, _action, name = cls.__module__.rsplit(".", 2)
            gc.disable()  # the Kubernetes client is much to look through, of which nothing is garbage
            try:
                cls.MODULE = import_module(f"{package}.modules.{name}")
            finally:
                gc.enable()
                gc.freeze()

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        environment: dict[str, Any] = {}
        self._compute_environment_string(environment)
        if self._in_worker(variables, environment):
            result |= self._forked(variables, environment)
        else:
            result |= self._execute_module(task_vars=variables, wrap_async=self._task.async_val)
        return result

    def _in_worker(self, variables: Mapping[str, Any], environment: Mapping[str, Any]) -> bool:
        return bool(
            self._connection.transport == "local"
            and self._connection.become is None
            and not self._task.async_val
            and not self._task.delegate_to
            # Whoever wants to see what Ansible sends to a host gets it.
            and not constants.DEFAULT_KEEP_REMOTE_FILES
            and not any(map(_READ_AT_START.fullmatch, environment))
            and self._templar.template(variables.get("ansible_python_interpreter")) == sys.executable
        )

    def _forked(self, variables: dict[str, Any], environment: Mapping[str, Any]) -> dict[str, Any]:
        options = {**self._task.args}
        self._update_module_args(self._task.action, options, variables)
        encoder = get_module_encoder(PROFILE, Direction.CONTROLLER_TO_MODULE)
        arguments = json.dumps({"ANSIBLE_MODULE_ARGS": options}, cls=encoder).encode()
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            self._run_module(arguments, environment, writing)
        os.close(writing)
        try:
            with os.fdopen(reading, encoding="utf-8", errors="replace") as stream:
                said = stream.read()
        except BaseException:
            os.kill(child, signal.SIGKILL)  # the task's time is over
            raise
        finally:
            _child, status = os.waitpid(child, 0)
        rc = os.waitstatus_to_exitcode(status)
        found: dict[str, Any] = self._parse_returned_data({"stdout": said, "stderr": "", "rc": rc}, PROFILE)
        remove_internal_keys(found)
        return found

    def _run_module(self, arguments: bytes, environment: Mapping[str, Any], writing: int) -> NoReturn:
        """Run the module in this process, which is the fork, and end it; nothing of the worker's own may run here."""
        code = 1
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            atexit._clear()
            os.environ.update({name: str(value) for name, value in environment.items()})
            _internal.is_controller = False  # warnings belong into the result, not to a display that ends with the fork
            sys.stdout = os.fdopen(writing, "w", encoding="utf-8")
            basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE = arguments, PROFILE
            self.MODULE.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        except BaseException as error:
            failure = {"failed": True, "msg": f"{type(error).__name__}: {error}"}
            print(json.dumps(failure | {"exception": traceback.format_exc()}))
        finally:
            atexit._run_exitfuncs()
            sys.stdout.flush()
            os._exit(code)
