# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When the requests of a load are sent, and what is recorded of each.

Closed: each connection sends its next request when it has its answer, so a slow server gets fewer requests. Open: the
requests are due at fixed times whatever the server does, as from users who do not know of each other, and a latency
counts from when the request was due. A server that stalls then shows in all requests that fell into the stall, and not
only in the one that it held up ("coordinated omission").
This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from array import array
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.redact import short
from ansible_collections.hashfoundry.kserve.plugins.module_utils._http.message import Answer
from ansible_collections.hashfoundry.kserve.plugins.module_utils._http.server import Clock, Done, Unanswered

# The default limit of an open load's connections. Each is an open file, and a process may usually have 1024.
MAX_CONNECTIONS = 500

Send = Callable[[int, int, Done], None]


@dataclass(frozen=True)
class Plan:
    """How much to send. seconds takes precedence over requests; rate: requests a second, None for a closed load."""

    requests: int
    seconds: float | None = None
    concurrency: int | None = None
    rate: float | None = None
    warmup: int = 0

    def __post_init__(self) -> None:
        """Reject a plan that cannot be carried out.

        :raises KServeError: a number is out of range.
        """
        limits = [("requests", self.requests, 0), ("warmup", self.warmup, 0)]
        limits += [("concurrency", 1 if self.concurrency is None else self.concurrency, 1)]
        for name, value, least in limits:
            if value < least:
                raise KServeError(f"{name} is {value}; give at least {least}.", reason="InvalidOption")
        for name, number in (("seconds", self.seconds), ("rate", self.rate)):
            if number is not None and not 0 < number < float("inf"):
                raise KServeError(f"{name} is {number:g}; give more than 0.", reason="InvalidOption")

    @property
    def connections(self) -> int:
        """How many requests may be in flight at the same time."""
        return self.concurrency or (MAX_CONNECTIONS if self.rate else 1)

    @property
    def count(self) -> int | None:
        """How many requests there are in all; None if only time ends the load."""
        if self.seconds is None:
            return self.requests
        return max(1, round(self.rate * self.seconds)) if self.rate else None


class PlannedLoad:
    """The Load port: a plan that is being carried out.

    seconds: the latency of each request with a correct answer; send_delays: by how much the load generator itself sent
    each request of an open load too late, without the wait for a connection; errors: how often each message occurred.
    """

    def __init__(
        self, plan: Plan, bodies: int, check_answer: Callable[[int, Answer], None], stop_at_error: bool = True
    ) -> None:
        """Prepare.

        :param bodies: how many different requests there are, which are sent in turn.
        :param check_answer: called with each answer 200 and its request's number; raises KServeError if it is wrong.
        :param stop_at_error: whether the first request without such an answer ends the load.
        """
        self._plan = plan
        self._bodies = bodies
        self._check_answer = check_answer
        self._stop_at_error = stop_at_error
        # An open load begins with one, and opens more when it needs them.
        limit = 1 if plan.rate else plan.connections
        self.connections = limit if plan.count is None else min(limit, plan.count)
        self.seconds = array("d")
        self.send_delays = array("d")
        self.errors: Counter[str] = Counter()
        self.failure: KServeError | None = None
        self.sent = 0
        self.began = self.ended = self.last_sent = 0.0
        self._in_flight = 0
        self._scheduled = 0
        self._to_schedule = plan.count or 0 if plan.rate else 0
        self._interval = 1 / plan.rate if plan.rate else 0.0
        self._due: list[float] = []
        self._body: list[int] = []
        self._callbacks: list[Done] = []
        self._idle: list[int] = []
        self._waiting: deque[float] = deque()

    def start(self, clock: Clock, send: Send, finished: Callable[[], None]) -> None:
        """See Load."""
        self._clock, self._transmit, self._finished = clock, send, finished
        self.began = self.ended = self.last_sent = clock.time()
        if self._plan.rate is not None:
            self._tick()
        else:
            for _connection in range(self.connections):
                self._send(self._connect(), clock.time())
        self._end_if_finished()

    def _connect(self) -> int:
        connection = len(self._callbacks)
        self._callbacks.append(partial(self._answered, connection))
        self._due.append(0.0)
        self._body.append(0)
        return connection

    def _send(self, connection: int, due: float) -> None:
        body = self.sent % self._bodies
        self._due[connection], self._body[connection] = due, body
        self.sent += 1
        self._in_flight += 1
        self._transmit(connection, body, self._callbacks[connection])

    def _tick(self) -> None:
        """Send what is due in an open load."""
        now = self._clock.time()
        while self._scheduled < self._to_schedule and not self.failure:
            due = self.began + self._scheduled * self._interval
            if due > now:
                self._clock.call_at(due, self._tick)
                break
            self._scheduled += 1
            self.send_delays.append(now - due)
            if self._idle:
                connection = self._idle.pop()
            elif len(self._callbacks) < self._plan.connections:
                connection = self._connect()
            else:
                self._waiting.append(due)
                continue
            self.last_sent = now
            self._send(connection, due)

    def _answered(self, connection: int, result: Answer | Unanswered) -> None:
        now = self._clock.time()
        self._in_flight -= 1
        if self.failure:
            return
        self.ended = now
        try:
            if isinstance(result, Answer) and result.status == 200:
                self._check_answer(self._body[connection], result)
                self.seconds.append(now - self._due[connection])
            else:
                self._count(result)
        except KServeError as error:
            self.failure = error
            self._finished()
            return
        if self._waiting:
            self.last_sent = now
            self._send(connection, self._waiting.popleft())
        elif self._plan.rate is None and self._continues(now):
            self._send(connection, self._clock.time())
        else:
            self._idle.append(connection)
            self._end_if_finished()

    def _count(self, result: Answer | Unanswered) -> None:
        error = result if isinstance(result, Unanswered) else error_for(result)
        if self._stop_at_error or (isinstance(result, Unanswered) and not result.retry):
            raise error
        message = str(error)
        # A server may put a new number into each of its errors.
        self.errors[message if message in self.errors or len(self.errors) < 10 else "Others."] += 1

    def _continues(self, now: float) -> bool:
        if self._plan.seconds is not None:
            return now - self.began < self._plan.seconds
        return self.sent < self._plan.requests

    def _end_if_finished(self) -> None:
        if (
            not self._in_flight
            and not self._waiting
            and self._scheduled == (self._plan.count if self._plan.rate else 0)
        ):
            self._finished()


_TODO = {
    401: "set token",
    403: "set a token with the permission to predict",
    404: "check model_name, and that a route leads from this host to the model",
    503: "check that the model is ready and that its route has a backend",
}


def error_for(answer: Answer) -> KServeError:
    """Return the error for an answer that is not 200."""
    text = short(answer.body.decode("utf-8", errors="replace"))
    if 300 <= answer.status < 400:
        todo = "give the URL that it redirects to"
    else:
        todo = _TODO.get(answer.status, "see the logs of the model server")
    return KServeError(
        f"The server answered {answer.status}{f' ({text})' if text else ''}; {todo}.", reason="RequestRejected"
    )
