#!/usr/bin/python
# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write all that users created in a namespace to a file."""

from __future__ import annotations

DOCUMENTATION = r"""
module: namespace_backup
short_description: Back up the objects of a namespace to a file that can be applied again
version_added: 0.1.0
author:
  - Hash Foundry (@hashfoundry)
description:
  - Writes a namespace and all objects in it to one YAML file, without status and other fields that the API server
    sets. To restore it, pass that file to M(hashfoundry.kserve.manifests) as its
    O(hashfoundry.kserve.manifests#module:src).
  - Objects that a controller has created for another one are left out, since it re-creates them. Pods, Jobs, events
    and the objects that Kubernetes creates in each namespace are left out, too. The name of a PVC's volume and the
    cluster IP of a Service are not written.
  - Secrets are never written. RV(secrets) lists those that must be provided for a restore.
  - An aggregated API that is not available is skipped with a warning if no objects can be created in a namespace by it,
    as by that of a metrics server. Otherwise the module fails and writes nothing.
  - The credentials need C(get) on the namespace and C(list) on all resources in it. Of Secrets only the names of their
    keys are used.
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
      - Reads everything and writes nothing.
  diff_mode:
    support: none
    details:
      - The file may contain confidential values.
  idempotent:
    support: full
options:
  namespace:
    description: The namespace.
    type: str
    required: true
  path:
    description:
      - The file, on the host that runs the module. Its folder must exist. Its mode is 0600.
    type: path
    required: true
  applied_path:
    description:
      - A second file for the same objects by field manager, so that a restore can apply what each role of the
        collection had applied as that role. Each of its YAML documents is a dictionary with C(field_manager),
        C(objects), and C(adds), which is true if the objects contain only fields to add to objects of earlier
        documents. Objects that no role had applied have the field manager C(hashfoundry.kserve.model_backup).
    type: path
seealso:
  - module: hashfoundry.kserve.manifests
  - module: hashfoundry.kserve.custom_resources_backup
"""

EXAMPLES = r"""
- name: Back up the model namespace
  hashfoundry.kserve.namespace_backup:
    namespace: ml-models
    path: /var/backups/ml-models.yml

- name: Restore them
  hashfoundry.kserve.manifests:
    src: [/var/backups/ml-models.yml]
"""

RETURN = r"""
path:
  description: The file.
  type: str
  returned: success
  sample: /var/backups/ml-models.yml
sha256:
  description: The sha256 of its content, in hexadecimal.
  type: str
  returned: success
  sample: 0f343b0931126a20f133d67c2b018a3b4c7f5a9e2b61d7f3e1d5d6f4a8e5b9c1
applied_sha256:
  description: The sha256 of the content of O(applied_path), in hexadecimal.
  type: str
  returned: success, with O(applied_path)
  sample: 5d0c1b0931126a20f133d67c2b018a3b4c7f5a9e2b61d7f3e1d5d6f4a8e5b9c1
counts:
  description: The number of objects by kind.
  type: dict
  returned: success
  sample: {InferenceService: 2, Namespace: 1, ServiceAccount: 1}
secrets:
  description: The Secrets that are not in the file, each by C(name) with the names of its C(keys).
  type: list
  elements: dict
  returned: success
  sample:
    - name: model-reader
      keys: [AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY]
reason:
  description: A stable code for the cause of the failure, for programs; C(msg) explains it in a sentence.
  type: str
  returned: failure
  sample: NamespaceNotFound
"""

from pathlib import Path
from typing import Any

from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC

from ansible_collections.hashfoundry.kserve.plugins.module_utils._backup import namespace
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube import apply_client
from ansible_collections.hashfoundry.kserve.plugins.module_utils._module.use_case import (
    Options,
    Run,
    UseCase,
    run_module,
)

ARGUMENT_SPEC: dict[str, Any] = {
    **AUTH_ARG_SPEC,
    "namespace": {"type": "str", "required": True},
    "path": {"type": "path", "required": True},
    "applied_path": {"type": "path"},
}


def run(options: Options, run: Run) -> dict[str, Any]:
    """Write the namespace's objects into the file."""
    with apply_client.session(options) as api:
        path, applied = Path(options["path"]), Path(options["applied_path"]) if options["applied_path"] else None
        return namespace.backup(api, options["namespace"], path, applied, check_mode=run.check_mode, warn=run.warn)


USE_CASE = UseCase(ARGUMENT_SPEC, run)


def main() -> None:
    """Run the module."""
    run_module(USE_CASE)


if __name__ == "__main__":
    main()
