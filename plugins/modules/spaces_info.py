#!/usr/bin/python
# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tell which models and versions an S3-compatible object store holds."""

from __future__ import annotations

DOCUMENTATION = r"""
module: spaces_info
short_description: List the models and versions in S3-compatible object storage
version_added: 0.1.0
author:
  - Hash Foundry (@hashfoundry)
description:
  - Lists the versions below C(s3://bucket/name/version/), which M(hashfoundry.kserve.spaces_upload) has uploaded, each
    with its digest and files, and whether it is complete.
  - Sends one request for the names of the models, one for each model and one for each version. With O(name) the first
    request is omitted. With O(name) and O(version), and for each entry of O(models), it sends one request, or two if
    the version is incomplete.
extends_documentation_fragment:
  - hashfoundry.kserve.attributes
  - hashfoundry.kserve.attributes.info_module
  - hashfoundry.kserve.attributes.actiongroup_kserve
  - hashfoundry.kserve.s3
options:
  name:
    description: Only versions of this model.
    type: str
  version:
    description: Only versions with this name.
    type: str
  models:
    description:
      - Only these versions of these models, instead of O(name) and O(version).
    type: list
    elements: dict
    suboptions:
      name:
        description: As O(name).
        type: str
        required: true
      version:
        description: As O(version).
        type: str
        required: true
seealso:
  - module: hashfoundry.kserve.spaces_upload
  - module: hashfoundry.kserve.spaces_download
"""

EXAMPLES = r"""
- name: List the versions of a model
  hashfoundry.kserve.spaces_info:
    bucket: models
    name: iris
    endpoint_url: https://fra1.digitaloceanspaces.com
    region: fra1
    access_key: "{{ vault_spaces_access_key }}"
    secret_key: "{{ vault_spaces_secret_key }}"
  register: stored

- name: Report the complete ones
  ansible.builtin.debug:
    msg: "{{ stored.versions | selectattr('complete') | map(attribute='version') }}"
"""

RETURN = r"""
versions:
  description:
    - The versions in the order of their names and versions, compared as strings; with O(models) in the order of that
      list.
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: Name of the model.
      type: str
      sample: iris
    version:
      description: Version of the model.
      type: str
      sample: 1.0.0
    uri:
      description: URI of the version, for an InferenceService's C(storageUri).
      type: str
      sample: s3://models/iris/1.0.0/
    complete:
      description: Whether the version has a manifest. Without one the next three say nothing.
      type: bool
      sample: true
    digest:
      description: The version's digest, which is the SHA-256 of its C(manifest.json).
      type: str
      sample: sha256:0f343b0931126a20f133d67c2b018a3b4c7f5a9e2b61d7f3e1d5d6f4a8e5b9c1
    size:
      description: Size of all files together, in bytes.
      type: int
      sample: 5120
    files:
      description: The files by C(name), relative to the version, with C(size) in bytes and C(sha256).
      type: list
      elements: dict
      sample:
        - name: model.joblib
          size: 5120
          sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
requests:
  description: Number of requests to the object storage, including retries.
  type: int
  returned: success
  sample: 3
reason:
  description: A stable code for the cause of the failure, for programs; C(msg) explains it in a sentence.
  type: str
  returned: failure
  sample: BucketNotFound
"""

from itertools import chain
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.libraries import require
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.parallel import concurrently
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.inventory import versions
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
    "name": {"type": "str"},
    "version": {"type": "str"},
    "models": {
        "type": "list",
        "elements": "dict",
        "options": {"name": {"type": "str", "required": True}, "version": {"type": "str", "required": True}},
    },
}
WHICH = ("name", "version")


def run(options: Options, run: Run) -> dict[str, Any]:
    """List the models and versions in the bucket."""
    require("boto3", s3_client.BOTO3_IMPORT_ERROR)
    with s3.session(s3_options(options)) as store:

        def of(which: Options) -> list[dict[str, Any]]:
            named = {key: which[key] for key in WHICH}
            return versions(store, options["bucket"], **named, connections=options["connections"])

        # An empty list has no versions.
        which = options["models"]
        listed = [of(options)] if which is None else concurrently(of, which, options["connections"])
        return {"changed": False, "versions": list(chain.from_iterable(listed)), "requests": store.requests}


USE_CASE = UseCase(
    ARGUMENT_SPEC,
    run,
    {
        "required_together": REQUIRED_TOGETHER,
        "mutually_exclusive": [("models", "name"), ("models", "version")],
    },
    preload=s3_client.preload,
)


def main() -> None:
    """Run the module."""
    run_module(USE_CASE)


if __name__ == "__main__":
    main()
