# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who manages a CRD, before it is taken over: its owner would change it back, or delete it one day.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.objects import Json, Target

from .compare import has_applied
from .errors import shortened

_RELEASE = "meta.helm.sh/release-name"
_RELEASE_NAMESPACE = "meta.helm.sh/release-namespace"
_SHOWN = 3


def refuse_crds_of_others(objects: Iterable[tuple[Target, Json | None]], managers: Collection[str]) -> None:
    """Fail where another owner manages a CRD among the existing objects.

    :raises KServeError: the message names the CRDs and their owners.
    """
    owners: dict[str, list[str]] = {}
    for target, live in objects:
        if target.manifest.is_crd and live is not None and (owner := owner_of(live, managers)):
            owners.setdefault(owner, []).append(target.manifest.name)
    if owners:
        owned = "; ".join(f"{shortened(names, _SHOWN)} by {owner}" for owner, names in owners.items())
        raise KServeError(
            f"Nothing is applied, since these CRDs are managed by another owner: {owned}; leave them to "
            "it, or set adopt to take them over.",
            reason="CRDOwnedByOther",
        )


def owner_of(live: Json, managers: Collection[str]) -> str:
    """Return the owner of an object that none of the field managers has applied, or nothing."""
    metadata = live["metadata"]
    managed = metadata.get("managedFields") or ()
    if has_applied(live, managers):
        return ""
    annotations = metadata.get("annotations") or {}
    if release := annotations.get(_RELEASE):
        return f"the Helm release {annotations.get(_RELEASE_NAMESPACE, 'default')}/{release}"
    # What only writes the status is the API server and no owner.
    makers = sorted({str(entry.get("manager")) for entry in managed if "f:spec" in (entry.get("fieldsV1") or {})})
    return f"the field manager {', '.join(makers)}" if makers else "an owner that is not known"
