# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A simulated clock that jumps to the next event, and a server with the latency of each test."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._http.message import Answer
from ansible_collections.hashfoundry.kserve.plugins.module_utils._http.server import Done, Effort, Load, Unanswered

IDLE = Effort(0.0)


class World:
    """The Clock port and the Transport port.

    answers: the responses of the server in order, the last one repeated; takes: the seconds of a request, by its number
    and time; late: the delay of the client at each scheduled time; sent: method, path and body of all requests.
    """

    def __init__(
        self,
        *answers: Answer | Unanswered,
        takes: Callable[[int, float], float] = lambda _number, _now: 0.01,
        late: float = 0.0,
        effort: Effort = IDLE,
    ) -> None:
        self.answers: Sequence[Answer | Unanswered] = answers
        self.takes = takes
        self.late = late
        self.effort = effort
        self.sent: list[tuple[str, str, bytes]] = []
        self.pauses: list[float] = []
        self.most = 0
        self.now = 50.0
        self._under_way: set[int] = set()
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def call_at(self, when: float, callback: Callable[..., None], *arguments: Any) -> None:
        self._at(when + self.late, callback, *arguments)

    def ask(self, method: str, path: str, body: bytes = b"") -> Answer:
        answer, seconds = self._answer(method, path, body)
        self.now += seconds
        if isinstance(answer, Unanswered):
            raise answer
        return answer

    def measure(self, load: Load, path: str, bodies: Sequence[bytes]) -> Effort:
        ended: list[bool] = []

        def send(connection: int, body: int, on_end: Done) -> None:
            assert connection not in self._under_way, "one request at a time on a connection"
            self._under_way.add(connection)
            self.most = max(self.most, len(self._under_way))
            answer, seconds = self._answer("POST", path, bodies[body])
            self._at(self.now + seconds, self._arrive, connection, on_end, answer)

        load.start(self, send, lambda: ended.append(True))
        while self._events and not ended:
            when, _number, callback, arguments = heapq.heappop(self._events)
            self.now = max(self.now, when)
            callback(*arguments)
        assert ended == [True]
        self._events.clear()
        self._under_way.clear()
        return self.effort

    def _arrive(self, connection: int, on_end: Done, answer: Answer | Unanswered) -> None:
        self._under_way.remove(connection)
        on_end(answer)

    def _answer(self, method: str, path: str, body: bytes) -> tuple[Answer | Unanswered, float]:
        number = len(self.sent)
        self.sent.append((method, path, body))
        return self.answers[min(number, len(self.answers) - 1)], self.takes(number, self.now)

    def _at(self, when: float, callback: Callable[..., None], *arguments: Any) -> None:
        self._count += 1
        heapq.heappush(self._events, (when, self._count, callback, arguments))
