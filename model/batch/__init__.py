# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The batch program: predictions of one scikit-learn model for a CSV or Parquet file in a bucket, written beside it.

It loads the model as the serving program does, from which it takes the code: `python -m model.batch`.
"""
