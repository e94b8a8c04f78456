# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._apply.apply import Options, apply_manifests
from ansible_collections.hashfoundry.kserve.plugins.module_utils._apply.crd_ownership import owner_of
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._manifest_source.load import load

from ..manifests_server import Server, crd, thing

OURS = "hashfoundry.kserve"
STATUS = {"manager": "kube-apiserver", "operation": "Update", "fieldsV1": {"f:status": {}}}
HELM = {"meta.helm.sh/release-name": "kserve-crd", "meta.helm.sh/release-namespace": "kserve"}


def made(manager: str, operation: str = "Update") -> dict[str, Any]:
    return {"manager": manager, "operation": operation, "fieldsV1": {"f:spec": {}}}


def live(*managed: dict[str, Any], **annotations: str) -> dict[str, Any]:
    return {"metadata": {"name": "foos.example.com", "annotations": annotations, "managedFields": list(managed)}}


@pytest.mark.parametrize(
    ("thing_there", "owner"),
    [
        (live(made(OURS, "Apply"), STATUS), ""),
        # What was taken over once is ours, whoever made it.
        (live(made(OURS, "Apply"), made("helm"), **HELM), ""),
        (live(made("helm"), STATUS, **HELM), "the Helm release kserve/kserve-crd"),
        (live(made("argocd-controller", "Apply"), STATUS), "the field manager argocd-controller"),
        (live(made("kubectl-client-side-apply")), "the field manager kubectl-client-side-apply"),
        # Our name, but not by an apply: another program of ours has only changed it.
        (live(made(OURS)), f"the field manager {OURS}"),
        (live(STATUS), "an owner that is not known"),
    ],
)
def test_the_owner_is_who_made_it(thing_there: dict[str, Any], owner: str) -> None:
    assert owner_of(thing_there, OURS) == owner


def server() -> Server:
    """A server with a definition that Helm has made, just as the manifests have it."""
    found = Server(crd())
    (there,) = found.objects.values()
    there["metadata"] |= {"annotations": HELM, "managedFields": [made("helm"), STATUS]}
    return found


@pytest.mark.parametrize("check_mode", [False, True])
def test_nothing_is_applied_over_the_definition_of_another(check_mode: bool) -> None:
    found = server()
    manifests = load([thing("ConfigMap", "c", data={}), crd()], [])
    with pytest.raises(KServeError) as caught:
        apply_manifests(found, manifests, Options(check_mode=check_mode))
    assert str(caught.value) == (
        "Nothing is applied, since these CRDs are managed by another owner: foos.example.com by the "
        "Helm release kserve/kserve-crd; leave them to it, or set adopt to take them over."
    )
    assert found.sent == []


def test_it_is_taken_over_where_that_is_asked_for() -> None:
    found = server()
    apply_manifests(found, load([crd()], []), Options(adopt=True, wait=False))
    assert [path.rpartition("/")[2] for path, _query in found.sent] == ["foos.example.com"]


def test_many_definitions_are_counted() -> None:
    found = Server(*(crd(f"{name}s", name.title()) for name in ("foo", "bar", "baz", "qux")))
    for there in found.objects.values():
        there["metadata"]["managedFields"] = [made("kubectl")]
    manifests = load([crd(f"{name}s", name.title()) for name in ("foo", "bar", "baz", "qux")], [])
    with pytest.raises(KServeError, match=r"and 1 more by the field manager kubectl; leave"):
        apply_manifests(found, manifests, Options())
