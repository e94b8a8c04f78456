#!/usr/bin/python
# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Apply many Kubernetes objects at once, sending only those that differ, or delete them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: manifests
short_description: Apply many Kubernetes objects at once by server-side apply, or delete them
version_added: 0.1.0
author:
  - Hash Foundry (@hashfoundry)
description:
  - Applies any number of manifests in one task. It reads every object first, applies only those that differ, by
    server-side apply, and waits for them.
  - An object is unchanged when its fields match the manifest and O(field_manager) owns no field that the manifest no
    longer has. Lists are compared the way the API server merges them, and fields that are quantities by value. An
    object that O(field_manager) has not applied yet is applied once, even if it is equal, so that a field which is
    later removed from the manifest can be removed from the object.
  - The order is that of Helm, with namespaces and CRDs first and custom resources last. Before the next object is
    applied, CRDs are waited for until they are established and in the API discovery.
  - An object that is removed from the manifests remains in the cluster, unless O(prune) selects it. Delete other
    objects with M(kubernetes.core.k8s), or with O(state=absent) from the manifests that still name them.
  - With O(state=absent) the order is reversed. Custom resources are deleted first, so that their controllers can clean
    up. A CRD is deleted only when it has no objects left, in whichever version, and a namespace only when it is empty
    but for the default objects. What cannot be read counts as in use.
  - An object that O(field_manager) has not applied remains, and so does a CRD that another manager has applied too. An
    object without any field, such as a plain Namespace, has no recorded manager; it counts as applied.
  - Large CRDs are parsed once, and a local chart without values that contains only CRDs is rendered once. The results
    are cached below E(XDG_CACHE_HOME), or else C(~/.cache), in C(hashfoundry-kserve/made), for 30 days. Nothing else
    is cached.
  - An entry of C(metadata.ownerReferences) without C(uid) gets that of the live object, which must exist, so that
    Kubernetes deletes an object with its owner. In check mode it is left out as long as its owner is missing.
  - Of a Secret, C(stringData) is applied as C(data), since the API server does not track ownership of C(stringData).
    The values are never shown.
  - The credentials need C(get), C(list), C(watch), C(create) and C(patch) on what is applied, C(get) on its owners,
    C(get), C(list) and C(delete) on what is deleted, and C(list) on everything in a namespace that is deleted. The
    diagnosis of a workload that does not become ready needs C(list) on C(pods) and C(events).
requirements:
  - python >= 3.11
  - kubernetes >= 24.2.0
  - PyYAML >= 3.11
  - helm >= 3.0.0, for O(charts)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - hashfoundry.kserve.attributes
  - hashfoundry.kserve.attributes.actiongroup_kserve
attributes:
  check_mode:
    support: full
    details:
      - Changes are sent as a server-side dry run, which the API server and its webhooks validate.
      - An object whose CRD or namespace does not exist yet cannot be validated. It is listed in RV(unvalidated) and
        counted as a change, with a warning.
  diff_mode:
    support: full
    details:
      - Shows the objects that differ, with the fields of the manifest only. A field that is removed is not shown.
  idempotent:
    support: full
