# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Owner references that have the owner's name only."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._apply.apply import apply_manifests
from ansible_collections.hashfoundry.kserve.plugins.module_utils._apply.options import Options
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._manifest_source.load import load

from ..manifests_server import Server, Time, thing

OWNER = thing("Secret", "owner")
AT, OWNED_AT = "/api/v1/namespaces/models/secrets/owner", "/api/v1/namespaces/models/configmaps/owned"
REFERENCE = {"apiVersion": "v1", "kind": "Secret", "name": "owner"}


def owned(*references: dict[str, Any]) -> dict[str, Any]:
    body = thing("ConfigMap", "owned", data={"a": "1"})
    body["metadata"]["ownerReferences"] = list(references or [REFERENCE])
    return body


def run(server: Server, *definitions: dict[str, Any], **options: Any) -> dict[str, Any]:
    return apply_manifests(server, load(list(definitions), []), Options(**options), Time().timing)


def test_an_owner_is_named_with_its_uid_and_found_again() -> None:
    server = Server(OWNER)
    assert run(server, owned())["counts"]["created"] == 1
    assert server.objects[OWNED_AT]["metadata"]["ownerReferences"] == [{**REFERENCE, "uid": "Secret-owner"}]
    assert run(server, owned())["counts"]["unchanged"] == 1


def test_the_reference_follows_an_owner_that_was_created_again() -> None:
    server = Server(OWNER)
    run(server, owned())
    server.objects[AT]["metadata"]["uid"] = "another"
    assert run(server, owned())["counts"]["configured"] == 1
    assert server.objects[OWNED_AT]["metadata"]["ownerReferences"] == [{**REFERENCE, "uid": "another"}]


def test_a_given_uid_stays() -> None:
    server = Server()
    run(server, owned({**REFERENCE, "uid": "7"}))
    assert server.objects[OWNED_AT]["metadata"]["ownerReferences"] == [{**REFERENCE, "uid": "7"}]


def test_nothing_is_applied_without_the_owner() -> None:
    server = Server()
    with pytest.raises(KServeError) as caught:
        run(server, owned())
    assert caught.value.reason == "OwnerMissing"
    assert str(caught.value) == (
        "ConfigMap models/owned is not applied, since its owner Secret models/owner is missing; create that first, or "
        "correct ownerReferences."
    )
    assert server.sent == []


def test_an_owner_of_an_unknown_kind_is_missing() -> None:
    with pytest.raises(KServeError) as caught:
        run(Server(), owned({"apiVersion": "example.com/v1", "kind": "Foo", "name": "owner"}))
    assert caught.value.reason == "OwnerMissing"


def test_an_owner_that_cannot_be_read_is_a_missing_permission() -> None:
    server = Server(OWNER)
    server.read_errors[AT] = ApiError(
        "403", 403, 'secrets "owner" is forbidden: User "me" cannot get resource "secrets"'
    )
    with pytest.raises(KServeError) as caught:
        run(server, owned())
    assert caught.value.reason == "Forbidden"
    assert "lack the permission to get Secret models/owner" in str(caught.value)
    assert str(caught.value).endswith("can grant get on secrets.")


def test_check_mode_leaves_out_an_owner_that_an_earlier_task_creates() -> None:
    server = Server()
    assert run(server, owned(), check_mode=True)["counts"]["created"] == 1
    assert server.objects == {}


@pytest.mark.parametrize("references", ["owner", ["x"], [None], [{"kind": "Secret", "name": "owner"}], 5])
def test_references_of_another_shape_are_refused(references: Any) -> None:
    body = owned()
    body["metadata"]["ownerReferences"] = references
    with pytest.raises(KServeError, match="has ownerReferences that are no list of entries") as caught:
        run(Server(OWNER), body)
    assert caught.value.reason == "InvalidManifest"


@pytest.mark.parametrize("uid", ["", None])
def test_an_empty_uid_is_that_of_the_owner(uid: Any) -> None:
    server = Server(OWNER)
    run(server, owned({**REFERENCE, "uid": uid}))
    assert server.objects[OWNED_AT]["metadata"]["ownerReferences"] == [{**REFERENCE, "uid": "Secret-owner"}]
