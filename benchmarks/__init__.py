# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Benchmarks that compare the collection's modules with common tools in one run."""

import sys

from local.galaxy import COLLECTIONS

# Import the collection as Ansible does: through the link in collections/.
sys.path.append(str(COLLECTIONS.parent))
