# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the iris classifier is trained."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from model.dataset import Dataset, Feature
from model.training import Recipe


def load(_seed: int) -> Dataset:
    """Fisher's iris data from scikit-learn: 150 rows in centimetres, the same for every seed."""
    iris = load_iris()
    return Dataset(
        name="sklearn.datasets.load_iris",
        rows=iris.data.astype(np.float64),
        labels=iris.target.astype(np.int64),
        features=[Feature(name) for name in iris.feature_names],
        class_names=[str(name) for name in iris.target_names],
    )


def pipeline(_dataset: Dataset) -> Pipeline:
    """A logistic regression on standardised measurements."""
    # C=10 regularises less than the default: mean accuracy 0.969 instead of 0.956 over 30 splits.
    # With the default, some splits of a sound model would fall below the required 0.95.
    return Pipeline([("scale", StandardScaler()), ("classify", LogisticRegression(C=10.0, max_iter=1000))])


RECIPE = Recipe(name="iris-classifier", load=load, pipeline=pipeline, metric="accuracy", required=0.95)
