# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible.errors import AnsibleLookupError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.hashfoundry.kserve.plugins.lookup.component_version import LookupModule


def look(*terms: str, version_set: str | None = None) -> list[str]:
    """Run the lookup with its option as Ansible reads it from the documentation."""

    class Configured(LookupModule):
        def set_options(self, **_given: object) -> None:
            self._options = {"version_set": version_set, "file": None}

        def get_option(self, option: str, hostvars: object = None) -> str | None:
            return self._options[option]

    return Configured(templar=Templar(loader=DataLoader())).run(list(terms), {})


def test_the_version_of_the_default_set_and_of_another() -> None:
    assert look("kserve", "istio") == ["v0.20.0", ""]
    assert look("kserve", "istio", version_set="kserve-0.11") == ["v0.11.0", "1.19.0"]
    assert look("kserve", version_set="") == ["v0.20.0"]


def test_unknown_names() -> None:
    with pytest.raises(AnsibleLookupError, match="no version set other"):
        look("kserve", version_set="other")
    with pytest.raises(AnsibleLookupError, match="no component knative;"):
        look("knative")
