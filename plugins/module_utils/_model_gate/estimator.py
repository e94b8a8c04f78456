# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a fitted scikit-learn model takes and gives, read from its fitted parts, and its predictions.

The model server and the gate's sandbox run this same file (model/server/estimator.py is a link to it), so that the gate
rejects before the upload what the server would not serve, with the same reason. In the sandbox the interpreter is the
serving image's, not Ansible's: it imports nothing of the collection, and runs on Python 3.8.
This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any, NamedTuple

try:
    import numpy as np
except ImportError:  # where Ansible runs, this file is only passed on
    np = None  # type: ignore[assignment]

TEXT, BOOL, INTEGER, FLOAT = "BYTES", "BOOL", "INT64", "FP64"  # as the Open Inference Protocol names them
# Names of outputs: the default one as in KServe's sklearnserver, the probabilities as in MLServer.
OUTPUT = "output-0"
PROBABILITIES = "predict_proba"
_PREFIXES = {"i": "INT", "u": "UINT", "f": "FP"}
# Attributes in which a model that wraps another has it after the fit.
_WRAPPED = ("best_estimator_", "estimator_", "regressor_", "estimators_")


class NotServable(Exception):
    """The model cannot be served; the text completes "The model … cannot be served: " and says what to change."""


class Column(NamedTuple):
    """A column of the model's input.

    categories: the values that a fitted encoder lists, or none; ignored: the model drops the column.
    """

    name: str
    datatype: str = FLOAT
    categories: tuple[Any, ...] = ()
    ignored: bool = False


class Output(NamedTuple):
    """An output: its name, datatype and shape, the method that gives it, and for which of several targets."""

    name: str
    method: str
    target: int
    datatype: str
    shape: tuple[int, ...]


def datatype_of(result: Any) -> str:
    """Return the datatype of an array, as the protocol names it."""
    kind = result.dtype.kind
    if kind == "b":
        return BOOL
    return f"{_PREFIXES[kind]}{result.dtype.itemsize * 8}" if kind in _PREFIXES else TEXT


