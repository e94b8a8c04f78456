#!/usr/bin/python
# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compare a served model's predictions with known ones, and measure how it serves."""

from __future__ import annotations

DOCUMENTATION = r"""
module: inference_smoke_test
short_description: Run smoke tests against a served model, and check latency, error rate and throughput thresholds
version_added: 0.1.0
author:
  - Hash Foundry (@hashfoundry)
description:
  - Sends prediction requests to a model as a client does, over HTTPS through the gateway, and compares the predictions
    with the expected ones. Then repeats the requests, measures their latencies, and fails if O(thresholds) are missed.
  - The name in the certificate and in the C(Host) header can differ from the address of the connection, so a route can
    be tested before its name is in DNS.
  - A request is only retried while there is no answer yet. A wrong prediction fails at once, also under load.
  - Without O(rate) the load is closed. Each of O(concurrency) connections sends its next request when it has received
    an answer. A server that stalls then gets fewer requests, and the stall shows in few latencies.
  - With O(rate) the load is open. Requests are due at fixed times, whatever the server does, and a latency counts from
    when the request was due. A stall then shows in every request that fell into it, as it does for the model's users.
  - Connections are kept alive, so latencies exclude the TLS handshake, except if an open load needs another
    connection. A request on an idle connection that the server closes is retried on a new one.
requirements:
  - python >= 3.11
  - junitparser >= 4.0.0, for O(junit_path)
extends_documentation_fragment:
  - hashfoundry.kserve.attributes
  - hashfoundry.kserve.attributes.actiongroup_kserve
attributes:
  check_mode:
    support: full
    details:
      - Sends the same requests, since predictions change nothing, but does not wait, and writes no report. Without an
        answer, or with a certificate that is not accepted, the result is skipped, since the model or its domain may not
        be deployed yet.
  diff_mode:
    support: none
    details:
      - Changes nothing; reports are new at each run and do not count as a change.
  idempotent:
    support: full
options:
  url:
    description:
      - Where the model is served, without the path of the protocol.
      - Exactly one of O(url) and O(host) is needed, in each entry of O(models) if they are set.
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
    description: Port to connect to. Defaults to the port of O(url), or to V(443) for V(https) and V(80) for V(http).
    type: int
  address:
    description: IP address or host name to connect to, if it differs from that in O(host) or O(url).
    type: str
  ca_path:
    description: PEM file with the trusted CAs of the server's certificate. Defaults to the system's CAs.
    type: path
  ca_content:
    description: The same as O(ca_path), as a string.
    type: str
  validate_certs:
    description: Whether the server's certificate must be valid.
    type: bool
    default: true
  client_cert:
    description: PEM file with the client certificate for mutual TLS. May contain the key as well.
    type: path
  client_key:
    description: PEM file with the key of O(client_cert), without a passphrase.
    type: path
  proxy:
    description:
      - URL of an HTTP proxy, such as V(http://proxy.example.com:3128). HTTPS goes through it by C(CONNECT), so the
        proxy sees neither requests nor answers. Credentials are in O(proxy_headers).
      - Defaults to the environment variables E(https_proxy), E(http_proxy), E(all_proxy) and E(no_proxy), which never
        apply to a local address. An empty string means no proxy.
    type: str
  proxy_headers:
    description: Headers for the proxy, as in the modules of kubernetes.core.
    type: dict
    suboptions:
      proxy_basic_auth:
        description: User and password, separated by a colon.
        type: str
  token:
    description: Bearer token to send.
    type: str
  timeout:
    description: How many seconds one request may take.
    type: float
    default: 10
  model_name:
    description:
      - Name under which the model is served, which is that of its InferenceService.
      - Exactly one of O(model_name) and O(models) is needed.
    type: str
  models:
    description:
      - Several models, or several protocols of a model, which are tested concurrently, at most eight at a time.
      - All other options apply to each entry. No load is sent, and O(thresholds) are not checked.
      - All entries are tested, also if one of them fails.
    type: list
    elements: dict
    suboptions:
      url:
        description: See O(url).
        type: str
      host:
        description: See O(host).
        type: str
      model_name:
        description: See O(model_name).
        type: str
        required: true
      protocol:
        description: See O(protocol).
        type: str
        choices: [v1, v2]
        default: v2
      health:
        description: See O(health).
        type: list
        elements: str
        choices: [v1, v2, openai, vllm]
        default: []
      instances:
        description: See O(instances).
        type: list
        elements: raw
      expected:
        description: See O(expected).
        type: list
        elements: raw
      metadata_path:
        description: See O(metadata_path).
        type: path
      junit_path:
        description: See O(junit_path).
        type: path
  protocol:
    description: Inference protocol. In V(v2) the rows are sent as one C(FP64) tensor, or as O(metadata_path) says.
    type: str
    choices: [v1, v2]
    default: v2
  health:
    description:
      - The protocols or servers whose health endpoints must return C(200) before the first prediction request.
      - V(v1) is C(/v1/models/MODEL). V(v2) is C(/v2/health/live), C(/v2/health/ready) and C(/v2/models/MODEL/ready).
      - For generative models V(openai) is C(/openai/v1/models/MODEL), as KServe's Hugging Face server has it, and
        V(vllm) is C(/health) of vLLM and Text Generation Inference.
    type: list
    elements: str
    choices: [v1, v2, openai, vllm]
    default: []
  instances:
    description:
      - Rows to predict, in V(v2) lists of numbers.
      - Where O(metadata_path) names several inputs, a row in V(v2) is a list with a value for each input, in their
        order, or a dictionary with a value for each input's name. A value is of the input's datatype, for C(BYTES) a
        string, and a list where the input's shape has more dimensions than that of the rows.
      - Needed together with O(expected), unless only O(health) is requested.
    type: list
    elements: raw
  expected:
    description: The class or value that the model must predict for each row. Numbers are compared as numbers.
    type: list
    elements: raw
  batch_size:
    description: How many rows to send in one request. Defaults to all. The load cycles through the requests.
    type: int
  tolerance:
    description: By how much a predicted number, also one in a row of probabilities, may differ from the expected one.
    type: dict
    suboptions:
      absolute:
        description: The absolute difference.
        type: float
        default: 0
      relative:
        description: The difference as a fraction of the expected number. It applies if it allows more than the other.
        type: float
        default: 0
  metadata_path:
    description:
      - The C(metadata.json) of the model, on the host that runs the module. Its C(inputs) and C(outputs), which have
        C(name), C(datatype) and C(shape) as in V(v2), are compared with the server's metadata of the model, if it has
        any, and with its answers.
      - Also gives name and datatype of the tensor that is sent in V(v2). Several inputs are sent as one tensor each.
    type: path
  requests:
    description: How many requests to measure after the first ones.
    type: int
    default: 20
  seconds:
    description: For how many seconds to measure, instead of O(requests).
    type: float
  warmup:
    description: How many requests to send before those that are measured, in the same way.
    type: int
    default: 0
  concurrency:
    description:
      - How many requests may be in flight at the same time, each on its own connection.
      - Defaults to 1, and to 500 with O(rate). If all connections of an open load are in use, a request waits for one,
        and the wait is part of its latency.
    type: int
  rate:
    description: How many requests are due each second, for an open load.
    type: float
  thresholds:
    description:
      - Limits of the measured requests. The task fails if they are exceeded. Only the latencies of requests that were
        answered count.
      - With few requests a percentile is the latency of the slowest request. To differ from it, O(thresholds.p95_ms)
        needs 20 requests, O(thresholds.p99_ms) 100, and O(thresholds.p999_ms) 1000.
    type: dict
    suboptions:
      p50_ms:
        description: Highest median, in milliseconds.
        type: float
      p95_ms:
        description: Highest 95th percentile, in milliseconds.
        type: float
      p99_ms:
        description: Highest 99th percentile, in milliseconds.
        type: float
      p999_ms:
        description: Highest 99.9th percentile, in milliseconds.
        type: float
      max_ms:
        description: Highest latency of all, in milliseconds.
        type: float
      error_rate:
        description:
          - Highest fraction, from 0 to 1, of requests without an answer C(200) within O(timeout). If unset, the first
            such request ends the load and fails the task. A wrong prediction always fails the task.
        type: float
      throughput:
        description: Lowest number of requests answered each second.
        type: float
  junit_path:
    description: File to write the checks to, as JUnit XML with a test case for each check and threshold.
    type: path
  svg_path:
    description: File to write a chart of the latencies' distribution to, as SVG.
    type: path
  retry_for:
    description:
      - For how many seconds requests before the load are retried, with backoff, when the server cannot be reached or
        answers C(404), C(502), C(503) or C(504), as gateways do before a route is programmed.
    type: float
    default: 60
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

- name: Check latency thresholds at 50 requests a second, and write reports for CI
  hashfoundry.kserve.inference_smoke_test:
    url: https://iris.models.example.com
    model_name: iris
    metadata_path: /srv/models/iris/v1/metadata.json
    instances: [[5.1, 3.5, 1.4, 0.2]]
    expected: [0]
    rate: 50
    seconds: 30
    warmup: 50
    thresholds:
      p95_ms: 100
      p99_ms: 250
      error_rate: 0.001
    junit_path: reports/iris.xml
    svg_path: reports/iris.svg

- name: Measure the throughput of eight concurrent clients, through a proxy and by mutual TLS
  hashfoundry.kserve.inference_smoke_test:
    url: https://iris.models.example.com
    proxy: http://proxy.example.com:3128
    client_cert: /etc/ssl/client.pem
    client_key: /etc/ssl/client-key.pem
    model_name: iris
    instances: [[5.1, 3.5, 1.4, 0.2]]
    expected: [[0.97, 0.02, 0.01]]
    tolerance:
      absolute: 0.01
    concurrency: 8
    seconds: 10
    thresholds:
      throughput: 200

- name: Check a model with an input for each feature, whose names and datatypes its metadata.json has
  hashfoundry.kserve.inference_smoke_test:
    url: https://churn.models.example.com
    model_name: churn
    metadata_path: /srv/models/churn/v1/metadata.json
    instances:
      - [7, 51.42, 3, month-to-month, dsl, card]
      - tenure_months: 60
        monthly_charge: 20.5
        support_calls: 0
        contract: two years
        internet: dsl
        payment: direct debit
    expected: [1, 0]

- name: Compare the predictions of two models side by side
  hashfoundry.kserve.inference_smoke_test:
    ca_path: /etc/ssl/platform-ca.pem
    models:
      - url: https://iris.models.example.com
        model_name: iris
        instances: [[5.1, 3.5, 1.4, 0.2]]
        expected: [0]
      - url: https://churn.models.example.com
        model_name: churn
        protocol: v1
        instances: [[7, 51.42, 3, month-to-month, dsl, card]]
        expected: [1]

- name: Check the health endpoints of a generative model
  hashfoundry.kserve.inference_smoke_test:
    url: https://llama.models.example.com
    model_name: llama
    health: [v2, openai]
"""

