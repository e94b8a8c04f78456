#!/usr/bin/python
# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Apply many Kubernetes objects at once, sending only those that differ, or take them away."""

from __future__ import annotations

DOCUMENTATION = r"""
module: manifests
short_description: Apply many Kubernetes objects at once, sending only those that differ, or take them away
version_added: 0.1.0
author:
  - Hash Foundry (@hashfoundry)
description:
  - Brings a cluster to what a whole set of manifests says, in one task. It reads every object first, sends only what
    differs, by server-side apply, and waits for what it has applied.
  - An object is left alone when its fields are as the manifest has them and O(field_manager) owns no field that the
    manifest no longer has. Lists are compared the way the API server merges them, and quantities by value. An
    object that O(field_manager) has not applied yet is sent once, also when it looks the same, so that a field which
    the manifest loses later can be taken away.
  - The order is that of Helm, with namespaces and definitions of kinds first and custom resources last. Definitions
    are waited for before the next object is sent, until they are established and the discovery knows their kinds.
  - Whatever disappears from the manifests stays in the cluster, unless O(prune) selects it. Delete other objects with
    M(kubernetes.core.k8s), or with O(state=absent) from the manifests that still name them.
  - With O(state=absent) the order is the other way round. Custom resources go first, so that their controllers can
    clean up. A definition of a kind goes only when nothing of the kind is left, and a namespace only when nothing is
    in it but what every namespace has. An object that O(field_manager) has not applied stays, and so does a
    definition that another manager has applied, too. Who has applied a manifest that names an object and says nothing
    else of it, as of a plain Namespace, nobody knows; it counts as applied.
  - Long definitions of kinds are read once, and a chart on this machine that is given no values and has nothing but
    definitions of kinds is rendered once. What came of them is kept below E(XDG_CACHE_HOME), or else C(~/.cache), in
    C(hashfoundry-kserve/made), for 30 days or until it is deleted. Nothing else is kept.
  - Of a Secret, C(stringData) is sent as C(data), since the API server does not keep track of what was applied in
    C(stringData). The values are shown nowhere.
  - The credentials need C(get), C(list), C(watch), C(create) and C(patch) on what is applied, C(get), C(list) and
    C(delete) on what is taken away, and C(list) on everything in a namespace that is. The explanation of a workload
    that does not come up needs C(list) on C(pods) and C(events).
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
      - What differs is sent as a dry run, which the API server and its webhooks check.
      - An object whose kind or namespace is not there yet cannot be checked. It is listed in RV(unvalidated) and
        counted as a change. A warning names them.
  diff_mode:
    support: full
    details:
      - Shows the objects that differ, and of those only the fields that the manifest has. A field that is taken away
        is not shown.
  idempotent:
    support: full
options:
  state:
    description: Whether the objects are applied, V(present), or taken away, V(absent).
    type: str
    choices: [present, absent]
    default: present
  in_use:
    description:
      - What O(state=absent) does where a definition of a kind is among the manifests, and objects of the kind are in
        the cluster that are not. What the objects of the manifests own, and what was made for their Gateways, goes
        with them and does not count.
      - With V(refuse), nothing is taken away, and the error counts them. With V(keep), these definitions stay, and
        the rest goes.
    type: str
    choices: [refuse, keep]
    default: refuse
  definitions:
    description:
      - Objects to apply, or texts of YAML with any number of them, as C(helm template) prints. Empty ones are passed
        over, and those in one of kind C(List) are taken one by one.
      - Values of Secrets are masked where Ansible shows or logs the module's options. Set C(no_log) on the task all
        the same when they come from a variable that other callbacks show.
    type: list
    elements: raw
    default: []
  templates:
    description:
      - Jinja templates on the machine that runs Ansible, found as M(ansible.builtin.template) finds its O(ignore:src).
        Each becomes a text after those of O(definitions), and counts as one.
      - Unlike the lookup P(ansible.builtin.template#lookup), this copies no variables.
    type: list
    elements: path
    default: []
  src:
    description:
      - Paths of YAML or JSON files on the host that runs the module, or of folders that hold such files.
      - An object in O(definitions) takes the place of the same object here.
      - At least one of O(definitions), O(templates), O(src) and O(charts) has to hold an object.
    type: list
    elements: path
    default: []
  charts:
    description:
      - Helm charts, whose objects and definitions of kinds are taken as C(helm template) prints them. There is no
        release in the cluster; of hooks nothing is known but their objects.
      - An object in O(definitions) takes the place of the same object here.
    type: list
    elements: dict
    default: []
    suboptions:
      ref:
        description: Path of the chart, its C(oci) address, or its name in O(charts[].repository).
        type: str
        required: true
      repository:
        description: Address of the repository.
        type: str
      version:
        description: Version of the chart; the latest without it.
        type: str
      release:
        description: Name of the release, by which charts name their objects.
        type: str
        required: true
      namespace:
        description: Namespace of the release; that in O(namespace) without it.
        type: str
      values:
        description: Values, laid over those of the chart. They are shown nowhere.
        type: dict
        default: {}
  helm:
    description: Name or path of the program with which O(charts) are rendered.
    type: path
    default: helm
  exclude_kinds:
    description: Kinds to leave out.
    type: list
    elements: str
    default: []
  only_kinds:
    description:
      - Kinds to apply, leaving out all others, also when nothing is left then. Give it in C(module_defaults) to run
        roles for what only an administrator may apply, such as roles and definitions of kinds.
    type: list
    elements: str
    default: []
  patches:
    description:
      - Parts of objects, each laid over the object of its C(kind) and C(metadata.name) in O(definitions) and O(src). It
        may name C(apiVersion) and C(metadata.namespace), too, where those are needed to tell objects apart.
      - Maps are merged key by key, and lists whose entries have a C(name), such as containers, entry by entry. V(null)
        takes a key away, and C($patch=delete) in an entry the entry of that name. Everything else takes the place of
        what was there.
      - Under a key of a ConfigMap's C(data), a map is merged into the JSON object that the text there is.
      - A patch that fits no object is an error.
    type: list
    elements: dict
    default: []
  ca_bundle:
    description:
      - Certificates of authorities, as PEM text, that are set in each webhook that a Service answers, in the
        configurations of webhooks among the objects.
    type: str
    default: ""
  images:
    description:
      - Where images are taken from, in all objects but definitions of kinds. An image is what stands in a field, a
        key of a ConfigMap, an environment variable or an argument whose name ends in C(image), also in a key of a
        ConfigMap that holds JSON. Keys of a ConfigMap that begin with an underscore are left alone.
    type: dict
    default: {}
    suboptions:
      registries:
        description:
          - What takes the place of the beginning of an image's name, a registry and as much of the path as is given.
            The longest beginning that fits counts. An image without a registry is one of C(docker.io).
        type: dict
        default: {}
      digests:
        description:
          - The digest of an image, C(sha256) with 64 hexadecimal digits, by the image's name with registry and tag, as
            it is before O(images.registries) changes it. The tag stays beside it.
        type: dict
        default: {}
  namespace:
    description: Namespace of objects that need one and name none.
    type: str
  field_manager:
    description: Name under which the API server keeps which fields have been applied.
    type: str
    default: hashfoundry.kserve
  adopt:
    description:
      - Whether to take over definitions of kinds that somebody else has made, such as a Helm release. Without it
        nothing is applied where there are some, and they are named with their owners.
      - The former owner should let go of them first; a Helm release that is uninstalled deletes them, and every object
        of their kinds with them, unless they have the annotation C(helm.sh/resource-policy=keep).
    type: bool
    default: false
  force_conflicts:
    description: Whether to take over fields that another field manager holds with other values.
    type: bool
    default: false
  prune:
    description:
      - What is deleted where the manifests do not name it, after they have been applied. Only objects that
        O(field_manager) has applied go; the others are in RV(kept). With it there may be no manifest at all.
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
        description: Namespace of the objects, where the kind has one; that in O(namespace) without it.
        type: str
      label_selectors:
        description: What the labels of the objects must be.
        type: list
        elements: str
        required: true
  wait:
    description:
      - Whether to wait until the objects work, also those that are unchanged. Waited for are definitions of kinds
        (established, names accepted), Deployments, StatefulSets and DaemonSets (rolled out), Namespaces (active),
        APIServices (available), Jobs (complete), GatewayClasses (accepted), Gateways (programmed),
        cert-manager's Issuers, ClusterIssuers and Certificates (ready), and the configurations of webhooks that a
        Service answers (their CA is a certificate). Everything else counts as working.
      - It fails at once when waiting cannot help, as when a Deployment's progress deadline is exceeded.
      - With O(state=absent), whether to wait until the objects are gone, and what controllers made for a Gateway.
    type: bool
    default: true
  wait_timeout:
    description: How many seconds to wait at most.
    type: int
    default: 300
  webhook_timeout:
    description:
      - For how many seconds an object is read or sent again when a webhook, or a kind that has just been defined, is
        not served yet. Every other error ends the module at once.
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

- name: Install an operator without the Internet, from a mirror and by digest
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

- name: Take the operator away, unless somebody still has objects of its kinds
  hashfoundry.kserve.manifests:
    src:
      - /opt/manifests/operator.yaml
    state: absent

- name: Have the routes of a list, and no others with this label
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
  description: What has been done with each object, in the order of doing.
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
      description: Namespace; null for an object of the whole cluster.
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
  description: Objects that were not taken away, and why.
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
      description: Namespace; null for an object of the whole cluster.
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
  description: Objects that check mode could not check, and why.
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
      description: Namespace; null for an object of the whole cluster, or when it is not known to need one.
      type: str
    name:
      description: Name.
      type: str
    reason:
      description: Why it could not be checked.
      type: str
requests:
  description: How many HTTP requests were sent to read, apply and wait.
  type: int
  returned: once the cluster has been read
  sample: 31
waited_seconds:
  description: How long the module waited for objects to work.
  type: float
  returned: once the cluster has been read
  sample: 12.3
events:
  description: The last events about the object that does not come up, and its pods.
  type: list
  elements: str
  returned: when an object does not come up
reason:
  description: A stable code for what went wrong, for programs; C(msg) says it in a sentence.
  type: str
  returned: failure
  sample: CRDInUse
"""

