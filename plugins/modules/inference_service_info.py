#!/usr/bin/python
# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Report whether InferenceServices serve their current generation."""

from __future__ import annotations

DOCUMENTATION = r"""
module: inference_service_info
short_description: Report whether KServe InferenceServices serve their current spec, and why not
version_added: 0.1.0
author:
  - Hash Foundry (@hashfoundry)
description:
  - Returns the verdict of M(hashfoundry.kserve.inference_service_ready) without waiting. The task does not fail if a
    service does not serve.
  - Without O(name), O(names) and O(label_selectors) it reports all InferenceServices of the namespace. Each resource
    is listed once, and the models are queried in parallel.
  - The credentials need C(list) on C(inferenceservices.serving.kserve.io), C(deployments.apps), C(replicasets.apps),
    C(pods) and C(httproutes.gateway.networking.k8s.io) in the namespace, and C(get) on C(services/proxy) for
    O(model_ready_path). For the diagnosis of a service that does not serve, they also need C(list) on C(events) and
    C(get) on C(pods/log).
requirements:
  - python >= 3.11
  - kubernetes >= 24.2.0
  - PyYAML >= 3.11
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - hashfoundry.kserve.inference_service
  - hashfoundry.kserve.attributes
  - hashfoundry.kserve.attributes.info_module
  - hashfoundry.kserve.attributes.actiongroup_kserve
options:
  name:
    description:
      - Name of one InferenceService.
      - At most one of O(name), O(names) and O(label_selectors) can be given.
seealso:
  - module: hashfoundry.kserve.inference_service_ready
"""

EXAMPLES = r"""
- name: Get the state of all models of the namespace
  hashfoundry.kserve.inference_service_info:
    namespace: models
  register: models

- name: Report those that do not serve
  ansible.builtin.debug:
    msg: "{{ models.services | rejectattr('verdict', 'eq', 'serving') | map(attribute='message') }}"

- name: Get the state of one model, without querying the model itself
  hashfoundry.kserve.inference_service_info:
    name: iris
    namespace: models
    model_ready_path: ""
"""

RETURN = r"""
services:
  description:
    - The state of each service, in the order of O(names) or of their names.
    - Empty on a cluster without KServe.
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: Name of the InferenceService.
      type: str
      sample: iris
    verdict:
      description:
        - V(serving) when it serves. V(failed) when waiting does not help, also when it is not there, V(degraded)
          when something is wrong that may still pass, and V(progressing) when more time is all it needs.
      type: str
      sample: serving
    reason:
      description: Reason code of the verdict; V(NotFound) for a missing service.
      type: str
      sample: ModelReady
    message:
      description: The verdict in one sentence; where it does not serve, the cause and what to do.
      type: str
      sample: The InferenceService serves its current spec and its model is ready.
    url:
      description: URL in the InferenceService's status, whether or not it is routed.
      type: str
      sample: http://iris-models.example.com
    address:
      description: URL inside the cluster.
      type: str
      sample: http://iris-predictor.models.svc.cluster.local
    generation:
      description: Generation of the InferenceService that the verdict is about.
      type: int
      sample: 2
    model_ready:
      description: Whether the model reported ready, or predicted the expected values; null when it was not queried.
      type: bool
      sample: true
    ignored:
      description:
        - A sentence for each field of the spec that KServe ignores in the deployment mode, such as
          C(canaryTrafficPercent) in Standard mode.
      type: list
      elements: str
    http_routes:
      description:
        - Names of the HTTPRoutes that KServe has created for it. KServe leaves them when the service becomes
          cluster-local.
      type: list
      elements: str
      sample: [iris, iris-predictor]
    conditions:
      description: Conditions of a service that does not serve, with type, status, reason and message.
      type: list
      elements: dict
    events:
      description:
        - The latest 20 events about the service and what belongs to it, oldest first, of the first ten services that
          do not serve, with one of each reason among them.
        - Each has type, reason, object, message, count and time.
      type: list
      elements: dict
    logs:
      description:
        - The last 20 lines of each init container and of the model server in up to three pods that are not ready, by
          pod and container, of the same services. Values that look like secrets are masked.
      type: dict
reason:
  description: A stable code for the cause of the failure, for programs; C(msg) explains it in a sentence.
  type: str
  returned: failure
  sample: Forbidden
"""

from typing import Any

from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC

from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_service import status
from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_service.selection import Selection
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube import client
from ansible_collections.hashfoundry.kserve.plugins.module_utils._module.use_case import (
    Options,
    Run,
    UseCase,
    run_module,
)


def run(options: Options, run: Run) -> dict[str, Any]:
    """Return the verdict on each service."""
    question = status.question(options)
    with client.session(options) as api:
        return status.info(api, Selection.of(options), question)


USE_CASE = UseCase(
    {**AUTH_ARG_SPEC, **status.SELECTION, **status.QUESTION},
    run,
    {"mutually_exclusive": status.ONE_WAY},
)


def main() -> None:
    """Run the module."""
    run_module(USE_CASE)


if __name__ == "__main__":
    main()
