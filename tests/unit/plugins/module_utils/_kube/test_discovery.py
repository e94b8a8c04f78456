# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.discovery import find_kinds
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.objects import Kind, Manifest

from ..manifests_server import Server, crd, thing


@pytest.mark.parametrize(
    ("kind", "api", "plural", "namespaced"),
    [
        ("ConfigMap", "v1", "configmaps", True),
        ("Namespace", "v1", "namespaces", False),
        ("Ingress", "networking.k8s.io/v1", "ingresses", True),
        ("NetworkPolicy", "networking.k8s.io/v1", "networkpolicies", True),
        ("StorageClass", "storage.k8s.io/v1", "storageclasses", False),
    ],
)
def test_kubernetes_own_kinds_are_not_asked_for(kind: str, api: str, plural: str, namespaced: bool) -> None:
    server = Server()
    assert find_kinds(server, [Manifest(thing(kind, "x", api=api), "")])[api, kind] == Kind(plural, namespaced)
    assert server.requests == 0


def test_others_are_asked_for_once_a_version_unless_they_are_defined_with_them() -> None:
    server = Server()
    manifests = [Manifest(thing("Foo", name, api="example.com/v1"), "") for name in ("a", "b")]
    find_kinds(server, manifests)
    assert server.requests == 1
    assert find_kinds(server, [*manifests, Manifest(crd(), "")])["example.com/v1", "Foo"].plural == "foos"
    assert server.requests == 1
