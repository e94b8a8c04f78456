# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Renders the templates of the module of this name, and runs it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.template import Templar, trust_as_template

from ansible_collections.hashfoundry.kserve.plugins.plugin_utils._use_case_action import UseCaseAction


class ActionModule(UseCaseAction):
    """Runs it without a process of its own where the task runs on the controller itself."""

    def options(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the task's options with the rendered templates among the definitions."""
        options = super().options(variables)
        texts = [self.rendered(name, variables) for name in _listed(options.pop("templates", None))]
        if texts:
            options["definitions"] = [*_listed(options.get("definitions")), *texts]
        return options

    def rendered(self, name: str, variables: Mapping[str, Any]) -> str:
        """Return the text of a template, which may import others from its folder and from the role's and playbook's.

        The lookup template does the same, and copies all variables, registered results among them, for each file.
        """
        folders = variables["ansible_search_path"]
        path = self._loader.path_dwim_relative_stack(folders, "templates", name)
        places = [place for folder in folders for place in (f"{folder}/templates", folder)]
        templar = Templar(loader=self._loader, variables=variables)
        templar = templar.copy_with_new_env(searchpath=[str(Path(path).parent), *places])
        text = trust_as_template(self._loader.get_text_file_contents(path))
        return str(templar.template(text, escape_backslashes=False) or "")


def _listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [given] if given else []
