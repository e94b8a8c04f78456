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
  - A version is one thing. The object C(manifest.json), written after all others have been sent and looked at, lists
    each file with its size and sha256. A version is complete when it has one, and its digest is the sha256 of that
    object. From then on it stays as it is. A folder that differs is refused, unless O(overwrite).
  - A re-run with nothing new costs one request, whatever the number and size of files. The folder is read and compared
    with the manifest.
  - Files of 16 MiB and more are sent in parts of that size. Files go O(connections) at once, parts half as many, and
    each is tried up to five times, with growing pauses.
  - A run that goes on after another was stopped, even killed, sends only what is missing. It costs a request for each
    thousand objects and for the unfinished uploads, and one for each thousand parts of a file that was under way.
    Unfinished uploads that are of no use are given up. What an earlier run has sent is known by its MD5. Where the
    store encrypts with a key of its own (SSE-KMS, SSE-C), whole files are sent again.
  - The store refuses what was damaged on the way, because each request is signed with the sha256 of its content. Parts
    that TLS guards go unsigned, as with AWS's own clients. Amazon S3 gets this checksum of each part and object, and
    keeps it. Other stores do not get the header, since several refuse it.
  - Many models are pickles, such as C(model.joblib), and a pickle is code. Who may write to the bucket may run programs
    in every pod that loads a model from it. O(gate) tries a model before it is sent.
notes:
  - The gate limits what a model can do while it is tried, and finds models that do not fit. It is no sandbox against
    somebody determined. A flaw of the kernel, or of what loads the model, is not held off. Neither is harm that a model
    does only later, in its pod, or a model that knows its examples by heart. For models from elsewhere use
    O(gate.allowed_digests).
  - While a model is tried it can read the interpreter, its packages and C(/usr), use one processor up to
    O(gate.timeout), and have 64 processes of O(gate.memory) each. It can write 64 MiB, which are memory. Other files,
    sockets, processes and environment variables of the machine are out of its reach.
  - Stores know no lock. Of two runs that write different folders as the same version at the same time one fails, but a
    file that it sends last can take the place of the other's. Downloads and loaders refuse such a version, since it is
    not what its manifest says, and O(overwrite) mends it.
  - A version that is never finished keeps its parts, which cost money. A lifecycle rule of the bucket with
    C(AbortIncompleteMultipartUpload) takes them away.
  - The key needs the rights C(s3:ListBucket), C(s3:GetObject), C(s3:PutObject), C(s3:DeleteObject) and
    C(s3:AbortMultipartUpload). Without C(s3:ListBucketMultipartUploads) and C(s3:ListMultipartUploadParts) large files
    begin anew after a kill.
extends_documentation_fragment:
  - hashfoundry.kserve.attributes
  - hashfoundry.kserve.attributes.actiongroup_kserve
  - hashfoundry.kserve.s3
attributes:
  check_mode:
    support: full
    details:
      - When the bucket does not exist yet, check mode warns and goes on as if it were empty.
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
      - Folder on the machine that runs the module. All its files are sent, with folders below it as part of the key.
      - Symbolic links that lead out of the folder, and links to folders, are refused.
      - A file C(manifest.json) in it must be the manifest of the other files, as M(hashfoundry.kserve.spaces_download)
        writes it.
    type: path
    required: true
  bucket:
    description: Bucket to write to. It must exist, unless O(create_bucket).
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
  overwrite:
    description:
      - Whether a complete version that differs is changed, and objects that the folder lacks are removed.
      - The manifest is removed first, so that the version is not complete in between. An InferenceService that starts
        a pod meanwhile may get a mixture.
    type: bool
    default: false
  gate:
    description:
      - What the folder must pass before anything is sent. Without it nothing is looked at.
      - In check mode it must pass, too. A version that the store already holds is not tried again.
    type: dict
    suboptions:
      metadata:
        description:
          - Whether the folder must hold a C(metadata.json) that is so.
          - It must have C(name) and C(version) as they are here, C(model_format), C(model_file) with C(name), C(sha256)
            and C(size_bytes), C(libraries) (versions by name, of Python as C(python)), C(inputs) and C(outputs) with
            C(name), C(datatype) and C(shape) as in the Open Inference Protocol, and C(examples) with C(instances) and
            C(predictions), which must agree with them. C(probabilities) are what C(predict_proba) must give.
          - C(features), the names of a row's columns in the model's order, may be left out. Rows that are objects are
            then put in the order of the names that the model was fitted with, or in that of C(inputs).
          - For the format C(sklearn) exactly one C(*.joblib), C(*.pkl) or C(*.pickle) must be in the folder, since
            KServe's server takes no more.
        type: bool
        default: true
      python_version:
        description: Python of the serving image. Major and minor must be those that C(metadata.json) gives.
        type: str
      packages:
        description:
          - Packages of the serving image, each with a version or a specifier (PEP 440), for example
            V(scikit-learn) with V(~=1.5.1). The versions in C(metadata.json) must fit.
          - Needs the Python library C(packaging).
        type: dict
      load:
        description:
          - Whether the model must load, and predict its own examples, in a process without network.
          - For the format C(sklearn), on Linux 5.12 or newer. Numbers agree when they differ by a millionth at most.
          - A model that another version of scikit-learn has stored is refused, whatever C(metadata.json) says.
        type: bool
        default: true
      isolated:
        description:
          - Whether the process has no network, sees no other process, no file but what Python needs, and has no rights.
            As root it runs as a user that owns nothing. An ordinary user needs user namespaces, which some machines and
            most containers do not allow. There the task fails.
          - With V(false) the model's code can use network and files as the user that runs the module. The limits, the
            empty folder and the empty environment stay. A process that leaves the session stays, too.
        type: bool
        default: true
      python:
        description:
          - Interpreter that has the packages of the serving image, Python 3.8 or newer. The module's own without it.
          - Its versions are compared with O(gate.python_version) and O(gate.packages), too. Packages of the user
            (C(pip install --user)) are not seen.
        type: path
      timeout:
        description: Seconds to load and predict, after which the process is ended with all that it has started.
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
          - Digests (sha256, 64 hexadecimal digits) of the files that may be sent, or the version's RV(digest), which
            stands for all of its files.
          - For the format C(sklearn) each C(*.joblib), C(*.pkl) and C(*.pickle) must have one of them, the model file
            among them. For other formats, and without O(gate.metadata), every file but C(metadata.json) must.
          - An empty list allows none. It is looked at before the model is tried.
        type: list
        elements: str
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

