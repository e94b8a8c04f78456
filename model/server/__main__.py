# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Serve one scikit-learn model: ``python -m server --model_name NAME --model_dir DIR --http_port PORT``."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

logger = logging.getLogger("server")


def main(arguments: Sequence[str] | None = None) -> int:
    """Load the model, then serve until SIGTERM. If it cannot start, return 1 after printing one sentence to stderr."""
    began = time.perf_counter()
    # What is imported and loaded remains, so that looking for garbage meanwhile would find nothing.
    gc.disable()
    # PID 1 of a container ignores SIGTERM without a handler. Before it serves, no request can be lost.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # The slow imports are here, so that their duration is logged.
    from .app import App
    from .errors import StartError
    from .http_server import HttpServer
    from .imports import import_scikit_learn
    from .metrics import ModelMetrics
    from .sklearn_model import SklearnModel

    import_scikit_learn()
    imported = time.perf_counter()
    model = SklearnModel(options.model_name, options.model_dir)
    try:
        drain_seconds = _number("DRAIN_SECONDS", "10", "the number of seconds to serve requests after SIGTERM")
        metrics_port = _metrics_port(options.http_port)
        together = _is_true("PREDICT_TOGETHER", "true")
        model.load()
        if together:
            model.try_together()
    except StartError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    loaded = time.perf_counter()
    metrics = ModelMetrics(model.name)
    metrics.loaded(os.environ.get("MODEL_VERSION") or model.version or "", model.digest or "", loaded - imported)
    logger.info(
        "Serving %s: %.3f s importing, %.3f s loading the model, %.3f s of CPU time since the process started",
        model.name, imported - began, loaded - imported, time.process_time(),
    )  # fmt: skip
    # Nor is it looked at while requests are served.
    gc.freeze()
    gc.enable()
    try:
        app = App(model, metrics, metrics_port, together)
        HttpServer(app, options.http_port, metrics_port, drain_seconds).run()
    except StartError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


def _number(name: str, default: str, meaning: str) -> int:
    """The value of an environment variable."""
    from .errors import StartError

    text = os.environ.get(name, default)
    if not text.isdecimal():
        raise StartError(f"{name} is {text!r:.40}: set it to {meaning}.")
    return int(text)


def _is_true(name: str, default: str) -> bool:
    """The value of an environment variable."""
    from .errors import StartError

    text = os.environ.get(name, default)
    if text.lower() not in ("true", "false"):
        raise StartError(f"{name} is {text!r:.40}: set it to true or false.")
    return text.lower() == "true"


def _metrics_port(http_port: int) -> int | None:
    """The port of the metrics, or None if it is that of the API, which is the default."""
    from .errors import StartError

    meaning = "a port from 1 to 65535, or unset it to serve the metrics at --http_port"
    port = _number("METRICS_PORT", str(http_port), meaning)
    if not 0 < port < 65536:
        raise StartError(f"METRICS_PORT is '{port}': set it to {meaning}.")
    return None if port == http_port else port


def _parser() -> argparse.ArgumentParser:
    # KServe's runtimes pass these names, with underscores.
    parser = argparse.ArgumentParser(prog="python -m server", description="Serve one scikit-learn model.")
    parser.add_argument("--model_name", default="model", help="the name in the endpoints' paths (default: %(default)s)")
    parser.add_argument("--model_dir", type=Path, required=True, help="the local folder that contains the model file")
    parser.add_argument("--http_port", type=int, default=8080, help="the port to listen on (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
