#!/usr/bin/python
# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compare what objects ask for with what a cluster has left, before they are applied."""

from __future__ import annotations

DOCUMENTATION = r"""
module: capacity_info
short_description: Compare the resource requests of objects with quotas, limit ranges and the nodes' capacity
version_added: 0.1.0
author:
  - Hash Foundry (@hashfoundry)
description:
  - Adds up the resource requests of the pods and PVCs of objects that are not applied yet. The sum includes the
    containers that KServe and Knative add, the resources of the serving runtime, and the defaults of LimitRanges. It is
    compared with the ResourceQuotas and LimitRanges of the namespaces, and with the free capacity of the nodes.
  - Objects that exist and do not change are not counted. All pods of a changed object are counted, because they are
    created before the previous ones are deleted. Of all Jobs together, one pod is counted.
  - Pods with a node selector, an affinity or tolerations are not compared with the nodes. Nodes with taints are
    ignored. The module does not consider that a cluster autoscaler may add nodes.
  - The credentials need C(list) on the kinds in O(definitions), on C(resourcequotas) and C(limitranges), C(get) on the
    serving runtimes and on the ConfigMap C(inferenceservice-config), and C(list) on C(nodes) and on C(pods) of all
    namespaces. Resources that they cannot read are in RV(unchecked). Without C(list) on C(pods), the nodes count as
    empty.
requirements:
  - python >= 3.11
  - kubernetes >= 24.2.0
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - hashfoundry.kserve.attributes
  - hashfoundry.kserve.attributes.actiongroup_kserve
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  definitions:
    description:
      - The objects. InferenceServices, Deployments, StatefulSets, Jobs and PersistentVolumeClaims are counted.
        ResourceQuotas and LimitRanges replace those of the cluster. Objects of other kinds are ignored.
      - A field that is null counts as absent. A field of a wrong type, and a quantity that is none, are errors.
    type: list
    elements: dict
    required: true
  kserve_namespace:
    description: The namespace of KServe's controller, whose configuration has the resources of the storage initializer.
    type: str
    default: kserve
seealso:
  - module: hashfoundry.kserve.manifests
"""

EXAMPLES = r"""
- name: Compare the models with the room in the cluster
  hashfoundry.kserve.capacity_info:
    definitions: "{{ lookup('ansible.builtin.file', 'models.yml') | from_yaml_all }}"
  register: room
  failed_when: room.faults is truthy
"""

RETURN = r"""
faults:
  description: What does not fit, one clause each.
  type: list
  elements: str
  returned: success
  sample:
    - "ResourceQuota ml-models/models is too small for requests.cpu: 6 needed, 1.5 left"
msg:
  description: The first faults in one line; empty if there are none.
  type: str
  returned: success
pods:
  description: The number of pods that the objects add.
  type: int
  returned: success
  sample: 24
loads_at_once:
  description: How many of the Jobs can run at the same time, at least 1.
  type: int
  returned: success
  sample: 4
unchecked:
  description:
    - What could not be read, and so was not compared. This includes the serving runtime of an InferenceService that
      names none, because KServe chooses it later.
  type: list
  elements: str
  returned: success
  sample:
    - the pods of the cluster, which the credentials may not list
reason:
  description: A stable code for the cause of the failure, for programs; C(msg) explains it in a sentence.
  type: str
  returned: failure
  sample: APIServerUnreachable
"""

from typing import Any

from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC

from ansible_collections.hashfoundry.kserve.plugins.module_utils._capacity.check import check
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube import client
from ansible_collections.hashfoundry.kserve.plugins.module_utils._module.use_case import (
    Options,
    Run,
    UseCase,
    run_module,
)

ARGUMENT_SPEC: dict[str, Any] = {
    **AUTH_ARG_SPEC,
    "definitions": {"type": "list", "elements": "dict", "required": True},
    "kserve_namespace": {"type": "str", "default": "kserve"},
}


def run(options: Options, run: Run) -> dict[str, Any]:
    """Compare the objects with what the cluster has left."""
    with client.session(options) as api:
        return check(api, options["definitions"], options["kserve_namespace"])


USE_CASE = UseCase(ARGUMENT_SPEC, run)


def main() -> None:
    """Run the module."""
    run_module(USE_CASE)


if __name__ == "__main__":
    main()
