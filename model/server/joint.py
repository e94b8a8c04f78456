# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Predict the requests that wait at the same time in one call of the model.

A call of a scikit-learn model takes nearly as long for two rows as for a hundred. Without HTTP and the model: what
predicts is a function.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .rows import Columns

Arrays = list[NDArray[Any]]
"""The results of a call; each has one entry for each row."""
Call = Callable[[Columns, str], Arrays]
"""Predicts columns with a method of the model."""


def call_model(call: Call, columns: Columns, method: str) -> Arrays:
    """The results of a call, in arrays that no later call changes.

    :raises Exception: any that the model raises. What a future does not accept, or what would end the event loop, is a
        RuntimeError.
    """
    try:
        return [array.copy() for array in call(columns, method)]  # a model may reuse its arrays
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if isinstance(error, Exception) and not isinstance(error, StopIteration):
            raise
        raise RuntimeError(f"The model raised {type(error).__name__}: {error}") from error


def predict_together(call: Call, method: str, parts: Sequence[Columns]) -> list[Arrays | Exception]:
    """The results of each part of a call, or the error that it raises alone.

    If the call fails, each half is tried again, so that of many parts only those that fail are predicted alone.
    """
    try:
        if len(parts) == 1:
            return [call_model(call, parts[0], method)]
        arrays = call_model(call, _joined(parts), method)
    except Exception as error:  # the model's own code may raise any
        if len(parts) == 1:
            return [error]
        middle = len(parts) // 2
        halves = parts[:middle], parts[middle:]
        return [result for half in halves for result in predict_together(call, method, half)]
    ends = np.cumsum([len(part[0]) for part in parts]).tolist()
    if any(array.shape[:1] != (ends[-1],) for array in arrays):
        return [result for part in parts for result in predict_together(call, method, [part])]
    return [[array[start:end] for array in arrays] for start, end in zip([0, *ends], ends, strict=False)]


def _joined(parts: Sequence[Columns]) -> Columns:
    if isinstance(parts[0], np.ndarray):
        # The rows are contiguous in memory, as those of one request.
        return np.concatenate([np.transpose(part) for part in parts]).T
    return [np.concatenate(columns) for columns in zip(*parts, strict=True)]


@dataclass(frozen=True, slots=True)
class _Request:
    """A request that waits; kind: of which requests can be predicted with it, or None if none can."""

    method: str
    columns: Columns
    rows: int
    kind: Hashable
    future: asyncio.Future[Arrays]


class JointCalls:
    """Predicts requests in the order in which they come, those that wait together in one call.

    - No request waits for another that has not come: a call begins when the requests that the event loop has read are
      checked, or when the call before it ends.
    - A call has requests of one method and of equal types of columns, as long as they are independent of each other
      and have at most max_rows together. Each of the others has a call of its own.
    - A request gets the results of its own rows, or the error that they raise alone.
    - A request whose future is cancelled is left out of calls that have not begun.

    Args:
        call: predicts columns.
        is_independent: whether the results of these columns do not depend on the other rows of a call.
        max_rows: the limit of a call with several requests.
        executor: has one thread, in which calls run, or None to run them in the event loop. A call with one request
            that cannot be joined then has a thread of its own.
        observe: gets the number of requests of each call.
    """

    def __init__(
        self,
        call: Call,
        is_independent: Callable[[Columns, str], bool],
        max_rows: int,
        executor: Executor | None,
        observe: Callable[[int], None],
    ) -> None:
        self._call = call
        self._is_independent = is_independent
        self._max_rows = max_rows
        self._executor = executor
        self._observe = observe
        self._waiting: deque[_Request] = deque()
        self._is_scheduled = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def predict(self, columns: Columns, method: str) -> asyncio.Future[Arrays]:
        """The future results of a request."""
        loop = self._loop = self._loop or asyncio.get_running_loop()
        rows, kind = len(columns[0]), None
        if rows < self._max_rows and self._is_independent(columns, method):
            types = columns.dtype if isinstance(columns, np.ndarray) else tuple(column.dtype for column in columns)
            kind = (method, types)
        elif self._executor:
            self._observe(1)
            return loop.run_in_executor(None, call_model, self._call, columns, method)
        future: asyncio.Future[Arrays] = loop.create_future()
        self._waiting.append(_Request(method, columns, rows, kind, future))
        if not self._is_scheduled:
            self._is_scheduled = True
            # After all that the event loop has already to do, such as reading other requests.
            loop.call_soon(self._start)
        return future

    def _start(self) -> None:
        """Begin the next call."""
        requests = self._next()
        if not requests:
            self._is_scheduled = False
            return
        self._observe(len(requests))
        loop = asyncio.get_running_loop()
        parts = [request.columns for request in requests]
        if self._executor:
            running = loop.run_in_executor(self._executor, predict_together, self._call, requests[0].method, parts)
            running.add_done_callback(partial(self._end, requests))
        else:
            try:
                self._settle(requests, predict_together(self._call, requests[0].method, parts))
            finally:
                # Between two calls the event loop reads requests, also those of probes.
                loop.call_soon(self._start)

    def _end(self, requests: Sequence[_Request], running: asyncio.Future[list[Arrays | Exception]]) -> None:
        """Settle the requests of a call that ran in a thread."""
        error = running.exception()  # not one of the model, which predict_together returns
        try:
            self._settle(requests, [error] * len(requests) if error else running.result())
        finally:
            self._start()

    def _settle(self, requests: Sequence[_Request], results: Sequence[Arrays | BaseException]) -> None:
        for request, result in zip(requests, results, strict=True):
            if request.future.done():  # cancelled during the call
                continue
            if isinstance(result, BaseException):
                request.future.set_exception(result)
            else:
                request.future.set_result(result)

    def _next(self) -> list[_Request]:
        """The first request, and those behind it that can be predicted with it."""
        waiting, requests, others, rows = self._waiting, list[_Request](), list[_Request](), 0
        while waiting and rows < self._max_rows:
            request = waiting[0]
            if request.future.done():
                waiting.popleft()
            elif not requests:
                requests.append(waiting.popleft())
                rows = request.rows
                if request.kind is None:
                    break
            elif request.kind != requests[0].kind:
                others.append(waiting.popleft())
            elif rows + request.rows > self._max_rows:
                break
            else:
                requests.append(waiting.popleft())
                rows += request.rows
        waiting.extendleft(reversed(others))
        return requests
