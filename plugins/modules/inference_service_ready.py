#!/usr/bin/python
# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Wait until InferenceServices serve their current generation."""

from __future__ import annotations

DOCUMENTATION = r"""
module: inference_service_ready
short_description: Wait until KServe InferenceServices serve their current spec
version_added: 0.1.0
author:
  - Hash Foundry (@hashfoundry)
description:
  - Waits until each InferenceService serves its current generation, and reports why if it does not.
  - The condition C(Ready) alone is not sufficient. It may belong to the previous spec. It stays true while a previous
    pod serves and new pods crash. It does not show whether the model was found.
  - In Standard mode the module compares the whole spec with KServe's Deployment and its replicas. Every replica must be
    of the current ReplicaSet and available, no previous one may remain, the model must be loaded, and all conditions
    must be true. The gateway must have accepted the current generation of the HTTPRoutes that the InferenceService
    owns.
  - In Knative mode the module compares the spec with the latest created revision in the same way. This revision must
    be the latest ready one. It must receive all requests, or the share that C(canaryTrafficPercent) sets.
  - Finally it queries the model server, through the API server, for the model's readiness, or sends O(prediction). A
    model that its autoscaler has scaled to zero is not queried, since that would scale it up; it counts as serving.
    That is a model with C(minReplicas=0) in Knative mode, and in Standard mode with the autoscaler class C(keda) or
    C(external).
  - It fails at once if the cause cannot resolve without a change. Examples are a missing serving runtime or
    ServiceAccount, a pod that requests more than the ResourceQuota, and a pod that violates the Pod Security Standard.
  - It fails after O(grace_period) when the cause may still resolve. Examples are a crashing container, a missing
    Secret, and a ResourceQuota that other pods have used up.
  - While it waits on the control node, it reports its progress on standard error every 15 seconds, unless the task has
    C(no_log).
  - It watches the objects, resumes after a lost connection or a restart of the API server, and changes nothing. Each
    resource is listed once and watched once, whatever the number of services.
  - The credentials need C(get), C(list) and C(watch) on C(inferenceservices.serving.kserve.io), C(deployments.apps),
    C(replicasets.apps), C(pods) and C(httproutes.gateway.networking.k8s.io) in the namespace, C(get) on
    C(services/proxy) for O(model_ready_path), and for the diagnosis of a failure C(list) on C(events),
    C(clusterservingruntimes) and C(servingruntimes) and C(get) on C(pods/log). With C(get) on C(endpoints) it also
    ensures that the answer is not that of a terminating pod.
requirements:
  - python >= 3.11
  - kubernetes >= 24.2.0
  - PyYAML >= 3.11
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - hashfoundry.kserve.inference_service
  - hashfoundry.kserve.attributes
  - hashfoundry.kserve.attributes.actiongroup_kserve
attributes:
  check_mode:
    support: full
    details:
      - Does the same, because it only reads. A missing InferenceService does not fail the task in check mode. The
        result is skipped if the only InferenceService is missing, if none has the labels, or if KServe is not
        installed.
  diff_mode:
    support: none
    details:
      - Changes nothing.
  idempotent:
    support: full
options:
  name:
    description:
      - Name of one InferenceService.
      - Exactly one of O(name), O(names) and O(label_selectors) is needed.
  timeout:
    description: How many seconds to wait at most. With V(0) the state is evaluated once.
    type: int
    default: 300
  grace_period:
    description:
      - How many seconds a service may be degraded before it counts as failed.
      - Examples are a container that crashes, an image that cannot be pulled, an unschedulable pod, a model that
        failed to load, and a gateway that rejects the route. With a cluster autoscaler, allow for the time to add
        nodes.
    type: int
    default: 30
  fail_fast:
    description:
      - Whether the module fails as soon as one of several services has failed.
      - With V(false) the module ends when each of them serves or has failed.
    type: bool
    default: true
  routes:
    description:
      - Whether the Gateway must have accepted the HTTPRoutes that each service owns. Set V(false) before a task that
        corrects them.
    type: bool
    default: true
  return_pods:
    description: Whether RV(services) contains the pods of each service.
    type: bool
    default: false
seealso:
  - module: hashfoundry.kserve.inference_service_info
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

- name: Wait for all models of a team, and report each that fails
  hashfoundry.kserve.inference_service_ready:
    label_selectors:
      - team=vision
    namespace: models
    fail_fast: false

- name: Wait until the model predicts what it should
  hashfoundry.kserve.inference_service_ready:
    name: iris
    namespace: models
    prediction:
      instances:
        - [5.1, 3.5, 1.4, 0.2]
      expected: [0]
"""

