# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the module of this name."""

from __future__ import annotations

from ansible_collections.hashfoundry.kserve.plugins.plugin_utils._use_case_action import UseCaseAction


class ActionModule(UseCaseAction):
    """Runs it without a process of its own where the task runs on the controller itself."""
