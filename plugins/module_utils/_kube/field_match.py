# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a part of a live object has all that somebody asks for.

What is asked for is as somebody wrote it: a manifest, or a custom resource, which is stored so. The other has passed
Go types and the API server: empty values are gone, defaults are filled in, quantities are written in their shortest
form, and there may be more entries, from controllers or admission webhooks, such as KServe's and Knative's in a pod
template. So more is always accepted, and less never.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.resources import same_quantity

Json = Mapping[str, Any]

# Fields below which a value is a quantity (Kubernetes API reference, Pod v1 core): resources, overhead, an emptyDir's
# size, a resourceFieldRef's divisor.
_QUANTITIES = ("requests", "limits", "overhead", "sizeLimit", "divisor")
# Pointers in the Go types of Kubernetes and KServe: false and 0 are kept, and mean something else than no value.
_KEPT_WHEN_EMPTY = (
    "allowPrivilegeEscalation",
    "automountServiceAccountToken",
    "canaryTrafficPercent",
    "enableServiceLinks",
    "fsGroup",
    "hostUsers",
    "minReplicas",
    "privileged",
    "readOnlyRootFilesystem",
    "runAsGroup",
    "runAsNonRoot",
    "runAsUser",
    "shareProcessNamespace",
    "terminationGracePeriodSeconds",
)


def first_unmatched(wanted: Json, actual: Json, names: Sequence[str]) -> str | None:
    """Return the first of the named fields that is wanted and that the actual object does not have so, or None."""
    return next((name for name in names if name in wanted and not holds(wanted[name], actual.get(name), name)), None)


def holds(wanted: Any, actual: Any, name: str = "", quantity: bool = False) -> bool:
    """Say whether the actual value has all that is wanted; maps and lists of maps may have more.

    :param name: of the field.
    :param quantity: whether the field is part of one that holds quantities.
    """
    quantity = quantity or name in _QUANTITIES
    if isinstance(wanted, Mapping):
        # What has become empty is gone.
        below: Any = {} if actual is None else actual
        return isinstance(below, Mapping) and all(
            holds(value, below.get(key), key, quantity) for key, value in wanted.items()
        )
    if isinstance(wanted, Sequence) and not isinstance(wanted, str):
        return _list_holds(wanted, actual or (), quantity)
    if wanted in (None, "", False, 0):
        return not actual and (wanted is None or name not in _KEPT_WHEN_EMPTY or actual is not None)
    # KServe fills in {{.Name}} and the like (utils.go, ReplacePlaceholders).
    if isinstance(wanted, str) and "{{" in wanted:
        return isinstance(actual, str)
    return bool(wanted == actual) or (quantity and same_quantity(wanted, actual))


def _list_holds(wanted: Sequence[Any], actual: Any, quantity: bool) -> bool:
    if not isinstance(actual, Sequence):
        return False
    # Kubernetes merges most lists of maps by a key, in an order of its own; the key is among what is compared.
    if all(isinstance(entry, Mapping) for entry in wanted):
        return all(any(holds(entry, other, "", quantity) for other in actual) for entry in wanted)
    return len(wanted) == len(actual) and all(map(holds, wanted, actual))
