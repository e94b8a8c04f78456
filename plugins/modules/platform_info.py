#!/usr/bin/python
# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tell which components of a serving platform a cluster has, whether they work, and whether all models are well."""

from __future__ import annotations

DOCUMENTATION = r"""
module: platform_info
short_description: Report which components of a serving platform a cluster has, and whether it and its models are well
version_added: 0.1.0
author:
  - Hash Foundry (@hashfoundry)
description:
  - Reads the version of a cluster and of the installed components of a serving platform, however they were installed.
  - A component is identified by its CRDs and by the labels of its Deployments, as its project's manifests and charts
    set them. Its version is the label C(app.kubernetes.io/version), or else the tag of its image; that of the Gateway
    API is an annotation of its CRDs.
  - The credentials need C(get) on the namespace C(kube-system) and on C(customresourcedefinitions), and C(list) on
    C(deployments) in all namespaces. With O(verify=true) also C(list) on C(endpointslices) and on webhook
    configurations, and C(create) and C(patch) on C(clusterservingruntimes), on Knative's C(services), on
    C(clusterissuers) or on C(virtualservices).
  - With O(namespaces) or O(model_namespaces) it also returns the status of everything, which the playbook
    C(hashfoundry.kserve.status) prints. For O(namespaces) the credentials need C(list) on C(pods), C(deployments),
    C(statefulsets) and C(daemonsets) there, and for O(model_namespaces) the permissions of
    M(hashfoundry.kserve.inference_service_info).
  - With O(prometheus) the status has the SLOs, the error budgets and the firing alerts that the role
    P(hashfoundry.kserve.model_monitoring#role) records. The number of queries is the same for any number of models.
    Without an answer of Prometheus they are null, which is listed in C(problems), and is no failure of the module.
requirements:
  - python >= 3.11
  - kubernetes >= 24.2.0
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - hashfoundry.kserve.attributes
  - hashfoundry.kserve.attributes.info_module
  - hashfoundry.kserve.attributes.actiongroup_kserve
options:
  components:
    description: The components to read. With an empty list only the cluster itself is read.
    type: list
    elements: str
    choices:
      - cert_manager
      - contour
      - gateway_api
      - istio
      - keda
      - knative_serving
      - kserve
      - net_istio
      - net_kourier
      - prometheus_operator
    default: []
  verify:
    description:
      - Whether to verify that the components are healthy. Their CRDs are served, their Deployments rolled out; their
        webhooks have a CA certificate and their Services an endpoint; and the webhooks accept an object in a
        server-side dry run, which changes nothing.
      - What is not healthy is listed in C(problems), and is no failure of the module.
    type: bool
    default: false
  api_server:
    description:
      - Whether to return the addresses at which pods reach the API server. The credentials need C(list) on
        C(endpointslices) in the namespace C(default) for that.
    type: bool
    default: false
  policy_probe:
    description:
      - The Job, as C(namespace/name), with which the role P(hashfoundry.kserve.namespace_security#role) tests whether
        the network enforces NetworkPolicies. The credentials need C(get) on C(jobs) in that namespace.
    type: str
  policy_probe_timeout:
    description: How many seconds to wait at most for that Job to finish.
    type: int
    default: 0
  policy_probe_warn:
    description: Whether to warn if the network does not enforce NetworkPolicies, or if that could not be tested.
    type: bool
    default: true
  namespaces:
    description: The namespaces of the platform. Their pods are verified, except for those of Jobs.
    type: list
    elements: str
    default: []
  model_namespaces:
    description: The namespaces of the models. Their InferenceServices are reported.
    type: list
    elements: str
    default: []
  alert_namespaces:
    description:
      - Further namespaces whose firing alerts are reported, but not their pods, such as those of components that other
        teams have installed.
    type: list
    elements: str
    default: []
  models:
    description: Models that must exist; a missing one is a problem.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the InferenceService.
        type: str
        required: true
      namespace:
        description: Its namespace.
        type: str
        required: true
  model_ready_path:
    description:
      - Path at which each model server is queried whether the model is ready, as in
        M(hashfoundry.kserve.inference_service_info). An empty string disables it.
    type: str
    default: /v2/models/{name}/ready
  prometheus:
    description:
      - The Prometheus with the series of the models. Without it there are no SLOs and no alerts in the status.
      - Without O(prometheus.url) it is queried behind the API server's proxy with the credentials of the cluster, which
        need C(get) on C(services/proxy) for this one Service.
    type: dict
    suboptions:
      url:
        description: Its URL, such as V(http://prometheus.example.com:9090), with the path in front of C(/api/v1).
        type: str
      namespace:
        description: Namespace of its Service.
        type: str
        default: monitoring
      service:
        description: Its Service for the API server's proxy, as C(scheme:name:port).
        type: str
        default: http:prometheus-operated:9090
      labels:
        description: Labels of the series of this cluster, if Prometheus has those of several clusters.
        type: dict
        default: {}
      token:
        description: Bearer token to send to O(prometheus.url).
        type: str
      username:
        description: User for O(prometheus.url), together with O(prometheus.password).
        type: str
      password:
        description: Password of O(prometheus.username).
        type: str
      ca_path:
        description: PEM file with the trusted CAs of its certificate. Defaults to the system's CAs.
        type: path
      ca_content:
        description: The same as O(prometheus.ca_path), as a string.
        type: str
      validate_certs:
        description: Whether its certificate must be valid.
        type: bool
        default: true
      client_cert:
        description: PEM file with the client certificate for mutual TLS. May contain the key as well.
        type: path
      client_key:
        description: PEM file with the key of O(prometheus.client_cert), without a passphrase.
        type: path
      proxy:
        description:
          - URL of an HTTP proxy in front of O(prometheus.url). Defaults to that of the environment, as in
            M(hashfoundry.kserve.inference_smoke_test). Empty for no proxy at all.
        type: str
      proxy_headers:
        description: Headers for the proxy, as in the modules of kubernetes.core.
        type: dict
        suboptions:
          proxy_basic_auth:
            description: User and password, separated by a colon.
            type: str
      timeout:
        description: How many seconds all queries together may take.
        type: float
        default: 10
  retry_for:
    description:
      - For how many seconds the status is read again while a pod of O(namespaces) does not run, or while Prometheus
        does not answer or has no fresh series of a model that serves. Not in check mode.
    type: int
    default: 0
seealso:
  - module: hashfoundry.kserve.inference_service_info
  - module: hashfoundry.kserve.manifests
"""