class Estimator:
    """A fitted estimator or pipeline whose input is columns of numbers and strings.

    columns: what it takes; names: those that it was fitted with, or None; texts: its rows are strings, not lists.
    """

    def __init__(
        self, model: Any, method: str = "predict", width: int | None = None, texts: bool | None = None
    ) -> None:
        """Read the columns.

        :param method: the method that must be there.
        :param width: the number of columns by another source, for a model that does not know it.
        :param texts: whether the values are strings, by the same source.
        :raises NotServable: there is no such method, or the columns cannot be found.
        """
        self.model = model
        _check_method(model, method)
        names = _first(model, "feature_names_in_")
        self.names = None if names is None else [str(name) for name in names]
        count = _first(model, "n_features_in_")
        self.texts = False
        if count is None:
            count, self.texts = self._probe_width(method, width, texts)
        known: list[Column | None] = [None] * count
        if self.texts:
            known = [Column("", TEXT)]
        else:
            _inspect(model, list(range(count)), self.names, known)
        self.columns = []
        labels = self.names or generic_names(count)
        for name, column in zip(labels, known):  # noqa: B905  strict is Python 3.10's
            found = column or Column("")
            self.columns.append(Column(name, found.datatype, found.categories, found.ignored))
        self._typical: list[Any] | None = None
        self._missing: dict[int, tuple[Any, ...]] = {}

    def _probe_width(self, method: str, width: int | None, strings: bool | None) -> tuple[int, bool]:
        """Return the width of a model that does not record it, and whether its rows are strings."""
        texts = np.array(["text", "word"], dtype=object)
        try:
            if width in (None, 1) and strings is not False and len(getattr(self.model, method)(texts)) == len(texts):
                return 1, True
        except Exception:  # the model's own code may raise any
            pass
        if width is not None:
            return width, False
        try:
            if len(getattr(self.model, method)(np.zeros((2, 1)))) == 2:
                return 1, False
        except Exception:
            pass
        raise NotServable(
            f"{kind_of(self.model)} does not record how many columns it was fitted with, and takes neither strings nor "
            "rows of one number; fit it with an array or a data frame, or describe its inputs in metadata.json"
        )

    def assume(self, datatypes: Sequence[str]) -> None:
        """Take the datatypes of the columns from another source, which knows better."""
        self.columns = [
            Column(column.name, datatypes[place], column.categories, column.ignored)
            for place, column in enumerate(self.columns)
        ]

    def run(self, columns: Any, method: str) -> list[Any]:
        """Return the arrays that a method gives for columns: one, or one per target of several."""
        result = getattr(self.model, method)(self._rows(columns))
        # predict_proba of several targets with classes of their own.
        if isinstance(result, list) and result and all(getattr(part, "ndim", 0) == 2 for part in result):
            return result
        return [result.toarray() if hasattr(result, "toarray") else np.asarray(result)]

    def _rows(self, columns: Any) -> Any:
        """Return the columns as the model was fitted on them."""
        if self.texts:
            return columns[0]
        if self.names is not None:
            return import_module("pandas").DataFrame({name: columns[place] for place, name in enumerate(self.names)})
        if isinstance(columns, np.ndarray):
            return columns.T
        if all(column.dtype != object for column in columns):
            return np.column_stack(columns)
        rows = np.empty((len(columns[0]), len(columns)), dtype=object)
        for place, column in enumerate(columns):
            rows[:, place] = column
        return rows

    def typical(self, examples: Sequence[Any] | None = None, method: str = "predict") -> list[Any]:
        """Return columns of rows that the model predicts: those of the examples, or else one row that it accepts.

        :raises NotServable: it accepts none that can be thought of.
        """
        if examples is not None:
            self._typical = list(examples)
        if self._typical is None:
            self._typical = self._find_row(method)
        return self._typical

    def _find_row(self, method: str) -> list[Any]:
        first: Exception | None = None
        for numbers in self._candidates():
            row = [self._value(place, number) for place, number in enumerate(numbers)]
            try:
                self.run(row, method)
                return row
            except ValueError as error:
                first = first or error
        raise NotServable(
            f"it predicts none of the rows that were tried without knowing any ({_one_line(first)}); add a "
            "metadata.json with an example that it predicts"
        )

    def _candidates(self) -> Iterator[list[float]]:
        count = len(self.columns)
        yield [0.0] * count
        yield [1.0] * count
        # Public attributes of the fit whose values are of the columns: means, centres, support vectors, limits.
        for part in _parts(self.model):
            for name, value in sorted(vars(part).items() if hasattr(part, "__dict__") else ()):
                if name.startswith("_") or not isinstance(value, np.ndarray) or value.dtype.kind not in "if":
                    continue
                row = value[0] if value.ndim == 2 and len(value) else value
                if row.shape == (count,) and np.isfinite(row).all():
                    yield [float(number) for number in row]

    def _value(self, place: int, number: float) -> Any:
        column = self.columns[place]
        named = [value for value in column.categories if not is_missing(value)]
        if named:
            # As objects, since NumPy would make one type of mixed ones.
            return np.array(named[:1], dtype=object if column.datatype == TEXT else None)
        if column.ignored or column.datatype == TEXT:
            return np.array(["text"], dtype=object)
        if column.datatype == BOOL:
            return np.array([False])
        return np.array([int(number) if column.datatype.lstrip("U").startswith("INT") else number])

    def missing(self, place: int) -> tuple[Any, ...]:
        """Return the value that stands for a missing one in a column, or nothing if the model accepts none there.

        The model decides: it predicts a typical row whose value in this column is missing; the result is cached.
        """
        if place not in self._missing:
            self._missing[place] = self._find_missing(place)
        return self._missing[place]

    def _find_missing(self, place: int) -> tuple[Any, ...]:
        column = self.columns[place]
        text = column.datatype == TEXT
        values: list[Any] = [math.nan]
        if text or column.ignored:
            # pandas has NaN, JSON null; encoders tell the two apart.
            values = [None, math.nan] if None in column.categories else [math.nan, None]
        for value in values:
            row = [array[:1] for array in self.typical()]
            row[place] = np.array([value], dtype=object if text or column.ignored else float)
            try:
                result = self.run(row, "predict")[0]
            except Exception:  # a model's own code may raise any
                continue
            if result.dtype.kind != "f" or np.isfinite(result).all():
                return (value,)
        return ()

    def outputs(self, default: str = "predict") -> list[Output]:
        """Return what the model gives for its typical rows: the default method's first, then the probabilities."""
        methods = {OUTPUT: default}
        if hasattr(self.model, PROBABILITIES):
            methods[PROBABILITIES] = PROBABILITIES
        found = []
        rows = len(self.typical()[0])
        for name, method in methods.items():
            arrays = self.run(self.typical(), method)
            stem = "output" if name == OUTPUT else name
            for index, array in enumerate(arrays):
                if array.shape[:1] != (rows,) or 0 in array.shape:
                    raise NotServable(
                        f"{method} gives {list(array.shape)} values for {rows} rows, where servers need one for each"
                    )
                label = f"{stem}-{index}" if len(arrays) > 1 else name
                found.append(Output(label, method, index, datatype_of(array), (-1, *array.shape[1:])))
        return found

    def answers(self, columns: Sequence[Any], method: str) -> list[Any]:
        """Return what a method gives for each row, as the v1 protocol has it: with several targets a list for each."""
        return by_row(self.run(columns, method))

    def classes(self) -> list[Any]:
        """Return the classes of a classifier, one list for each target where there are several."""
        classes = _first(self.model, "classes_")
        if classes is None or len(classes) == 0:
            return []
        if isinstance(classes, (list, tuple)):
            return [np.asarray(target).tolist() for target in classes]
        labels: list[Any] = np.asarray(classes).tolist()
        return labels


