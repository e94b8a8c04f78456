# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The customers are made by a known rule: the model must have found it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from model.churn import customers
from model.churn.recipe import pipeline


def test_the_same_seed_makes_the_same_customers() -> None:
    assert customers.load(42).sha256() == customers.load(42).sha256()
    assert customers.load(42).sha256() != customers.load(43).sha256()


def test_the_rows_hold_what_a_request_holds() -> None:
    for row in customers.load(42).rows[:10].tolist():
        assert [type(value) for value in row] == [int, float, int, str, str, str]


def test_the_model_has_found_the_rule() -> None:
    """On customers it has not seen it ranks nearly as well as the probability they were made with."""
    known = customers.load(42)
    model = pipeline(known).fit(known.rows, known.labels)
    for seed in (1, 2, 3):
        rows, probability, draw = customers.make(seed)
        left = draw < probability
        at_best = roc_auc_score(left, probability)
        assert at_best - 0.01 < roc_auc_score(left, model.predict_proba(rows)[:, 1]) <= at_best + 0.002
        assert np.abs(model.predict_proba(rows)[:, 1] - probability).mean() < 0.03


@pytest.mark.parametrize(
    ("place", "values"), [(3, customers.CONTRACT), (4, customers.INTERNET), (5, customers.PAYMENT)]
)
def test_each_category_moves_the_odds_as_the_rule_says(place: int, values: dict[str, float]) -> None:
    data = customers.load(42)
    model = pipeline(data).fit(data.rows, data.labels)
    row = data.rows[0]

    def odds(category: str) -> float:
        changed = row.copy()
        changed[place] = category
        stays, leaves = model.predict_proba([changed])[0]
        return float(np.log(leaves / stays))

    first, *others = values
    for category in others:
        assert odds(category) - odds(first) == pytest.approx(values[category] - values[first], abs=0.45)


def test_an_unknown_category_counts_as_none() -> None:
    data = customers.load(42)
    model = pipeline(data).fit(data.rows, data.labels)
    row = data.rows[0].copy()
    row[3] = "ten years"
    assert model.predict_proba([row]).sum() == pytest.approx(1)
