# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests in the execution environment share with the other integration tests.

By hand, on a cluster of `make up` and with the image of `make ee`: `python -m pytest tests/execution_environment`.
"""

from __future__ import annotations

from tests.integration.conftest import kubectl, settings

# Fixtures are found by their names in this module.
__all__ = ["kubectl", "settings"]
