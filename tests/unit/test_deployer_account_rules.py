# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The RBAC rules of the deployer account, compared with the permissions that it has used.

fixtures/account/<mode>.txt lists the requests of the account in an API server's audit log (HASHFOUNDRY_AUDIT=1), for a
site.yml on a cluster on which only account.yml has run: scope, API group, resource, verbs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "roles" / "deployer_account" / "vars" / "main.yml"
RECORDED = Path(__file__).with_name("fixtures") / "account"
PLACES = {name: name for name in ("cluster", "platform", "monitoring", "prometheus", "default")} | {"models": "model"}
Right = tuple[str, str, str, str]

# Permissions that a run without errors, with the default exposure and in new namespaces does not use.
UNUSED_BY_A_FIRST_RUN = {
    ("platform", "", "pods", "list"): "it explains an error",
    ("platform", "", "events", "list"): "it explains an error",
    ("platform", "apps", "statefulsets", "list"): "platform_info finds those that do not run",
    ("platform", "apps", "daemonsets", "list"): "platform_info finds those that do not run",
    ("platform", "discovery.k8s.io", "endpointslices", "list"): "platform_info finds webhooks without an endpoint",
    ("platform", "cert-manager.io", "certificaterequests", "list"): "it explains an error",
    ("platform", "acme.cert-manager.io", "orders", "list"): "it explains an error",
    ("platform", "acme.cert-manager.io", "challenges", "list"): "it explains an error",
    ("cluster", "serving.kserve.io", "clusterservingruntimes", "list"): "it explains an error",
    ("cluster", "serving.kserve.io", "clusterstoragecontainers", "list"): "it says what the pods of a model request",
    ("models", "serving.kserve.io", "servingruntimes", "list"): "it explains an error",
    ("cluster", "apps", "deployments", "list"): "platform_info detects the components",
    ("cluster", "", "nodes", "list"): "capacity_info compares new models with the nodes",
    ("models", "", "events", "list"): "it explains an error",
    ("models", "", "pods/log", "get"): "it explains an error",
    ("models", "", "services/proxy", "create"): "inference_service_ready sends a prediction request if configured",
    ("models", "serving.kserve.io", "inferenceservices", "delete"): "a model is listed with state: absent",
    ("platform", "batch", "jobs", "delete"): "a failed test of the network runs again",
    ("models", "batch", "jobs", "delete"): "model_volume deletes a failed Job",
    ("models", "gateway.networking.k8s.io", "httproutes", "delete"): "the exposure of a model is changed",
    ("cluster", "", "persistentvolumes", "delete"): "model_volume deletes the volume of a deleted namespace",
}
# Resources of which the local inventory creates no object.
UNUSED_KINDS = {
    ("platform", "networking.k8s.io", "ingresses"): "a model's Ingress in Knative mode",
    ("models", "networking.k8s.io", "ingresses"): "a model's Ingress in Standard mode",
    ("models", "policy", "poddisruptionbudgets"): "models of several replicas",
    ("platform", "", "resourcequotas"): "a namespace with limits",
    ("platform", "", "limitranges"): "a namespace with limits",
    ("platform", "cert-manager.io", "issuers"): "an issuer in the inventory",
    ("platform", "networking.istio.io", "gateways"): "Istio",
    ("platform", "security.istio.io", "peerauthentications"): "Istio",
    ("models", "external-secrets.io", "externalsecrets"): "credentials from External Secrets",
    # Monitoring, for which no log is recorded.
    ("platform", "monitoring.coreos.com", "servicemonitors"): "monitoring",
    ("platform", "monitoring.coreos.com", "podmonitors"): "monitoring",
    ("platform", "monitoring.coreos.com", "prometheusrules"): "monitoring",
    ("monitoring", "monitoring.coreos.com", "prometheuses"): "monitoring",
    ("monitoring", "monitoring.coreos.com", "alertmanagers"): "monitoring",
    ("monitoring", "gateway.networking.k8s.io", "httproutes"): "an exposed Prometheus",
    ("monitoring", "apps", "deployments"): "an exposed Prometheus",
    ("monitoring", "", "services"): "an exposed Prometheus",
    ("prometheus", "monitoring.coreos.com", "prometheuses"): "monitoring",
    ("prometheus", "monitoring.coreos.com", "servicemonitors"): "monitoring",
    ("prometheus", "monitoring.coreos.com", "podmonitors"): "monitoring",
    ("prometheus", "monitoring.coreos.com", "prometheusrules"): "monitoring",
    ("cluster", "monitoring.coreos.com", "servicemonitors"): "monitoring of an earlier run",
    ("cluster", "monitoring.coreos.com", "podmonitors"): "monitoring of an earlier run",
    ("cluster", "monitoring.coreos.com", "prometheusrules"): "monitoring of an earlier run",
    ("monitoring", "", "secrets"): "Perses, when it is no longer wanted",
    ("prometheus", "discovery.k8s.io", "endpointslices"): "the webhooks of an existing operator",
    ("default", "networking.istio.io", "virtualservices"): "status verifies Istio's webhook",
    ("prometheus", "", "configmaps"): "dashboards",
    ("prometheus", "", "services/proxy"): "queries of Prometheus",
    ("models", "monitoring.coreos.com", "servicemonitors"): "monitoring",
    ("models", "monitoring.coreos.com", "podmonitors"): "monitoring",
    ("models", "monitoring.coreos.com", "prometheusrules"): "monitoring",
    # In Knative mode, for which no log is recorded.
    ("platform", "cert-manager.io", "certificates"): "Knative mode",
    ("cluster", "cert-manager.io", "clusterissuers"): "Knative mode",
    ("platform", "autoscaling", "horizontalpodautoscalers"): "Knative mode",
    ("platform", "policy", "poddisruptionbudgets"): "Knative mode",
    ("platform", "caching.internal.knative.dev", "images"): "Knative mode",
    ("platform", "networking.internal.knative.dev", "certificates"): "Knative mode",
    ("cluster", "admissionregistration.k8s.io", "mutatingwebhookconfigurations"): "waited for in Knative mode",
    ("cluster", "admissionregistration.k8s.io", "validatingwebhookconfigurations"): "waited for in Knative mode",
    ("platform", "serving.knative.dev", "services"): "Knative mode",
    ("models", "serving.knative.dev", "services"): "Knative mode",
    ("models", "serving.knative.dev", "revisions"): "Knative mode",
}


