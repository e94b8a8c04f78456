#!/usr/bin/python
# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fetch a version of a model from an S3-compatible object store."""

from __future__ import annotations

DOCUMENTATION = r"""
module: spaces_download
short_description: Download a version of a model from S3-compatible object storage
version_added: 0.1.0
author:
  - Hash Foundry (@hashfoundry)
description:
  - Downloads C(s3://bucket/name/version/), which M(hashfoundry.kserve.spaces_upload) has uploaded, to a local folder,
    from DigitalOcean Spaces, Amazon S3 or any S3-compatible object storage.
  - Only a version with a C(manifest.json) is complete and can be downloaded. The size and SHA-256 of every file are
    verified.
  - Files are downloaded O(connections) at once, large ones in ranges of 16 MiB, into the folder C(.NAME.download)
    beside O(dest), which replaces O(dest) when it is complete. An interrupted run leaves O(dest) as it was, and the
    next one downloads only the missing files.
  - A re-run with nothing new costs one request. The folder is read and compared with the manifest.
  - Many models are pickles, such as C(model.joblib), and a pickle is code. O(digest) ensures that the downloaded
    version is the one that was reviewed.
extends_documentation_fragment:
  - hashfoundry.kserve.attributes
  - hashfoundry.kserve.attributes.actiongroup_kserve
  - hashfoundry.kserve.s3
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Shows path, size and sha256 of each file. A file that has another size is not read.
  idempotent:
    support: full
options:
  dest:
    description:
      - Folder on the machine that runs the module. The folder that it is in must exist.
      - Afterwards it contains the version and its C(manifest.json), and nothing else. A folder that has files and no
        C(manifest.json) is rejected.
    type: path
    required: true
  name:
    description: Name of the model, the first part of the key.
    type: str
    required: true
  version:
    description: Version of the model, the second part of the key.
    type: str
    required: true
  digest:
    description:
      - Digest that the version must have, V(sha256:) and 64 hexadecimal digits, as M(hashfoundry.kserve.spaces_upload)
        returns it.
    type: str
seealso:
  - module: hashfoundry.kserve.spaces_upload
  - module: hashfoundry.kserve.spaces_info
"""

EXAMPLES = r"""
- name: Download the version that was published before
  hashfoundry.kserve.spaces_download:
    dest: /srv/models/iris-1.0.0
    bucket: models
    name: iris
    version: 1.0.0
    digest: "{{ published.digest }}"
    endpoint_url: https://fra1.digitaloceanspaces.com
    region: fra1
    access_key: "{{ vault_spaces_access_key }}"
    secret_key: "{{ vault_spaces_secret_key }}"
"""

RETURN = r"""
dest:
  description: Folder with the version.
  type: str
  returned: success
  sample: /srv/models/iris-1.0.0
uri:
  description: URI of the version in the bucket.
  type: str
  returned: success
  sample: s3://models/iris/1.0.0/
digest:
  description: The version's digest, which is the SHA-256 of its C(manifest.json).
  type: str
  returned: success
  sample: sha256:0f343b0931126a20f133d67c2b018a3b4c7f5a9e2b61d7f3e1d5d6f4a8e5b9c1
downloaded:
  description: Files that were downloaded, or in check mode would be, relative to the folder.
  type: list
  elements: str
  returned: success
  sample: [manifest.json, metadata.json, model.joblib]
removed:
  description: Files that were removed, or in check mode would be, relative to the folder.
  type: list
  elements: str
  returned: success
  sample: []
unchanged:
  description: Files that the folder already contained, relative to the folder.
  type: list
  elements: str
  returned: success
  sample: []
bytes_received:
  description: Size of the files in RV(downloaded), in bytes.
  type: int
  returned: success
  sample: 5314
requests:
  description: Number of requests to the object storage, including retries.
  type: int
  returned: success
  sample: 3
reason:
  description: A stable code for the cause of the failure, for programs; C(msg) explains it in a sentence.
  type: str
  returned: failure
  sample: DigestMismatch
"""

from pathlib import Path
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.libraries import require
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.download import fetch
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.location import Target
from ansible_collections.hashfoundry.kserve.plugins.module_utils._module.use_case import (
    Options,
    Run,
    UseCase,
    run_module,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._object_store import s3, s3_client
from ansible_collections.hashfoundry.kserve.plugins.module_utils._object_store.arguments import (
    REQUIRED_TOGETHER,
    S3_ARGUMENTS,
    s3_options,
)

ARGUMENT_SPEC: dict[str, Any] = {
    **S3_ARGUMENTS,
    "dest": {"type": "path", "required": True},
    "name": {"type": "str", "required": True},
    "version": {"type": "str", "required": True},
    "digest": {"type": "str"},
}
HOW = ("digest", "connections")


def run(options: Options, run: Run) -> dict[str, Any]:
    """Bring the folder to the version in the bucket."""
    require("boto3", s3_client.BOTO3_IMPORT_ERROR)
    target = Target(options["bucket"], options["name"], options["version"])
    how = {key: options[key] for key in HOW}
    with s3.session(s3_options(options)) as store:
        return fetch(store, target, Path(options["dest"]), check_mode=run.check_mode, **how).result()


USE_CASE = UseCase(ARGUMENT_SPEC, run, {"required_together": REQUIRED_TOGETHER})


def main() -> None:
    """Run the module."""
    run_module(USE_CASE)


if __name__ == "__main__":
    main()
