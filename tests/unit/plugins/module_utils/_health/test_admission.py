# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._health.admission import refusal


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ('error looking up service account models/nobody: serviceaccount "nobody" not found', "ServiceAccountMissing"),
        ('admission webhook "w" denied the request: secrets "reader" not found', "SecretMissing"),
        # Objects whose names are the words.
        ('pods "serviceaccount-1" is forbidden: configmaps "a" not found', "Other"),
        ('pods "serviceaccount-1" is forbidden: secrets "a" not found', "SecretMissing"),
        ('the image of "secrets " was not found', "Other"),
    ],
)
def test_a_rejection_is_known_by_what_is_missing(message: str, reason: str) -> None:
    assert refusal("Other", "The pod is not accepted", message).reason == reason
