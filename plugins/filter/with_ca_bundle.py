# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter with_ca_bundle: what cert-manager's injector does, for webhooks whose certificate is another's."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable, Iterable
from typing import Any

KINDS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")


def with_ca_bundle(manifests: Iterable[dict[str, Any] | None], ca: str) -> list[dict[str, Any]]:
    """Return the manifests with caBundle set in every webhook that a Service answers.

    ca: the CA certificate as PEM text. Empty documents are left out; nothing is changed in place.
    """
    bundle = base64.b64encode(ca.encode()).decode()
    done = []
    for manifest in manifests:
        if not manifest:
            continue
        if manifest.get("kind") in KINDS:
            manifest = copy.deepcopy(manifest)
            for webhook in manifest.get("webhooks") or []:
                if "service" in webhook.get("clientConfig", {}):
                    webhook["clientConfig"]["caBundle"] = bundle
        done.append(manifest)
    return done


class FilterModule:
    """The collection's filters, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"with_ca_bundle": with_ca_bundle}
