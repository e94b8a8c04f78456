# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Comparing a served model's predictions with known ones, and measuring how long they take.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.backoff import Backoff, Retry
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.libraries import require
from ansible_collections.hashfoundry.kserve.plugins.module_utils._http.message import Answer
from ansible_collections.hashfoundry.kserve.plugins.module_utils._http.server import Effort, Transport, Unanswered
from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_protocol import codec
from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_protocol import schema as model_schema
from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_protocol.codec import EXACT, Tolerance
from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_protocol.schema import Schema

from . import chart
from . import junit as junit_report
from . import result as load_result
from .plan import Plan, PlannedLoad, error_for

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0  # seconds
# A gateway returns these while a route or a backend does not exist yet.
RETRIED_STATUSES = (404, 502, 503, 504)


@dataclass(frozen=True)
class Check:
    """The requests to send and the expected answers.

    health: kinds of servers whose health endpoints must answer; retry_for: for how many seconds a request without
    an answer is retried; thresholds: limits of the load's figures; load: whether there is one.
    """

    model_name: str
    protocol: str
    instances: Sequence[Any]
    expected: Sequence[Any]
    plan: Plan
    retry_for: float
    batch_size: int | None = None
    tolerance: Tolerance = EXACT
    schema: Schema | None = None
    health: Sequence[str] = ()
    thresholds: Mapping[str, float | None] = field(default_factory=dict)
    load: bool = True

    @classmethod
    def of(
        cls,
        instances: Sequence[Any] | None,
        expected: Sequence[Any] | None,
        tolerance: Mapping[str, float] | None,
        metadata_path: str | None,
        requests: int,
        seconds: float | None,
        concurrency: int | None,
        rate: float | None,
        warmup: int,
        thresholds: Mapping[str, float | None] | None,
        **same: Any,
    ) -> Check:
        """Return the check that the module's options ask for.

        :raises KServeError: an option is out of range, or metadata_path holds no schema.
        """
        return cls(
            instances=instances or [],
            expected=expected or [],
            tolerance=Tolerance(**tolerance) if tolerance else EXACT,
            schema=model_schema.read(metadata_path) if metadata_path else None,
            plan=Plan(requests, seconds, concurrency, rate, warmup),
            thresholds=thresholds or {},
            **same,
        )


@dataclass(frozen=True)
class Reports:
    """Files to write, or None."""

    junit: str | None = None
    svg: str | None = None

    def check(self) -> None:
        """Reject paths that cannot be written, before anything is sent.

        :raises KServeError: there is no such folder, or the library is missing.
        """
        if self.junit:
            require("junitparser", junit_report.JUNITPARSER_IMPORT_ERROR)
        for option, path in (("junit_path", self.junit), ("svg_path", self.svg)):
            if path and not Path(path).parent.is_dir():
                raise KServeError(
                    f"There is no folder {Path(path).parent} for {option}; make it, or change {option}.",
                    reason="FileNotWritable",
                )

    def write(self, test: SmokeTest) -> None:
        """Write the results so far."""
        check = test.check
        if self.junit:
            suite = f"inference_smoke_test.{check.model_name}.{check.protocol}"
            _write("junit_path", self.junit, junit_report.document(suite, test.checks, datetime.now(UTC)))
        if self.svg and "load" in test.result:
            title = f"Latency of {check.model_name}, protocol {check.protocol}"
            load = test.result["load"]
            offered = f"{load['rate']:g} due a second" if load["rate"] else f"{load['concurrency']} at a time"
            subtitle = (
                f"{load['model']} load, {offered}: {load['requests']} requests in {load['seconds']:g} s, "
                f"{load['throughput']:.4g} answered a second, error rate {load['error_rate']:.3g}"
            )
            svg = chart.latency_chart(title, subtitle, test.seconds, test.result["latency_ms"])
            _write("svg_path", self.svg, svg.encode())


def _write(option: str, path: str, content: bytes) -> None:
    try:
        Path(path).write_bytes(content)
    except OSError as error:
        raise KServeError(
            f"{path} cannot be written ({error.strerror}); change {option}.", reason="FileNotWritable"
        ) from None


class NotServed(KServeError):
    """The model returned no prediction, which check mode expects before the first run."""

    REASON = "NoAnswer"


