#!/usr/bin/python
# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Put a version of a model into an S3-compatible object store."""

from __future__ import annotations

DOCUMENTATION = r"""
module: spaces_upload
short_description: Put a version of a model into an S3-compatible object store
version_added: 0.1.0
author:
  - Hash Foundry (@hashfoundry)
description:
  - Makes C(s3://bucket/name/version/) hold what a local folder holds, in DigitalOcean Spaces, Amazon S3 or any
    store that speaks the same protocol, so that an InferenceService can take it as its C(storageUri).
  - Sends only files that differ. A file is the same when its size and ETag are, or its size and the sha256 that
    this module stores with every object as the metadata entry C(sha256). A re-run over an unchanged folder costs
    one request for each thousand objects.
  - A file C(metadata.json) in the folder is sent after all others have been sent and checked. When other files
    of a stored version change, its C(metadata.json) is taken away first. So a version that has it is whole.
  - Files of 64 MiB and more are sent in parts of that size, several at once.
requirements:
  - boto3 >= 1.36.0
extends_documentation_fragment:
  - hashfoundry.kserve.attributes
  - hashfoundry.kserve.attributes.actiongroup_kserve
attributes:
  check_mode:
    support: full
    details:
      - When the bucket does not exist yet, check mode warns and goes on as if it were empty.
  diff_mode:
    support: full
    details:
      - Shows key, size and ETag of each object of the version.
  idempotent:
    support: full
options:
  source:
    description:
      - Folder on the machine that runs the module. All its files are sent, with folders below it as part of the key.
      - Symbolic links that lead out of the folder, and links to folders, are refused.
    type: path
    required: true
  bucket:
    description: Bucket to write to. It must exist, unless O(create_bucket).
    type: str
    required: true
  create_bucket:
    description: Whether the bucket is made where it is not there, in O(region). Many teams' keys may not.
    type: bool
    default: false
  name:
    description: Name of the model, the first part of the key.
    type: str
    required: true
  version:
    description: Version of the model, the second part of the key.
    type: str
    required: true
  endpoint_url:
    description:
      - URL of the store, for example V(https://fra1.digitaloceanspaces.com).
      - Without it the module talks to Amazon S3.
      - E(AWS_ENDPOINT_URL_S3) and E(AWS_ENDPOINT_URL) are used when it is not set.
    type: str
  region:
    description:
      - Region that requests are signed for.
      - E(AWS_REGION) and E(AWS_DEFAULT_REGION) are used when it is not set.
    type: str
  access_key:
    description: Access key. E(AWS_ACCESS_KEY_ID) is used when it is not set.
    type: str
  secret_key:
    description: Secret key. E(AWS_SECRET_ACCESS_KEY) is used when it is not set.
    type: str
  session_token:
    description: Token of temporary credentials. E(AWS_SESSION_TOKEN) is used when it is not set.
    type: str
  profile:
    description:
      - Profile of the AWS configuration files. O(access_key) and O(secret_key) win over its keys.
      - E(AWS_PROFILE) is used when it is not set.
    type: str
  validate_certs:
    description: Whether the certificate of the store must be valid.
    type: bool
    default: true
  ca_bundle:
    description:
      - PEM file with the authorities that may sign the store's certificate.
      - E(AWS_CA_BUNDLE) is used when it is not set.
    type: path
  addressing_style:
    description:
      - Where a request names the bucket, in the path of the URL or in its host name.
      - Many stores of one's own know V(path) only.
    type: str
    choices: [auto, path, virtual]
    default: auto
  purge:
    description: Whether objects of this version that the folder lacks are removed.
    type: bool
    default: false
seealso:
  - module: hashfoundry.kserve.inference_service_ready
"""

