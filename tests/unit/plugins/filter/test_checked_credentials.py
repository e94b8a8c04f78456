# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.hashfoundry.kserve.plugins.filter.checked_credentials import FilterModule

CHECK = FilterModule().filters()["checked_credentials"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"secret_key": "PLANTED\n"}, r"^credentials: secret_key has white space or a line end at an end; remove it"),
        (
            {"endpoint_url": "https://models.ams3.digitaloceanspaces.com"},
            r"^credentials: endpoint_url is the address of a bucket.*set it to https://ams3.digitaloceanspaces.com",
        ),
    ],
)
def test_a_mistake_is_reported_without_the_key(change: dict[str, Any], says: str) -> None:
    with pytest.raises(AnsibleFilterError, match=says) as caught:
        CHECK({"name": "reader", "access_key": "a", **change}, "credentials")
    assert "PLANTED" not in str(caught.value)


def test_credentials_are_returned_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of another\n")
    given = {"name": "reader", "external_secret": {"store": "vault"}, "endpoint_url": None}
    assert CHECK(given, "credentials") is given
