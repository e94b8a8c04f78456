# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The model server: serves one scikit-learn model with KServe's HTTP endpoints and validates the input.

Imports within the package are relative, so that an image can contain the folder as the package ``server``.
"""
