# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup proxy_environment: by which proxy tasks of kubernetes.core reach the cluster."""

from __future__ import annotations

DOCUMENTATION = r"""
name: proxy_environment
version_added: 0.1.0
short_description: The environment with which tasks of kubernetes.core use the right proxy
author:
  - Hash Foundry (@hashfoundry)
description:
  - Modules of kubernetes.core take a proxy from the environment, but not E(NO_PROXY), and ignore C(proxy-url) of the
    kubeconfig. This lookup finds the proxy as the modules of this collection do, and returns it as E(K8S_AUTH_PROXY)
    and E(K8S_AUTH_NO_PROXY) for C(environment) of a task, block or play.
  - The result is empty if the environment of the controller has no proxy and the kubeconfig no C(proxy-url).
options:
  _terms:
    description: The path of the kubeconfig on the controller. If it is empty or missing, the kubeconfig of kubectl.
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: List the nodes
  kubernetes.core.k8s_info:
    kind: Node
  environment: "{{ lookup('hashfoundry.kserve.proxy_environment', '/home/me/.kube/config') }}"
"""

RETURN = r"""
_raw:
  description: A dictionary of environment variables.
  type: list
  elements: dict
"""

import os
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError


def _mentions_a_proxy(kubeconfig: str) -> bool:
    """Whether a file of the kubeconfig may have a proxy-url. Ansible evaluates the lookup for every task."""
    paths = (kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config").split(os.pathsep)
    try:
        return any("proxy-url" in Path(path).expanduser().read_text() for path in paths if path)
    except (OSError, RuntimeError, ValueError):
        return True  # proxy_options knows what it means


class LookupModule(LookupBase):
    """The lookup, for Ansible."""

    def run(self, terms: list[str], variables: Any = None, **kwargs: Any) -> list[dict[str, str]]:
        """Return the variables, as the only entry of a list."""
        kubeconfig = str(terms[0]) if terms and terms[0] else ""
        by_environment = any(name.lower().endswith("_proxy") for name in os.environ)
        if not by_environment and not _mentions_a_proxy(kubeconfig):
            return [{}]
        # Here, because it imports the Kubernetes client.
        from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.proxy import proxy_options

        try:
            found = proxy_options({"kubeconfig": kubeconfig} if kubeconfig else {}, os.environ)
        except KServeError as error:
            raise AnsibleLookupError(str(error)) from None
        if not found.get("proxy") and not by_environment:
            return [{}]
        names = ("proxy", "no_proxy")
        environment = {f"K8S_AUTH_{name.upper()}": str(found[name]) for name in names if name in found}
        for name, value in found.get("proxy_headers", {}).items():
            environment[f"K8S_AUTH_PROXY_HEADERS_{name.upper()}"] = value
        return [environment]