def rules() -> dict[str, list[dict[str, Any]]]:
    """The rules by scope, with the lists of verbs instead of their variables."""
    given = yaml.safe_load(RULES.read_text())

    def verbs(value: Any) -> list[str]:
        name = re.fullmatch(r"\{\{ (\w+) \}\}", value) if isinstance(value, str) else None
        return given[name[1]] if name else value

    def resolved(name: str) -> list[dict[str, Any]]:
        return [{**rule, "verbs": verbs(rule["verbs"])} for rule in given[f"__deployer_account_{name}_rules"]]

    found = {place: resolved(name) for place, name in PLACES.items()}
    found["cluster"] += resolved("volume")
    return found


def rights(place: str, listed: list[dict[str, Any]]) -> Iterator[Right]:
    for rule in listed:
        assert rule.keys() - {"resourceNames"} == {"apiGroups", "resources", "verbs"}
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                yield from ((place, group, resource, verb) for verb in rule["verbs"])


def granted() -> set[Right]:
    return {right for place, listed in rules().items() for right in rights(place, listed)}


def used() -> set[Right]:
    lines = [line.split() for path in sorted(RECORDED.glob("*.txt")) for line in path.read_text().splitlines()]
    return {
        (place, group.strip('"'), resource, verb)
        for place, group, resource, verbs in lines
        for verb in verbs.split(",")
    }


def test_every_used_permission_is_granted() -> None:
    assert len(used()) > 60
    assert used() - granted() == set()


def test_no_unused_permission_is_granted() -> None:
    # Server-side apply is a patch, and needs create for a missing object, which the log does not show. A watch is sent
    # only if the first list does not finish the wait.
    implied = {(*right[:3], verb) for right in used() if right[3] == "patch" for verb in ("create", "list", "watch")}
    idle = granted() - used() - implied - UNUSED_BY_A_FIRST_RUN.keys()
    assert {right for right in idle if right[:3] not in UNUSED_KINDS} == set()


def test_every_exception_is_granted_and_unused() -> None:
    assert UNUSED_BY_A_FIRST_RUN.keys() <= granted()
    assert UNUSED_BY_A_FIRST_RUN.keys() & used() == set()
    assert UNUSED_KINDS.keys() <= {right[:3] for right in granted()}
    assert UNUSED_KINDS.keys() & {right[:3] for right in used() if right[3] == "patch"} == set()


@pytest.mark.parametrize("verb", ["*", "escalate", "bind", "impersonate", "deletecollection", "update"])
def test_no_broad_verb_is_granted(verb: str) -> None:
    assert not [right for right in granted() if verb in right]


def test_no_object_that_grants_permissions_can_be_written() -> None:
    kinds = {
        *("clusterroles", "clusterrolebindings", "roles", "rolebindings", "namespaces", "customresourcedefinitions"),
        *("mutatingwebhookconfigurations", "validatingwebhookconfigurations"),
    }
    found = [right for right in granted() if right[2] in kinds]
    assert {right[2] for right in found} == kinds
    assert {right[3] for right in found} <= {"get", "list", "watch"}


def test_secrets_are_read_by_name_and_only_in_managed_namespaces() -> None:
    assert {(place, verb) for place, _group, resource, verb in granted() if resource == "secrets"} == {
        *((place, verb) for place in ("platform", "models") for verb in ("get", "create", "patch")),
        ("monitoring", "delete"),
    }
    (deleted,) = [rule for rule in rules()["monitoring"] if "secrets" in rule["resources"]]
    assert deleted["resourceNames"] == ["perses"]


def test_of_the_services_beside_prometheus_none_is_reached_through_the_proxy() -> None:
    listed = rules()
    open_to = [rule for rule in listed["prometheus"] if "services/proxy" in rule["resources"]]
    assert [(rule["resourceNames"], rule["verbs"]) for rule in open_to] == [
        (["http:prometheus-operated:9090"], ["get"])
    ]
    assert not [rule for place in ("platform", "monitoring") for rule in listed[place] if "services/proxy" in str(rule)]
