# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Batch predictions: predict the rows of a CSV or Parquet file in a bucket, and upload them to the same bucket.

`python -m model.batch` loads the model with the code of the model server.
"""
