#!/usr/bin/python
# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Put a version of a model into an S3-compatible object store."""

from __future__ import annotations

DOCUMENTATION = r"""
module: spaces_upload
short_description: Upload a version of a model to S3-compatible object storage
version_added: 0.1.0
author:
  - Hash Foundry (@hashfoundry)
description:
  - Uploads a local folder to C(s3://bucket/name/version/) in DigitalOcean Spaces, Amazon S3 or any S3-compatible
    object storage, which is the C(storageUri) of an InferenceService.
  - A version is immutable. The object C(manifest.json), written after all others have been uploaded and verified,
    lists each file with its size and SHA-256. A version is complete when it has one, and its digest is the SHA-256 of
    that object. A folder that differs from a complete version is rejected, unless O(overwrite).
  - A second run of an unchanged folder sends one request, whatever the number and size of files. It reads the folder
    and compares it with the manifest.
  - Files of 16 MiB and more are uploaded in parts of that size. O(connections) files are uploaded at once, or half as
    many parts. Each request is tried up to five times, with backoff.
  - A run after an interrupted one uploads only the missing files and parts. To find them it sends a request for each
    thousand objects, one for the unfinished uploads, and one for each thousand parts of an unfinished file. It aborts
    unfinished uploads that it cannot use. Objects and parts of an earlier run are recognised by their MD5. With SSE-KMS
    or SSE-C, complete files are uploaded again.
  - Data that is corrupted in transit is rejected by the object storage, because each request is signed with the
    SHA-256 of its content. Parts over TLS have an unsigned payload, as with AWS's own clients. Amazon S3 receives and
    stores this checksum of each part and object. Other products do not receive the header, since several reject it.
  - Many models are pickles, such as C(model.joblib), and a pickle is code. Everyone with write access to the bucket can
    run code in every pod that loads a model from it. O(gate) validates a model before it is uploaded.
notes:
  - The gate limits what a model can do while it is validated, and finds incompatible models. It is not a security
    sandbox. It does not prevent exploits of the kernel or of the libraries that load the model. It does not find models
    that do harm later, in their pods, or that predict only their examples correctly. For models from elsewhere use
    O(gate.allowed_digests).
  - While a model is validated it can read the interpreter, its packages and C(/usr), use one processor up to
    O(gate.timeout), and have 64 processes of O(gate.memory) each. It can write 64 MiB, which are memory. It has no
    access to other files, sockets, processes and environment variables of the machine.
  - Object storage has no locks. Of two concurrent runs that upload different folders as the same version one fails,
    but a file that it uploads last can replace the other's. Downloads and loaders reject such a version, since it does
    not match its manifest, and O(overwrite) repairs it.
  - The parts of a version that is never completed remain and are billed. A lifecycle rule of the bucket with
    C(AbortIncompleteMultipartUpload) deletes them.
  - The access key needs the permissions C(s3:ListBucket), C(s3:GetObject), C(s3:PutObject), C(s3:DeleteObject) and
    C(s3:AbortMultipartUpload). Without C(s3:ListBucketMultipartUploads) and C(s3:ListMultipartUploadParts) large files
    are restarted after an interruption.
extends_documentation_fragment:
  - hashfoundry.kserve.attributes
  - hashfoundry.kserve.attributes.actiongroup_kserve
  - hashfoundry.kserve.s3
attributes:
  check_mode:
    support: full
    details:
      - When the bucket does not exist yet, check mode warns and treats it as empty.
  diff_mode:
    support: full
    details:
      - Shows key, size and sha256 of each object of the version. Objects of an unfinished version that differ have
        their ETag instead.
  idempotent:
    support: full
options:
  source:
    description:
      - Folder on the host that runs the module. All its files are uploaded, with subfolders as part of the key.
      - Symbolic links that lead out of the folder, and links to folders, are rejected.
      - A file C(manifest.json) in it must be the manifest of the other files, as M(hashfoundry.kserve.spaces_download)
        writes it.
      - Needed with O(name), and in each entry of O(models).
    type: path
  bucket:
    description: Bucket to write to. It must exist, unless O(create_bucket).
  create_bucket:
    description: Whether a missing bucket is created, in O(region). Many access keys do not permit it.
    type: bool
    default: false
  name:
    description:
      - Name of the model, the first part of the key.
      - Exactly one of O(name) and O(models) is needed.
    type: str
  version:
    description: Version of the model, the second part of the key. Needed with O(name).
    type: str
  overwrite:
    description:
      - Whether a complete version that differs is changed, and objects that are not in the folder are deleted.
      - The manifest is deleted first, so that the version is incomplete in between. An InferenceService that starts a
        pod during that time may get a mixture.
    type: bool
    default: false
  gate:
    description:
      - What the folder must pass before anything is uploaded. Without it nothing is validated.
      - In check mode it must pass, too. A version that is already in the bucket is not validated again.
    type: dict
    suboptions: &gate
      metadata:
        description:
          - Whether the folder must contain a valid C(metadata.json).
          - M(hashfoundry.kserve.model_metadata) writes one for a scikit-learn model, and the role model_storage runs it
            where there is none.
          - It must have C(name) and C(version) as they are here, C(model_format), C(model_file) with C(name),
            C(sha256) and C(size_bytes), C(libraries) (versions by name, of Python as C(python)), C(inputs) and
            C(outputs) with C(name), C(datatype) and C(shape) as in the Open Inference Protocol, and C(examples) with
            C(instances) and C(predictions), which must agree with them. C(probabilities) are what C(predict_proba)
            must give.
          - C(features), the names of a row's columns in the model's order, may be left out. The values of rows that are
            objects are then sorted by the names that the model was fitted with, or by those of C(inputs).
          - For the format C(sklearn) exactly one C(*.joblib), C(*.pkl) or C(*.pickle) must be in the folder, since
            KServe's server accepts only one.
        type: bool
        default: true
      python_version:
        description: Python of the serving image. Major and minor must be those that C(metadata.json) gives.
        type: str
      packages:
        description:
          - Packages of the serving image, each with a version or a specifier (PEP 440), for example V(scikit-learn)
            with V(~=1.5.1). The versions in C(metadata.json) must fit.
          - Needs the Python library C(packaging).
        type: dict
      load:
        description:
          - Whether the model must load, and predict its own examples, in a process without network.
          - For the format C(sklearn), on Linux 5.12 or newer. Numbers agree when they differ by a millionth at most.
          - A model that another version of scikit-learn has stored is rejected, whatever C(metadata.json) contains.
        type: bool
        default: true
      isolated:
        description:
          - Whether the process has no network, sees no other process, no file but what Python needs, and has no
            privileges. As root it runs as an unprivileged user. An ordinary user needs user namespaces, which some
            machines and most containers do not allow. There the task fails.
          - With V(false) the model's code can use network and files as the user that runs the module. The limits, the
            empty folder and the empty environment remain. A process that leaves the session is not ended.
        type: bool
        default: true
      python:
        description:
          - Interpreter that has the packages of the serving image, Python 3.8 or newer. Defaults to the module's own.
          - Its versions are compared with O(gate.python_version) and O(gate.packages), too. Packages of the user
            (C(pip install --user)) are ignored.
        type: path
      timeout:
        description: Seconds to load and predict, after which the process and its children are killed.
        type: float
        default: 60.0
      memory:
        description:
          - Address space of each process, in bytes or with V(Ki), V(Mi), V(Gi) or V(Ti).
          - NumPy, SciPy and scikit-learn take about 0.4 GiB of it themselves.
        type: str
        default: 2Gi
      allowed_digests:
        description:
          - Digests (sha256, 64 hexadecimal digits) of the files that may be uploaded, or the version's RV(digest),
            which stands for all of its files.
          - For the format C(sklearn) the digest of each C(*.joblib), C(*.pkl) and C(*.pickle) must be listed, including
            that of the model file. For other formats, and without O(gate.metadata), that of every file except
            C(metadata.json) must be.
          - An empty list allows none. It is checked before the model is loaded.
        type: list
        elements: str
  models:
    description:
      - Several models, in place of O(source), O(name), O(version) and O(gate). They are validated and uploaded side by
        side, at most four at a time, and share the number of O(connections).
      - All are tried, also if one of them fails.
    type: list
    elements: dict
    suboptions:
      source:
        description: See O(source).
        type: path
        required: true
      name:
        description: See O(name).
        type: str
        required: true
      version:
        description: See O(version).
        type: str
        required: true
      gate:
        description: See O(gate).
        type: dict
        suboptions: *gate
seealso:
  - module: hashfoundry.kserve.spaces_download
  - module: hashfoundry.kserve.spaces_info
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

- name: Publish two models side by side
  hashfoundry.kserve.spaces_upload:
    bucket: models
    models:
      - {name: iris, version: 1.0.0, source: /srv/models/iris/1.0.0, gate: {}}
      - {name: churn, version: 2.1.0, source: /srv/models/churn/2.1.0, gate: {}}

- name: Overwrite a complete version in self-hosted object storage
  hashfoundry.kserve.spaces_upload:
    source: /srv/models/iris/1.0.0
    bucket: models
    name: iris
    version: 1.0.0
    endpoint_url: https://store.example.com:7070
    ca_bundle: /etc/ssl/store-ca.pem
    addressing_style: path
    overwrite: true

- name: Publish a model only if it loads and predicts under the versions of the image that will serve it
  hashfoundry.kserve.spaces_upload:
    source: /srv/models/iris/1.0.0
    bucket: models
    name: iris
    version: 1.0.0
    gate:
      python_version: "3.11"
      packages:
        scikit-learn: ~=1.5.1
      python: /srv/serving-environment/bin/python
      memory: 1Gi
"""

