# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the module tests."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube import apply_client, client


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Return a function that replaces the API server of the options."""

    def use(api: Any) -> None:
        for kind in (client, apply_client):
            monkeypatch.setattr(kind, "session", lambda _options: nullcontext(api))

    return use
