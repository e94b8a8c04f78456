# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Serve one scikit-learn model: ``python -m server --model_name NAME --model_dir DIR --http_port PORT``."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from fastapi.exceptions import RequestValidationError  # type: ignore[import-not-found]
from fastapi.responses import JSONResponse  # type: ignore[import-not-found]
from kserve import ModelServer
from kserve.logging import configure_logging
from kserve.model_server import app

from .errors import BadRequest, StartError
from .guard import GuardedDataPlane, RequestGuard, answer_bad_request, answer_validation_error
from .sklearn_model import SklearnModel


def main(arguments: Sequence[str] | None = None) -> int:
    """Load the model, then serve until SIGTERM; 1, with one sentence on stderr, where it cannot start."""
    options = _parser().parse_args(arguments)
    # kserve answers through a class that FastAPI would rather see replaced, and says so at every request.
    warnings.filterwarnings("ignore", message="ORJSONResponse is deprecated")
    configure_logging()
    model = SklearnModel(options.model_name, options.model_dir)
    try:
        model.load()
    except StartError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    _server(options.http_port, model).start([model])
    return 0


def _server(http_port: int, model: SklearnModel) -> ModelServer:
    app.add_middleware(RequestGuard)
    app.add_exception_handler(RequestValidationError, answer_validation_error)
    app.add_exception_handler(BadRequest, answer_bad_request)
    # One worker: others would be new processes that import kserve's app without the guard, and a
    # scrape of /metrics would reach one of them by chance. Replicas are pods. No gRPC: it passes the
    # guard by, and the runtime exposes HTTP only.
    server = ModelServer(http_port=http_port, workers=1, enable_grpc=False)
    server.dataplane = GuardedDataPlane(model_registry=server.registered_models)

    async def describe(model_name: str) -> JSONResponse:
        return JSONResponse({**await server.dataplane.model_metadata(model_name), **model.identity()})

    # Before kserve's own route of this path, which passes on neither versions nor properties.
    app.add_api_route("/v2/models/{model_name}", describe, methods=["GET"])
    return server


def _parser() -> argparse.ArgumentParser:
    # The names are those KServe's runtimes pass, underscores and all.
    parser = argparse.ArgumentParser(prog="python -m server", description="Serve one scikit-learn model.")
    parser.add_argument("--model_name", default="model", help="the name in the endpoints' paths (default: %(default)s)")
    parser.add_argument("--model_dir", type=Path, required=True, help="the local folder that holds the model file")
    parser.add_argument("--http_port", type=int, default=8080, help="the port to listen on (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
