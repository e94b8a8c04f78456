# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which requests are predicted in one call, and which results each of them gets."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

pytest.importorskip("orjson", reason="needs the packages of model/server/requirements.txt")

from model.server.joint import JointCalls, predict_together


class Model:
    """Doubles the first column, and notes the rows of each call; it rejects negative numbers."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[float]]] = []
        self.gate: threading.Event | None = None

    def __call__(self, columns: Sequence[Any], method: str) -> list[Any]:
        self.calls.append((method, [float(value) for value in columns[0]]))
        if self.gate:
            assert self.gate.wait(30)
        if np.min(columns[0]) < 0:
            raise ValueError(f"negative: {np.min(columns[0])}")
        return [np.asarray(columns[0]) * 2]

    @property
    def rows(self) -> list[list[float]]:
        return [rows for _method, rows in self.calls]


def matrix(*values: float) -> Any:
    return np.array([[value, 0.0] for value in values]).T


def joint(model: Callable[..., Any], observed: list[int] | None = None, **options: Any) -> JointCalls:
    counts: list[int] = [] if observed is None else observed
    choices = {"is_independent": lambda _columns, _method: True, "max_rows": 8, "executor": None} | options
    return JointCalls(model, observe=counts.append, **choices)


def run(steps: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return asyncio.run(asyncio.wait_for(steps(), 60))


async def outcomes(*futures: asyncio.Future[Any]) -> list[Any]:
    """The result of each, as a list, or what it raises."""
    found = await asyncio.gather(*futures, return_exceptions=True)
    return [one if isinstance(one, BaseException) else one[0].tolist() for one in found]


def test_requests_of_one_turn_are_predicted_in_one_call_and_each_gets_its_own_rows() -> None:
    model, observed = Model(), list[int]()

    async def steps() -> Any:
        calls = joint(model, observed)
        return await outcomes(*(calls.predict(part, "predict") for part in (matrix(1), matrix(2, 3), matrix(4))))

    assert run(steps) == [[2], [4, 6], [8]]
    assert model.rows == [[1, 2, 3, 4]]
    assert observed == [3]


def test_the_rows_of_a_joint_call_are_contiguous_as_those_of_one_request() -> None:
    seen = []

    def call(columns: Any, _method: str) -> list[Any]:
        seen.append(columns.T.flags["C_CONTIGUOUS"])
        return [columns[0]]

    predict_together(call, "predict", [matrix(1), matrix(2, 3)])
    assert seen == [True]


def test_a_request_does_not_wait_for_others() -> None:
    model = Model()

    async def steps() -> None:
        calls = joint(model)
        for number in range(3):
            assert await outcomes(calls.predict(matrix(number), "predict")) == [[2 * number]]

    run(steps)
    assert model.rows == [[0], [1], [2]]


@pytest.mark.parametrize("failing", [[0], [6], [3, 4], [0, 1, 2, 3, 4, 5, 6]])
def test_rows_that_fail_fail_only_their_own_request(failing: list[int]) -> None:
    model = Model()
    values = [-float(number + 1) if number in failing else float(number) for number in range(7)]

    async def steps() -> Any:
        calls = joint(model)
        return await outcomes(*(calls.predict(matrix(value), "predict") for value in values))

    for value, outcome in zip(values, run(steps), strict=True):
        if value < 0:
            assert (type(outcome), str(outcome)) == (ValueError, f"negative: {value}")
        else:
            assert outcome == [2 * value]


class Panic(BaseException):
    """As that of a library in Rust."""


@pytest.mark.parametrize(
    "raised", [StopIteration("no such value"), Panic("no such value"), SystemExit("no such value")]
)
@pytest.mark.parametrize("threads", [0, 1])
@pytest.mark.parametrize("is_independent", [True, False])
def test_what_a_future_does_not_accept_fails_only_its_own_request(
    raised: BaseException, threads: int, is_independent: bool
) -> None:
    def lookup(columns: Any, _method: str) -> list[Any]:
        if 9 in columns[0]:
            raise raised
        return [np.asarray(columns[0])]

    async def steps() -> Any:
        executor = ThreadPoolExecutor(1) if threads else None
        calls = joint(lookup, is_independent=lambda _columns, _method: is_independent, executor=executor)
        first = await outcomes(*(calls.predict(matrix(value), "predict") for value in (1, 9, 2)))
        return [*first, *await outcomes(calls.predict(matrix(3), "predict"))]

    one, failed, *others = run(steps)
    assert [one, *others] == [[1], [2], [3]]
    assert isinstance(failed, RuntimeError) and f"{type(raised).__name__}: no such value" in str(failed)


@pytest.mark.parametrize("threads", [0, 1])
def test_a_model_that_uses_an_array_again_changes_no_result(threads: int) -> None:
    buffer = np.zeros(64)

    def reuse(columns: Any, _method: str) -> list[Any]:
        if 9 in columns[0]:
            raise ValueError
        rows = buffer[: len(columns[0])]
        rows[:] = columns[0]
        return [rows]

    async def steps() -> Any:
        calls = joint(reuse, max_rows=64, executor=ThreadPoolExecutor(1) if threads else None)
        return await outcomes(*(calls.predict(matrix(value), "predict") for value in range(16)))

    assert [one for one in run(steps) if isinstance(one, list)] == [[value] for value in range(16) if value != 9]


def test_of_many_requests_few_are_tried_again_alone() -> None:
    model = Model()
    parts = [matrix(-1.0 if number == 40 else 1.0) for number in range(128)]
    results = predict_together(model, "predict", parts)
    assert [number for number, result in enumerate(results) if isinstance(result, Exception)] == [40]
    assert len(model.calls) == 15  # the whole, and two halves at each of seven levels


def test_a_call_has_at_most_the_rows_of_the_limit_and_the_order_is_that_of_the_requests() -> None:
    model = Model()

    async def steps() -> Any:
        calls = joint(model)
        sizes = [3, 4, 2, 7, 1, 8, 1]
        number, parts = 0, []
        for size in sizes:
            parts.append(matrix(*range(number, number + size)))
            number += size
        return await outcomes(*(calls.predict(part, "predict") for part in parts))

    assert [value for result in run(steps) for value in result] == [2 * number for number in range(26)]
    # The request of as many rows as the limit is predicted alone.
    assert [len(rows) for rows in model.rows] == [7, 2, 8, 8, 1]
    assert [row for rows in model.rows for row in rows] == [*range(26)]


def test_requests_of_other_methods_or_types_are_predicted_apart() -> None:
    model = Model()
    number, text = np.array([1, 2]), np.array(["a"], dtype=object)
    parts = [
        (matrix(1), "predict"),
        (matrix(2), "predict_proba"),
        ([number], "predict"),
        ([number.astype(float)], "predict"),
        (matrix(3), "predict"),
        ([number], "predict"),
        ([number, text], "predict"),
    ]

    async def steps() -> Any:
        calls = joint(model)
        return await outcomes(*(calls.predict(*part) for part in parts))

    results = run(steps)
    assert results == [[2], [4], [2, 4], [2.0, 4.0], [6], [2, 4], [2, 4]]
    assert [type(value) for value in results[2] + results[3]] == [int, int, float, float]
    assert model.calls == [
        ("predict", [1, 3]),
        ("predict_proba", [2]),
        ("predict", [1, 2, 1, 2]),
        ("predict", [1, 2]),
        ("predict", [1, 2]),
    ]


def test_rows_that_depend_on_each_other_are_predicted_alone() -> None:
    model = Model()

    async def steps() -> Any:
        calls = joint(model, is_independent=lambda _columns, method: method == "predict")
        methods = ["predict", "predict_proba", "predict", "predict_proba"]
        return await outcomes(*(calls.predict(matrix(place), method) for place, method in enumerate(methods)))

    assert run(steps) == [[0], [2], [4], [6]]
    assert model.calls == [("predict", [0, 2]), ("predict_proba", [1]), ("predict_proba", [3])]


def test_a_model_that_gives_another_number_of_results_is_called_for_each_request() -> None:
    calls = []

    def one_result(columns: Any, _method: str) -> list[Any]:
        calls.append(len(columns[0]))
        return [np.array([columns[0].sum()])]

    results = predict_together(one_result, "predict", [matrix(1, 2), matrix(3, 4)])
    assert [result[0].tolist() for result in results if not isinstance(result, Exception)] == [[3], [7]]
    assert calls == [4, 2, 2]


def test_several_targets_are_divided_alike() -> None:
    def two(columns: Any, _method: str) -> list[Any]:
        return [columns[0], np.stack([columns[0], -columns[0]], axis=1)]

    first, second = predict_together(two, "predict_proba", [matrix(1), matrix(2, 3)])
    assert [array.tolist() for array in first] == [[1], [[1, -1]]]  # type: ignore[union-attr]
    assert [array.tolist() for array in second] == [[2, 3], [[2, -2], [3, -3]]]  # type: ignore[union-attr]


def test_a_cancelled_request_is_left_out() -> None:
    model = Model()

    async def steps() -> Any:
        calls = joint(model)
        futures = [calls.predict(matrix(number), "predict") for number in range(4)]
        futures[0].cancel()
        futures[2].cancel()
        return await outcomes(futures[1], futures[3])

    assert run(steps) == [[2], [6]]
    assert model.rows == [[1, 3]]


def test_if_all_are_cancelled_there_is_no_call_and_the_next_request_is_predicted() -> None:
    model = Model()

    async def steps() -> Any:
        calls = joint(model)
        calls.predict(matrix(1), "predict").cancel()
        await asyncio.sleep(0.01)
        return await outcomes(calls.predict(matrix(2), "predict"))

    assert run(steps) == [[4]]
    assert model.rows == [[2]]


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def test_what_waits_for_a_call_in_a_thread_is_predicted_in_the_next() -> None:
    model = Model()
    model.gate = threading.Event()
    observed: list[int] = []

    async def steps() -> Any:
        with ThreadPoolExecutor(1) as executor:
            calls = joint(model, observed, executor=executor)
            futures = [calls.predict(matrix(1), "predict")]
            await until(lambda: len(model.calls) == 1)
            # These come one after the other, while the first is predicted.
            for number in (2, -3, 4, 5):
                futures.append(calls.predict(matrix(number), "predict"))
                await asyncio.sleep(0.01)
            futures[3].cancel()
            assert model.rows == [[1]]
            assert model.gate
            model.gate.set()
            return await outcomes(*futures)

    first, second, third, fourth, fifth = run(steps)
    assert [first, second, fifth] == [[2], [4], [10]]
    assert str(third) == "negative: -3.0"
    assert isinstance(fourth, asyncio.CancelledError)
    assert model.rows[:2] == [[1], [2, -3, 5]]
    assert observed == [1, 3]


def test_a_request_that_is_cancelled_during_its_call_does_not_harm_the_others() -> None:
    model = Model()
    model.gate = threading.Event()

    async def steps() -> Any:
        with ThreadPoolExecutor(1) as executor:
            calls = joint(model, executor=executor)
            futures = [calls.predict(matrix(number), "predict") for number in range(3)]
            await until(lambda: len(model.calls) == 1)
            futures[1].cancel()
            assert model.gate
            model.gate.set()
            return await outcomes(futures[0], futures[2])

    assert run(steps) == [[0], [4]]


def test_a_large_request_in_a_thread_holds_no_small_ones() -> None:
    started, gate = threading.Event(), threading.Event()

    def call(columns: Any, _method: str) -> list[Any]:
        if len(columns[0]) > 8:
            started.set()
            assert gate.wait(30)
        return [columns[0]]

    async def steps() -> None:
        with ThreadPoolExecutor(1) as executor:
            calls = joint(call, executor=executor)
            large = calls.predict(matrix(*range(100)), "predict")
            await until(started.is_set)
            assert await outcomes(*(calls.predict(matrix(number), "predict") for number in range(3))) == [[0], [1], [2]]
            assert not large.done()
            gate.set()
            assert await outcomes(large) == [[*range(100)]]

    run(steps)
