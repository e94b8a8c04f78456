# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules of this collection in Ansible's worker, where they would run with the same Python anyway.

A module of its own process takes some 0.5 s before its first request: most of it are the starts of Python and of the
Kubernetes client. Ansible imports an action plugin before it forks its workers, so that its imports are there already.
ansible.netcommon runs its modules likewise (ansible_network_import_modules). A worker ends with its task; between the
items of a loop is put back what a module may leave behind.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import atexit
import gc
import io
import json
import os
import re
import sys
import traceback
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from multiprocessing.util import Finalize
from types import ModuleType
from typing import Any, ClassVar

from ansible import constants
from ansible.module_utils import _internal, basic
from ansible.module_utils.common import warnings
from ansible.module_utils.common.json import Direction, get_module_encoder
from ansible.plugins.action import ActionBase
from ansible.vars.clean import remove_internal_keys

# What templates call is imported before the fork, too: a worker that uses one filter of the collection loads them all.
for _called in (
    "filter.checked_models",
    "filter.pod_faults",
    "filter.serving_versions",
    "filter.upgrade_plan",
    "filter.version_faults",
    "lookup.component_version",
):
    import_module(f"ansible_collections.hashfoundry.kserve.plugins.{_called}")

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
    _ends: ClassVar[Finalize | None] = None
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
            result |= self._run_module(variables, environment)
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

    def _run_module(self, variables: dict[str, Any], environment: Mapping[str, Any]) -> dict[str, Any]:
        options = {**self._task.args}
        self._update_module_args(self._task.action, options, variables)
        encoder = get_module_encoder(PROFILE, Direction.CONTROLLER_TO_MODULE)
        basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": options}, cls=encoder).encode()
        basic._ANSIBLE_PROFILE = PROFILE
        before, printed, complained, rc = {**os.environ}, io.StringIO(), io.StringIO(), 0
        self._put_back()
        os.environ.update({name: str(value) for name, value in environment.items()})
        try:
            _internal.is_controller = False  # warnings belong into the result
            with redirect_stdout(printed), redirect_stderr(complained):
                self.MODULE.main()
        except SystemExit as end:
            rc = end.code if isinstance(end.code, int) else 0
        except Exception as error:
            failure = {"failed": True, "msg": f"{type(error).__name__}: {error}", "exception": traceback.format_exc()}
            print(json.dumps(failure), file=printed)
            rc = 1
        finally:
            _internal.is_controller = True
            os.environ.clear()
            os.environ.update(before)
        said = {"stdout": printed.getvalue(), "stderr": complained.getvalue(), "rc": rc}
        found: dict[str, Any] = self._parse_returned_data(said, PROFILE)
        remove_internal_keys(found)
        return found

    @staticmethod
    def _put_back() -> None:
        """Take away what the item before has left, if there was one."""
        warnings._global_warnings.clear()
        warnings._global_deprecations.clear()
        if client := sys.modules.get("kubernetes.client"):
            client.Configuration.set_default(None)
        if not InWorkerAction._ends:
            # What modules leave for the end of their process is done at the worker's, which ends without Python's own
            # way: kubernetes.core's clients, which it keeps for the next item, have files till then.
            atexit._clear()
            InWorkerAction._ends = Finalize(None, atexit._run_exitfuncs, exitpriority=0)