RETURN = r"""
services:
  description:
    - The state of each service, in the order of O(names) or of their names.
    - With one service, its values are also at the top of the result.
  type: list
  elements: dict
  returned: always, unless the cluster cannot be read
  contains:
    name:
      description: Name of the InferenceService.
      type: str
      sample: iris
    verdict:
      description:
        - V(serving) when it serves. V(failed) when waiting does not help, V(degraded) when something is wrong that
          may still pass, and V(progressing) when more time is all it needs.
      type: str
      sample: serving
    reason:
      description: Reason code of the verdict.
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
          C(canaryTrafficPercent) in Standard mode. Each is also a warning when the services serve.
      type: list
      elements: str
    waited_seconds:
      description: Seconds of waiting until the verdict was reached.
      type: float
      sample: 12.3
    pods:
      description:
        - The pods of its current spec, as the API server has them but for C(managedFields), when all services serve
          and O(return_pods) is set. In Knative mode these are those of the latest revision.
      type: list
      elements: dict
    conditions:
      description: As RV(conditions), of each service that fails.
      type: list
      elements: dict
    events:
      description: As RV(events), of the first ten services that fail, with one of each reason among them.
      type: list
      elements: dict
    logs:
      description: As RV(logs), of the first ten services that fail, with one of each reason among them.
      type: dict
waited_seconds:
  description: How long the module waited.
  type: float
  returned: always, unless the cluster cannot be read
  sample: 12.3
url:
  description: URL in the InferenceService's status, whether or not it is routed.
  type: str
  returned: with one service, unless the cluster cannot be read
  sample: http://iris-models.example.com
address:
  description: URL inside the cluster.
  type: str
  returned: with one service, unless the cluster cannot be read
  sample: http://iris-predictor.models.svc.cluster.local
model_ready:
  description: Whether the model reported ready, or predicted the expected values; null when it was not queried.
  type: bool
  returned: with one service, unless the cluster cannot be read
  sample: true
ignored:
  description: A sentence for each field of the spec that KServe ignores in the deployment mode.
  type: list
  elements: str
  returned: with one service, unless the cluster cannot be read
generation:
  description: Generation of the InferenceService that the verdict is about.
  type: int
  returned: with one service, unless the cluster cannot be read
  sample: 2
verdict:
  description:
    - V(serving) on success. On failure V(failed) when waiting does not help, and V(progressing) or V(degraded) when
      the time was over.
  type: str
  returned: with one service, unless the cluster cannot be read
  sample: serving
reason:
  description:
    - Reason code of the verdict; when several services fail, of the first one in the message.
    - Without a verdict, a stable code for the cause of the failure, for programs; C(msg) explains it in a sentence.
  type: str
  returned: failure, or with one service
  sample: CrashLoopBackOff
message:
  description: The verdict in one sentence; on failure the cause and what to do.
  type: str
  returned: with one service, unless the cluster cannot be read
  sample: The InferenceService serves its current spec and its model is ready.
conditions:
  description: Conditions of the InferenceService, with type, status, reason and message.
  type: list
  elements: dict
  returned: failure of one service, unless the cluster cannot be read
events:
  description: The latest 20 events about the InferenceService and what belongs to it, oldest first.
  type: list
  elements: dict
  returned: failure of one service, unless the cluster cannot be read
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
    - The last 20 lines of each init container and of the model server in up to three pods that are not ready, by pod
      and container. Values that look like secrets are masked.
  type: dict
  returned: failure of one service, unless the cluster cannot be read
  sample:
    iris-predictor-5d8f9-x2k4j/storage-initializer:
      - 'botocore.exceptions.ClientError: An error occurred (403) when calling the HeadObject operation: Forbidden'
"""

from typing import Any

from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC

from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_service import status
from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_service.selection import Selection
from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_service.wait import Limits
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube import client
from ansible_collections.hashfoundry.kserve.plugins.module_utils._module.use_case import (
    Options,
    Run,
    UseCase,
    run_module,
)

LIMITS: dict[str, Any] = {
    "timeout": {"type": "int", "default": 300},
    "grace_period": {"type": "int", "default": 30},
    "fail_fast": {"type": "bool", "default": True},
}
ARGUMENT_SPEC: dict[str, Any] = {
    **AUTH_ARG_SPEC,
    **status.SELECTION,
    **status.QUESTION,
    **LIMITS,
    "routes": {"type": "bool", "default": True},
    "return_pods": {"type": "bool", "default": False},
}


def run(options: Options, run: Run) -> dict[str, Any]:
    """Wait until the services serve their current specs."""
    limits = Limits(**{key: options[key] for key in LIMITS})
    question = status.question(options)
    with client.session(options) as api:
        return status.ready(api, Selection.of(options), question, limits, run.check_mode, run.warn, run.report)


USE_CASE = UseCase(
    ARGUMENT_SPEC,
    run,
    {"mutually_exclusive": status.ONE_WAY, "required_one_of": status.ONE_WAY},
)


def main() -> None:
    """Run the module."""
    run_module(USE_CASE)


if __name__ == "__main__":
    main()
