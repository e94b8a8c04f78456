# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Renders the templates of the module of this name, and runs it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.template import trust_as_template

from ansible_collections.hashfoundry.kserve.plugins.plugin_utils._in_worker import InWorkerAction


class ActionModule(InWorkerAction):
    """Runs it in Ansible's worker where that can be."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result, with what the templates hold among its definitions."""
        options = {**self._task.args}
        texts = [self._rendered(name, task_vars or {}) for name in _listed(options.pop("templates", None))]
        if texts:
            options["definitions"] = [*_listed(options.get("definitions")), *texts]
        self._task.args = options
        return super().run(tmp, task_vars)

    def _rendered(self, name: str, variables: Mapping[str, Any]) -> str:
        # The lookup template copies all variables, registered results among them, for each file.
        path = self._find_needle("templates", name)
        places = [place for found in variables["ansible_search_path"] for place in (f"{found}/templates", found)]
        templar = self._templar.copy_with_new_env(searchpath=[str(Path(path).parent), *places])
        text = trust_as_template(self._loader.get_text_file_contents(path))
        return str(templar.template(text, escape_backslashes=False) or "")


def _listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [given] if given else []
