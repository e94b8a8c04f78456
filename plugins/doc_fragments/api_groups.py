# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The API groups whose objects a module reads."""

from __future__ import annotations


class ModuleDocFragment:
    """Doc fragment C(api_groups)."""

    DOCUMENTATION = r"""
options:
  groups:
    description:
      - API groups, such as V(serving.kserve.io). Subgroups are included, such as V(serving.knative.dev) for
        V(knative.dev).
      - A group that the cluster does not serve has no objects.
    type: list
    elements: str
    required: true
"""
