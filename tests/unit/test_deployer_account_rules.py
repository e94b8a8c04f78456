# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rights of the account that runs the playbooks, beside what it has used.

fixtures/account/<mode>.txt is what an API server's audit log (HASHFOUNDRY_AUDIT=1) says of the account in a site.yml on
a cluster where only account.yml has been: place, API group, resource, verbs.
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
PLACES = {"cluster": "cluster", "platform": "platform", "models": "model", "default": "default"}
Right = tuple[str, str, str, str]

# What a run without errors, without another exposure and on new namespaces has no use for.
UNUSED_BY_A_FIRST_RUN = {
    ("platform", "", "pods", "list"): "an error is explained by it",
    ("platform", "", "events", "list"): "an error is explained by it",
    ("platform", "cert-manager.io", "certificaterequests", "list"): "an error is explained by it",
    ("platform", "acme.cert-manager.io", "orders", "list"): "an error is explained by it",
    ("platform", "acme.cert-manager.io", "challenges", "list"): "an error is explained by it",
    ("cluster", "apps", "deployments", "list"): "platform_info reads which components there are",
    ("models", "", "events", "list"): "an error is explained by it",
    ("models", "", "pods/log", "get"): "an error is explained by it",
    ("models", "", "services/proxy", "create"): "inference_service_ready asks for a prediction where it is told to",
    ("models", "batch", "jobs", "delete"): "model_volume takes a Job that has failed away",
    ("models", "gateway.networking.k8s.io", "httproutes", "get"): "kubernetes.core reads what it deletes",
    ("models", "gateway.networking.k8s.io", "httproutes", "delete"): "a model gets another exposure",
    ("cluster", "", "persistentvolumes", "delete"): "model_volume frees a volume of a namespace that is gone",
}
# Whole kinds that the local inventory has none of.
UNUSED_KINDS = {
    ("platform", "networking.k8s.io", "ingresses"): "a model's Ingress in Knative mode",
    ("models", "networking.k8s.io", "ingresses"): "a model's Ingress in Standard mode",
    ("models", "policy", "poddisruptionbudgets"): "models of several replicas",
    ("platform", "", "resourcequotas"): "a namespace that is given one",
    ("platform", "", "limitranges"): "a namespace that is given one",
    ("platform", "cert-manager.io", "issuers"): "an issuer of the inventory's own",
    ("platform", "networking.istio.io", "gateways"): "Istio",
    ("platform", "security.istio.io", "peerauthentications"): "Istio",
    ("models", "external-secrets.io", "externalsecrets"): "keys that External Secrets brings",
    # In Knative mode, of which no log has been kept.
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
    """The rules by place, with the lists of verbs in the place of their names."""
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
        assert rule.keys() == {"apiGroups", "resources", "verbs"}
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


def test_all_that_was_used_is_granted() -> None:
    assert len(used()) > 60
    assert used() - granted() == set()


def test_nothing_is_granted_that_was_not_used() -> None:
    # Server-side apply is a patch and needs create where there is no object yet, which the log does not tell apart; a
    # watch comes only where the first list did not end the waiting.
    implied = {(*right[:3], verb) for right in used() if right[3] == "patch" for verb in ("create", "list", "watch")}
    idle = granted() - used() - implied - UNUSED_BY_A_FIRST_RUN.keys()
    assert {right for right in idle if right[:3] not in UNUSED_KINDS} == set()


def test_no_reason_is_given_for_what_needs_none() -> None:
    assert UNUSED_BY_A_FIRST_RUN.keys() <= granted()
    assert UNUSED_BY_A_FIRST_RUN.keys() & used() == set()
    assert UNUSED_KINDS.keys() <= {right[:3] for right in granted()}
    assert UNUSED_KINDS.keys() & {right[:3] for right in used() if right[3] == "patch"} == set()


@pytest.mark.parametrize("verb", ["*", "escalate", "bind", "impersonate", "deletecollection", "update"])
def test_no_verb_gives_more_than_it_says(verb: str) -> None:
    assert not [right for right in granted() if verb in right]


def test_nothing_that_gives_rights_can_be_written() -> None:
    kinds = {
        *("clusterroles", "clusterrolebindings", "roles", "rolebindings", "namespaces", "customresourcedefinitions"),
        *("mutatingwebhookconfigurations", "validatingwebhookconfigurations"),
    }
    found = [right for right in granted() if right[2] in kinds]
    assert {right[2] for right in found} == kinds
    assert {right[3] for right in found} <= {"get", "list", "watch"}


def test_secrets_are_read_by_their_names_only_and_in_no_other_place() -> None:
    assert {(place, verb) for place, _group, resource, verb in granted() if resource == "secrets"} == {
        (place, verb) for place in ("platform", "models") for verb in ("get", "create", "patch")
    }