def from_texts(rows: Sequence[Sequence[str]], estimator: Estimator) -> list[list[Any]]:
    """Return rows of a CSV file as JSON values: numbers where the model takes numbers, and null for nothing.

    Where no fitted part tells what a column is, and a value of it is no number, it is one of strings.
    """
    width = len(estimator.columns)
    for number, row in enumerate(rows, 1):
        if len(row) != width:
            raise NotServable(f"row {number} of its examples has {len(row)} values, and the model has {width} columns")
    columns = []
    for place, column in enumerate(estimator.columns):
        texts = [row[place] for row in rows]
        if column.datatype == TEXT:
            columns.append([text or None for text in texts] if not estimator.texts else texts)
            continue
        values = [_number(text) for text in texts]
        if any(isinstance(value, str) for value in values):
            lowered = [text.strip().lower() for text in texts]
            if set(lowered) <= {"true", "false"}:
                values, datatype = [text == "true" for text in lowered], BOOL
            else:
                values, datatype = [text or None for text in texts], TEXT
            estimator.columns[place] = column._replace(datatype=datatype)
        columns.append(values)
    return [[values[number] for values in columns] for number in range(len(rows))]


def learn(rows: Sequence[Sequence[Any]], estimator: Estimator) -> None:
    """Take the datatype of a column from its values, where these are no numbers and no fitted part tells it."""
    for place, column in enumerate(estimator.columns):
        kinds = {type(row[place]) for row in rows if place < len(row) and row[place] is not None}
        if column.datatype == FLOAT and kinds in ({str}, {bool}):
            estimator.columns[place] = column._replace(datatype=TEXT if kinds == {str} else BOOL)


def _number(text: str) -> Any:
    """Return the number that a text is, None for an empty one, or else the text."""
    if not text.strip():
        return None
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        return value if math.isfinite(value) else None
    return text


def generic_names(count: int) -> list[str]:
    """Return the names that scikit-learn gives to columns without names."""
    return [f"x{place}" for place in range(count)]


def by_row(arrays: Sequence[Any]) -> list[Any]:
    """Return the values of each row; those of several arrays are one list each."""
    values: list[list[Any]] = [array.tolist() for array in arrays]
    return values[0] if len(values) == 1 else [list(row) for row in zip(*values)]  # noqa: B905  strict is Python 3.10's


