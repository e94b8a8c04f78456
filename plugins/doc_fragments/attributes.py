# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The attributes that every module of the collection declares."""

from __future__ import annotations


class ModuleDocFragment:
    """Doc fragments C(attributes), C(attributes.info_module) and C(attributes.actiongroup_kserve)."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return what would change without changing it.
  diff_mode:
    description: Returns details on what has changed, or would change in C(check_mode), when in diff mode.
  idempotent:
    description: When run twice in a row with the same arguments, the second run reports no change.
"""

    # Beside C(attributes), for modules that only read.
    INFO_MODULE = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - Does the same, since it only reads.
  diff_mode:
    support: N/A
    details:
      - Changes nothing.
  idempotent:
    support: full
"""

    ACTIONGROUP_KSERVE = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/hashfoundry.kserve.kserve) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - hashfoundry.kserve.kserve
"""
