#!/usr/bin/python
# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write the objects of API groups to files."""

from __future__ import annotations

DOCUMENTATION = r"""
module: custom_resources_backup
short_description: Back up all custom resources of API groups to files that can be applied again
version_added: 0.1.0
author:
  - Hash Foundry (@hashfoundry)
description:
  - Lists every object of the API groups that the cluster serves, in all namespaces, and writes a file for each
    resource that has objects. Secrets are not included, since they belong to none of these groups.
  - C(restore/) in the folder contains what users created, without status and other fields that the API server sets.
    Pass that folder to M(hashfoundry.kserve.manifests) as its O(hashfoundry.kserve.manifests#module:src). C(owned/)
    contains the objects that controllers created and re-create by themselves. C(applied.yaml) contains the objects of
    C(restore/) in the parts that each field manager had applied, for the role
    P(hashfoundry.kserve.platform_upgrade#role). C(index.json) is written last and lists everything.
  - The files have mode 0600, since specs can contain confidential values.
  - CRDs are not included; the roles that install the platform apply them.
  - The credentials need C(list) on all resources of the groups, and C(get) on the namespace kube-system, whose UID
    identifies the cluster.
requirements:
  - python >= 3.11
  - kubernetes >= 24.2.0
  - PyYAML >= 3.11
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - hashfoundry.kserve.api_groups
  - hashfoundry.kserve.attributes
  - hashfoundry.kserve.attributes.actiongroup_kserve
attributes:
  check_mode:
    support: full
    details:
      - Reads everything and writes nothing.
  diff_mode:
    support: none
    details:
      - The files may contain confidential values.
  idempotent:
    support: full
    details:
      - Nothing is written if the objects have not changed, other than in fields that the API server sets.
options:
  folder:
    description:
      - Folder for the files, on the host that runs the module. It is created if it is missing.
      - An earlier backup in it is replaced.
    type: path
    required: true
seealso:
  - module: hashfoundry.kserve.custom_resources_info
  - module: hashfoundry.kserve.manifests
"""

EXAMPLES = r"""
- name: Back up the custom resources of KServe and Knative
  hashfoundry.kserve.custom_resources_backup:
    groups: [serving.kserve.io, knative.dev]
    folder: /var/backups/models

- name: Restore them
  hashfoundry.kserve.manifests:
    src: [/var/backups/models/restore]
    force_conflicts: true
"""

RETURN = r"""
folder:
  description: The folder.
  type: str
  returned: success
  sample: /var/backups/models
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
reason:
  description: A stable code for the cause of the failure, for programs; C(msg) explains it in a sentence.
  type: str
  returned: failure
  sample: Forbidden
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
    "folder": {"type": "path", "required": True},
}


def run(options: Options, run: Run) -> dict[str, Any]:
    """Write the custom resources of the groups into the folder."""
    with client.session(options) as api:
        return custom_resources.backup(api, options["groups"], Path(options["folder"]), check_mode=run.check_mode)


USE_CASE = UseCase(ARGUMENT_SPEC, run)


def main() -> None:
    """Run the module."""
    run_module(USE_CASE)


if __name__ == "__main__":
    main()
