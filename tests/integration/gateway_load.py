# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Constant load on models through the gateway. Each request is sent once: the client repeats none."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from local import demo
from local.settings import Settings

ROWS = {"instances": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.1, 5.6, 2.4]]}
EXPECTED = {"predictions": [0, 2]}
CUT = "cut"  # the kind of an answer that ended after its headers had arrived: no gateway can repeat its request


class Client(http.client.HTTPSConnection):
    """A connection to the gateway for a host name that is not in DNS."""

    def __init__(self, settings: Settings, host: str, timeout: float = 20) -> None:
        context = ssl.create_default_context(cafile=str(settings.state / "ca.crt"))
        super().__init__(host, settings.https_port, timeout=timeout, context=context)
        self._tls = context

    def connect(self) -> None:
        """See HTTPConnection."""
        plain = socket.create_connection(("127.0.0.1", self.port), self.timeout)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        """Send a request, and return status and body of the answer."""
        headers = {} if body is None else {"Content-Type": "application/json"}
        self.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self.getresponse()
        return answer.status, answer.read()


@contextmanager
def _running(works: Sequence[Callable[[], None]], over: Sequence[threading.Event]) -> Iterator[None]:
    """Have each work run in a thread until the events are set."""
    threads = [threading.Thread(target=work, daemon=True) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for event in over:
            event.set()
        for thread in threads:
            thread.join(30)


@contextmanager
def load(settings: Settings, host: str, workers: int = 4, pause: float = 0.02) -> Iterator[Counter[str]]:
    """Send prediction requests at the same time, over one connection for each worker; yields answers by their kind."""
    name = host.partition(".")[0]
    answers: Counter[str] = Counter()
    over = threading.Event()

    def once(client: Client) -> str:
        try:
            status, body = client.ask("POST", f"/v1/models/{name}:predict", ROWS)
        except http.client.IncompleteRead:
            client.close()
            return CUT
        except (OSError, http.client.HTTPException) as error:
            client.close()
            return f"{type(error).__name__}: {error}"
        return "right" if status == 200 and json.loads(body) == EXPECTED else f"{status} {body.decode()[:200]}"

    def work() -> None:
        client = Client(settings, host)
        while not over.is_set():
            answers[once(client)] += 1
            time.sleep(pause)
        client.close()

    with _running([work] * workers, [over]):
        yield answers


@dataclass
class Load:
    """Requests to a model through the gateway until it is stopped, and how many were answered with each status."""

    settings: Settings
    model: str
    body: Callable[[], Any]
    pause: float
    timeout: float = 20
    statuses: Counter[int] = field(default_factory=Counter)
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Send requests, over a new connection after one that has failed."""
        while not self.stopped.is_set():
            with suppress(OSError, http.client.HTTPException):
                client = Client(self.settings, f"{self.model}.{demo.DOMAIN}", self.timeout)
                while not self.stopped.wait(self.pause):
                    self.statuses[client.ask("POST", f"/v1/models/{self.model}:predict", self.body())[0]] += 1


@contextmanager
def under_load(loads: Sequence[Load]) -> Iterator[None]:
    """Have the loads run, each in a thread."""
    with _running([load.run for load in loads], [load.stopped for load in loads]):
        yield


def wrong(answers: Counter[str]) -> dict[str, int]:
    """The answers that are not the right prediction, of a load that has sent requests."""
    assert answers["right"] > 50, answers
    return {kind: count for kind, count in answers.items() if kind != "right"}


def status(settings: Settings, host: str, method: str, path: str, body: object = None) -> int:
    """The status of the answer to one request; 0 if there is no answer."""
    client = Client(settings, host)
    with suppress(OSError, http.client.HTTPException):
        return client.ask(method, path, body)[0]
    return 0