options:
  state:
    description: Whether the objects are applied, V(present), or deleted, V(absent).
    type: str
    choices: [present, absent]
    default: present
  in_use:
    description:
      - What O(state=absent) does if a CRD is among the manifests, and the cluster has custom resources of it that are
        not among the manifests. Objects that are owned by those of the manifests, or were created for their Gateways,
        are deleted with them and do not count.
      - With V(fail), nothing is deleted, and the error has the number of these custom resources. With V(keep), these
        CRDs remain, and the rest is deleted.
      - The same applies to CRDs that O(prune) selects.
    type: str
    choices: [fail, keep]
    default: fail
  definitions:
    description:
      - Objects to apply, or YAML strings with any number of them, as C(helm template) prints. Empty ones are ignored,
        and a C(List) is expanded. A single string may be given instead of the list.
      - Values of Secrets are masked where Ansible shows or logs the module's options. Set C(no_log) on the task all
        the same when they come from a variable that other callbacks show.
    type: list
    elements: raw
    default: []
  templates:
    description:
      - Jinja templates on the control node, found as M(ansible.builtin.template) finds its O(ignore:src). Each is
        rendered and appended to O(definitions).
      - Unlike the lookup P(ansible.builtin.template#lookup), this copies no variables.
    type: list
    elements: path
    default: []
  src:
    description:
      - Paths of YAML or JSON files on the host that runs the module, or of folders that hold such files.
      - An object in O(definitions) replaces the same object here.
      - At least one of O(definitions), O(templates), O(src) and O(charts) must contain an object.
    type: list
    elements: path
    default: []
  charts:
    description:
      - Helm charts, whose objects and CRDs are applied as C(helm template) prints them. No release is created in the
        cluster, and hooks are applied as plain objects.
      - An object in O(definitions) replaces the same object here.
    type: list
    elements: dict
    default: []
    suboptions:
      ref:
        description: Path of the chart, its C(oci) URL, or its name in O(charts[].repository).
        type: str
        required: true
      repository:
        description: URL of the repository.
        type: str
      version:
        description: Version of the chart. Defaults to the latest.
        type: str
      release:
        description: Name of the release, by which charts name their objects.
        type: str
        required: true
      namespace:
        description: Namespace of the release. Defaults to O(namespace).
        type: str
      values:
        description: Values, merged over those of the chart. They are never shown.
        type: dict
        default: {}
  helm:
    description: Name or path of the Helm binary that renders O(charts).
    type: path
    default: helm
  exclude_kinds:
    description: Kinds to leave out.
    type: list
    elements: str
    default: []
  only_kinds:
    description:
      - Kinds to apply; all others are left out, even if nothing remains. Set it in C(module_defaults) to run roles for
        what only an administrator may apply, such as RBAC and CRDs.
    type: list
    elements: str
    default: []
  patches:
    description:
      - Parts of objects, each merged over the object of its C(kind) and C(metadata.name) in O(definitions) and O(src).
        It may also have C(apiVersion) and C(metadata.namespace), if those are needed to distinguish objects.
      - Maps are merged key by key, and lists whose entries have a C(name), such as containers, entry by entry. V(null)
        removes a key, and C($patch=delete) in an entry the entry of that name. Everything else replaces the previous
        value.
      - Under a key of a ConfigMap's C(data), a map is merged into the JSON object of that string.
      - A patch that matches no object is an error.
    type: list
    elements: dict
    default: []
  ca_bundle:
    description:
      - CA certificates, as a PEM string, that are set in each webhook with a Service, in the webhook configurations
        among the objects.
    type: str
    default: ""
  images:
    description:
      - Where images are pulled from, in all objects but CRDs. An image is the value of a field, a key of a ConfigMap,
        an environment variable or an argument whose name ends in C(image), also within JSON in a ConfigMap. Keys of a
        ConfigMap that begin with an underscore are ignored.
    type: dict
    default: {}
    suboptions:
      registries:
        description:
          - Replacements of image name prefixes, a registry and as much of the path as is given. The longest matching
            prefix applies. An image without a registry is one of C(docker.io).
        type: dict
        default: {}
      digests:
        description:
          - The digest of an image, C(sha256) with 64 hexadecimal digits, by the image's name with registry and tag, as
            it is before O(images.registries) changes it. The tag is retained.
        type: dict
        default: {}
  namespace:
    description: Namespace of namespaced objects that have none.
    type: str
  field_manager:
    description:
      - Field manager of server-side apply. Each role of the collection has its own, C(hashfoundry.kserve.<role>), so
        that none prunes or changes what another has applied.
    type: str
    default: hashfoundry.kserve
  previous_field_managers:
    description:
      - Field managers that O(field_manager) replaces. Their fields are taken over without a conflict. Those that the
        manifest does not have are removed, as if O(field_manager) had applied them.
      - Without it, a O(field_manager) that begins with C(hashfoundry.kserve.) replaces V(hashfoundry.kserve), the
        default of O(field_manager), and every other one replaces none. Set V([]) where the manifests are only a part
        of objects that V(hashfoundry.kserve) may have applied, such as a label.
      - With O(state=absent), what they have applied is deleted, too. What O(prune) selects is not, unless
        O(field_manager) has applied it.
    type: list
    elements: str
  adopt:
    description:
      - Whether to adopt CRDs that another owner has created, such as a Helm release. If V(false), nothing is applied
        if there are any, and the error names them with their owners.
      - The previous owner should release them first; a Helm release that is uninstalled deletes them, and every object
        of them, unless they have the annotation C(helm.sh/resource-policy=keep).
    type: bool
    default: false
  force_conflicts:
    description: Whether to take ownership of fields that another field manager owns with other values.
    type: bool
    default: false
  prune:
    description:
      - What is deleted after the apply if the manifests do not contain it. Only objects that O(field_manager) has
        applied are deleted; RV(kept) lists those that remain. With it there may be no manifest at all.
      - Nothing is pruned with O(state=absent), nor of a kind that O(only_kinds) or O(exclude_kinds) leave out.
    type: list
    elements: dict
    default: []
    suboptions:
      api_version:
        description: Group and version.
        type: str
        default: v1
      kind:
        description: Kind.
        type: str
        required: true
      namespace:
        description: Namespace of namespaced objects. Defaults to O(namespace).
        type: str
      label_selectors:
        description:
          - Label selectors of the objects. At least one must name a label that the objects have, as C(name),
            C(name=value) or V(name in (value, value\)) do. An empty list or string is an error, and nothing is applied.
        type: list
        elements: str
        required: true
  wait:
    description:
      - Whether to wait until the objects are ready, also those that are unchanged. Waited for are CRDs (established,
        names accepted), Deployments, StatefulSets and DaemonSets (rolled out), Namespaces (active), APIServices
        (available), Jobs (complete), GatewayClasses (accepted), Gateways (programmed), HTTPRoutes (accepted by each
        Gateway, with all backends), cert-manager's Issuers, ClusterIssuers and Certificates (ready), Prometheus and
        Alertmanager objects of the Prometheus Operator (reconciled and available), and webhook configurations with a
        Service (their CA is a certificate). Everything else counts as ready.
      - While it waits on the control node, it reports on standard error every 15 seconds how far it has come, unless
        the task has C(no_log).
      - It fails at once when waiting cannot help, as when a Deployment's progress deadline is exceeded.
      - With O(state=absent), whether to wait until the objects are deleted, and what controllers created for a Gateway.
    type: bool
    default: true
  wait_timeout:
    description: How many seconds to wait at most.
    type: int
    default: 300
  webhook_timeout:
    description:
      - For how many seconds an object is retried when a webhook, or a new CRD, is not served yet. Every other error
        ends the module at once.
    type: int
    default: 60
  grace_period:
    description:
      - For how many seconds Kubernetes may refuse the pods of a workload, such as for a quota that is used up, before
        that is an error. It is one after five seconds if they are refused for good, such as for a quota that is smaller
        than the pod.
    type: int
    default: 60
seealso:
  - module: kubernetes.core.k8s
"""

EXAMPLES = r"""
- name: Install an operator from its release manifest
  hashfoundry.kserve.manifests:
    src:
      - /opt/manifests/operator.yaml
    exclude_kinds: [Certificate, Issuer]

- name: Install an operator with another image and without its rules, which the operator writes
  hashfoundry.kserve.manifests:
    src:
      - /opt/manifests/operator.yaml
    patches:
      - kind: Deployment
        metadata:
          name: operator
        spec:
          template:
            spec:
              containers:
                - name: manager
                  image: registry.example.com/operator:v1.2.3
      - kind: ValidatingWebhookConfiguration
        metadata:
          name: operator
        webhooks:
          - name: validate.operator.example.com
            rules:

- name: Install an operator without Internet access, from a mirror and by digest
  hashfoundry.kserve.manifests:
    src:
      - /opt/manifests/operator.yaml
    images:
      registries:
        docker.io: mirror.example.com/docker
        gcr.io/operators: mirror.example.com/operators
      digests:
        docker.io/operators/operator:v1.2.3: sha256:8f1e6dbd4ed0a3a1c4ee6c0d8cd0cb1e9f4c9f8a5f2f6cf6f3f5d4d3c2b1a090

- name: Install an operator from its chart
  hashfoundry.kserve.manifests:
    namespace: operators
    charts:
      - ref: operator
        repository: https://charts.example.com
        version: 1.2.3
        release: operator
        values:
          replicas: 2

- name: Uninstall the operator, unless its CRDs have other objects
  hashfoundry.kserve.manifests:
    src:
      - /opt/manifests/operator.yaml
    state: absent

- name: Apply the Ingresses of a list, and delete others with this label
  hashfoundry.kserve.manifests:
    namespace: models
    templates: [ingresses.yml.j2]
    prune:
      - api_version: networking.k8s.io/v1
        kind: Ingress
        label_selectors: [example.com/made-by=this-list]

- name: Create a namespace and what belongs in it
  hashfoundry.kserve.manifests:
    namespace: models
    definitions:
      - apiVersion: v1
        kind: Namespace
        metadata:
          name: models
      - apiVersion: v1
        kind: ServiceAccount
        metadata:
          name: model-reader
"""

RETURN = r"""
objects:
  description: What was done with each object, in this order.
  type: list
  elements: dict
  returned: once the cluster has been read
  contains:
    api_version:
      description: Group and version.
      type: str
    kind:
      description: Kind.
      type: str
    namespace:
      description: Namespace; null for a cluster-scoped object.
      type: str
    name:
      description: Name.
      type: str
    action:
      description:
        - One of V(created), V(configured), V(unchanged) and V(unvalidated); with O(state=absent), one of V(deleted),
          V(kept) and V(absent); of what O(prune) selects, V(deleted) or V(kept).
      type: str
  sample:
    - api_version: apps/v1
      kind: Deployment
      namespace: models
      name: web
      action: configured
counts:
  description:
    - How many objects were V(created), V(configured), V(unchanged) and V(unvalidated), and with O(prune) V(deleted);
      with O(state=absent), V(deleted), V(kept) and V(absent).
  type: dict
  returned: once the cluster has been read
  sample: {created: 1, configured: 0, unchanged: 12, unvalidated: 0}
kept:
  description: Objects that were not deleted, and why.
  type: list
  elements: dict
  returned: with O(state=absent) or O(prune), once the cluster has been read
  contains:
    api_version:
      description: Group and version.
      type: str
    kind:
      description: Kind.
      type: str
    namespace:
      description: Namespace; null for a cluster-scoped object.
      type: str
    name:
      description: Name.
      type: str
    reason:
      description: Why it was kept.
      type: str
  sample:
    - api_version: v1
      kind: Namespace
      namespace:
      name: operator
      reason: it holds Secret operator-tls
unvalidated:
  description: Objects that check mode could not validate, and why.
  type: list
  elements: dict
  returned: once the cluster has been read
  contains:
    api_version:
      description: Group and version.
      type: str
    kind:
      description: Kind.
      type: str
    namespace:
      description: Namespace; null for a cluster-scoped object, or when the scope is not known.
      type: str
    name:
      description: Name.
      type: str
    reason:
      description: Why it could not be validated.
      type: str
requests:
  description: How many HTTP requests were sent to read, apply and wait.
  type: int
  returned: once the cluster has been read
  sample: 31
waited_seconds:
  description: How long the module waited for objects to become ready.
  type: float
  returned: once the cluster has been read
  sample: 12.3
events:
  description: The last events of the object that does not become ready, and of its pods.
  type: list
  elements: str
  returned: when an object does not become ready
reason:
  description: A stable code for the cause of the failure, for programs; C(msg) explains it in a sentence.
  type: str
  returned: failure
  sample: CRDInUse
"""

from contextlib import closing
from typing import Any

from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC

from ansible_collections.hashfoundry.kserve.plugins.module_utils._apply.apply import (
    apply_manifests,
    unvalidated_warnings,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._apply.delete import delete_manifests
from ansible_collections.hashfoundry.kserve.plugins.module_utils._apply.options import (
    FIELD_MANAGER,
    Timing,
    previous_field_managers,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._apply.options import Options as Applying
from ansible_collections.hashfoundry.kserve.plugins.module_utils._apply.prune import selections_of_kinds
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube import apply_client
from ansible_collections.hashfoundry.kserve.plugins.module_utils._manifest_source.helm import (
    mask_values as shown_charts,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._manifest_source.helm import render_charts
from ansible_collections.hashfoundry.kserve.plugins.module_utils._manifest_source.load import load
from ansible_collections.hashfoundry.kserve.plugins.module_utils._manifest_source.secrets import mask_secrets
from ansible_collections.hashfoundry.kserve.plugins.module_utils._module.use_case import (
    Options,
    Run,
    UseCase,
    run_module,
)

LOADING: dict[str, Any] = {
    "definitions": {"type": "list", "elements": "raw", "default": []},
    "src": {"type": "list", "elements": "path", "default": []},
    "exclude_kinds": {"type": "list", "elements": "str", "default": []},
    "only_kinds": {"type": "list", "elements": "str", "default": []},
    "patches": {"type": "list", "elements": "dict", "default": []},
    "ca_bundle": {"type": "str", "default": ""},
    "images": {
        "type": "dict",
        "default": {},
        "options": {"registries": {"type": "dict", "default": {}}, "digests": {"type": "dict", "default": {}}},
    },
}
# Ansible's action plugin adds them to definitions.
TEMPLATES: dict[str, Any] = {"templates": {"type": "list", "elements": "path", "default": []}}
CHARTS: dict[str, Any] = {
    "charts": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "ref": {"type": "str", "required": True},
            "repository": {"type": "str"},
            "version": {"type": "str"},
            "release": {"type": "str", "required": True},
            "namespace": {"type": "str"},
            "values": {"type": "dict", "default": {}},
        },
    },
    "helm": {"type": "path", "default": "helm"},
}
APPLYING: dict[str, Any] = {
    "namespace": {"type": "str"},
    "field_manager": {"type": "str", "default": FIELD_MANAGER},
    "previous_field_managers": {"type": "list", "elements": "str"},
    "force_conflicts": {"type": "bool", "default": False},
    "adopt": {"type": "bool", "default": False},
    "in_use": {"type": "str", "choices": ["fail", "keep"], "default": "fail"},
    "prune": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "api_version": {"type": "str", "default": "v1"},
            "kind": {"type": "str", "required": True},
            "namespace": {"type": "str"},
            "label_selectors": {"type": "list", "elements": "str", "required": True},
        },
    },
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 300},
    "webhook_timeout": {"type": "int", "default": 60},
    "grace_period": {"type": "int", "default": 60},
}
STATE: dict[str, Any] = {"state": {"type": "str", "choices": ["present", "absent"], "default": "present"}}


def run(options: Options, run: Run) -> dict[str, Any]:
    """Apply the objects, or delete them."""
    applying = {key: options[key] for key in APPLYING}
    if applying["previous_field_managers"] is None:
        applying["previous_field_managers"] = previous_field_managers(applying["field_manager"])
    applying["prune"] = selections_of_kinds(applying["prune"], options["only_kinds"], options["exclude_kinds"])
    how = Applying(**applying, check_mode=run.check_mode, diff=run.diff)
    loading = {key: options[key] for key in LOADING}
    with closing(render_charts(options["charts"], options["helm"], options["namespace"])) as charts:
        manifests = load(**loading, charts=charts, may_be_empty=bool(options["prune"]))
    work = apply_manifests if options["state"] == "present" else delete_manifests
    with apply_client.session(options) as api:
        result = work(api, manifests, how, Timing(report=run.report))
    for text in unvalidated_warnings(result.get("unvalidated", ())):
        run.warn(text)
    return result


def mask_values(options: Options) -> Options:
    """Return the options without the values of Secrets; no_log would mask every name in the result, too."""
    masked = {key: mask_secrets(options.get(key) or []) for key in ("definitions", "patches")}
    return {**options, **masked, "charts": shown_charts(options.get("charts") or [])}


USE_CASE = UseCase({**AUTH_ARG_SPEC, **STATE, **LOADING, **TEMPLATES, **CHARTS, **APPLYING}, run, shown=mask_values)


def main() -> None:
    """Run the module."""
    run_module(USE_CASE)


if __name__ == "__main__":
    main()
