# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The HTTP server of the application, which shuts down without losing a request."""

from __future__ import annotations

import signal
import time
from types import FrameType

import uvicorn

from .app import App

# Longer than Envoy's idle timeout of one hour. If the server closed an idle connection first, a request that was just
# sent on it would fail.
KEEP_ALIVE_S = 3700
# The time for requests in progress after the drain. Both together are below the 30 s of
# terminationGracePeriodSeconds.
GRACE_S = 15


class HttpServer(uvicorn.Server):
    """The server of uvicorn, which drains after SIGTERM.

    Kubernetes terminates a pod and removes it from the gateway at the same time, so requests continue to arrive until
    the gateway is updated. For drain_seconds the server continues to respond, and closes each connection after its
    response. Then it stops listening. A second signal, or Ctrl-C, stops it immediately.
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
            access_log=False,  # the gateway has one, and writing a line takes as long as a prediction
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
        )
        super().__init__(config)
        self._app = app
        self._drain_seconds = drain_seconds
        self._end = float("inf")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        if sig == signal.SIGTERM and not self._app.draining:
            self._app.draining = True
            self._end = time.monotonic() + self._drain_seconds
        else:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Return whether to stop; uvicorn calls it ten times a second."""
        self.should_exit |= time.monotonic() >= self._end
        stop: bool = await super().on_tick(counter)
        return stop