def run(
    transport: Transport, check: Check, reports: Reports, check_mode: bool, warn: Callable[[str], None]
) -> dict[str, Any]:
    """Run the smoke test and return the module's result; check mode neither waits nor writes reports.

    :raises KServeError: see SmokeTest.run.
    """
    if not check_mode:
        reports.check()
    test = SmokeTest(transport, replace(check, retry_for=0) if check_mode else check)
    try:
        result = test.run()
    except (NotServed, Unanswered) as error:
        if not check_mode:
            raise
        result = {"skipped": True, "msg": f"{error} In check mode this is no failure.", **error.result}
    finally:
        for warning in test.warnings:
            warn(warning)
        if not check_mode:
            reports.write(test)
    return {"changed": False, "protocol": check.protocol, **result}


class SmokeTest:
    """One run; result and checks are filled as it proceeds, and are available after a failure, too.

    checks: name, passed, seconds and message of each; seconds: the latencies of the load.
    """

    def __init__(
        self,
        transport: Transport,
        check: Check,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Prepare; clock: seconds of a monotonic clock.

        :raises KServeError: the instances cannot be sent.
        """
        self.check = check
        self._transport = transport
        self._clock = clock
        self._sleep = sleep
        self.result: dict[str, Any] = {}
        self.checks: list[dict[str, Any]] = []
        self.warnings: list[str] = []
        self.seconds: Sequence[float] = ()
        self._path = codec.path(check.protocol, check.model_name)
        self._expected = codec.batches(check.expected, check.batch_size)
        self._first_rows = [1 + number * (check.batch_size or 0) for number in range(len(self._expected))]
        self._bodies = self._encode_batches()
        self._correct_bodies: dict[int, bytes] = {}
        self._deadline = 0.0

    def _encode_batches(self) -> list[bytes]:
        check = self.check
        if len(check.expected) != len(check.instances):
            raise KServeError(
                f"There are {len(check.instances)} instances and {len(check.expected)} expected values; give one for "
                "each.",
                reason="InvalidOption",
            )
        if not check.instances and check.health:
            return []
        inputs = check.schema.inputs if check.schema else (codec.DEFAULT_INPUT,)
        parts = zip(codec.batches(check.instances, check.batch_size) or [[]], self._first_rows or [1], strict=True)
        return [codec.encode(check.protocol, part, inputs, first) for part, first in parts]

    def run(self) -> dict[str, Any]:
        """Return the result once everything is as expected.

        Only the absence of an answer is retried: a wrong one is a failure at once.

        :raises NotServed: there is no answer from the model.
        :raises KServeError: a prediction or the schema differs, the answer is an error, or a threshold is missed.
        """
        self._deadline = self._clock() + self.check.retry_for
        try:
            for path in codec.health_paths(self.check.health, self.check.model_name):
                with self._checked(f"health {path}"):
                    self._check_health(path)
            if self._bodies:
                answers = self._predict()
                if self.check.schema:
                    with self._checked("schema"):
                        self._compare_schema(self.check.schema, answers)
                if self.check.load:
                    self._measure()
        except KServeError as error:
            error.result = {**self.result, **error.result, "checks": self.checks}
            raise
        return {**self.result, "checks": self.checks}

    @contextmanager
    def _checked(self, name: str) -> Iterator[None]:
        began = self._clock()
        message = ""
        try:
            yield
        except KServeError as error:
            message = str(error)
            raise
        finally:
            self._record_check(name, self._clock() - began, message)

    def _record_check(self, name: str, seconds: float, message: str) -> None:
        check = {"name": name, "passed": not message, "seconds": round(seconds, 6)}
        self.checks.append({**check, "message": message} if message else check)

    def _request_until_answered(self, method: str, path: str, body: bytes = b"") -> tuple[Answer, int]:
        """Return the answer 200 to a request, and how many times it was sent."""
        retry = Retry(self._deadline, Backoff(FIRST_PAUSE, LONGEST_PAUSE), self._clock, self._sleep)
        attempts = 0
        while True:
            attempts += 1
            try:
                answer = self._transport.ask(method, path, body)
                if answer.status == 200:
                    return answer, attempts
                failure = error_for(answer)
                if answer.status not in RETRIED_STATUSES:
                    raise failure
            except Unanswered as error:
                if not error.retry:
                    raise
                failure = error
            if not retry.pause():
                raise NotServed(str(failure), reason=failure.reason, attempts=attempts)

    def _check_health(self, path: str) -> None:
        answer, _attempts = self._request_until_answered("GET", path)
        if codec.says_not_ready(answer.body):
            raise KServeError(
                f"{path} says that it is not ready; see the logs of the model server.", reason="ModelNotReady"
            )

    def _predict(self) -> list[Answer]:
        predictions: list[Any] = []
        answers = []
        with self._checked("predictions"):
            for number, body in enumerate(self._bodies):
                answer, attempts = self._request_until_answered("POST", self._path, body)
                if not number:
                    self.result["attempts"] = attempts
                predictions += self._decode(number, answer)
                self.result["predictions"] = predictions
                self._check_answer(number, answer)
                answers.append(answer)
        return answers

    def _decode(self, number: int, answer: Answer) -> list[Any]:
        return codec.decode(self.check.protocol, answer.body, len(self._expected[number]))

    def _check_answer(self, number: int, answer: Answer) -> None:
        """Compare the answer to a batch; one that is identical to a correct one is correct."""
        if self._correct_bodies.get(number) == answer.body:
            return
        predictions = self._decode(number, answer)
        rows = len(self.check.expected)
        difference = codec.first_difference(
            self._expected[number], predictions, self.check.tolerance, self._first_rows[number], rows
        )
        if difference:
            raise KServeError(
                f"Model {self.check.model_name} predicts other values than expected. {difference}",
                reason="PredictionWrong",
                predictions=predictions,
            )
        self._correct_bodies[number] = answer.body

    def _compare_schema(self, schema: Schema, answers: Sequence[Answer]) -> None:
        check = self.check
        difference = model_schema.instances_difference(schema, check.instances)
        for number, answer in enumerate(answers):
            difference = difference or model_schema.answer_difference(
                schema, check.protocol, answer.body, len(self._expected[number])
            )
        # A server of only v1 has no such path, and returns an error of its own kind.
        described = self._transport.ask("GET", codec.path("v2", check.model_name).removesuffix("/infer"))
        if described.status == 200:
            difference = difference or model_schema.server_difference(schema, described.body)
        if difference:
            raise KServeError(
                f"{difference}; serve the version that metadata_path belongs to, or correct the file.",
                reason="SchemaMismatch",
            )

    def _measure(self) -> None:
        check = self.check
        warmup = replace(check.plan, requests=check.plan.warmup, seconds=None)
        if warmup.requests:
            self._load(warmup, "Warm-up")
        with self._checked("load"):
            load, effort = self._load(check.plan, "Timed")
        self.seconds = load.seconds
        self.result |= load_result.figures(check.plan, load, effort)
        if difference := load_result.rate_not_reached(check.plan, load, self.result):
            self._record_check("rate", 0.0, difference)
            raise KServeError(difference, reason="RateNotReached")
        slow = load_result.client_bottleneck(check.plan, self.result)
        if slow:
            self.warnings.append(slow)
        missed = load_result.missed_thresholds(check.thresholds, self.result)
        for name, limit in check.thresholds.items():
            if limit is not None:
                self._record_check(f"threshold {name}", 0.0, missed.get(name, ""))
        if missed:
            raise KServeError(
                f"Model {check.model_name} misses its thresholds: {'; '.join(missed.values())}. "
                + (slow or "Give the model more resources or replicas, or change thresholds."),
                reason="ThresholdMissed",
            )

    def _load(self, plan: Plan, kind: str) -> tuple[PlannedLoad, Effort]:
        stop = self.check.thresholds.get("error_rate") is None
        load = PlannedLoad(plan, len(self._bodies), self._check_answer, stop)
        effort = self._transport.measure(load, self._path, self._bodies)
        if load.failure:
            number = len(load.seconds) + sum(load.errors.values()) + 1
            of = f" of {plan.count}" if plan.count else ""
            raise KServeError(f"{kind} request {number}{of} failed: {load.failure}", **load.failure.result) from None
        return load, effort