EXAMPLES = r"""
- name: Read what the cluster has
  hashfoundry.kserve.platform_info:
    components: [kserve, knative_serving, cert_manager]
  register: platform

- name: Verify the existing KServe
  hashfoundry.kserve.platform_info:
    components: [kserve]
    verify: true
  register: kserve
  failed_when: kserve.components.kserve.problems is truthy

- name: Report whether everything is well
  hashfoundry.kserve.platform_info:
    components: [kserve, gateway_api, contour]
    verify: true
    namespaces: [kserve, projectcontour]
    model_namespaces: [ml-models]
    prometheus:
      url: https://prometheus.example.com
      token: "{{ prometheus_token }}"
  register: platform
  failed_when: not platform.status.well
"""

RETURN = r"""
cluster:
  description: The cluster itself.
  type: dict
  returned: success
  contains:
    uid:
      description: The UID of the namespace C(kube-system), which identifies the cluster.
      type: str
    version:
      description: The version of the API server.
      type: str
  sample: {uid: 3d7b3f64-3c47-4a5e-9c55-2b8d1c0f8a11, version: v1.35.4}
api_server:
  description: Where pods reach the API server, which is behind the Service C(kubernetes); null without O(api_server).
  type: dict
  returned: success
  contains:
    addresses:
      description: IP addresses.
      type: list
      elements: str
    port:
      description: The port; null where there is no address.
      type: int
  sample: {addresses: [172.18.0.2], port: 6443}
network_policies:
  description:
    - Whether the network enforces NetworkPolicies, as the Job O(policy_probe) has found, V(enforced) or
      V(not_enforced). It is V(pending) if the Job still runs, V(unknown) if it failed for another reason, and
      null without O(policy_probe) or without the Job.
    - The Job tries one connection that is denied only as egress of a pod, and one that is denied only as ingress of
      another. V(enforced) means that both were denied.
  type: str
  returned: success
  sample: enforced
components:
  description: The components by their names in O(components).
  type: dict
  returned: success
  contains:
    installed:
      description: Whether the cluster has it.
      type: bool
    version:
      description: Its version; null if it is unknown.
      type: str
    namespace:
      description: The namespace of its Deployments; null for one that has none.
      type: str
    uid:
      description: The UID of its main CRD, which changes when the CRD is re-created.
      type: str
    managers:
      description: The field managers that have applied its main CRD.
      type: list
      elements: str
    deployments:
      description: The names of its Deployments.
      type: list
      elements: str
    problems:
      description: What is not healthy, one clause each; empty without O(verify=true).
      type: list
      elements: str
  sample:
    kserve:
      installed: true
      version: v0.20.0
      namespace: kserve
      uid: 0f3cf1c4-4f63-4f0c-b0a8-6e0dcf1fd1ce
      managers: [hashfoundry.kserve.kserve]
      deployments: [kserve-controller-manager]
      problems: []
status:
  description:
    - Whether the platform and the models are well; null without O(namespaces), O(model_namespaces) and O(models).
  type: dict
  returned: success
  contains:
    well:
      description: Whether there are no problems.
      type: bool
    summary:
      description: The same in one sentence, with what is not well.
      type: str
    problems:
      description: Everything that is not well, a sentence each.
      type: list
      elements: str
    table:
      description: The status for people, as lines of at most 108 characters.
      type: list
      elements: str
    time:
      description: When it was read, in UTC.
      type: str
    namespaces:
      description: Each of O(namespaces), with C(name), the number of C(pods) and of those C(ready), and C(problems).
      type: list
      elements: dict
    models:
      description:
        - Each model with its C(namespace), C(name), C(version), C(digest), C(replicas) (C(ready) and C(wanted)),
          C(verdict), C(reason) and C(message) as of M(hashfoundry.kserve.inference_service_info), C(url), and
          C(problems).
        - C(scraped) is whether Prometheus has fresh series of it; null if that is unknown or it is scaled to zero.
          C(target) is whether Prometheus tries to scrape it.
        - C(slo) has for V(availability), V(latency_p95) and V(latency_p99) the C(objective), as a ratio, for a latency
          its C(threshold_seconds), what is measured now (C(current), a ratio or seconds), and
          C(error_budget_remaining), which is 1 for all of it and negative if it is spent. A number that Prometheus does
          not have, as without traffic, is null. C(slo) is null if Prometheus did not answer.
        - C(alerts) are those of C(alerts) about this model.
      type: list
      elements: dict
    alerts:
      description:
        - The firing alerts of the collection about these namespaces, with C(name), C(severity), C(namespace), C(model)
          and C(slo); null if Prometheus did not answer.
      type: list
      elements: dict
    prometheus:
      description:
        - How Prometheus answered; null without O(prometheus).
        - C(state) is V(answers), V(partial) or V(unreachable), with a C(reason), the names of the C(missing) answers
          and the C(warnings) of Prometheus. C(clock_difference) is by how many seconds its clock is ahead of the one
          here; null up to 10 seconds.
      type: dict
  sample:
    well: false
    summary: "Not well: 1 of 2 models does not serve and 1 alert fires."
    models:
      - name: iris
        namespace: ml-models
        version: v2
        replicas: {ready: 1, wanted: 2}
        verdict: progressing
        slo:
          - {name: availability, objective: 0.999, current: 0.9997, error_budget_remaining: 0.8}
reason:
  description: A stable code for the cause of the failure, for programs; C(msg) explains it in a sentence.
  type: str
  returned: failure
  sample: Forbidden
"""

