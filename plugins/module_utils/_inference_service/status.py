# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether InferenceServices serve: waited for or as of now, with what explains it.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.progress import Report
from ansible_collections.hashfoundry.kserve.plugins.module_utils._health.verdict import State, Verdict
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError, KubeApi
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.watch import Change, Followers

from . import runtimes
from .diagnosis import diagnose, last_words
from .ignored import ignored_fields
from .model_probe import Askers, Prediction, Question, ask, target
from .readiness import Objects, current_pods
from .routes import created_by_kserve
from .selection import SERVICES, Selection, sources
from .wait import NOT_FOUND, Limits, Outcome, Watched, wait

# Options of both modules, as AnsibleModule takes them.
SELECTION: dict[str, Any] = {
    "name": {"type": "str"},
    "names": {"type": "list", "elements": "str"},
    "label_selectors": {"type": "list", "elements": "str"},
    "namespace": {"type": "str", "required": True},
}
QUESTION: dict[str, Any] = {
    "model_ready_path": {"type": "str", "default": "/v2/models/{name}/ready"},
    "prediction": {
        "type": "dict",
        "options": {
            "protocol": {"type": "str", "choices": ["v1", "v2"], "default": "v1"},
            "path": {"type": "str"},
            "instances": {"type": "list", "elements": "raw"},
            "body": {"type": "dict"},
            "expected": {"type": "list", "elements": "raw"},
        },
        "mutually_exclusive": [["instances", "body"], ["expected", "body"]],
        "required_one_of": [["instances", "body"]],
    },
    "model_digests": {"type": "dict", "default": {}},
}
ONE_WAY = [["name", "names", "label_selectors"]]

_SEVERITY = (State.FAILED, State.DEGRADED, State.PROGRESSING, State.SERVING)
_REPORTED = 3  # so many services' causes make up the message; the others are in the result


class NotFound(KServeError):
    """The InferenceService or its CRD is absent, which in check mode is as expected."""

    REASON = "NotFound"


class _Feed(Followers):
    """What the followers and the models say; an absent CRD is an error of its own."""

    def next(self, timeout: float) -> list[Any]:
        """See Followers."""
        news = super().next(timeout)
        for entry in news:
            error = entry.error if isinstance(entry, Change) and entry.source == SERVICES else None
            if isinstance(error, ApiError) and error.status == 404:
                raise NotFound("KServe is not installed on this cluster; run the kserve role.")
        return news


class _Models:
    """The models of the services, which are asked in threads; see wait.Ask."""

    def __init__(self, api: KubeApi, namespace: str, question: Question, put: Callable[[Any], None]) -> None:
        self._question = question
        asks = partial(ask, api, namespace, question)
        self._askers = Askers(asks, put)
        self.ask, self.stop = self._askers.ask, self._askers.stop
        why = "it is scaled to zero" if question else "model_ready_path is empty"
        self.not_queried = f"The model was not queried, since {why}."

    def target(self, objects: Objects) -> str | Verdict | None:
        """See Ask."""
        return target(objects, self._question) if self._question else None


def question(options: Mapping[str, Any]) -> Question:
    """Return what the options of QUESTION ask of the models.

    :raises KServeError: the prediction cannot be sent.
    """
    prediction = Prediction.of(options["prediction"]) if options["prediction"] else None
    return Question(options["model_ready_path"], prediction, options["model_digests"])


def ready(
    api: KubeApi,
    selection: Selection,
    model_query: Question,
    limits: Limits,
    check_mode: bool = False,
    warn: Callable[[str], None] = lambda _sentence: None,
    report: Report | None = None,
) -> dict[str, Any]:
    """Wait, and return the result of inference_service_ready.

    :param warn: shows what KServe ignores of a service that serves.
    :raises KServeError: not all serve; the result has the verdicts and what explains them.
    """
    try:
        limits_now = replace(limits, absent_is_fine=check_mode)
        outcome = _wait(api, selection, model_query, limits_now, watch=limits.timeout > 0, report=report)
        absent = [entry.name for entry in outcome.services if entry.verdict.reason == NOT_FOUND]
        if not outcome.services and selection.names is None:
            raise NotFound(f"No {selection} have the labels {','.join(selection.label_selectors)}; check them.")
        if absent and len(outcome.services) == 1:
            raise NotFound(f"{selection} does not exist; create it, or check name and namespace.")
    except NotFound as error:
        if check_mode:
            return {"changed": False, "skipped": True, "msg": f"{error} In check mode this is no failure."}
        raise
    failed = _failed(outcome, check_mode)
    if failed:
        raise _failure(api, selection, limits, outcome, failed)
    facts = _facts(outcome)
    for service in facts["services"]:
        for sentence in service["ignored"]:
            warn(f"InferenceService {service['name']}: {sentence}")
    if selection.whole_pods:
        for service, entry in zip(facts["services"], outcome.services, strict=True):
            service["pods"] = current_pods(entry.objects)
    return {"changed": False, **facts}


def info(api: KubeApi, selection: Selection, model_query: Question) -> dict[str, Any]:
    """Return the result of inference_service_info.

    :raises KServeError: the cluster cannot be read.
    """
    try:
        services = current(api, selection, model_query)
    except NotFound as error:
        return {"changed": False, "services": [], "msg": str(error)}
    details = _diagnosed(api, selection, [entry for entry in services if not _serves(entry)])
    return {"changed": False, "services": [_state(entry, details) for entry in services]}


