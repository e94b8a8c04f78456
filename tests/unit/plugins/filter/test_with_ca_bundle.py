# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""with_ca_bundle sets the CA where a Service answers, and nowhere else."""

from __future__ import annotations

import base64
import copy

from ansible_collections.hashfoundry.kserve.plugins.filter.with_ca_bundle import FilterModule, with_ca_bundle

CA = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
BY_SERVICE = {"name": "a", "clientConfig": {"service": {"name": "s", "namespace": "n"}}}
BY_URL = {"name": "b", "clientConfig": {"url": "https://elsewhere.example"}}


def test_sets_the_bundle_where_a_service_answers() -> None:
    manifests = [
        {"kind": "ValidatingWebhookConfiguration", "webhooks": [BY_SERVICE, BY_URL]},
        None,
        {"kind": "Service", "webhooks": [BY_SERVICE]},
    ]
    before = copy.deepcopy(manifests)
    configuration, service = with_ca_bundle(manifests, CA)
    bundle = configuration["webhooks"][0]["clientConfig"]["caBundle"]
    assert base64.b64decode(bundle).decode() == CA
    assert "caBundle" not in configuration["webhooks"][1]["clientConfig"]
    assert service == manifests[2]
    assert manifests == before


def test_is_known_to_ansible() -> None:
    assert FilterModule().filters()["with_ca_bundle"]([], CA) == []
