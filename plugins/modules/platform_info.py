#!/usr/bin/python
# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tell which components of a serving platform a cluster has, in which versions, and whether they work."""

from __future__ import annotations

DOCUMENTATION = r"""
module: platform_info
short_description: Report which components of a serving platform a cluster has, and whether they are healthy
version_added: 0.1.0
author:
  - Hash Foundry (@hashfoundry)
description:
  - Reads the version of a cluster and of the installed components of a serving platform, however they were installed.
  - A component is identified by its CRDs and by the labels of its Deployments, as its project's manifests and charts
    set them. Its version is the label C(app.kubernetes.io/version), or else the tag of its image; that of the Gateway
    API is an annotation of its CRDs.
  - The credentials need C(get) on the namespace C(kube-system) and on C(customresourcedefinitions), and C(list) on
    C(deployments) in all namespaces. With O(verify=true) also C(list) on C(endpointslices) and on webhook
    configurations, and C(create) and C(patch) on C(clusterservingruntimes), on Knative's C(services), on
    C(clusterissuers) or on C(virtualservices).
requirements:
  - python >= 3.11
  - kubernetes >= 24.2.0
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - hashfoundry.kserve.attributes
  - hashfoundry.kserve.attributes.info_module
  - hashfoundry.kserve.attributes.actiongroup_kserve
options:
  components:
    description: The components to read. With an empty list only the cluster itself is read.
    type: list
    elements: str
    choices:
      - cert_manager
      - contour
      - gateway_api
      - istio
      - keda
      - knative_serving
      - kserve
      - net_istio
      - net_kourier
      - prometheus_operator
    default: []
  verify:
    description:
      - Whether to verify that the components are healthy. Their CRDs are served, their Deployments rolled out; their
        webhooks have a CA certificate and their Services an endpoint; and the webhooks accept an object in a
        server-side dry run, which changes nothing.
      - What is not healthy is listed in C(problems), and is no failure of the module.
    type: bool
    default: false
  api_server:
    description:
      - Whether to return the addresses at which pods reach the API server. The credentials need C(list) on
        C(endpointslices) in the namespace C(default) for that.
    type: bool
    default: false
  policy_probe:
    description:
      - The Job, as C(namespace/name), with which the role P(hashfoundry.kserve.namespace_security#role) tests whether
        the network enforces NetworkPolicies. The credentials need C(get) on C(jobs) in that namespace.
    type: str
  policy_probe_timeout:
    description: How many seconds to wait at most for that Job to finish.
    type: int
    default: 0
  policy_probe_warn:
    description: Whether to warn if the network does not enforce NetworkPolicies, or if that could not be tested.
    type: bool
    default: true
seealso:
  - module: hashfoundry.kserve.manifests
"""

EXAMPLES = r"""
- name: Read what the cluster has
  hashfoundry.kserve.platform_info:
    components: [kserve, knative_serving, cert_manager]
  register: platform

- name: Verify the existing KServe
  hashfoundry.kserve.platform_info:
    components: [kserve]
    verify: true
  register: kserve
  failed_when: kserve.components.kserve.problems is truthy
"""

RETURN = r"""
cluster:
  description: The cluster itself.
  type: dict
  returned: success
  contains:
    uid:
      description: The UID of the namespace C(kube-system), which identifies the cluster.
      type: str
    version:
      description: The version of the API server.
      type: str
  sample: {uid: 3d7b3f64-3c47-4a5e-9c55-2b8d1c0f8a11, version: v1.35.4}
api_server:
  description: Where pods reach the API server, which is behind the Service C(kubernetes); null without O(api_server).
  type: dict
  returned: success
  contains:
    addresses:
      description: IP addresses.
      type: list
      elements: str
    port:
      description: The port; null where there is no address.
      type: int
  sample: {addresses: [172.18.0.2], port: 6443}
network_policies:
  description:
    - Whether the network enforces NetworkPolicies, as the Job O(policy_probe) has found, V(enforced) or
      V(not_enforced). It is V(pending) if the Job still runs, V(unknown) if it failed for another reason, and
      null without O(policy_probe) or without the Job.
  type: str
  returned: success
  sample: enforced
components:
  description: The components by their names in O(components).
  type: dict
  returned: success
  contains:
    installed:
      description: Whether the cluster has it.
      type: bool
    version:
      description: Its version; null if it is unknown.
      type: str
    namespace:
      description: The namespace of its Deployments; null for one that has none.
      type: str
    uid:
      description: The UID of its main CRD, which changes when the CRD is re-created.
      type: str
    managers:
      description: The field managers that have applied its main CRD.
      type: list
      elements: str
    deployments:
      description: The names of its Deployments.
      type: list
      elements: str
    problems:
      description: What is not healthy, one clause each; empty without O(verify=true).
      type: list
      elements: str
  sample:
    kserve:
      installed: true
      version: v0.20.0
      namespace: kserve
      uid: 0f3cf1c4-4f63-4f0c-b0a8-6e0dcf1fd1ce
      managers: [hashfoundry.kserve.kserve]
      deployments: [kserve-controller-manager]
      problems: []
reason:
  description: A stable code for the cause of the failure, for programs; C(msg) explains it in a sentence.
  type: str
  returned: failure
  sample: Forbidden
"""

import time
from typing import Any

from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.backoff import Backoff, Retry
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube import apply_client
from ansible_collections.hashfoundry.kserve.plugins.module_utils._module.use_case import (
    Options,
    Run,
    UseCase,
    run_module,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._platform import components, enforcement
from ansible_collections.hashfoundry.kserve.plugins.module_utils._platform.info import platform_info

ARGUMENT_SPEC: dict[str, Any] = {
    **AUTH_ARG_SPEC,
    "components": {"type": "list", "elements": "str", "choices": sorted(components.COMPONENTS), "default": []},
    "verify": {"type": "bool", "default": False},
    "api_server": {"type": "bool", "default": False},
    "policy_probe": {"type": "str"},
    "policy_probe_timeout": {"type": "int", "default": 0},
    "policy_probe_warn": {"type": "bool", "default": True},
}


def run(options: Options, run: Run) -> dict[str, Any]:
    """Tell which components the cluster has."""
    with apply_client.session(options) as api:
        result = platform_info(api, options["components"], options["verify"], options["api_server"])
        job = options["policy_probe"] or ""
        deadline = time.monotonic() + options["policy_probe_timeout"]
        retry = Retry(deadline, Backoff(0.25, 1), time.monotonic, time.sleep)
        found = enforcement.enforcement(api, job, retry) if job else None
    if options["policy_probe_warn"] and (text := enforcement.warning(found, job)):
        run.warn(text)
    return {**result, "network_policies": found.value if found else None}


USE_CASE = UseCase(ARGUMENT_SPEC, run)


def main() -> None:
    """Run the module."""
    run_module(USE_CASE)


if __name__ == "__main__":
    main()
