#!/usr/bin/python
# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keep a certificate authority in a Secret and issue TLS Secrets from it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: certificate_secrets
short_description: Manage a certificate authority in a Secret and issue TLS Secrets from it
version_added: 0.1.0
author:
  - Hash Foundry (@hashfoundry)
description:
  - Issues the certificates of a cluster without cert-manager, such as those of a gateway and of webhooks.
  - The certificate authority (CA) and every certificate is a Secret of type C(kubernetes.io/tls) with C(tls.crt),
    C(tls.key) and C(ca.crt). Private keys are created by this module and sent to the API server. No key is part of a
    variable, of an argument or of the result.
  - A certificate is renewed when its Secret is missing or cannot be read, when key and certificate do not match, when
    the CA has not signed it, when it is for other DNS names, and when it has fewer than O(renew_days) days left. A new
    CA renews every certificate.
  - A CA that is about to expire is renewed with the same name and key. Until the previous CA certificate expires,
    clients that trust it accept certificates that were issued after the renewal, and clients that trust the renewed one
    accept earlier certificates. The clients can therefore be updated within O(renew_days) days.
  - To replace the key of the CA, delete its Secret. Every client then needs the new CA certificate at once.
  - Only Secrets with the label C(app.kubernetes.io/managed-by=hashfoundry.kserve) are overwritten. If a Secret of the
    same name does not have it, the module fails before it writes anything.
  - Keys are ECDSA on the curve P-256. No certificate expires later than the CA.
  - Secrets are written with server-side apply, as the field manager C(hashfoundry.kserve.certificates). A missing
    namespace is created.
  - The credentials need C(get), C(create) and C(patch) on C(secrets) in the namespaces, and C(create) and C(patch) on
    C(namespaces) for those that are missing.
notes:
  - Whoever can read the CA's Secret can issue certificates that its clients trust. Restrict access to Secrets in its
    namespace.
  - If several runs create the CA at the same time, one creates it and the others use it. If several runs renew a
    certificate at the same time, one succeeds and the others fail with the reason C(SecretConflict).
requirements:
  - python >= 3.11
  - cryptography >= 42.0.0
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
      - Creates no key. Certificates that would be issued have no expiry and no fingerprint in the result.
  diff_mode:
    support: full
    details:
      - Shows subject, DNS names, expiry and fingerprint of each certificate, and no key.
  idempotent:
    support: full
options:
  ca:
    description: The certificate authority.
    type: dict
    suboptions:
      namespace:
        description: Namespace of the CA's Secret.
        type: str
        default: hashfoundry-system
      secret:
        description: Name of the CA's Secret.
        type: str
        default: hashfoundry-ca
      common_name:
        description: Common name of the CA. If it differs from that of the existing CA, a new CA is created.
        type: str
        default: Hash Foundry local CA
      days:
        description: How many days a new CA is valid.
        type: int
        default: 3650
  certificates:
    description: The certificates of servers. One that is removed from this list remains in the cluster.
    type: list
    elements: dict
    default: []
    suboptions:
      namespace:
        description: Namespace of the Secret.
        type: str
        required: true
      secret:
        description: Name of the Secret.
        type: str
        required: true
      dns_names:
        description:
          - The DNS names that the certificate is for. The first label of a name may be V(*).
          - The first name is the common name, too.
        type: list
        elements: str
        required: true
      days:
        description: How many days a new certificate is valid. It must be more than O(renew_days).
        type: int
        default: 397
  renew_days:
    description: Certificates, including the CA's, that expire in fewer days are renewed.
    type: int
    default: 30
  ca_file:
    description:
      - Path of the CA's certificate for clients, on the host that runs the module. The file is world-readable, and its
        folder is created. It is not written if the CA does not exist.
    type: path
seealso:
  - module: community.crypto.x509_certificate_info
"""

EXAMPLES = r"""
- name: Issue the certificates of the gateway and of KServe's webhooks
  hashfoundry.kserve.certificate_secrets:
    certificates:
      - namespace: gateway
        secret: models-tls
        dns_names:
          - "*.models.example.com"
      - namespace: kserve
        secret: kserve-webhook-server-cert
        dns_names:
          - kserve-webhook-server-service.kserve.svc
    ca_file: /usr/local/share/ca-certificates/models.crt
