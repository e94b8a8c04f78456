# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an answer of the API server to an apply means, and what to do about it.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.objects import Target

_LONGEST = 800
# "Internal error occurred: failed calling webhook ..." of the API server, and the causes it gives. A webhook that
# answers and refuses is another thing: "admission webhook ... denied the request".
_WEBHOOK_AWAY = re.compile(
    r"failed calling webhook|conversion webhook for .* failed|no endpoints available for service"
    r"|connection refused|x509: |\bEOF\b"
)
_CONFLICT = re.compile(r'conflicts? with "([^"]+)"')
# How a server-side apply says, with status 500, that a field has the wrong type.
_WRONG_TYPE = re.compile(r"failed to create typed patch object|failed to convert new object")
_NO_NAMESPACE = re.compile(r'^namespaces "[^"]+" not found$')


def is_webhook_away(error: ApiError) -> bool:
    """Say whether the API server could not reach a webhook, which is temporary until that has started."""
    return error.status >= 500 and bool(_WEBHOOK_AWAY.search(error.text))


def is_kind_unknown(error: ApiError) -> bool:
    """Say whether the API server does not serve the kind; the object's own absence is no error of an apply."""
    return error.status == 404 and not _NO_NAMESPACE.match(error.text)


def conflicting_managers(error: ApiError) -> set[str]:
    """Return the field managers that own fields with other values than an apply has."""
    return set(_CONFLICT.findall(error.text)) if error.status == 409 else set()


def refusal(target: Target, error: ApiError, seconds: float, verb: str = "apply") -> KServeError:
    """Return the error to show for an apply or a deletion that failed, or for a list of what to delete.

    :param seconds: for how long a webhook that does not answer was waited for.
    :param verb: what was tried: apply, delete, list, or get an owner.
    """
    message = error.text if len(error.text) <= _LONGEST else f"{error.text[:_LONGEST]}…"
    message = message.rstrip(".")
    action = {"apply": "applied", "get": "read"}.get(verb, "deleted")
    needed = {"apply": "get, list, watch, create and patch", "get": "get"}.get(verb, "get, list, watch, and delete")
    if error.status == 401:
        return KServeError(str(error), reason="Unauthorized")
    if error.lacks_permission:
        return KServeError(
            f"The credentials lack the permission to {verb} {target}: {message}; an administrator of the cluster can "
            f"grant {needed} on {target.resource}.",
            reason="Forbidden",
        )
    if managers := conflicting_managers(error):
        return KServeError(
            f"{target} is not applied, since other field managers ({', '.join(sorted(managers))}) hold fields with "
            f"other values: {message}; leave these fields out, or set force_conflicts to adopt them.",
            reason="FieldConflict",
        )
    if error.status == 404 and _NO_NAMESPACE.match(error.text):
        return KServeError(
            f"{target} is not applied, since its namespace does not exist; create it, or add it to definitions.",
            reason="NamespaceNotFound",
        )
    if is_kind_unknown(error):
        return unknown_kind(target.manifest.api_version, str(target))
    if error.status in (400, 422) or _WRONG_TYPE.search(error.text):
        return KServeError(
            f"{target} is not valid: {message}; correct it in {target.manifest.source}.", reason="InvalidManifest"
        )
    if is_webhook_away(error):
        return KServeError(
            f"{target} is not {action}, since a webhook has not answered within {seconds:g} seconds: {message}; check "
            "the Deployment and the Service behind the webhook.",
            reason="WebhookUnavailable",
        )
    return KServeError(
        f"{target} is not {action}, the API server answers {error.status}: {message or error}.",
        reason="APIServerRejected",
    )


def unknown_kind(api_version: str, what: str) -> KServeError:
    """Return the error for an object of a kind that the cluster does not have."""
    return KServeError(
        f"The cluster does not serve the kind of {what} in {api_version}; install its CRD first, or "
        "correct apiVersion and kind.",
        reason="KindUnknown",
    )


def shortened(names: Sequence[str], shown: int) -> str:
    """Return the first of the names and how many more there are, for a message."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return f"{', '.join(names[:shown])}{more}"
