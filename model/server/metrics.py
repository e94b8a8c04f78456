# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The metrics of the served model, in the registry that also has those of the process.

Each label has a closed set of values, so that no client can add series. What a prediction needs is bound to its labels
at the start, because finding a series by its labels takes longer than counting.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import Counter, Gauge, Histogram, Info, disable_created_metrics

from .errors import REASONS, Reason

# The protocol of a prediction request, and of every other request: probes, metadata, paths that do not exist.
V1, V2, OTHER = "v1", "v2", "other"
# The client has closed the connection before its request was predicted. HTTP has no such status; nginx logs this one.
CLIENT_CLOSED = 499
_PREDICTION_CODES = (200, 400, 413, 415, CLIENT_CLOSED, 500)
# For models that answer within a millisecond, and for thresholds of half a second and a second.
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

CALL_BUCKETS = (1, 2, 4, 8, 16, 32, 64)

# One more series for each counter and histogram, which only OpenMetrics defines.
disable_created_metrics()

_REQUESTS = Counter(
    "model_server_requests_total",
    "Requests by protocol (v1 and v2: predictions, other: everything else) and HTTP status; "
    "499: the client closed the connection before its request was predicted",
    ["model_name", "protocol", "code"],
)
_DURATION = Histogram(
    "model_server_request_duration_seconds",
    "Time from the last byte of a prediction request to the response",
    ["model_name", "protocol"],
    buckets=BUCKETS,
)
_ROWS = Counter("model_server_rows_total", "Rows that were predicted", ["model_name"])
_REJECTED = Counter("model_server_rejected_total", "Prediction requests with invalid input", ["model_name", "reason"])
_IN_FLIGHT = Gauge(
    "model_server_requests_in_flight", "Prediction requests that have begun and are not answered", ["model_name"]
)
_INFO = Info("model_server_model", "The version of the served model, and its digest", ["model_name"])
_LOAD = Gauge("model_server_model_load_seconds", "Time that loading the model took at the start", ["model_name"])
_CALLS = Histogram(
    "model_server_requests_per_call",
    "Requests that were predicted together in one call of the model",
    ["model_name"],
    buckets=CALL_BUCKETS,
)
# KServe's model servers have metrics of the same names.
_STEPS = [
    Histogram(f"request_{verb}_seconds", f"{verb} request latency", ["model_name"], buckets=BUCKETS)
    for verb in ("preprocess", "predict", "postprocess")
]


class ModelMetrics:
    """The metrics of one model; in_flight: the number of prediction requests in progress."""

    def __init__(self, model_name: str) -> None:
        self.in_flight = 0
        self._name = model_name
        self._requests: dict[tuple[str, int], Callable[[], None]] = {
            (protocol, code): _REQUESTS.labels(model_name, protocol, code).inc
            for protocol in (V1, V2)
            for code in _PREDICTION_CODES
        }
        self._durations = {protocol: _DURATION.labels(model_name, protocol).observe for protocol in (V1, V2)}
        self._rejected = {reason: _REJECTED.labels(model_name, reason).inc for reason in REASONS}
        self._rows = _ROWS.labels(model_name).inc
        self._steps = [step.labels(model_name).observe for step in _STEPS]
        self.call = _CALLS.labels(model_name).observe  # with the number of requests of a call of the model
        _IN_FLIGHT.labels(model_name).set_function(lambda: self.in_flight)

    def loaded(self, version: str, digest: str, seconds: float) -> None:
        """Set what is known about the model once it is loaded."""
        _INFO.labels(self._name).info({"version": version, "digest": digest})
        _LOAD.labels(self._name).set(seconds)

    def prediction(self, protocol: str, code: int, seconds: float | None, rows: int, reason: Reason | None) -> None:
        """Count a prediction request.

        seconds: from the last byte of the request to the response, or None if the request was not complete; rows: that
        were predicted; reason: why the input was rejected, or None if it was not.
        """
        self._requests[protocol, code]()
        if seconds is not None:
            self._durations[protocol](seconds)
        if rows:
            self._rows(rows)
        if reason is not None:
            self._rejected[reason]()

    def other(self, code: int) -> None:
        """Count a request that is not for a prediction; code: one of those that the server itself chooses."""
        _REQUESTS.labels(self._name, OTHER, code).inc()

    def steps(self, started: float, read: float, predicted: float, written: float) -> None:
        """Observe how long the steps of a prediction took, from the times at their ends."""
        reading, predicting, writing = self._steps
        reading(read - started)
        predicting(predicted - read)
        writing(written - predicted)