"""

RETURN = r"""
ca_certificate:
  description:
    - Certificate of the CA, in PEM. In check mode that of the existing CA, and empty when there is none.
  type: str
  returned: success
ca_action:
  description: V(issued) when the CA is new, or in check mode would be, otherwise V(unchanged).
  type: str
  returned: success
  sample: unchanged
ca_reason:
  description: Why the CA was issued, empty when it was not.
  type: str
  returned: success
  sample: absent
certificates:
  description: The certificates, in the order of O(certificates).
  type: list
  elements: dict
  returned: success
  contains:
    namespace:
      description: Namespace of the Secret.
      type: str
    secret:
      description: Name of the Secret.
      type: str
    dns_names:
      description: The DNS names that the certificate is for, in lower case.
      type: list
      elements: str
    not_after:
      description: When the certificate expires, in UTC; null when it would be issued in check mode.
      type: str
      sample: '2027-12-31T23:59:59Z'
    fingerprint_sha256:
      description: SHA-256 of the certificate; null when it would be issued in check mode.
      type: str
      sample: 0d:8e:50:6f:d1:d5:e1:1b:fb:3a:5d:5f:28:37:9c:2a:6c:33:0c:5e:09:ac:dd:0e:b2:d4:9d:2b:0e:4d:40:f3
    action:
      description: V(issued), also for what check mode would issue, or V(unchanged).
      type: str
    reason:
      description: Why the certificate was issued, empty when it was not.
      type: str
      sample: expires soon
reason:
  description: A stable code for the cause of the failure, for programs; C(msg) explains it in a sentence.
  type: str
  returned: failure
  sample: SecretNotManaged
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC

from ansible_collections.hashfoundry.kserve.plugins.module_utils._certificates import pki, secrets
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.libraries import require
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube import apply_client
from ansible_collections.hashfoundry.kserve.plugins.module_utils._module.use_case import (
    Options,
    Run,
    UseCase,
    run_module,
)

CA: dict[str, Any] = {
    "namespace": {"type": "str", "default": "hashfoundry-system"},
    # The name of a Secret is not secret.
    "secret": {"type": "str", "default": "hashfoundry-ca", "no_log": False},
    "common_name": {"type": "str", "default": "Hash Foundry local CA"},
    "days": {"type": "int", "default": 3650},
}
CERTIFICATE: dict[str, Any] = {
    "namespace": {"type": "str", "required": True},
    "secret": {"type": "str", "required": True, "no_log": False},
    "dns_names": {"type": "list", "elements": "str", "required": True},
    "days": {"type": "int", "default": 397},
}
OWN_OPTIONS: dict[str, Any] = {
    "ca": {"type": "dict", "options": CA, "apply_defaults": True},
    "certificates": {"type": "list", "elements": "dict", "options": CERTIFICATE, "default": []},
    "renew_days": {"type": "int", "default": 30},
}
CA_FILE: dict[str, Any] = {"ca_file": {"type": "path"}}


def run(options: Options, run: Run) -> dict[str, Any]:
    """Bring the CA and the TLS Secrets to what the options want."""
    require("cryptography >= 42.0.0", pki.CRYPTOGRAPHY_IMPORT_ERROR)
    request = secrets.request(**{key: options[key] for key in OWN_OPTIONS})
    with apply_client.session(options) as api:
        result = secrets.reconcile(api, request, datetime.now(UTC), run.check_mode)
    path, certificate = options["ca_file"], result["ca_certificate"]
    if path and certificate:
        result["changed"] |= secrets.write_ca_certificate(Path(path), certificate, run.check_mode)
    return result


USE_CASE = UseCase({**AUTH_ARG_SPEC, **OWN_OPTIONS, **CA_FILE}, run)


def main() -> None:
    """Run the module."""
    run_module(USE_CASE)


if __name__ == "__main__":
    main()
