#!/usr/bin/python
# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write a kubeconfig with a token of a ServiceAccount that ends by itself."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_account_kubeconfig
short_description: Write a kubeconfig with a short-lived token of a ServiceAccount
version_added: 0.1.0
author:
  - Hash Foundry (@hashfoundry)
description:
  - Requests a token of a ServiceAccount from the API server (TokenRequest), and writes a kubeconfig with it. No Secret
    contains the token, and it is in no variable and no result.
  - A new token is requested when the file is missing, cannot be read, has too open a mode, is for another
    ServiceAccount or server, or when the token has fewer than O(renew_before) seconds left.
  - URL and CA of the API server are those that the module itself uses.
  - The credentials need C(get) on C(serviceaccounts) and C(create) on C(serviceaccounts/token).
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
      - Requests no token. If the ServiceAccount is missing, a new token counts as a change.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  name:
    description: Name of the ServiceAccount.
    type: str
    required: true
  namespace:
    description: Namespace of the ServiceAccount.
    type: str
    required: true
  path:
    description: The kubeconfig to write, on the host that runs the module. Its mode is 0600.
    type: path
    required: true
  duration:
    description:
      - For how many seconds a new token is valid, at least 600 and at most 4294967296. The API server may grant less,
        with a warning.
    type: int
    default: 28800
  renew_before:
    description:
      - A new token is requested if the current one expires in fewer seconds than this. If the API server granted the
        token for a shorter time than O(duration), this value is reduced in proportion.
    type: int
    default: 3600
"""

EXAMPLES = r"""
- name: Write a kubeconfig for the pipeline, valid for a working day
  hashfoundry.kserve.service_account_kubeconfig:
    namespace: hashfoundry-system
    name: deployer
    path: /home/me/.kube/deployer
    duration: 28800
"""

RETURN = r"""
path:
  description: The kubeconfig.
  type: str
  returned: success
  sample: /home/me/.kube/deployer
reason:
  description:
    - Why a token was requested; empty when the one in the file is valid.
    - On failure a stable code for the cause, for programs; C(msg) explains it in a sentence.
  type: str
  returned: always
  sample: about to expire
expires:
  description: When the token expires, in UTC; null in check mode when another is due.
  type: str
  returned: success
  sample: "2026-11-21T17:00:00Z"
seconds:
  description: For how many seconds the token was granted; null in check mode when another is due.
  type: int
  returned: success
  sample: 28800
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC

from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube import client, kubeconfig
from ansible_collections.hashfoundry.kserve.plugins.module_utils._module.use_case import (
    Options,
    Run,
    UseCase,
    run_module,
)

OPTIONS: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "required": True},
    "path": {"type": "path", "required": True},
    "duration": {"type": "int", "default": 28800},
    "renew_before": {"type": "int", "default": 3600},
}


def run(options: Options, run: Run) -> dict[str, Any]:
    """Bring the kubeconfig to a token that lasts."""
    wanted = kubeconfig.Wanted(
        options["namespace"],
        options["name"],
        Path(options["path"]),
        options["duration"],
        options["renew_before"],
    )
    with client.session(options) as api:
        at = kubeconfig.server(api.configuration)
        result = kubeconfig.reconcile(api, wanted, at, datetime.now(UTC), run.check_mode)
    for text in kubeconfig.warnings(wanted, result):
        run.warn(text)
    return result


USE_CASE = UseCase({**AUTH_ARG_SPEC, **OPTIONS}, run)


def main() -> None:
    """Run the module."""
    run_module(USE_CASE)


if __name__ == "__main__":
    main()
