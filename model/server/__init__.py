# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The serving program: one scikit-learn model behind KServe's HTTP endpoints, with its input checked.

Imports within the package are relative, so that an image can hold the folder as ``server`` alone.
"""
