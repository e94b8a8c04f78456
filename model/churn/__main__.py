# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Train the churn classifier into a model folder: ``python -m model.churn --output DIR``."""

from __future__ import annotations

import sys

from model.churn.recipe import RECIPE
from model.command import run

if __name__ == "__main__":
    sys.exit(run(RECIPE, "model.churn"))
