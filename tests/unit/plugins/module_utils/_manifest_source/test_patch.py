# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._manifest_source.load import load
from ansible_collections.hashfoundry.kserve.plugins.module_utils._manifest_source.patch import merge_patch

from ..manifests_server import thing

NAMED = [{"name": "a", "x": 1, "y": {"z": 1}}, {"name": "b", "x": 2}]


@pytest.mark.parametrize(
    ("below", "above", "wanted"),
    [
        ({"a": 1, "b": {"c": 2}}, {"b": {"d": 3}}, {"a": 1, "b": {"c": 2, "d": 3}}),
        ({"a": 1, "b": 2}, {"a": None}, {"b": 2}),
        ({"a": {"b": 1}}, {"a": 2}, {"a": 2}),
        ({"a": 1}, {"a": {"b": 2, "c": None}}, {"a": {"b": 2}}),
        ({}, {"a": {"b": None}}, {"a": {}}),
        ([1, 2], [3], [3]),
        (NAMED, [{"name": "b", "x": 3}], [NAMED[0], {"name": "b", "x": 3}]),
        (NAMED, [{"name": "a", "y": None}], [{"name": "a", "x": 1}, NAMED[1]]),
        (NAMED, [{"name": "c", "x": 4, "y": None}], [*NAMED, {"name": "c", "x": 4}]),
        (NAMED, [{"name": "a", "$patch": "delete"}], [NAMED[1]]),
        (NAMED, [{"name": "c", "$patch": "delete"}], NAMED),
        (NAMED, [], []),
        ([], NAMED, NAMED),
        (None, NAMED, NAMED),
        ([{"port": 1}], [{"port": 2}], [{"port": 2}]),
        ("text", [{"name": "a"}], [{"name": "a"}]),
    ],
)
def test_merge_precedence(below: Any, above: Any, wanted: Any) -> None:
    before = copy.deepcopy((below, above))
    assert merge_patch(below, above) == wanted
    assert (below, above) == before


def test_a_patch_matches_by_kind_and_name_and_other_given_fields() -> None:
    definitions = [
        thing("ConfigMap", "x", "one", data={"a": "1"}),
        thing("ConfigMap", "x", "two", data={"a": "1"}),
        thing("Secret", "x", "one", data={"a": "MQ=="}),
    ]
    patches = [
        {"kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"b": "2"}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "two"}, "data": {"a": None}},
    ]
    found = {
        (manifest.kind, manifest.namespace): manifest.body["data"] for manifest in load(definitions, [], [], patches)
    }
    assert found == {
        ("ConfigMap", "one"): {"a": "1", "b": "2"},
        ("ConfigMap", "two"): {"b": "2"},
        ("Secret", "one"): {"a": "MQ=="},
    }


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ({"kind": "ConfigMap", "metadata": {"name": "y"}}, "patches[0] is for ConfigMap y, which is in no manifest"),
        ({"kind": "ConfigMap", "metadata": {"name": "x", "namespace": "b"}}, "which is in no manifest"),
        ({"apiVersion": "v2", "kind": "ConfigMap", "metadata": {"name": "x"}}, "which is in no manifest"),
        ({"metadata": {"name": "x"}}, "patches[0] needs kind and metadata.name"),
        ({"kind": "ConfigMap"}, "patches[0] needs kind and metadata.name"),
        ({"kind": "ConfigMap", "metadata": {}}, "patches[0] needs kind and metadata.name"),
    ],
)
def test_a_patch_without_a_match_is_an_error(patch: dict[str, Any], message: str) -> None:
    with pytest.raises(KServeError) as raised:
        load([thing("ConfigMap", "x", "a")], [], [], [patch])
    assert message in str(raised.value)


def test_a_map_is_merged_into_the_json_of_a_config_map() -> None:
    ingress = '{\n    "urlScheme": "http",\n    "ingressGateway" : "a/b"\n}'
    config = thing("ConfigMap", "c", data={"ingress": ingress, "deploy": '{"mode": "Standard"}', "plain": "text"})

    def patched_with(data: dict[str, Any]) -> dict[str, Any]:
        patch = {"kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}
        return load([config], [], patches=[patch])[0].body["data"]

    after = patched_with({"ingress": {"urlScheme": "https"}, "deploy": {"mode": "Standard"}, "new": {"a": 1}})
    # Other keys are retained, and equal values are not reformatted.
    assert json.loads(after["ingress"]) == {"urlScheme": "https", "ingressGateway": "a/b"}
    assert (
        after["deploy"] == '{"mode": "Standard"}' and after["plain"] == "text" and json.loads(after["new"]) == {"a": 1}
    )
    assert json.loads(patched_with({"ingress": {"urlScheme": None}})["ingress"]) == {"ingressGateway": "a/b"}
    assert "deploy" not in patched_with({"deploy": None}) and patched_with({"plain": "other"})["plain"] == "other"
    with pytest.raises(KServeError, match="a map for plain of ConfigMap models/c, whose text is no JSON object"):
        patched_with({"plain": {"a": 1}})


def test_the_ca_bundle_is_set_for_services() -> None:
    by_service = {"name": "a", "clientConfig": {"service": {"name": "s", "namespace": "n"}, "caBundle": "Cg=="}}
    by_url = {"name": "b", "clientConfig": {"url": "https://elsewhere.example"}}
    kind, api = "ValidatingWebhookConfiguration", "admissionregistration.k8s.io/v1"
    definitions = [
        thing(kind, "both", None, api, webhooks=[by_service, by_url]),
        thing(kind, "none", None, api),
        thing("Service", "s", webhooks=[by_service]),
    ]
    before = copy.deepcopy(definitions)
    bodies = {manifest.name: manifest.body for manifest in load(definitions, [], ca_bundle="the CA")}
    first, second = bodies["both"]["webhooks"]
    assert base64.b64decode(first["clientConfig"]["caBundle"]) == b"the CA"
    assert second == by_url
    assert not bodies["none"].get("webhooks")
    assert bodies["s"]["webhooks"] == [by_service]
    assert definitions == before
