# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the predictions of a model for a row depend on the other rows of a call, found by predictions.

Most models predict each row by itself. A few do not: a transformer that scales by the rows of the call, or one with
random numbers. Of those that do, some round the last digit otherwise for another number of rows, because the libraries
of linear algebra choose another order of additions, as for the probabilities of a logistic regression.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .estimator import BOOL, Column, is_missing
from .joint import Arrays, Call, call_model, predict_together
from .rows import Columns

SEED = 0  # the same rows at each start
FEWEST = 3  # different rows that are enough to decide, if they have different results
MISSING = 0.3  # the share of missing values in a column that has some
FAR = 0.3  # the share of numbers beyond the examples, which say little of how large others are


def rows_like(examples: Columns, columns: Sequence[Column], texts: bool) -> Iterator[Columns]:
    """The rows of examples, then endless ones with values like theirs, and with the categories of encoders.

    Args:
        examples: columns; one that has missing values gets more of them.
        columns: what is known about each of them.
        texts: whether the rows are strings.
    """
    for place in range(len(examples[0])):
        yield [column[place : place + 1] for column in examples]
    chance = random.Random(SEED)
    words = [*(word for text in examples[0] for word in text.split()), "text", "word"] if texts else []
    while True:
        if texts:
            yield [_array(" ".join(chance.choices(words, k=chance.randint(1, 8))), examples[0])]
        else:
            values = [_value(chance, *known) for known in zip(examples, columns, strict=True)]
            # The types are those of the examples: NumPy could choose another for one value.
            yield [_array(value, example) for value, example in zip(values, examples, strict=True)]


def _value(chance: random.Random, example: NDArray[Any], column: Column) -> Any:
    """A value of a column."""
    values = example.tolist()
    known = [value for value in values if not is_missing(value)]
    missing = [value for value in values if is_missing(value)]
    if missing and (not known or chance.random() < MISSING):
        return missing[0]
    named = [value for value in column.categories if not is_missing(value)]
    if named and not column.ignored:
        return chance.choice(named + known)
    if column.datatype == BOOL:
        return chance.choice((False, True))
    if column.datatype.lstrip("U").startswith("INT"):
        # The range of the examples, but several numbers, and none that the type of the column does not have.
        lowest, highest = int(min(known)), int(max(*known, min(known) + 8))
        if example.dtype.kind in "iu":
            limits = np.iinfo(example.dtype)
            highest = min(highest, int(limits.max))
            lowest = max(min(lowest, highest - 8), int(limits.min))
        return chance.randint(lowest, highest)
    first = chance.choice(known)
    if example.dtype.kind == "f" and (len(set(known)) == 1 or chance.random() < FAR):
        # Of any size, as a tree may give the same result for all that are small.
        return first + chance.choice((-1, 1)) * max(abs(first), 1.0) * 10 ** chance.uniform(-1, 3)
    if example.dtype.kind == "f":
        return first + (chance.choice(known) - first or max(abs(first), 1.0)) * chance.random()
    return first


def _array(value: Any, example: NDArray[Any]) -> NDArray[Any]:
    array = np.empty(1, dtype=example.dtype)
    array[0] = value
    return array


def is_independent(call: Call, method: str, rows: Iterator[Columns], count: int) -> bool:
    """Whether a model predicts requests the same, bit by bit, alone and together.

    Args:
        rows: rows to try; those that the model rejects are skipped.
        count: how many of them to predict; more, if the first have the same result.
    """
    parts: list[Columns] = []
    alone: list[Arrays] = []
    has_others = False
    for _attempt, row in zip(range(4 * count), rows, strict=False):
        try:
            result = call_model(call, row, method)
        except Exception:  # the model's own code may raise any
            continue
        # The same result for all rows would hide that it is of other rows.
        is_other = bool(alone) and not _is_same(alone[0], result)
        has_others = has_others or is_other
        if len(parts) < count or is_other:
            parts.append(row)
            alone.append(result)
        if len(parts) >= count and has_others:
            break
    if not has_others or len({repr([column.tolist() for column in part]) for part in parts}) < FEWEST:
        return False
    # Single rows and pairs, since one row is another case in linear algebra.
    pairs = [_joined(parts[place : place + 2]) for place in range(0, len(parts) - 1, 2)]
    try:
        alone += [call_model(call, pair, method) for pair in pairs]
    except Exception:
        return False
    parts += pairs
    for order in (range(len(parts)), range(len(parts) - 1, -1, -1)):
        together = predict_together(call, method, [parts[place] for place in order])
        if not all(_is_same(alone[place], result) for place, result in zip(order, together, strict=True)):
            return False
    return True


def _joined(parts: Sequence[Columns]) -> Columns:
    return [np.concatenate(columns) for columns in zip(*parts, strict=True)]


def _is_same(first: Arrays, second: Arrays | Exception) -> bool:
    """Whether both results are the same to the last bit."""
    if isinstance(second, Exception) or len(first) != len(second):
        return False
    return all(
        one.dtype == other.dtype
        and one.shape == other.shape
        and (repr(one.tolist()) == repr(other.tolist()) if one.dtype == object else one.tobytes() == other.tobytes())
        for one, other in zip(first, second, strict=True)
    )
