# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup component_version: which version of a component belongs to the chosen version set."""

from __future__ import annotations

DOCUMENTATION = r"""
name: component_version
version_added: 0.1.0
short_description: The version of a component in the version set of the cluster
author:
  - Hash Foundry (@hashfoundry)
description:
  - Returns the version of each component that is named, from the version sets of the collection,
    C(meta/version_sets.yml). The roles take their default versions from it.
options:
  _terms:
    description:
      - Components, such as V(kserve), V(knative_serving), V(net_kourier), V(net_istio), V(istio), V(contour),
        V(gateway_api), V(envoy), V(cert_manager), V(prometheus_operator), V(prometheus), V(alertmanager) and
        V(kube_state_metrics).
    type: list
    elements: str
    required: true
  version_set:
    description:
      - The name of the set. Defaults to the default set.
      - An empty one is the same as none.
    type: str
    vars:
      - name: platform_version_set
  file:
    description:
      - A custom file of version sets, in the format of C(meta/version_sets.yml). Defaults to the collection's.
      - An empty one is the same as none.
    type: str
    vars:
      - name: platform_version_sets_file
"""

EXAMPLES = r"""
- name: Report the version of KServe that would be installed
  ansible.builtin.debug:
    msg: "{{ lookup('hashfoundry.kserve.component_version', 'kserve') }}"

- name: Report the version of Istio in another set
  ansible.builtin.debug:
    msg: "{{ lookup('hashfoundry.kserve.component_version', 'istio', version_set='kserve-0.20-istio') }}"
"""

RETURN = r"""
_raw:
  description: The versions, as the components' projects write them; empty for a component that is not in the set.
  type: list
  elements: str
"""

from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible.template import Templar

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.plugin_utils import _version_sets


class LookupModule(LookupBase):
    """The lookup, for Ansible."""

    def run(self, terms: list[str], variables: Any = None, **kwargs: Any) -> list[str]:
        """Return the version of each component."""
        self.set_options(var_options=variables, direct=kwargs)
        templar = Templar(loader=self._loader, variables=variables)
        # The value of a variable is a template.
        name, file = (templar.template(self.get_option(option)) or None for option in ("version_set", "file"))
        try:
            chosen = _version_sets.load(file).named(name)
        except KServeError as error:
            raise AnsibleLookupError(str(error)) from None
        unknown = sorted(set(terms) - _version_sets.TITLES.keys())
        if unknown:
            raise AnsibleLookupError(
                f"There is no component {', '.join(unknown)}; name some of {', '.join(_version_sets.TITLES)}."
            )
        return [chosen.versions.get(term, "") for term in terms]