def _state(entry: Watched, details: Mapping[str, Any]) -> dict[str, Any]:
    state = {key: value for key, value in _entry(entry, details).items() if key != "waited_seconds"}
    return {**state, "http_routes": created_by_kserve(entry.objects.service, entry.objects.routes)}


def current(api: KubeApi, selection: Selection, model_query: Question) -> Sequence[Watched]:
    """Return the services with their objects and verdicts, without waiting.

    :raises NotFound: KServe is not installed.
    :raises KServeError: the cluster cannot be read.
    """
    return _wait(api, selection, model_query, Limits(), watch=False).services


def _wait(
    api: KubeApi, selection: Selection, model_query: Question, limits: Limits, watch: bool, report: Report | None = None
) -> Outcome:
    if selection.names == ():
        return Outcome([], 0.0, late=False)
    feed = _Feed(api, sources(selection), watch)
    models = _Models(api, selection.namespace, model_query, feed.put)
    try:
        return wait(feed, models, selection, limits, report=report)
    finally:
        models.stop()
        feed.stop()


def _serves(entry: Watched) -> bool:
    return entry.verdict.state is State.SERVING


def _failed(outcome: Outcome, absent_is_fine: bool) -> list[Watched]:
    """Return those that do not serve, the worst first; before the time was over, those that will not."""
    failed = [
        entry
        for entry in outcome.services
        if (entry.verdict.state is State.FAILED or (outcome.late and not _serves(entry)))
        and not (absent_is_fine and entry.verdict.reason == NOT_FOUND)
    ]
    return sorted(failed, key=lambda entry: _SEVERITY.index(entry.verdict.state))


def _facts(outcome: Outcome, details: Mapping[str, Any] | None = None) -> dict[str, Any]:
    entries = [_entry(entry, details or {}) for entry in outcome.services]
    facts: dict[str, Any] = {"waited_seconds": round(outcome.seconds, 1), "services": entries}
    if len(entries) > 1 or not entries:
        return facts
    # With one service all is at the top of the result, and what is long only there.
    (only,) = outcome.services
    return {
        **{key: value for key, value in entries[0].items() if key != "name"},
        **facts,
        "services": [_entry(only, {})],
    }


def _entry(entry: Watched, details: Mapping[str, Any]) -> dict[str, Any]:
    service: Mapping[str, Any] = entry.objects.service or {}
    status = service.get("status", {})
    return {
        "name": entry.name,
        "verdict": entry.verdict.state.value,
        "reason": entry.verdict.reason,
        "message": entry.verdict.message,
        "url": status.get("url"),
        "address": (status.get("address") or {}).get("url"),
        "generation": service.get("metadata", {}).get("generation"),
        "model_ready": entry.model_ready,
        "ignored": list(ignored_fields(service)) if service else [],
        "waited_seconds": round(entry.seconds, 1),
        **details.get(entry.name, {}),
    }


def _diagnosed(api: KubeApi, selection: Selection, failed: Iterable[Watched]) -> dict[str, dict[str, Any]]:
    # Not all are explained at length. So many services fail for few reasons, so one of each comes first.
    seen: Counter[str] = Counter()
    turns = []
    for entry in failed:
        turns.append((seen[entry.verdict.reason], entry))
        seen[entry.verdict.reason] += 1
    chosen = sorted(turns, key=lambda turn: turn[0])
    return diagnose(api, selection.namespace, {entry.name: entry.objects for _turn, entry in chosen})


def _warning(facts: Mapping[str, Any]) -> str:
    """Return what the latest warning about the InferenceService itself says.

    It is the only trace of a spec that KServe cannot take up, such as a storageUri of a kind that it does not know.
    """
    about = [
        event["message"]
        for event in facts.get("events", ())
        if event.get("type") == "Warning" and event["object"].startswith("InferenceService/")
    ]
    return f" The latest warning about it: {about[-1].rstrip('.')}." if about else ""


def _failure(
    api: KubeApi, selection: Selection, limits: Limits, outcome: Outcome, failed: Sequence[Watched]
) -> KServeError:
    details = _diagnosed(api, selection, failed)
    facts = _facts(outcome, details)
    # What is wanted first comes first: the logs are at the end of a long result.
    messages = {
        entry.name: entry.verdict.message + last_words(entry.verdict.message, details[entry.name].get("logs") or {})
        for entry in failed
    }
    when = f" after {limits.timeout:g} seconds" if outcome.late and not failed[0].settled else ""
    reported = failed[:_REPORTED]
    other = any(entry.verdict.reason in runtimes.REASONS for entry in reported)
    known = f" {runtimes.sentence(api, selection.namespace)}".rstrip() if other else ""
    if len(outcome.services) == 1:
        warning = _warning(facts) if when else ""
        return KServeError(f"{selection} does not serve{when}: {messages[failed[0].name]}{warning}{known}", **facts)
    causes = " ".join(f"{entry.name}: {messages[entry.name]}" for entry in reported)
    rest = f" The other {len(failed) - _REPORTED} are in services." if len(failed) > _REPORTED else ""
    under_way = 0 if outcome.late else sum(not entry.settled for entry in outcome.services)
    given_up = f" The other {under_way} were not waited for, since fail_fast is true." if under_way else ""
    count = f"{len(failed)} of {len(outcome.services)} {selection} do not serve{when}"
    return KServeError(f"{count}: {causes}{known}{rest}{given_up}", **{"reason": failed[0].verdict.reason, **facts})
