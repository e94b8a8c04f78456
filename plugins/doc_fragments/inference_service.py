# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options by which modules select InferenceServices and query their models."""

from __future__ import annotations


class ModuleDocFragment:
    """Doc fragment C(inference_service)."""

    DOCUMENTATION = r"""
options:
  name:
    description: Name of one InferenceService.
    type: str
  names:
    description: Names of several InferenceServices.
    type: list
    elements: str
  label_selectors:
    description:
      - Labels of the InferenceServices, each as C(key=value) or another form of a Kubernetes label selector. A service
        must fit all of them.
    type: list
    elements: str
  namespace:
    description: Namespace of the InferenceServices.
    type: str
    required: true
  model_ready_path:
    description:
      - Path at which the model server reports whether the model is ready. C({name}) is replaced by the service's name.
      - A model server that speaks only protocol v1 has C(/v1/models/{name}).
      - An empty string disables it.
    type: str
    default: /v2/models/{name}/ready
  prediction:
    description:
      - A prediction that the model must return. It replaces O(model_ready_path) and is sent, through the API server,
        to the transformer if there is one and else to the predictor.
      - The credentials then need C(create) on C(services/proxy).
    type: dict
    suboptions:
      protocol:
        description: Inference protocol. In V(v2) the rows are sent as one C(FP64) tensor.
        type: str
        choices: [v1, v2]
        default: v1
      path:
        description:
          - Path of the prediction, with C({name}) for the service's name.
          - Defaults to the path of O(prediction.protocol), which is C(/v1/models/{name}:predict) for V(v1).
        type: str
      instances:
        description:
          - Rows to predict, in V(v2) lists of numbers.
          - Exactly one of O(prediction.instances) and O(prediction.body) is needed.
        type: list
        elements: raw
      body:
        description: The body of the request, for a server with another protocol. An answer with status 200 is correct.
        type: dict
      expected:
        description: The class or value that the model must predict for each row. Numbers are compared as numbers.
        type: list
        elements: raw
  model_digests:
    description:
      - The digest that a model server must report, by the name of the service, as C(digest) in C(properties) of
        C(/v2/models/<name>).
      - A server that reports none is accepted, as are services that are not listed here.
    type: dict
    default: {}
notes:
  - The status of an InferenceService does not contain the generation that it describes. The module therefore compares
    the fields of each component with the pod template, the number of replicas and the timeout of the route.
  - Some fields are passed on to none of these. They are the targets of autoscalers, C(protocolVersion), C(maxReplicas)
    above the number of replicas, and in Knative mode ports and readiness and liveness probes. After a change of only
    such fields the previous state is reported until the controller has observed the change, usually within a second.
  - The removal of a field from the spec cannot be detected either. To detect it, set an annotation in
    C(spec.predictor.annotations) that changes with the spec, such as a digest of it.
    P(hashfoundry.kserve.model_serving#role) sets one.
"""