import time
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import partial
from typing import Any

from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.backoff import Backoff, Retry
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.progress import Progress
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube import apply_client, client
from ansible_collections.hashfoundry.kserve.plugins.module_utils._module.use_case import (
    Options,
    Run,
    UseCase,
    run_module,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._platform import components, enforcement, pods
from ansible_collections.hashfoundry.kserve.plugins.module_utils._platform.info import platform_info
from ansible_collections.hashfoundry.kserve.plugins.module_utils._prometheus import options as prometheus
from ansible_collections.hashfoundry.kserve.plugins.module_utils._status.report import report, summary
from ansible_collections.hashfoundry.kserve.plugins.module_utils._status.status import Asked, status, unsettled

LISTS = ("namespaces", "model_namespaces", "alert_namespaces")
STATUS = ("namespaces", "model_namespaces", "models")

ARGUMENT_SPEC: dict[str, Any] = {
    **AUTH_ARG_SPEC,
    "components": {"type": "list", "elements": "str", "choices": sorted(components.COMPONENTS), "default": []},
    "verify": {"type": "bool", "default": False},
    "api_server": {"type": "bool", "default": False},
    "policy_probe": {"type": "str"},
    "policy_probe_timeout": {"type": "int", "default": 0},
    "policy_probe_warn": {"type": "bool", "default": True},
    **{name: {"type": "list", "elements": "str", "default": []} for name in LISTS},
    "models": {
        "type": "list",
        "elements": "dict",
        "options": {name: {"type": "str", "required": True} for name in ("name", "namespace")},
        "default": [],
    },
    "model_ready_path": {"type": "str", "default": "/v2/models/{name}/ready"},
    "prometheus": prometheus.ARGUMENT,
    "retry_for": {"type": "int", "default": 0},
}


def run(options: Options, run: Run) -> dict[str, Any]:
    """Tell which components the cluster has, and whether everything is well."""
    server = prometheus.server(options["prometheus"])
    with apply_client.session(options) as api:
        result = platform_info(api, options["components"], options["verify"], options["api_server"])
        job = options["policy_probe"] or ""
        deadline = time.monotonic() + options["policy_probe_timeout"]
        retry = Retry(deadline, Backoff(0.25, 1), time.monotonic, time.sleep)
        found = enforcement.enforcement(api, job, retry) if job else None
        result["network_policies"] = found.value if found else None
        wanted = any(options[name] for name in STATUS)
        result["status"] = _status(api, options, run, server, result) if wanted else None
    if options["policy_probe_warn"] and (text := enforcement.warning(found, job)):
        run.warn(text)
    return result


def _status(api: apply_client.RestApplyApi, options: Options, run: Run, server: Any, found: Options) -> dict[str, Any]:
    start = time.monotonic()
    deadline = start + (0 if run.check_mode else options["retry_for"])
    retry = Retry(deadline, Backoff(1, 5), time.monotonic, time.sleep)
    progress = Progress(run.report, start)
    parts = found["components"]
    alone = not (options["model_namespaces"] or options["models"] or options["prometheus"])
    # Models are queried by many threads, and Prometheus, which may be slow, is not queried twice: another session.
    with nullcontext(api) if alone else client.session(options) as models_api:
        asked = Asked(
            options["model_namespaces"],
            [(entry["namespace"], entry["name"]) for entry in options["models"]],
            options["model_ready_path"],
            prometheus.source(options["prometheus"], server, models_api),
            (options["prometheus"] or {}).get("labels"),
            options["alert_namespaces"],
        )
        result = status(models_api, asked, parts, pods.namespaces(api, options["namespaces"]))
        while unsettled(result) and retry.pause():
            progress.at(time.monotonic(), partial("After {1:g} seconds: {0}".format, summary(result, parts)))
            result = status(models_api, asked, parts, pods.namespaces(api, options["namespaces"]))
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return {**report(result, found["cluster"], parts), "time": at, **result}


USE_CASE = UseCase(ARGUMENT_SPEC, run, shown=prometheus.shown)


def main() -> None:
    """Run the module."""
    run_module(USE_CASE)


if __name__ == "__main__":
    main()
