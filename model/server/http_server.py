# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The HTTP server around the application, which ends without losing a request."""

from __future__ import annotations

import signal
import time
from types import FrameType

import uvicorn

from .app import App

# Longer than the hour for which Envoy keeps an idle connection: where the server closes first, a request may be on its
# way already.
KEEP_ALIVE_S = 3700
# What is under way when the waiting is over has as long again to be answered; with both, a pod ends within the 30 s
# that Kubernetes gives it.
GRACE_S = 15


class HttpServer(uvicorn.Server):
    """uvicorn's, with another meaning of SIGTERM.

    Kubernetes tells a pod to end and the gateway to leave it out at the same time, so requests go on to come for as
    long as that word takes to spread. For so many seconds the server answers as before, closing each connection after
    its answer; only then it stops to listen. A second signal, or Ctrl-C, ends it at once.
    """

    def __init__(self, app: App, port: int, drain_seconds: float) -> None:
        config = uvicorn.Config(
            app,
            host="0.0.0.0",
            port=port,
            http="httptools",
            loop="uvloop",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,  # the gateway has one, and a line takes as long as a prediction
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
        )
        super().__init__(config)
        self._app = app
        self._drain_seconds = drain_seconds
        self._end = float("inf")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Answer a signal."""
        if sig == signal.SIGTERM and not self._app.draining:
            self._app.draining = True
            self._end = time.monotonic() + self._drain_seconds
        else:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether it is time to end."""
        self.should_exit |= time.monotonic() >= self._end
        ended: bool = await super().on_tick(counter)
        return ended
