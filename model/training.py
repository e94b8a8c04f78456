# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Train a classifier and describe it: what is the same for every model."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import joblib
import numpy as np
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from model.dataset import FLOAT, TEXT, Dataset
from model.errors import ModelError
from model.metadata import (
    METADATA_FILE,
    MODEL_FILE,
    CrossValidation,
    Examples,
    Metadata,
    ModelFile,
    Source,
    Tensor,
    check_version,
    library_versions,
)

FOLDS = 5


@dataclass(frozen=True)
class Recipe:
    """How one model is made.

    Attributes:
        name: the model's.
        load: gives the rows for a seed.
        pipeline: gives a pipeline to fit on such rows.
        metric: what cross-validation measures, by scikit-learn's name; 1 is the best.
        required: the least mean of it, 0 to 1, where none is asked for.
    """

    name: str
    load: Callable[[int], Dataset]
    pipeline: Callable[[Dataset], Pipeline]
    metric: str
    required: float

    @property
    def option(self) -> str:
        """The option of the command line that says the least mean."""
        return f"--min-{self.metric.replace('_', '-')}"


def train(recipe: Recipe, dataset: Dataset, version: str, seed: int, required: float) -> dict[str, bytes]:
    """Train, check and describe; write nothing.

    Args:
        version: the version's name, such as ``v1``.
        seed: of the split into folds, 0 to 2**32 - 1.
        required: the least mean of the recipe's metric in cross-validation, 0 to 1.

    Returns:
        Content by file name: the model file and its metadata. The same arguments under the same
        library versions, on the same kind of processor, give the same bytes.

    Raises:
        ModelError: the version's name cannot be used, or the mean is under ``required``.
    """
    check_version(version)
    # One thread: sums of floats split among a number of threads that depends on the machine
    # would give other last digits, and so other bytes.
    with threadpool_limits(limits=1):
        validation = _cross_validate(recipe, dataset, seed, required)
        pipeline = recipe.pipeline(dataset).fit(dataset.rows, dataset.labels)
        examples = _examples(pipeline, dataset)
    model = _dump(pipeline)
    metadata = Metadata(
        name=recipe.name,
        version=version,
        model_format="sklearn",
        model_file=ModelFile.of(MODEL_FILE, model),
        created_from=Source(
            dataset=dataset.name,
            rows=len(dataset.labels),
            sha256=dataset.sha256(),
            estimator=" + ".join(type(step).__name__ for _name, step in pipeline.steps),
        ),
        libraries=library_versions(["scikit-learn", "numpy", "scipy", "joblib"]),
        seed=seed,
        cross_validation=validation,
        features=[feature.name for feature in dataset.features],
        categories={feature.name: feature.categories for feature in dataset.features if feature.datatype == TEXT},
        classes=dataset.class_names,
        inputs=dataset.inputs(),
        outputs=[Tensor("output-0", "INT64", [-1]), Tensor("predict_proba", FLOAT, [-1, len(dataset.class_names)])],
        examples=examples,
    )
    return {MODEL_FILE: model, METADATA_FILE: metadata.to_json()}


def _cross_validate(recipe: Recipe, dataset: Dataset, seed: int, required: float) -> CrossValidation:
    folds = StratifiedKFold(n_splits=FOLDS, shuffle=True, random_state=seed)
    scores = cross_val_score(recipe.pipeline(dataset), dataset.rows, dataset.labels, cv=folds, scoring=recipe.metric)
    mean = float(scores.mean())
    if mean < required:
        raise ModelError(
            f"The mean {recipe.metric.replace('_', ' ')} of {FOLDS}-fold cross-validation is {mean:.3f}, under the "
            f"required {required:.3f}, so no model was written: check the data, or lower {recipe.option}."
        )
    return CrossValidation(recipe.metric, FOLDS, [float(score) for score in scores], mean, required)


def _dump(pipeline: Pipeline) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(pipeline, buffer)
    return buffer.getvalue()


def _examples(pipeline: Pipeline, dataset: Dataset) -> Examples:
    """The first row of each class that the model tells rightly: a smoke test must not rest on a mistake."""
    right = np.flatnonzero(pipeline.predict(dataset.rows) == dataset.labels)
    _classes, first = np.unique(dataset.labels[right], return_index=True)
    places = right[first]
    rows = dataset.rows[places]
    return Examples(rows.tolist(), dataset.labels[places].tolist(), pipeline.predict_proba(rows).tolist())