def is_missing(value: Any) -> bool:
    """Tell whether a value stands for a missing one."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def columns_of_rows(instances: Sequence[Sequence[Any]], estimator: Estimator) -> list[Any]:
    """Return rows of JSON values, each a list in the order of the columns, as columns for the model.

    :raises NotServable: a row has another length.
    """
    width = len(estimator.columns)
    for number, row in enumerate(instances, 1):
        if len(row) != width:
            raise NotServable(f"row {number} of its examples has {len(row)} values, and the model has {width} columns")
    found = []
    for place in range(width):
        values = [row[place] for row in instances]
        there = [value for value in values if value is not None]
        if len(there) < len(values):
            blank = (*estimator.missing(place), None)[0]
            values = [blank if value is None else value for value in values]
        if any(isinstance(value, str) for value in values) or any(value is None for value in values):
            found.append(np.array(values, dtype=object))
        else:
            found.append(np.array(values))
    return found


def _check_method(model: Any, method: str) -> None:
    kind = kind_of(model)
    if not hasattr(model, method):
        if method != "predict" and hasattr(model, "predict"):
            raise NotServable(f"{kind} has no {method}; unset PREDICT_PROBA, or fit it so that it has probabilities")
        if hasattr(type(model), "novelty") or hasattr(model, "novelty"):
            raise NotServable(f"{kind} predicts new rows with novelty=True only; fit it so")
        if hasattr(model, "fit_predict"):
            raise NotServable(
                f"{kind} groups the rows that it is fitted on and has no predict for new ones; use one that has, such "
                "as KMeans, or train a classifier on its labels"
            )
        if hasattr(model, "transform"):
            raise NotServable(
                f"{kind} transforms rows and has no predict; end the pipeline with an estimator that predicts"
            )
        raise NotServable(f"{kind} has no {method}; store a fitted estimator or pipeline that has")
    if not hasattr(model, "fit"):
        return
    validation = import_module("sklearn.utils.validation")
    try:
        validation.check_is_fitted(model)
    except import_module("sklearn.exceptions").NotFittedError as error:
        raise NotServable(f"{kind} is not fitted; fit it before it is stored") from error
    except TypeError:
        return  # another library's estimator, which need not follow


def kind_of(model: Any) -> str:
    """Return the name of the class, and of a pipeline the names of its steps."""
    steps = getattr(model, "steps", None)
    if isinstance(steps, list) and steps:
        return f"{type(model).__name__} of {', '.join(type(step).__name__ for _name, step in steps)}"
    return type(model).__name__


def _parts(model: Any) -> Iterator[Any]:
    """Return the model and, of a pipeline or wrapper, what gets the model's own input first."""
    while model is not None:
        yield model
        steps = getattr(model, "steps", None)
        if isinstance(steps, list):
            model = next((step for _name, step in steps if not _is_blank(step)), None)
            continue
        model = next((inner for inner in _inner(model)), None)


def _inner(model: Any) -> Iterator[Any]:
    for name in _WRAPPED:
        inner = getattr(model, name, None)
        if isinstance(inner, (list, tuple)) or (isinstance(inner, np.ndarray) and inner.size):
            inner = np.ravel(np.array(inner, dtype=object))[0] if len(inner) else None
        if inner is not None and not isinstance(inner, (str, int, float, np.generic, np.ndarray)):
            yield inner


def _first(model: Any, attribute: str) -> Any:
    """Return an attribute of the model or of its first part that has it."""
    for part in _parts(model):
        try:
            value = getattr(part, attribute)
        except Exception:  # properties that delegate may raise any
            continue
        if value is not None:
            return value
    return None


def _is_blank(step: Any) -> bool:
    return step is None or (isinstance(step, str) and step == "passthrough")


