# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests of several modules share."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube import client


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Return a function that puts an API server in the place of the one that the options name."""

    def use(api: Any) -> None:
        monkeypatch.setattr(client, "session", lambda _options: nullcontext(api))

    return use
