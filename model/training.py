# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Train and describe a classifier; shared by all models."""

from __future__ import annotations

import io
import pickle
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
    check_model_file,
    check_version,
    library_versions,
)

FOLDS = 5


@dataclass(frozen=True)
class Recipe:
    """How one model is trained.

    Attributes:
        name: the name of the model.
        load: returns the rows for a seed.
        pipeline: returns a pipeline to fit on such rows.
        metric: the score of cross-validation, by its name in scikit-learn; 1 is the best.
        required: the default of the required minimum mean of this score, 0 to 1.
    """

    name: str
    load: Callable[[int], Dataset]
    pipeline: Callable[[Dataset], Pipeline]
    metric: str
    required: float

    @property
    def option(self) -> str:
        """The command-line option that sets the required minimum mean."""
        return f"--min-{self.metric.replace('_', '-')}"


def train(
    recipe: Recipe, dataset: Dataset, version: str, seed: int, required: float, model_file: str = MODEL_FILE
) -> dict[str, bytes]:
    """Train, validate and describe the model, without writing files.

    Args:
        version: the version's name, such as ``v1``.
        seed: the random seed of the split into folds, 0 to 2**32 - 1.
        required: the minimum mean of the recipe's metric in cross-validation, 0 to 1.
        model_file: its name; a plain pickle, unless it ends in ``.joblib``.

    Returns:
        Content by file name: the model file and its metadata. The bytes are reproducible for the
        same arguments, library versions and kind of processor.

    Raises:
        ModelError: the version or the name of the file is invalid, or the mean is below ``required``.
    """
    check_version(version)
    check_model_file(model_file)
    # One thread, because the rounding of float sums depends on the number of threads. The model
    # file would differ between machines.
    with threadpool_limits(limits=1):
        validation = _cross_validate(recipe, dataset, seed, required)
        pipeline = recipe.pipeline(dataset).fit(dataset.rows, dataset.labels)
        examples = _examples(pipeline, dataset)
    model = _dump(pipeline, model_file)
    metadata = Metadata(
        name=recipe.name,
        version=version,
        model_format="sklearn",
        model_file=ModelFile.of(model_file, model),
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
    return {model_file: model, METADATA_FILE: metadata.to_json()}


def _cross_validate(recipe: Recipe, dataset: Dataset, seed: int, required: float) -> CrossValidation:
    folds = StratifiedKFold(n_splits=FOLDS, shuffle=True, random_state=seed)
    scores = cross_val_score(recipe.pipeline(dataset), dataset.rows, dataset.labels, cv=folds, scoring=recipe.metric)
    mean = float(scores.mean())
    if mean < required:
        raise ModelError(
            f"The mean {recipe.metric.replace('_', ' ')} of {FOLDS}-fold cross-validation is {mean:.3f}, below the "
            f"required {required:.3f}, so no model was written: check the data, or lower {recipe.option}."
        )
    return CrossValidation(recipe.metric, FOLDS, [float(score) for score in scores], mean, required)


def _dump(pipeline: Pipeline, model_file: str) -> bytes:
    if not model_file.endswith(".joblib"):
        return pickle.dumps(pipeline)
    buffer = io.BytesIO()
    joblib.dump(pipeline, buffer)
    return buffer.getvalue()


def _examples(pipeline: Pipeline, dataset: Dataset) -> Examples:
    """The first correctly predicted row of each class, so that no smoke test expects a wrong prediction."""
    right = np.flatnonzero(pipeline.predict(dataset.rows) == dataset.labels)
    _classes, first = np.unique(dataset.labels[right], return_index=True)
    places = right[first]
    rows = dataset.rows[places]
    return Examples(rows.tolist(), dataset.labels[places].tolist(), pipeline.predict_proba(rows).tolist())
