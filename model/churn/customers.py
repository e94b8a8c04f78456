# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Synthetic customers of a telephone company, generated from a seed with a known rule.

The log-odds that a customer leaves are a sum::

    -0.6
    - 0.045 for each month of tenure
    + 0.030 for each unit of the monthly charge over 60
    + 0.35  for each call to the support in the last quarter
    - 1.6 with a contract of one year, - 2.4 with one of two
    + 0.7 with fibre, - 0.4 without internet
    + 0.5 paying by invoice, - 0.3 by direct debit

Whether a customer leaves is drawn with those odds. No model can be better than that probability itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.dataset import FLOAT, INTEGER, TEXT, Dataset, Feature

CUSTOMERS = 4000

# What each category adds to the log-odds.
CONTRACT = {"month-to-month": 0.0, "one year": -1.6, "two years": -2.4}
INTERNET = {"dsl": 0.0, "fibre": 0.7, "none": -0.4}
PAYMENT = {"card": 0.0, "direct debit": -0.3, "invoice": 0.5}
# What the internet access adds to the monthly charge.
CHARGE = {"dsl": 20.0, "fibre": 45.0, "none": 0.0}

FEATURES = [
    Feature("tenure_months", INTEGER),
    Feature("monthly_charge", FLOAT),
    Feature("support_calls", INTEGER),
    Feature("contract", TEXT, list(CONTRACT)),
    Feature("internet", TEXT, list(INTERNET)),
    Feature("payment", TEXT, list(PAYMENT)),
]


def load(seed: int) -> Dataset:
    """CUSTOMERS rows, reproducible for a seed and a version of NumPy."""
    rows, probability, draw = make(seed)
    return Dataset(
        name=f"model.churn.customers, seed {seed}",
        rows=rows,
        labels=(draw < probability).astype(np.int64),
        features=FEATURES,
        class_names=["stays", "leaves"],
    )


def make(seed: int) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[np.float64]]:
    """The rows, each customer's probability to leave, and the draw from 0 to 1 that decides."""
    random = np.random.default_rng(seed)
    tenure = random.integers(1, 73, CUSTOMERS)
    calls = random.poisson(1.2, CUSTOMERS)
    contract = random.choice(np.array(list(CONTRACT)), CUSTOMERS, p=[0.55, 0.25, 0.2])
    internet = random.choice(np.array(list(INTERNET)), CUSTOMERS, p=[0.35, 0.45, 0.2])
    payment = random.choice(np.array(list(PAYMENT)), CUSTOMERS, p=[0.35, 0.35, 0.3])
    charge = np.round(25 + _each(CHARGE, internet) + random.gamma(4.0, 3.0, CUSTOMERS), 2)
    odds = -0.6 - 0.045 * tenure + 0.03 * (charge - 60) + 0.35 * calls
    odds += _each(CONTRACT, contract) + _each(INTERNET, internet) + _each(PAYMENT, payment)
    rows = np.empty((CUSTOMERS, len(FEATURES)), dtype=object)
    for place, column in enumerate((tenure, charge, calls, contract, internet, payment)):
        rows[:, place] = column.tolist()  # Python numbers and strings, as in a request
    return rows, 1 / (1 + np.exp(-odds)), random.random(CUSTOMERS)


def _each(values: dict[str, float], names: NDArray[np.str_]) -> NDArray[np.float64]:
    return np.array([values[name] for name in names])