RETURN = r"""
models:
  description: For each entry of O(models), its C(model_name) and C(protocol), and what is returned for a single model.
  type: list
  elements: dict
  returned: when O(models) is set
  sample:
    - model_name: iris
      protocol: v1
      predictions: [0, 2]
predictions:
  description: What the model predicted for each row.
  type: list
  elements: raw
  returned: when the model has answered
  sample: [0, 2]
latency_ms:
  description:
    - How long the measured requests took, in milliseconds. Percentiles are by nearest rank.
    - Each is null where no request was answered.
  type: dict
  returned: when there was a load, also where a threshold is missed
  contains:
    count:
      description: Number of requests that were answered.
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
    p999:
      description: The 99.9th percentile.
      type: float
    max:
      description: The longest.
      type: float
load:
  description: The load that was sent, and its results.
  type: dict
  returned: when there was a load, also where a threshold is missed
  contains:
    model:
      description: V(closed) or V(open).
      type: str
    requests:
      description: Number of measured requests.
      type: int
    errors:
      description: How many of them had no answer C(200) in time.
      type: int
    error_rate:
      description: Their fraction of the requests, from 0 to 1.
      type: float
    error_causes:
      description: The sentence on each kind of error, with C(cause) and C(count), the most frequent first.
      type: list
      elements: dict
    seconds:
      description: How long the load took.
      type: float
    throughput:
      description: Requests answered each second.
      type: float
    concurrency:
      description: How many requests could be in flight at the same time.
      type: int
    rate:
      description: Requests due each second; null in a closed load.
      type: float
    generator_cpu:
      description: Fraction of a CPU core that sending took, from 0 to 1.
      type: float
    generator_waited:
      description: Fraction of the time that sending waited for a core, from 0 to 1. Linux only, elsewhere 0.
      type: float
    behind_ms:
      description:
        - In an open load, by how many milliseconds the sending machine started requests late, as C(p50), C(p99) and
          C(max). It is in the latencies. The module warns if it is a large part of them, and fails if the rate was not
          reached for that reason.
      type: dict
checks:
  description: What was checked, as in the JUnit report.
  type: list
  elements: dict
  returned: always, except for invalid options
  sample:
    - name: predictions
      passed: true
      seconds: 0.021
    - name: threshold p95_ms
      passed: false
      seconds: 1.4
      message: p95_ms is 132.4 and must be at most 100
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
reason:
  description: A stable code for the cause of the failure, for programs; C(msg) explains it in a sentence.
  type: str
  returned: failure
  sample: PredictionWrong
"""