RETURN = r"""
models:
  description:
    - For each entry of O(models), its C(name) and C(version), and what is returned for a single model. Only C(requests)
      is for all of them.
  type: list
  elements: dict
  returned: when O(models) is set
  sample:
    - name: iris
      version: 1.0.0
      changed: false
uri:
  description: URI of the version, for an InferenceService's C(storageUri).
  type: str
  returned: success
  sample: s3://models/iris/1.0.0/
digest:
  description: The version's digest, which is the SHA-256 of its C(manifest.json).
  type: str
  returned: success
  sample: sha256:0f343b0931126a20f133d67c2b018a3b4c7f5a9e2b61d7f3e1d5d6f4a8e5b9c1
uploaded:
  description: Objects that were uploaded, or in check mode would be, relative to the version.
  type: list
  elements: str
  returned: success
  sample: [manifest.json, metadata.json, model.joblib]
removed:
  description: Objects that were deleted, or in check mode would be, relative to the version.
  type: list
  elements: str
  returned: success
  sample: []
unchanged:
  description: Objects that the bucket already contained, relative to the version.
  type: list
  elements: str
  returned: success
  sample: []
bytes_sent:
  description:
    - Bytes that were uploaded, or in check mode would be. Of a file that an earlier run has uploaded in part, only the
      rest.
  type: int
  returned: success
  sample: 5314
requests:
  description: Number of requests to the object storage, including retries.
  type: int
  returned: success
  sample: 7
gate:
  description: The checks of the gate, whether loading was isolated, and how many seconds it took.
  type: dict
  returned: when O(gate) is set and the version was not complete in the bucket
  sample: {checked: [metadata, versions, load], isolated: true, seconds: 1.253}
output:
  description: The end of the model's output while it was validated, with secrets masked.
  type: str
  returned: when the model was rejected and printed something
  sample: "ModuleNotFoundError: No module named 'xgboost'"
reason:
  description: A stable code for the cause of the failure, for programs; C(msg) explains it in a sentence.
  type: str
  returned: failure
  sample: VersionExists
"""

