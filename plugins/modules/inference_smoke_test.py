#!/usr/bin/python
# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compare a served model's predictions with known ones."""

from __future__ import annotations

DOCUMENTATION = r"""
module: inference_smoke_test
short_description: Compare a served model's predictions with known ones and measure latency
version_added: 0.1.0
author:
  - Hash Foundry (@hashfoundry)
description:
  - Sends rows to a model the way its users do, over HTTPS through the gateway, and compares what it predicts with
    what is expected. Then sends the same request some more times and measures how long each takes.
  - The name in the certificate and in the C(Host) header can be another than the address that is connected to, so a
    route can be tested before its name is in DNS.
  - Only when there is no answer yet is a request sent again. A wrong prediction fails at once.
  - The timed requests go one after the other over one open connection, so they do not measure the TLS handshake.
requirements:
  - urllib3 >= 2.0.0
extends_documentation_fragment:
  - hashfoundry.kserve.attributes
  - hashfoundry.kserve.attributes.actiongroup_kserve
attributes:
  check_mode:
    support: full
    details:
      - Sends the same requests, since predictions change nothing, but does not wait. When nothing answers, the result
        is skipped, since the model may not be deployed yet.
  diff_mode:
    support: none
    details:
      - Changes nothing.
  idempotent:
    support: full
options:
  url:
    description:
      - Where the model is served, without the path of the protocol.
      - Exactly one of O(url) and O(host) is needed.
    type: str
  scheme:
    description: With O(host), whether to use TLS.
    type: str
    choices: [https, http]
    default: https
  host:
    description: Name for the C(Host) header, for SNI, and for the check of the certificate.
    type: str
  port:
    description: Port to connect to. Without it V(443) for V(https) and V(80) for V(http), or what O(url) says.
    type: int
  address:
    description: IP address or name to connect to, when it is not the one in O(host) or O(url).
    type: str
  ca_path:
    description: PEM file with the authorities that may sign the server's certificate. Without it the system's.
    type: path
  ca_content:
    description: The same as O(ca_path), as text.
    type: str
  validate_certs:
    description: Whether the server's certificate must be valid.
    type: bool
    default: true
  model_name:
    description: Name under which the model is served, which is that of its InferenceService.
    type: str
    required: true
  protocol:
    description: Inference protocol. In V(v2) the rows are sent as one C(FP64) tensor.
    type: str
    choices: [v1, v2]
    default: v2
  instances:
    description: Rows to predict, in V(v2) lists of numbers.
    type: list
    elements: raw
    required: true
  expected:
    description: The class or value that the model must predict for each row. Numbers are compared as numbers.
    type: list
    elements: raw
    required: true
  requests:
    description: How many requests to measure after the first one.
    type: int
    default: 20
  timeout:
    description: How many seconds one request may take.
    type: float
    default: 10
  retry_for:
    description:
      - For how many seconds the first request is sent again, with growing pauses, when the server cannot be
        reached or answers C(404), C(502), C(503) or C(504), as gateways do before they have taken up a route.
    type: float
    default: 60
  token:
    description: Bearer token to send.
    type: str
seealso:
  - module: hashfoundry.kserve.inference_service_ready
"""

EXAMPLES = r"""
- name: Check that the iris model predicts what it should
  hashfoundry.kserve.inference_smoke_test:
    url: https://iris.models.example.com
    model_name: iris
    instances:
      - [5.1, 3.5, 1.4, 0.2]
      - [6.7, 3.0, 5.2, 2.3]
    expected: [0, 2]

- name: Check the route on the gateway's own address, before DNS knows its name
  hashfoundry.kserve.inference_smoke_test:
    host: iris.models.example.com
    address: 203.0.113.10
    port: 30443
    ca_path: /etc/ssl/platform-ca.pem
    model_name: iris
    protocol: v1
    instances:
      - [5.1, 3.5, 1.4, 0.2]
    expected: [0]
"""

RETURN = r"""
predictions:
  description: What the model predicted for each row.
  type: list
  elements: raw
  returned: when the model has answered
  sample: [0, 2]
latency_ms:
  description: How long the timed requests took, in milliseconds. Percentiles are by nearest rank.
  type: dict
  returned: success
  contains:
    count:
      description: Number of timed requests.
      type: int
    min:
      description: The shortest.
      type: float
    mean:
      description: The mean.
      type: float
    p50:
      description: The median.
      type: float
    p95:
      description: The 95th percentile.
      type: float
    p99:
      description: The 99th percentile.
      type: float
    max:
      description: The longest.
      type: float
attempts:
  description: How many times the first request was sent.
  type: int
  returned: success, or nothing answered
  sample: 1
protocol:
  description: The inference protocol.
  type: str
  returned: success, or skipped
  sample: v2
url:
  description: Where the requests went.
  type: str
  returned: success, or skipped
  sample: https://iris.models.example.com/v2/models/iris/infer
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.hashfoundry.kserve.plugins.module_utils import _http
from ansible_collections.hashfoundry.kserve.plugins.module_utils._errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._prediction import path
from ansible_collections.hashfoundry.kserve.plugins.module_utils._smoke_test import Check, run

SERVER_OPTIONS: dict[str, Any] = {
    "url": {"type": "str"},
    "scheme": {"type": "str", "choices": ["https", "http"], "default": "https"},
    "host": {"type": "str"},
    "port": {"type": "int"},
    "address": {"type": "str"},
    "ca_path": {"type": "path"},
    "ca_content": {"type": "str"},
    "validate_certs": {"type": "bool", "default": True},
    "timeout": {"type": "float", "default": 10},
}
CHECK_OPTIONS: dict[str, Any] = {
    "model_name": {"type": "str", "required": True},
    "protocol": {"type": "str", "choices": ["v1", "v2"], "default": "v2"},
    "instances": {"type": "list", "elements": "raw", "required": True},
    "expected": {"type": "list", "elements": "raw", "required": True},
    "requests": {"type": "int", "default": 20},
    "retry_for": {"type": "float", "default": 60},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={**SERVER_OPTIONS, **CHECK_OPTIONS, "token": {"type": "str", "no_log": True}},
        mutually_exclusive=[("url", "host"), ("ca_path", "ca_content")],
        required_one_of=[("url", "host")],
        supports_check_mode=True,
    )
    if _http.URLLIB3_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("urllib3"), exception=_http.URLLIB3_IMPORT_ERROR)
    params = module.params
    try:
        server = _http.server(**{key: params[key] for key in SERVER_OPTIONS})
        check = Check(**{key: params[key] for key in CHECK_OPTIONS})
        result = run(_http.HttpTransport(server, params["token"]), check, module.check_mode)
    except KServeError as error:
        module.fail_json(msg=str(error), **error.result)
    module.exit_json(url=server.url + path(check.protocol, check.model_name), **result)


if __name__ == "__main__":
    main()