from dataclasses import replace
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.header_secrets import (
    key_fault,
    password_fault,
    reject_faults,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._http import server as http_server
from ansible_collections.hashfoundry.kserve.plugins.module_utils._http import transport as http_transport
from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_protocol.codec import path
from ansible_collections.hashfoundry.kserve.plugins.module_utils._load_test.result import THRESHOLDS
from ansible_collections.hashfoundry.kserve.plugins.module_utils._load_test.smoke_test import Check, Reports
from ansible_collections.hashfoundry.kserve.plugins.module_utils._load_test.smoke_test import run as smoke_test
from ansible_collections.hashfoundry.kserve.plugins.module_utils._module.several import side_by_side
from ansible_collections.hashfoundry.kserve.plugins.module_utils._module.use_case import (
    Options,
    Run,
    UseCase,
    run_module,
)

SERVER_OPTIONS: dict[str, Any] = {
    **{name: {"type": "str"} for name in ("url", "host", "address", "ca_content")},
    **{name: {"type": "path"} for name in ("ca_path", "client_cert", "client_key")},
    "scheme": {"type": "str", "choices": ["https", "http"], "default": "https"},
    "port": {"type": "int"},
    "validate_certs": {"type": "bool", "default": True},
    "proxy": {"type": "str"},
    "proxy_headers": {"type": "dict", "options": {"proxy_basic_auth": {"type": "str", "no_log": True}}},
    "timeout": {"type": "float", "default": 10},
}
CHECK_OPTIONS: dict[str, Any] = {
    "model_name": {"type": "str"},
    "protocol": {"type": "str", "choices": ["v1", "v2"], "default": "v2"},
    "health": {"type": "list", "elements": "str", "choices": ["v1", "v2", "openai", "vllm"], "default": []},
    **{name: {"type": "list", "elements": "raw"} for name in ("instances", "expected")},
    **{name: {"type": "int"} for name in ("batch_size", "concurrency")},
    "tolerance": {"type": "dict", "options": {n: {"type": "float", "default": 0} for n in ("absolute", "relative")}},
    "metadata_path": {"type": "path"},
    "requests": {"type": "int", "default": 20},
    "warmup": {"type": "int", "default": 0},
    **{name: {"type": "float"} for name in ("seconds", "rate")},
    "thresholds": {"type": "dict", "options": {name: {"type": "float"} for name in THRESHOLDS}},
    "retry_for": {"type": "float", "default": 60},
}
OF_EACH = ("url", "host", "model_name", "protocol", "health", "instances", "expected", "metadata_path", "junit_path")
ALONE = [name for name in (*OF_EACH, "svg_path") if name not in ("protocol", "health")]  # these have defaults
AT_ONCE = 8
SINGLE: dict[str, Any] = {
    **SERVER_OPTIONS,
    **CHECK_OPTIONS,
    "junit_path": {"type": "path"},
    "svg_path": {"type": "path"},
    "token": {"type": "str", "no_log": True},
}
ARGUMENT_SPEC: dict[str, Any] = {
    **SINGLE,
    "models": {
        "type": "list",
        "elements": "dict",
        "options": {**{name: SINGLE[name] for name in OF_EACH}, "model_name": {"type": "str", "required": True}},
        "mutually_exclusive": [("url", "host")],
        "required_one_of": [("url", "host")],
        "required_together": [("instances", "expected")],
    },
}


def run(options: Options, run: Run) -> dict[str, Any]:
    """Send the prediction requests, and check predictions and latencies; of several models only the predictions."""
    if options["models"] is None:
        return _one(options, run, load=True)

    def work(entry: Options) -> dict[str, Any]:
        return _one({**options, **entry}, run, load=False)

    return {"changed": False, "models": side_by_side(options["models"], ("model_name", "protocol"), work, AT_ONCE)}


def _one(options: Options, run: Run, *, load: bool) -> dict[str, Any]:
    proxy_headers = options["proxy_headers"] or {}
    reject_faults(
        key_fault("token", options["token"]),
        password_fault("proxy_headers.proxy_basic_auth", proxy_headers.get("proxy_basic_auth")),
    )
    server = http_server.server(**{key: options[key] for key in SERVER_OPTIONS})
    check = replace(Check.of(**{key: options[key] for key in CHECK_OPTIONS}), load=load)
    with http_transport.HttpTransport(server, options["token"]) as transport:
        files = Reports(options["junit_path"], options["svg_path"])
        result = smoke_test(transport, check, files, run.check_mode, run.warn)
    return {"url": server.url + path(check.protocol, str(check.model_name)), **result}


USE_CASE = UseCase(
    ARGUMENT_SPEC,
    run,
    {
        "mutually_exclusive": [("url", "host"), ("ca_path", "ca_content"), *(("models", name) for name in ALONE)],
        "required_one_of": [("url", "host", "models"), ("model_name", "models")],
        "required_together": [("instances", "expected")],
        "required_by": {"client_key": "client_cert"},
    },
)


def main() -> None:
    """Run the module."""
    run_module(USE_CASE)


if __name__ == "__main__":
    main()