def _inspect(part: Any, places: list[int], names: list[str] | None, known: list[Column | None]) -> None:
    """Note the datatypes of columns that a fitted part tells.

    :param places: which columns the part gets, in its order; names: of those that it gets, where it knows them.
    """
    if isinstance(getattr(part, "steps", None), list):
        _inspect_steps(part, places, names, known)
    elif hasattr(part, "transformers_"):
        _inspect_columns(part, places, names, known)
    elif hasattr(part, "transformer_list"):
        for _name, transformer in part.transformer_list:
            _inspect(transformer, places, names, known)
    elif isinstance(getattr(part, "categories_", None), list) and len(part.categories_) == len(places):
        for place, values in enumerate(part.categories_):
            known[places[place]] = _column_of(np.asarray(values))
    elif isinstance(getattr(part, "statistics_", None), np.ndarray) and len(part.statistics_) == len(places):
        for place, value in enumerate(part.statistics_):
            if isinstance(value, str) and known[places[place]] is None:
                known[places[place]] = Column("", TEXT)
    else:
        for inner in _inner(part):
            if getattr(inner, "n_features_in_", None) == len(places):
                _inspect(inner, places, names, known)
            break


def _inspect_steps(part: Any, places: list[int], names: list[str] | None, known: list[Column | None]) -> None:
    for number, (_name, step) in enumerate(part.steps):
        if _is_blank(step):
            continue
        _inspect(step, places, names, known)
        following = part.steps[number + 1][1] if number + 1 < len(part.steps) else None
        # Only an imputer leaves the values of a column what they are.
        imputes = type(step).__module__.startswith("sklearn.impute")
        if not imputes or getattr(following, "n_features_in_", None) != len(places):
            return


def _inspect_columns(part: Any, places: list[int], names: list[str] | None, known: list[Column | None]) -> None:
    used = set()
    with warnings.catch_warnings():
        # Of scikit-learn 1.5 about the columns of the remainder, which 1.7 names otherwise; both are read here.
        warnings.simplefilter("ignore", FutureWarning)
        entries = [(step, chosen, _selected(chosen, len(places), names)) for _name, step, chosen in part.transformers_]
    for transformer, chosen, selected in entries:
        if isinstance(transformer, str) and transformer == "drop":
            continue
        used |= set(selected)
        if _is_blank(transformer) or isinstance(transformer, str):
            continue
        mine = [places[place] for place in selected]
        if isinstance(chosen, str) or (isinstance(chosen, int) and not isinstance(chosen, bool)):
            # One column as a vector of strings, as vectorizers of text take it.
            known[mine[0]] = Column("", TEXT)
            continue
        _inspect(transformer, mine, [names[place] for place in selected] if names else None, known)
    for place in range(len(places)):
        if place not in used and known[places[place]] is None:
            known[places[place]] = Column("", TEXT, ignored=True)


def _selected(chosen: Any, width: int, names: list[str] | None) -> list[int]:
    """Return the places of the columns that an entry of a ColumnTransformer has chosen."""
    if isinstance(chosen, slice):
        if isinstance(chosen.start, str) or isinstance(chosen.stop, str):
            first = names.index(chosen.start) if names and chosen.start is not None else 0
            last = names.index(chosen.stop) if names and chosen.stop is not None else width - 1
            return list(range(first, last + 1))
        return list(range(width))[chosen]
    entries = [chosen] if isinstance(chosen, (str, int)) else list(chosen)
    if entries and all(isinstance(entry, (bool, np.bool_)) for entry in entries):
        return [place for place, taken in enumerate(entries) if taken]
    return [names.index(entry) if isinstance(entry, str) and names else int(entry) % width for entry in entries]


def _column_of(values: Any) -> Column | None:
    """Return the column whose categories an encoder lists."""
    plain = tuple(values.tolist())
    kinds = {type(value) for value in plain if not is_missing(value)}
    if kinds <= {bool}:
        return Column("", BOOL, plain) if kinds else None
    if kinds <= {int}:
        # Where some are missing, the numbers became floats in training.
        return Column("", INTEGER, plain)
    if kinds <= {int, float}:
        return Column("", FLOAT, plain)
    return Column("", TEXT, plain)


def _one_line(error: Exception | None) -> str:
    return " ".join(str(error).split())
