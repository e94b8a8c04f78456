# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why cert-manager does not issue a Certificate: its request, its ACME order, and the order's challenges.

A Certificate itself says little more than that its Secret is not there. This file is private to the collection and may
change at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.redact import short

Json = Mapping[str, Any]

GROUP = "cert-manager.io"
# Where the objects are listed, below /apis/<here>/namespaces/<namespace>/.
REQUESTS = (f"{GROUP}/v1", "certificaterequests")
ORDERS = (f"acme.{GROUP}/v1", "orders")
CHALLENGES = (f"acme.{GROUP}/v1", "challenges")

_REVISION = "cert-manager.io/certificate-revision"
# The conditions of a request that end it, and Ready, in the order in which they tell most.
_TELLING = ("Denied", "InvalidRequest", "Ready")
_DONE = ("valid", "ready")


def certificate_problem(
    certificate: Json, requests: Iterable[Json], orders: Iterable[Json], challenges: Iterable[Json]
) -> str:
    """Return what the newest request of a Certificate, its order and its challenges say, as part of a sentence.

    :param requests: the CertificateRequests of the Certificate's namespace; orders, challenges: likewise.
    """
    own = sorted(_owned_by(certificate, requests), key=_revision)
    if not own:
        return _not_requested(certificate)
    request = own[-1]
    states = [f"CertificateRequest {_name(request)} {_request_state(request)}"]
    for order in _owned_by(request, orders):
        states.append(f"its Order is {_state(order)}")
        states += [
            f"the {challenge['spec'].get('type')} challenge for {challenge['spec'].get('dnsName')} is "
            f"{_state(challenge)}"
            for challenge in _owned_by(order, challenges)
            if _status(challenge).get("state") not in _DONE
        ]
    return "; ".join(states)


def _not_requested(certificate: Json) -> str:
    issuer = certificate["spec"].get("issuerRef") or {}
    name = f"{issuer.get('kind', 'Issuer')} {issuer.get('name')}"
    return f"it has not been requested from {name}; see cert-manager's log"


def _request_state(request: Json) -> str:
    conditions = {entry["type"]: entry for entry in _status(request).get("conditions") or ()}
    for kind in _TELLING:
        entry = conditions.get(kind)
        if entry and entry["status"] == ("False" if kind == "Ready" else "True"):
            return f"is {entry.get('reason')}: {_message_of(entry)}"
    if "Approved" not in conditions:
        return "is not approved"
    return "is not handled by any issuer"


def _state(thing: Json) -> str:
    status = _status(thing)
    cause = short(status.get("reason")).rstrip(".")
    return f"{status.get('state') or 'not processed'}{f': {cause}' if cause else ''}"


def _message_of(condition: Json) -> str:
    return short(condition.get("message")).rstrip(".")


def _owned_by(owner: Json, things: Iterable[Json]) -> list[Json]:
    identity = owner["metadata"].get("uid")
    return [
        thing
        for thing in things
        if identity in [reference.get("uid") for reference in thing["metadata"].get("ownerReferences") or ()]
    ]


def _revision(request: Json) -> int:
    revision = (request["metadata"].get("annotations") or {}).get(_REVISION, "")
    return int(revision) if revision.isdecimal() else 0


def _name(thing: Json) -> str:
    return str(thing["metadata"]["name"])


def _status(thing: Json) -> Json:
    status: Json = thing.get("status") or {}
    return status
