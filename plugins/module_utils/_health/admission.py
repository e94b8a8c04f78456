# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why the API server rejects an object, as a verdict.

There is no reason for machines in such a refusal, so the words are read: those of the admission plug-ins
ServiceAccount, ResourceQuota and PodSecurity of Kubernetes v1.35, and of KServe's webhook for pods. This file is
private to the collection and may change at any time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.redact import short

from .verdict import Verdict, degraded, failed

with suppress(ImportError):  # the module says so before it judges anything
    from kubernetes.utils.quantity import parse_quantity

# As Kubernetes says it: any other word of the message may be a name.
_NO_ACCOUNT = re.compile(r'\bserviceaccounts? "(?P<name>[^"]*)" not found')
_NO_SECRET = re.compile(r'\bsecrets? "[^"]*" not found')


def refusal(reason: str, what: str, message: str) -> Verdict:
    """Return the verdict on an object that is rejected.

    :param reason: the reason when the message says nothing that is known here.
    :param what: what is not taken, as the beginning of a sentence.
    :param message: what the API server, an admission plug-in or a webhook says.
    """
    sentence = f"{what}: {short(message).rstrip('. ')}"
    if account := _NO_ACCOUNT.search(message):
        # Only a person or a playbook creates a ServiceAccount, and the playbook is waiting here. Only default
        # comes by itself, a moment after its namespace.
        judged = degraded if account["name"] == "default" else failed
        return judged("ServiceAccountMissing", f"{sentence}; create the ServiceAccount or name another.")
    if "exceeded quota" in message:
        # What fits into an empty namespace may get its quota from terminating pods.
        judged = degraded if _fits_alone(message) else failed
        return judged("QuotaExceeded", f"{sentence}; raise the quota or ask for less.")
    if "violates PodSecurity" in message:
        return failed(
            "PodSecurityViolated", f"{sentence}; set the securityContext that the namespace's standard asks for."
        )
    if _NO_SECRET.search(message):
        # KServe's webhook for pods reads the Secrets that the ServiceAccount names. Operators bring Secrets late,
        # and what was refused is tried again.
        return degraded("SecretMissing", f"{sentence}; create the Secret, or remove it from the ServiceAccount.")
    return degraded(reason, f"{sentence}; see the events.")


def _fits_alone(message: str) -> bool:
    """Say whether a request that exceeds a quota would fit into the empty quota.

    :param message: of the admission plug-in ResourceQuota: "exceeded quota: NAME, requested: a=1,b=2, used: a=1,b=1,
        limited: a=1,b=2", with more behind a colon where a webhook passes it on.
    """
    found = re.search(r"requested: ([^\s:]+), used: [^\s:]+, limited: ([^\s:]+)", message)
    if not found:
        return True
    requested, limited = ({key: parse_quantity(value) for key, _is, value in _pairs(text)} for text in found.groups())
    return all(requested[key] <= limited.get(key, requested[key]) for key in requested)


def _pairs(text: str) -> Iterator[tuple[str, str, str]]:
    return (entry.partition("=") for entry in text.split(","))
