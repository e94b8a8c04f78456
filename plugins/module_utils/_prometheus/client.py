# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Instant queries to Prometheus: all side by side, each bounded in time, and what is missing of their answers.

https://prometheus.io/docs/prometheus/latest/querying/api/. What others offer under the same API, such as Thanos, adds
warnings where an answer is only a part of the truth. This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.parallel import concurrently
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.redact import short

from .sources import PrometheusError, Reply, Source

QUERY = "/api/v1/query"
# By so many seconds two clocks may differ before it is worth a word: an alert that Prometheus sends ends by itself
# after four minutes, and what is within one scrape interval shows in no rate.
CLOCK_TOLERANCE = 10.0
_CLOCK = "time()"
# errorType of the API's errors that only time or less load can cure.
_LATE = ("timeout", "canceled")
_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True)
class Sample:
    """A series of an answer; value: None for NaN and for an infinity, which say that there is no number."""

    labels: Mapping[str, str]
    value: float | None


@dataclass(frozen=True)
class Answer:
    """The answer to one query; time: the clock of Prometheus at the evaluation, where it says so."""

    samples: Sequence[Sample]
    warnings: Sequence[str] = ()
    time: float | None = None


@dataclass(frozen=True)
class Answers:
    """The answers to several queries.

    samples: by the query's name, None where it has no answer; error: the first reason for that; warnings: what
    Prometheus itself says is missing; clock_difference: by how many seconds its clock is ahead, None if that is not
    known or less than the tolerance.
    """

    samples: Mapping[str, Sequence[Sample] | None]
    error: KServeError | None = None
    warnings: Sequence[str] = field(default_factory=list)
    clock_difference: float | None = None

    @property
    def missing(self) -> list[str]:
        """The names of the queries without an answer."""
        return [name for name, samples in self.samples.items() if samples is None]


def ask(source: Source, queries: Mapping[str, str], now: Callable[[], float] = time.time) -> Answers:
    """Return the answers to queries by name, which are sent at the same time. What cannot be answered is no error.

    :param now: the clock of this machine.
    """

    def one(text: str) -> tuple[Answer | KServeError, float, float]:
        before = now()
        try:
            found: Answer | KServeError = query(source, text)
        except KServeError as error:
            found = error
        return found, before, now()

    *found, clock = concurrently(one, [*queries.values(), _CLOCK])
    answers = {name: answer for name, (answer, _before, _after) in zip(queries, found, strict=True)}
    errors = [answer for answer in answers.values() if isinstance(answer, KServeError)]
    heard = [answer for answer in answers.values() if isinstance(answer, Answer)]
    return Answers(
        {name: answer.samples if isinstance(answer, Answer) else None for name, answer in answers.items()},
        errors[0] if errors else None,
        list(dict.fromkeys(warning for answer in heard for warning in answer.warnings)),
        _difference(*clock),
    )


def query(source: Source, text: str) -> Answer:
    """Return the answer to one query.

    :raises KServeError: there is none.
    """
    reply = source.get(QUERY, {"query": text, "timeout": f"{max(1, math.floor(source.timeout))}s"})
    return parse(reply, source.place)


def parse(reply: Reply, place: str) -> Answer:
    """Return the answer that a response contains.

    :param place: where it comes from.
    :raises PrometheusError: it is none.
    """
    try:
        document = json.loads(reply.body)
    except (ValueError, RecursionError):  # also bytes that are not UTF-8
        document = None
    if not isinstance(document, dict) or document.get("status") not in ("success", "error"):
        raise _foreign(reply, place)
    if document["status"] == "error":
        raise _failed(document, place)
    try:
        return _answer(document)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError):
        raise PrometheusError(
            f"{place} answered a query with data of another form; check that it is Prometheus.",
            reason="PrometheusAnswerInvalid",
        ) from None


def _answer(document: Mapping[str, Any]) -> Answer:
    warnings = [short(str(text)) for text in document.get("warnings") or ()]
    data = document["data"]
    if data["resultType"] == "scalar":
        at, value = data["result"]
        return Answer([Sample({}, _number(value))], warnings, _number(at))
    if data["resultType"] != "vector":
        raise ValueError(data["resultType"])
    # A native histogram has no value.
    entries = [entry for entry in data["result"] if "value" in entry]
    samples = [Sample(_labels(entry["metric"]), _number(entry["value"][1])) for entry in entries]
    return Answer(samples, warnings, _number(entries[0]["value"][0]) if entries else None)


def _labels(metric: Mapping[str, Any]) -> dict[str, str]:
    if not all(isinstance(value, str) for value in metric.values()):
        raise TypeError(metric)
    return dict(metric)


def _number(value: str | float) -> float | None:
    value = float(value)
    return value if math.isfinite(value) else None


def _failed(document: Mapping[str, Any], place: str) -> PrometheusError:
    kind, why = str(document.get("errorType")), short(str(document.get("error"))).rstrip(". ")
    if kind in _LATE:
        return PrometheusError(
            f"{place} did not evaluate a query in time ({why}); see whether it is overloaded, or raise the timeout.",
            reason="PrometheusTimeout",
        )
    return PrometheusError(
        f"{place} did not evaluate a query ({kind}: {why}); see its log.", reason="PrometheusQueryFailed"
    )


def _foreign(reply: Reply, place: str) -> PrometheusError:
    """Return the error for what is no answer of the API: a login page, a proxy's error, a Prometheus that starts."""
    text = reply.body.decode("utf-8", errors="replace").strip()
    what = "HTML" if text.startswith("<") else short(text, 100).rstrip(". ") or "nothing"
    if reply.status in (401, 403):
        return PrometheusError(
            f"{place} does not accept the credentials ({reply.status}); set token, or username and password.",
            reason="PrometheusForbidden",
        )
    if reply.status >= 500:
        return PrometheusError(f"{place} answered {reply.status} ({what}); see whether it is starting or overloaded.")
    what = "a redirect" if reply.status in _REDIRECTS else what
    return PrometheusError(
        f"{place} answered {reply.status} with {what} instead of the result of a query; check that it is Prometheus, "
        "with the path of its URL, and that no login is in front of it.",
        reason="PrometheusAnswerInvalid",
    )


def _difference(answer: Answer | KServeError, before: float, after: float) -> float | None:
    """Return by how many seconds the clock of Prometheus is ahead for certain, or None.

    It was read at some time between the request and the response.
    """
    if isinstance(answer, KServeError) or answer.time is None:
        return None
    ahead = answer.time - after if answer.time > after else min(answer.time - before, 0.0)
    return ahead if abs(ahead) > CLOCK_TOLERANCE else None
