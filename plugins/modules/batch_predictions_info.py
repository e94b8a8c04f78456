#!/usr/bin/python
# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tell whether the predictions of a model for a file are in a bucket."""

from __future__ import annotations

DOCUMENTATION = r"""
module: batch_predictions_info
short_description: Report whether the batch predictions of a model for a file are complete
version_added: 0.1.0
author:
  - Hash Foundry (@hashfoundry)
description:
  - Returns the location of the predictions of one version of a model for a CSV or Parquet file, and whether they are
    complete. The role C(batch_inference) creates them.
  - The location depends on the ETag of the file, the digest of the version, O(probabilities) and O(keep). A file whose
    content has changed therefore has no predictions yet, even under the same key.
  - Sends one request to list the keys that begin with O(input), one for the version, and, if the predictions are
    complete, one for their manifest.
extends_documentation_fragment:
  - hashfoundry.kserve.attributes
  - hashfoundry.kserve.attributes.info_module
  - hashfoundry.kserve.attributes.actiongroup_kserve
  - hashfoundry.kserve.s3
options:
  bucket:
    description: Bucket with the file, the model and the predictions.
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
  input:
    description: Key of the file, which ends in C(.csv) or C(.parquet).
    type: str
    required: true
  probabilities:
    description: Whether the probabilities of the classes are included.
    type: bool
    default: false
  keep:
    description: Columns of the file that are copied to the predictions.
    type: list
    elements: str
    default: []
seealso:
  - module: hashfoundry.kserve.spaces_info
"""

EXAMPLES = r"""
- name: Get the state of this month's predictions
  hashfoundry.kserve.batch_predictions_info:
    bucket: models
    name: churn-classifier
    version: v1
    input: incoming/customers-2026-11.csv
    endpoint_url: https://fra1.digitaloceanspaces.com
    region: fra1
    access_key: "{{ vault_spaces_access_key }}"
    secret_key: "{{ vault_spaces_secret_key }}"
  register: predictions
"""

RETURN = r"""
input:
  description: The file by C(key), with its C(etag) and its C(size) in bytes.
  type: dict
  returned: success
  sample: {key: incoming/customers.csv, etag: 5d41402abc4b2a76b9719d911017c592, size: 22888963}
model:
  description: The version by C(name), C(version), C(digest) and C(uri).
  type: dict
  returned: success
  sample:
    name: churn-classifier
    version: v1
    digest: sha256:0f343b0931126a20f133d67c2b018a3b4c7f5a9e2b61d7f3e1d5d6f4a8e5b9c1
    uri: s3://models/churn-classifier/v1/
id:
  description: Id of the predictions, twelve hexadecimal digits.
  type: str
  returned: success
  sample: 4f1d0c7b92ae
output:
  description: Prefix of the predictions' keys.
  type: str
  returned: success
  sample: incoming/customers.csv.predictions/churn-classifier-v1-4f1d0c7b92ae/
uri:
  description: The same with the bucket.
  type: str
  returned: success
  sample: s3://models/incoming/customers.csv.predictions/churn-classifier-v1-4f1d0c7b92ae/
complete:
  description: Whether the predictions have a manifest, which is written last. Without one the next four say nothing.
  type: bool
  returned: success
  sample: true
rows:
  description: How many rows were predicted.
  type: int
  returned: success
  sample: 999998
rejected:
  description: How many rows were rejected.
  type: int
  returned: success
  sample: 2
parts:
  description: Names of the objects with the predictions, in the order of the rows.
  type: list
  elements: str
  returned: success
  sample: [part-00000.csv, part-00001.csv]
rejects:
  description: Names of the objects with the rejected rows, each with the reason.
  type: list
  elements: str
  returned: success
  sample: [rejected-00001.csv]
requests:
  description: Number of requests to the object storage, including retries.
  type: int
  returned: success
  sample: 3
reason:
  description: A stable code for the cause of the failure, for programs; C(msg) explains it in a sentence.
  type: str
  returned: failure
  sample: ObjectNotFound
"""

from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.libraries import require
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.batch_predictions import describe
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
    "name": {"type": "str", "required": True},
    "version": {"type": "str", "required": True},
    "digest": {"type": "str"},
    "input": {"type": "str", "required": True},
    "probabilities": {"type": "bool", "default": False},
    "keep": {"type": "list", "elements": "str", "default": []},
}
WHAT = ("digest", "probabilities", "keep")


def run(options: Options, run: Run) -> dict[str, Any]:
    """Tell whether the predictions of a file are in the bucket."""
    require("boto3", s3_client.BOTO3_IMPORT_ERROR)
    target = Target(options["bucket"], options["name"], options["version"])
    with s3.session(s3_options(options)) as store:
        found = describe(store, target, options["input"], **{key: options[key] for key in WHAT})
        return {"changed": False, **found, "requests": store.requests}


USE_CASE = UseCase(ARGUMENT_SPEC, run, {"required_together": REQUIRED_TOGETHER})


def main() -> None:
    """Run the module."""
    run_module(USE_CASE)


if __name__ == "__main__":
    main()