EXAMPLES = r"""
- name: Publish a version of the model to DigitalOcean Spaces
  hashfoundry.kserve.spaces_upload:
    source: /srv/models/iris/1.0.0
    bucket: models
    name: iris
    version: 1.0.0
    endpoint_url: https://fra1.digitaloceanspaces.com
    region: fra1
    access_key: "{{ vault_spaces_access_key }}"
    secret_key: "{{ vault_spaces_secret_key }}"
  register: published

- name: Make a version in a store of one's own exactly what the folder is
  hashfoundry.kserve.spaces_upload:
    source: /srv/models/iris/1.0.0
    bucket: models
    name: iris
    version: 1.0.0
    endpoint_url: https://store.example.com:7070
    ca_bundle: /etc/ssl/store-ca.pem
    addressing_style: path
    purge: true
"""

RETURN = r"""
uri:
  description: Where the version is, for an InferenceService's C(storageUri).
  type: str
  returned: success
  sample: s3://models/iris/1.0.0/
uploaded:
  description: Files that were sent, or in check mode would be, relative to the version.
  type: list
  elements: str
  returned: success
  sample: [metadata.json, model.joblib]
removed:
  description: Objects that were removed, or in check mode would be, relative to the version.
  type: list
  elements: str
  returned: success
  sample: []
unchanged:
  description: Files that the store already held, relative to the version.
  type: list
  elements: str
  returned: success
  sample: []
bytes_sent:
  description: Size of the files in RV(uploaded), in bytes.
  type: int
  returned: success
  sample: 5120
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule, env_fallback, missing_required_lib

from ansible_collections.hashfoundry.kserve.plugins.module_utils import _s3
from ansible_collections.hashfoundry.kserve.plugins.module_utils._errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_folder import scan
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_version import Target, publish

ARGUMENT_SPEC: dict[str, Any] = {
    "source": {"type": "path", "required": True},
    "bucket": {"type": "str", "required": True},
    "create_bucket": {"type": "bool", "default": False},
    "name": {"type": "str", "required": True},
    "version": {"type": "str", "required": True},
    "endpoint_url": {"type": "str", "fallback": (env_fallback, ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"])},
    "region": {"type": "str", "fallback": (env_fallback, ["AWS_REGION", "AWS_DEFAULT_REGION"])},
    "access_key": {"type": "str", "no_log": True, "fallback": (env_fallback, ["AWS_ACCESS_KEY_ID"])},
    "secret_key": {"type": "str", "no_log": True, "fallback": (env_fallback, ["AWS_SECRET_ACCESS_KEY"])},
    "session_token": {"type": "str", "no_log": True, "fallback": (env_fallback, ["AWS_SESSION_TOKEN"])},
    "profile": {"type": "str", "fallback": (env_fallback, ["AWS_PROFILE"])},
    "validate_certs": {"type": "bool", "default": True},
    "ca_bundle": {"type": "path", "fallback": (env_fallback, ["AWS_CA_BUNDLE"])},
    "addressing_style": {"type": "str", "choices": ["auto", "path", "virtual"], "default": "auto"},
    "purge": {"type": "bool", "default": False},
}
TARGET = ("bucket", "name", "version")
HOW = ("purge", "create_bucket")
NOT_FOR_THE_STORE = ("source", "name", "version", *HOW)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=ARGUMENT_SPEC,
        required_together=[("access_key", "secret_key")],
        supports_check_mode=True,
    )
    if _s3.BOTO3_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("boto3"), exception=_s3.BOTO3_IMPORT_ERROR)
    params = module.params
    try:
        target = Target(**{key: params[key] for key in TARGET})
        files = scan(Path(params["source"]))
        options = _s3.S3Options(**{key: params[key] for key in ARGUMENT_SPEC if key not in NOT_FOR_THE_STORE})
        how = {key: params[key] for key in HOW}
        published = publish(_s3.connect(options), target, files, check_mode=module.check_mode, **how)
    except KServeError as error:
        module.fail_json(msg=str(error), **error.result)
    if published.warning:
        module.warn(published.warning)
    module.exit_json(**published.result(target))


if __name__ == "__main__":
    main()