from pathlib import Path
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.libraries import require
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_gate.gate import gate_for
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_gate.options import GATE_ARGUMENTS
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.folder import scan
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.location import Target
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.upload import publish
from ansible_collections.hashfoundry.kserve.plugins.module_utils._module.several import side_by_side
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
from ansible_collections.hashfoundry.kserve.plugins.module_utils._object_store.port import ObjectStore

OF_EACH: dict[str, Any] = {
    "source": {"type": "path"},
    "name": {"type": "str"},
    "version": {"type": "str"},
    "gate": {"type": "dict", "options": GATE_ARGUMENTS},
}
ARGUMENT_SPEC: dict[str, Any] = {
    **S3_ARGUMENTS,
    **OF_EACH,
    "models": {
        "type": "list",
        "elements": "dict",
        "options": {name: {**spec, "required": name != "gate"} for name, spec in OF_EACH.items()},
    },
    "create_bucket": {"type": "bool", "default": False},
    "overwrite": {"type": "bool", "default": False},
}
AT_ONCE = 4


def run(options: Options, run: Run) -> dict[str, Any]:
    """Bring the version in the bucket to the folder's files, or several versions to theirs."""
    require("boto3", s3_client.BOTO3_IMPORT_ERROR)
    entries = [options] if options["models"] is None else options["models"]
    reached = s3_options(options)
    at_once = min(AT_ONCE, len(entries) or 1, options["connections"])
    connections = options["connections"] // at_once
    for entry in entries:  # before anything is sent
        Target(options["bucket"], entry["name"], entry["version"])
        if not entry["source"].strip():
            raise KServeError(
                "source is empty, which would be the current folder; name the folder of the model.",
                reason="InvalidOption",
            )
    with s3.session(reached) as store:

        def publish_one(entry: Options) -> dict[str, Any]:
            return _publish(store, entry, options, connections, run)

        if options["models"] is None:
            return publish_one(options)
        results = side_by_side(entries, ("name", "version"), publish_one, at_once)
        for result in results:
            del result["requests"]
        return {
            "changed": any(result["changed"] for result in results),
            "models": results,
            "requests": store.requests,
            "diff": [result.pop("diff") for result in results],
        }


def _publish(store: ObjectStore, entry: Options, options: Options, connections: int, run: Run) -> dict[str, Any]:
    target = Target(options["bucket"], entry["name"], entry["version"])
    gate = gate_for(entry["gate"], target.name, target.version)
    how = {name: options[name] for name in ("overwrite", "create_bucket")}
    published = publish(
        store,
        target,
        scan(Path(entry["source"])),
        check_mode=run.check_mode,
        gate=gate,
        connections=connections,
        **how,
    )
    if published.warning:
        run.warn(published.warning)
    return published.result()


USE_CASE = UseCase(
    ARGUMENT_SPEC,
    run,
    {
        "required_together": REQUIRED_TOGETHER,
        "mutually_exclusive": [("models", name) for name in OF_EACH],
        "required_one_of": [("name", "models")],
        "required_by": {"name": ["version", "source"]},
    },
    preload=s3_client.preload,
)


def main() -> None:
    """Run the module."""
    run_module(USE_CASE)


if __name__ == "__main__":
    main()
