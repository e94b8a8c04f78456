#!/usr/bin/python
# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Wait until an InferenceService serves what its spec asks for."""

from __future__ import annotations

DOCUMENTATION = r"""
module: inference_service_ready
short_description: Wait until a KServe InferenceService serves what its spec asks for
version_added: 0.1.0
author:
  - Hash Foundry (@hashfoundry)
description:
  - Answers whether the InferenceService as it is now specified is being served, and if not, why.
  - The condition C(Ready) alone is not believed. It can be that of the spec before, it stays true while an old pod
    serves and new ones crash, and it says nothing of whether the model was found.
  - In Standard mode the module compares the spec with the Deployment that KServe has made of it, requires that every
    replica is of the current ReplicaSet and available and no older one is left, that the model is loaded, that all
    conditions are true, and that the gateway has accepted KServe's own HTTPRoutes as they are now. At last it asks
    the model server, through the API server, whether the model is ready.
  - In Knative mode the verdict is read from the status. The latest created revision must be the latest ready one.
    The model itself is not asked.
  - It fails at once when waiting cannot help, such as when there is no serving runtime or ServiceAccount or the quota
    is used up, and after O(grace_period) when something is wrong that may still pass, such as a crashing container.
  - It follows the objects with watches, goes on after a lost connection, and changes nothing.
  - The credentials need C(get), C(list) and C(watch) on C(inferenceservices.serving.kserve.io), C(deployments.apps),
    C(replicasets.apps), C(pods) and C(httproutes.gateway.networking.k8s.io) in the namespace, C(get) on
    C(services/proxy) for O(model_ready_path), and for the explanation of a failure C(list) on C(events) and C(get) on
    C(pods/log).
requirements:
  - python >= 3.11
  - kubernetes >= 24.2.0
  - PyYAML >= 3.11
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - hashfoundry.kserve.attributes
  - hashfoundry.kserve.attributes.actiongroup_kserve
attributes:
  check_mode:
    support: full
    details:
      - Does the same, since it only reads. An InferenceService that is not there, or a cluster without KServe, is no
        failure in check mode and gives a skipped result.
  diff_mode:
    support: none
    details:
      - Changes nothing.
  idempotent:
    support: full
options:
  name:
    description: Name of the InferenceService.
    type: str
    required: true
  namespace:
    description: Namespace of the InferenceService.
    type: str
    required: true
  timeout:
    description: How many seconds to wait at most. With V(0) the cluster is read and judged once.
    type: int
    default: 300
  grace_period:
    description:
      - How many seconds something may be wrong that can still pass, before the module fails.
      - Examples are a container that crashes, an image that cannot be pulled, a pod that no node takes, a model that
        failed to load, and a gateway that refuses the route. Where a cluster autoscaler adds nodes, allow it the time.
    type: int
    default: 30
  model_ready_path:
    description:
      - Path at which the model server says whether the model is ready. C({name}) stands for O(name).
      - A model server that speaks only protocol v1 has C(/v1/models/{name}).
      - An empty string switches the question off.
    type: str
    default: /v2/models/{name}/ready
seealso:
  - module: hashfoundry.kserve.inference_smoke_test
"""

EXAMPLES = r"""
- name: Wait for the model
  hashfoundry.kserve.inference_service_ready:
    name: iris
    namespace: models
    kubeconfig: ~/.kube/config

- name: Wait for a large model on a cluster that adds nodes as needed
  hashfoundry.kserve.inference_service_ready:
    name: llm
    namespace: models
    timeout: 1800
    grace_period: 600
"""

RETURN = r"""
url:
  description: What the InferenceService's status gives as its URL, whether or not something routes it.
  type: str
  returned: always, unless the cluster cannot be read
  sample: http://iris-models.example.com
address:
  description: URL inside the cluster.
  type: str
  returned: always, unless the cluster cannot be read
  sample: http://iris-predictor.models.svc.cluster.local
model_ready:
  description: Whether the model server says that the model is ready; null when it was not asked.
  type: bool
  returned: always, unless the cluster cannot be read
waited_seconds:
  description: How long the module waited.
  type: float
  returned: always, unless the cluster cannot be read
  sample: 12.3
generation:
  description: Generation of the InferenceService that the verdict is about.
  type: int
  returned: always, unless the cluster cannot be read
  sample: 2
verdict:
  description:
    - V(serving) on success. On failure V(hopeless) when waiting does not help, and V(progressing) or V(doubtful) when
      the time was over.
  type: str
  returned: always, unless the cluster cannot be read
  sample: serving
reason:
  description: What the verdict is about, in one word.
  type: str
  returned: always, unless the cluster cannot be read
  sample: CrashLoopBackOff
message:
  description: The cause in one sentence, and what to do.
  type: str
  returned: failure, unless the cluster cannot be read
conditions:
  description: Conditions of the InferenceService, with type, status, reason and message.
  type: list
  elements: dict
  returned: failure, unless the cluster cannot be read
events:
  description: The latest events about the InferenceService and what belongs to it, oldest first.
  type: list
  elements: dict
  returned: failure, unless the cluster cannot be read
  contains:
    type:
      description: V(Normal) or V(Warning).
      type: str
    reason:
      description: Reason of the event.
      type: str
    object:
      description: Kind and name of the object.
      type: str
    message:
      description: Message of the event.
      type: str
    count:
      description: How often it was seen.
      type: int
    time:
      description: When it was last seen.
      type: str
logs:
  description:
    - The last 20 lines of each init container and of the model server in up to three pods that are not ready, by
      pod and container. Values that look like secrets are masked.
  type: dict
  returned: failure, unless the cluster cannot be read
  sample:
    iris-predictor-5d8f9-x2k4j/storage-initializer:
      - 'botocore.exceptions.ClientError: An error occurred (403) when calling the HeadObject operation: Forbidden'
"""

from typing import Any

from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.client import get_api_client
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule

from ansible_collections.hashfoundry.kserve.plugins.module_utils import _inference_service, _kube
from ansible_collections.hashfoundry.kserve.plugins.module_utils._errors import KServeError

OWN_OPTIONS: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "required": True},
    "timeout": {"type": "int", "default": 300},
    "grace_period": {"type": "int", "default": 30},
    "model_ready_path": {"type": "str", "default": "/v2/models/{name}/ready"},
}


def main() -> None:
    """Run the module."""
    module = AnsibleK8SModule(argument_spec={**AUTH_ARG_SPEC, **OWN_OPTIONS}, supports_check_mode=True)
    options = _inference_service.Options(**{key: module.params[key] for key in OWN_OPTIONS})
    try:
        api = _kube.connect(lambda: get_api_client(module))
        result = _inference_service.ready(api, options, module.check_mode)
    except KServeError as error:
        module.fail_json(msg=str(error), **error.result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