from typing import Any

from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC

from ansible_collections.hashfoundry.kserve.plugins.module_utils._apply.apply import (
    apply_manifests,
    unvalidated_warnings,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._apply.delete import delete_manifests
from ansible_collections.hashfoundry.kserve.plugins.module_utils._apply.options import Options as Applying
from ansible_collections.hashfoundry.kserve.plugins.module_utils._apply.prune import selections_of_kinds
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube import apply_client
from ansible_collections.hashfoundry.kserve.plugins.module_utils._manifest_source.helm import (
    mask_values as shown_charts,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._manifest_source.helm import render_charts
from ansible_collections.hashfoundry.kserve.plugins.module_utils._manifest_source.load import load
from ansible_collections.hashfoundry.kserve.plugins.module_utils._manifest_source.secrets import mask_secrets
from ansible_collections.hashfoundry.kserve.plugins.module_utils._use_case import Options, Run, UseCase, run_module

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
# Ansible's action plugin makes definitions of them.
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
    "field_manager": {"type": "str", "default": "hashfoundry.kserve"},
    "force_conflicts": {"type": "bool", "default": False},
    "adopt": {"type": "bool", "default": False},
    "in_use": {"type": "str", "choices": ["refuse", "keep"], "default": "refuse"},
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
}
STATE: dict[str, Any] = {"state": {"type": "str", "choices": ["present", "absent"], "default": "present"}}


def run(options: Options, run: Run) -> dict[str, Any]:
    """Apply the objects, or delete them."""
    applying = {key: options[key] for key in APPLYING}
    applying["prune"] = selections_of_kinds(applying["prune"], options["only_kinds"], options["exclude_kinds"])
    how = Applying(**applying, check_mode=run.check_mode, diff=run.diff)
    charts = render_charts(options["charts"], options["helm"], options["namespace"])
    loading = {key: options[key] for key in LOADING}
    manifests = load(**loading, charts=charts, may_be_empty=bool(options["prune"]))
    work = apply_manifests if options["state"] == "present" else delete_manifests
    with apply_client.session(options) as api:
        result = work(api, manifests, how)
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
