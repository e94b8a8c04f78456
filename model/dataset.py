# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Labelled rows for training, with the name and type of each column."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.metadata import Tensor

FLOAT, INTEGER, TEXT = "FP64", "INT64", "BYTES"  # as the v2 inference protocol names them


@dataclass(frozen=True)
class Feature:
    """One column.

    Attributes:
        datatype: FLOAT, INTEGER or TEXT.
        categories: of a TEXT feature, the values it has in the data set.
    """

    name: str
    datatype: str = FLOAT
    categories: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Dataset:
    """Labelled rows.

    Attributes:
        name: where the rows come from.
        rows: shape (rows, features); float64, or objects where a feature is not FLOAT.
        labels: int64, shape (rows,), an index into ``class_names``.
    """

    name: str
    rows: NDArray[Any]
    labels: NDArray[np.int64]
    features: list[Feature]
    class_names: list[str]

    def sha256(self) -> str:
        """Digest of the rows and their labels, as JSON without spaces."""
        content = json.dumps([self.rows.tolist(), self.labels.tolist()], separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()

    def columns(self, *datatypes: str) -> list[int]:
        """The indices of the features that have one of the datatypes."""
        return [place for place, feature in enumerate(self.features) if feature.datatype in datatypes]

    def inputs(self) -> list[Tensor]:
        """One tensor if all features are FLOAT, else one per feature, because a tensor has one datatype."""
        if len(self.columns(FLOAT)) == len(self.features):
            return [Tensor("input-0", FLOAT, [-1, len(self.features)])]
        return [Tensor(feature.name, feature.datatype, [-1]) for feature in self.features]
