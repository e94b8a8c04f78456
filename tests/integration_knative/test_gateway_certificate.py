# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway serves the certificate of its Secret, also a renewed one, and the role fails if it is missing."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any

import pytest

from local import demo
from local.settings import Settings
from tests.integration.conftest import reason
from tests.integration.helpers import wait_until

SECRET = ("secret", "models-tls", "-n", "kourier-system")
Playbook = Callable[..., Any]


@pytest.fixture
def served(settings: Settings) -> Callable[[], str]:
    """The serial number of the certificate that the gateway serves, verified against the CA file.

    It is empty if the TLS handshake fails.
    """

    def look() -> str:
        context = ssl.create_default_context(cafile=str(settings.state / "ca.crt"))
        try:
            with (
                socket.create_connection(("127.0.0.1", settings.https_port), timeout=20) as plain,
                context.wrap_socket(plain, server_hostname=demo.HOST) as wrapped,
            ):
                certificate = wrapped.getpeercert()
        except OSError:
            return ""
        assert certificate
        return str(certificate["serialNumber"])

    return look


def test_a_new_certificate_is_served(
    served: Callable[[], str],
    playbook: Playbook,
    kubectl: Callable[..., str],
) -> None:
    before = served()
    assert before
    kubectl("delete", *SECRET)
    # cert-manager issues another at once. Kourier must be configured with it.
    wait_until(lambda: kubectl("get", *SECRET, "-o", "name", check=False), bool, 120)
    result = playbook("playbooks/addons.yml", "--tags", "cluster_preflight,certificates,knative_networking")
    assert result.returncode == 0, reason(result)
    wait_until(served, lambda serial: serial not in ("", before), 120)


def test_without_a_certificate_the_gateway_is_not_changed(playbook: Playbook) -> None:
    lost = ["-e", "knative_networking_tls_secret=lost"]
    result = playbook("playbooks/addons.yml", "--tags", "knative_networking", *lost)
    assert result.returncode != 0
    output = " ".join(result.stdout.split())
    assert "The TLS Secret kourier-system/lost is missing." in output