- name: Make a version in a store of one's own exactly what the folder is, though it was complete
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
uri:
  description: Where the version is, for an InferenceService's C(storageUri).
  type: str
  returned: success
  sample: s3://models/iris/1.0.0/
digest:
  description: The version's digest, which is the sha256 of its C(manifest.json).
  type: str
  returned: success
  sample: sha256:0f343b0931126a20f133d67c2b018a3b4c7f5a9e2b61d7f3e1d5d6f4a8e5b9c1
uploaded:
  description: Objects that were sent, or in check mode would be, relative to the version.
  type: list
  elements: str
  returned: success
  sample: [manifest.json, metadata.json, model.joblib]
removed:
  description: Objects that were removed, or in check mode would be, relative to the version.
  type: list
  elements: str
  returned: success
  sample: []
unchanged:
  description: Objects that the store already held, relative to the version.
  type: list
  elements: str
  returned: success
  sample: []
bytes_sent:
  description:
    - Bytes that were sent, or in check mode would be. Of a file that an earlier run has sent in part, only the rest.
  type: int
  returned: success
  sample: 5314
requests:
  description: Number of requests to the store, each retry counted.
  type: int
  returned: success
  sample: 7
gate:
  description: What the gate has looked at, whether the trial was isolated, and how many seconds it all took.
  type: dict
  returned: when O(gate) is set and the store did not hold the version yet
  sample: {checked: [metadata, versions, load], isolated: true, seconds: 1.253}
output:
  description: The end of what the model printed while it was tried, without what looks like a secret.
  type: str
  returned: when the model did not pass the trial and printed something
  sample: "ModuleNotFoundError: No module named 'xgboost'"
reason:
  description: A stable code for what went wrong, for programs; C(msg) says it in a sentence.
  type: str
  returned: failure
  sample: VersionExists
"""

from pathlib import Path
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.libraries import require
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_gate.gate import GATE_ARGUMENTS, gate_for
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.folder import scan
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.location import Target
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.upload import publish
from ansible_collections.hashfoundry.kserve.plugins.module_utils._object_store import s3, s3_client
from ansible_collections.hashfoundry.kserve.plugins.module_utils._object_store.arguments import (
    REQUIRED_TOGETHER,
    S3_ARGUMENTS,
    s3_options,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._use_case import Options, Run, UseCase, run_module

ARGUMENT_SPEC: dict[str, Any] = {
    **S3_ARGUMENTS,
    "source": {"type": "path", "required": True},
    "create_bucket": {"type": "bool", "default": False},
    "name": {"type": "str", "required": True},
    "version": {"type": "str", "required": True},
    "overwrite": {"type": "bool", "default": False},
    "gate": {"type": "dict", "options": GATE_ARGUMENTS},
}
HOW = ("overwrite", "create_bucket", "connections")


def run(options: Options, run: Run) -> dict[str, Any]:
    """Bring the version in the bucket to the folder's files."""
    require("boto3", s3_client.BOTO3_IMPORT_ERROR)
    target = Target(options["bucket"], options["name"], options["version"])
    gate = gate_for(options["gate"], target.name, target.version)
    files = scan(Path(options["source"]))
    how = {key: options[key] for key in HOW}
    with s3.session(s3_options(options)) as store:
        published = publish(store, target, files, check_mode=run.check_mode, gate=gate, **how)
    if published.warning:
        run.warn(published.warning)
    return published.result()


USE_CASE = UseCase(ARGUMENT_SPEC, run, {"required_together": REQUIRED_TOGETHER})


def main() -> None:
    """Run the module."""
    run_module(USE_CASE)


if __name__ == "__main__":
    main()
