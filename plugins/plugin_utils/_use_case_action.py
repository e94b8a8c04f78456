# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a use case of the collection in the process that runs the task, where the task runs on the controller itself.

A module's own process takes about 0.5 s before its first request, for starting Python and importing the Kubernetes
client. An action plugin is imported before Ansible forks the process for a task, so that these imports are there
already. Everywhere else the module runs as any other.

Of Ansible only documented interfaces are used; tests/private_names.py lists them.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

from ansible import constants
from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values
from ansible.module_utils.errors import UnsupportedError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.template import Templar
from ansible.utils.display import Display

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._module.use_case import Run, UseCase, broken

# Read when Python, a library or the Kubernetes client starts, which was before the task began.
_READ_AT_START = re.compile(r"KUBECONFIG|TMPDIR|PYTHON.*|LD_.*")
_LOCAL = ("local", "ansible.builtin.local")
# What the collection's filters and lookups import. The process of each task would compile it again.
_FOR_TEMPLATES = ("_model_list", "_model_pods", "_upgrade_paths", "_version_sets")


class UseCaseAction(ActionBase):
    """Runs the use case of the module of the action plugin's name."""

    USE_CASE: ClassVar[UseCase | None] = None

    def __init_subclass__(cls) -> None:
        """Import the module of the action plugin's name before Ansible forks."""
        super().__init_subclass__()
        if "USE_CASE" not in cls.__dict__:
            package, _action, name = cls.__module__.rsplit(".", 2)
            # Whatever is missing here: the module itself says it, as a failed task. An error in an import of an action
            # plugin would end the whole run.
            with contextlib.suppress(Exception):
                cls.USE_CASE = importlib.import_module(f"{package}.modules.{name}").USE_CASE
                if cls.USE_CASE and cls.USE_CASE.preload:
                    cls.USE_CASE.preload()
                for module in _FOR_TEMPLATES:
                    importlib.import_module(f"{package}.plugin_utils.{module}")

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result."""
        variables = task_vars or {}
        options = self.options(variables)
        if self._task.async_val:
            # super().run() refuses async for action plugins that do all of their work on the controller.
            return self._module_result(options, variables)
        result: dict[str, Any] = super().run(tmp, variables)
        templar = Templar(loader=self._loader, variables=variables)
        environment = self._environment(templar)
        if self.USE_CASE and self._runs_here(templar, variables, environment):
            with _surroundings(environment, Path(self._loader.get_basedir())):
                report = None if self._task.no_log else self._report
                how = (self._task.check_mode, self._task.diff)
                result |= _result(self._task.action, self.USE_CASE, options, how, report)
            # Since ansible-core 2.21 a setting decides whether a result shows its options; before, each does.
            shown = variables.get("ansible_inject_invocation", getattr(constants, "INJECT_INVOCATION", True))
            if not boolean(templar.template(shown), strict=False):
                del result["invocation"]
        else:
            result |= self._module_result(options, variables)
        return result

    def _report(self, sentence: str) -> None:
        # To standard error: a callback may print JSON.
        Display().display(f"[{self._task.action}] {sentence}", stderr=True)

    def options(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options for the module, of those that the task has."""
        return _with_whole_texts(self._task.args, self.USE_CASE.argument_spec if self.USE_CASE else {})

    def _module_result(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self._execute_module(
            module_args=options, task_vars=variables, wrap_async=self._task.async_val
        )
        return found

    def _environment(self, templar: Templar) -> dict[str, str]:
        """Return the keyword environment, that of the play before that of the task."""
        given = self._task.environment or []
        environment: dict[str, str] = {}
        for entry in given if isinstance(given, list) else [given]:
            values = templar.template(entry) or {}
            if not isinstance(values, Mapping):
                raise AnsibleError("environment must be a dictionary; correct the keyword of the task or play.")
            environment |= {str(name): str(value) for name, value in values.items()}
        return environment

    def _runs_here(self, templar: Templar, variables: Mapping[str, Any], environment: Mapping[str, str]) -> bool:
        def value(name: str, default: Any = None) -> Any:
            return templar.template(variables.get(name, default))

        return bool(
            value("ansible_connection", self._task.connection) in _LOCAL
            and value("ansible_python_interpreter") == sys.executable
            and not boolean(value("ansible_become", False), strict=False)
            and not self._task.become
            and not self._task.delegate_to
            # Whoever wants to see what Ansible sends to a host gets it.
            and not constants.DEFAULT_KEEP_REMOTE_FILES
            and not any(map(_READ_AT_START.fullmatch, environment))
        )


def _with_whole_texts(given: Mapping[str, Any], argument_spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options with a list in the place of each text that is given for a list of any values.

    Ansible would split it at its commas. A text in JSON is read as such; another is the only entry.
    """
    options = {**given}
    for name, rules in argument_spec.items():
        value = options.get(name)
        if isinstance(value, Mapping) and "options" in rules:
            options[name] = _with_whole_texts(value, rules["options"])
        elif isinstance(value, str) and rules.get("elements") == "raw":
            found: Any = value
            with contextlib.suppress(ValueError):
                found = json.loads(value)
            options[name] = found if isinstance(found, list) else [found] if value.strip() else []
    return options


def _result(
    action: str,
    use_case: UseCase,
    given: Mapping[str, Any],
    how: tuple[bool, bool],
    report: Callable[[str], None] | None,
) -> dict[str, Any]:
    """Return what the module of this name would give for these options."""
    # As for a module: nothing of Ansible's own types, such as strings that know where they come from, gets through.
    validated = ArgumentSpecValidator(dict(use_case.argument_spec), **use_case.rules).validate(_plain(given))
    options = {name: validated.validated_parameters.get(name) for name in use_case.argument_spec}
    warnings: list[str] = []
    try:
        if validated.error_messages:
            # AnsibleModule says the first fault only.
            unknown = isinstance(validated.errors[0], UnsupportedError)
            prefix = f"Unsupported parameters for ({action}) module: " if unknown else ""
            raise KServeError(prefix + validated.error_messages[0], reason="InvalidOption")
        result = use_case.result(options, Run(*how, warnings.append, report))
    except KServeError as error:
        result = {"failed": True, "msg": str(error), **error.result}
    except (Exception, SystemExit) as error:
        result = broken(error)
    if warnings:
        result["warnings"] = warnings
    result["invocation"] = {"module_args": use_case.public(options)}
    masked: dict[str, Any] = remove_values(_plain(result), validated._no_log_values)
    return masked


def _plain(value: Any) -> Any:
    """Return the value as a module gets it, and gives it back: by way of JSON, without Ansible's own types."""
    return json.loads(json.dumps(value, default=_for_json))


def _for_json(other: Any) -> Any:
    if isinstance(other, set):
        return list(other)
    if isinstance(other, date):
        return other.isoformat()
    if isinstance(other, bytes):
        raise AnsibleError("A module takes no binary data: give text, such as base64.")
    return str(other)


@contextlib.contextmanager
def _surroundings(environment: Mapping[str, str], folder: Path) -> Iterator[None]:
    """Give a use case what a module's process has, and clean up what it leaves behind.

    :param environment: variables to set.
    :param folder: where relative paths begin, as for a module that runs on the controller: the playbook's folder.
    """
    variables, temporary = {**os.environ}, tempfile.tempdir
    # The Kubernetes client writes a kubeconfig's certificates to files that it uses as long as the process lasts, and
    # which is not deleted when a process of a task ends. Ansible deletes this folder at the end of the run.
    tempfile.tempdir = constants.DEFAULT_LOCAL_TMP
    os.environ.update(environment)
    try:
        # What a library prints would be shown as an error of Ansible's own.
        printed = io.StringIO()
        with contextlib.chdir(folder), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            yield
    finally:
        tempfile.tempdir = temporary
        os.environ.clear()
        os.environ.update(variables)
