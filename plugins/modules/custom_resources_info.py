#!/usr/bin/python
# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Count the objects of API groups, and compare them with a backup."""

from __future__ import annotations

DOCUMENTATION = r"""
module: custom_resources_info
short_description: Count the custom resources of API groups, and list those of a backup that are missing
version_added: 0.1.0
author:
  - Hash Foundry (@hashfoundry)
description:
  - Lists every object of the API groups that the cluster serves, in all namespaces. Secrets are not included, since
    they belong to none of these groups.
  - With O(since) it lists what a backup of M(hashfoundry.kserve.custom_resources_backup) contains and the cluster does
    not. What a controller created for another object is counted, but never reported as missing.
  - A backup of another cluster is rejected.
  - The credentials need C(list) on all resources of the groups, and with O(since) C(get) on the namespace kube-system,
    whose UID identifies the cluster.
requirements:
  - python >= 3.11
  - kubernetes >= 24.2.0
  - PyYAML >= 3.11
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - hashfoundry.kserve.api_groups
  - hashfoundry.kserve.attributes
  - hashfoundry.kserve.attributes.info_module
  - hashfoundry.kserve.attributes.actiongroup_kserve
options:
  since:
    description: Folder of a backup, on the host that runs the module, to compare with.
    type: path
seealso:
  - module: hashfoundry.kserve.custom_resources_backup
"""

EXAMPLES = r"""
- name: Count the custom resources of KServe and Knative
  hashfoundry.kserve.custom_resources_info:
    groups: [serving.kserve.io, knative.dev]
  register: held

- name: Assert that nothing is missing since the backup
  hashfoundry.kserve.custom_resources_info:
    groups: [serving.kserve.io, knative.dev]
    since: /var/backups/models
  register: held
  failed_when: held.lost | length > 0
"""

RETURN = r"""
counts:
  description: The number of objects by resource, including those that controllers created; V(0) for an empty one.
  type: dict
  returned: success
  sample: {inferenceservices.serving.kserve.io: 3, servingruntimes.serving.kserve.io: 0}
objects:
  description: By resource the objects that users created, as C(namespace/name), or C(name) for cluster-scoped ones.
  type: dict
  returned: success
  sample: {inferenceservices.serving.kserve.io: [models/iris]}
counts_before:
  description: What RV(counts) was in the backup.
  type: dict
  returned: with O(since)
  sample: {inferenceservices.serving.kserve.io: 3}
lost:
  description: What the backup contains and the cluster does not.
  type: list
  elements: dict
  returned: with O(since)
  contains:
    resource:
      description: The resource.
      type: str
      sample: inferenceservices.serving.kserve.io
    name:
      description: The object as in RV(objects); null if the cluster no longer serves the resource.
      type: str
      sample: models/iris
    what:
      description:
        - V(kind) if the resource is not served, V(object) if the object is missing, and V(replaced) if the object was
          deleted and re-created.
      type: str
      sample: object
reason:
  description: A stable code for the cause of the failure, for programs; C(msg) explains it in a sentence.
  type: str
  returned: failure
  sample: BackupIncomplete
"""

from pathlib import Path
from typing import Any

from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC

from ansible_collections.hashfoundry.kserve.plugins.module_utils._backup import custom_resources
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube import client
from ansible_collections.hashfoundry.kserve.plugins.module_utils._module.use_case import (
    Options,
    Run,
    UseCase,
    run_module,
)

ARGUMENT_SPEC: dict[str, Any] = {
    **AUTH_ARG_SPEC,
    "groups": {"type": "list", "elements": "str", "required": True},
    "since": {"type": "path"},
}


def run(options: Options, run: Run) -> dict[str, Any]:
    """Count the custom resources of the groups."""
    since = options["since"]
    with client.session(options) as api:
        return custom_resources.info(api, options["groups"], Path(since) if since else None)


USE_CASE = UseCase(ARGUMENT_SPEC, run)


def main() -> None:
    """Run the module."""
    run_module(USE_CASE)


if __name__ == "__main__":
    main()
