# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for InferenceServices: the delay after they become ready, and the cost for hundreds of them."""

from __future__ import annotations

import random
import shlex
import statistics
import time
from collections.abc import Callable, Sequence

from benchmarks import audit, measured_cluster, tools
from benchmarks.measured_cluster import NAMESPACE, Measured
from benchmarks.playbook import EMPTY, Task, Timed, play
from benchmarks.results import MeasurementError, Report, Row
from benchmarks.tools import Tools

ROUNDS = 7
OURS, KUBECTL, LOOP = "inference_service_ready", "kubectl wait", "k8s_info, until, delay 5"
ONE = "single"
MANY = [f"service-{number:03d}" for number in range(300)]
MANY_READY_S = 900  # on two cores; only the services that are ready by then are measured
# Periods of the readiness probe. Probing hundreds of pods every second would load the node.
PROBE_S, PROBE_OF_MANY_S = 1, 5
# A loop of a module takes one task per service. So many are measured and extrapolated to all.
LOOPED = 30
WATCH_S = 60  # timeoutSeconds of the module's watches
TIMEOUT_S = 600
# The event comes this long after the task's start, when every tool is waiting and a loop is anywhere in its delay.
FROM_S, TO_S = 3.0, 8.0
VERDICT_MS = 250
PYTHON, GO = "OpenAPI-Generator", "kubectl"  # the user agents of the clients
READY = (
    "(found.resources[0].status.conditions | default([]) | selectattr('type', 'equalto', 'Ready')"
    " | map(attribute='status') | list) == ['True']"
)


def _wait(name: str) -> list[str]:
    return ["kubectl", "wait", "--for=condition=Ready", f"inferenceservice/{name}", f"--namespace={NAMESPACE}",
            f"--timeout={TIMEOUT_S}s"]  # fmt: skip


def _loop(name: str) -> Task:
    what = {"api_version": "serving.kserve.io/v1beta1", "kind": "InferenceService"}
    return {
        "kubernetes.core.k8s_info": {**what, "name": name, "namespace": NAMESPACE},
        "register": "found",
        "until": READY,
        "retries": TIMEOUT_S // 5,
        "delay": 5,
    }


def one_task(tool: str) -> Task:
    """The task that waits for one service."""
    if tool == OURS:
        how = {"name": ONE, "namespace": NAMESPACE, "timeout": TIMEOUT_S}
        return {"hashfoundry.kserve.inference_service_ready": how}
    return {"ansible.builtin.command": {"argv": _wait(ONE)}} if tool == KUBECTL else _loop(ONE)


def many_task(tool: str, names: Sequence[str]) -> Task:
    """The task that waits for all of them."""
    if tool == OURS:
        how = {"names": list(names), "namespace": NAMESPACE, "timeout": TIMEOUT_S}
        return {"hashfoundry.kserve.inference_service_ready": how}
    if tool == KUBECTL:
        command = shlex.join(["xargs", "--max-procs=0", "-I{}", *_wait("{}")])
        return {"ansible.builtin.shell": {"cmd": command, "stdin": "\n".join(names)}, "failed_when": False}
    return {**_loop("{{ item }}"), "loop": list(names[:LOOPED])}


def _after_a_while(cluster: Measured, name: str, seconds: float) -> Callable[[], None]:
    def switch() -> None:
        time.sleep(seconds)
        cluster.switch(name, on=True)

    return switch


def _event(cluster: Measured, timed: Timed, names: Sequence[str], first: bool = False) -> float:
    """The time of the write by which the last of the services became ready; first: see audit.became_ready."""
    log = [one for one in audit.read(cluster.settings.audit_log, timed.started) if one.ended <= timed.ended]
    found = audit.became_ready(log, NAMESPACE, first)
    if missing := set(names) - set(found):
        raise MeasurementError(f"The audit log does not say when {', '.join(sorted(missing)[:3])} became ready.")
    return max(found[name] for name in names)


def _measure_one(cluster: Measured, found: Tools, report: Report, rounds: int) -> None:
    chance = random.Random(1)
    late: dict[str, list[float]] = {tool: [] for tool in (OURS, KUBECTL, LOOP)}
    verdicts, starts = [], []
    for number in range(rounds):
        pause = chance.uniform(FROM_S, TO_S)
        for tool in late:
            cluster.switch(ONE, on=False)
            cluster.wait_until(False, [ONE], 120)
            tasks = [EMPTY, {"name": "wait", **one_task(tool)}]
            timed = play(found, tasks, env=cluster.env, during=_after_a_while(cluster, ONE, pause)).tasks
            event = _event(cluster, timed["wait"], [ONE])
            late[tool].append(timed["wait"].ended - event)
            starts.append(timed["empty"].seconds)
            if tool == OURS:
                verdicts.append((_verdict(cluster, timed["wait"]) - event) * 1000)
            print(f"    round {number + 1}, {tool}: {late[tool][-1]:.3f} s", flush=True)
    start = statistics.median(starts)
    ours, kubectl, loop = (statistics.median(late[tool]) for tool in (OURS, KUBECTL, LOOP))
    report.compare(
        "from the event to the task's end", OURS, late, limit="under a tenth of k8s_info's", met=ours < loop / 10
    )
    limit = f"at most the start of a module ({start:.2f} s)"
    report.rows.append(
        Row("the same, beyond kubectl wait's median", OURS, [value - kubectl for value in late[OURS]], "s", limit,
            ours - kubectl <= start)
    )  # fmt: skip
    met = statistics.median(verdicts) <= VERDICT_MS
    report.rows.append(Row("from the event to the verdict", OURS, verdicts, "ms", f"at most {VERDICT_MS} ms", met))
    report.rows.append(Row("an empty task", "ansible.builtin.ping", starts))


def _verdict(cluster: Measured, timed: Timed) -> float:
    """When the API server returned the response of the model, which is the last request before the verdict."""
    ended = [
        request.ended
        for request in audit.read(cluster.settings.audit_log, timed.started)
        if request.resource == "services/proxy" and request.agent.startswith(PYTHON) and request.ended <= timed.ended
    ]
    if not ended:
        raise MeasurementError("A request to the model was not found in the audit log.")
    return max(ended)


def _measure_many(cluster: Measured, found: Tools, report: Report) -> None:
    begun = time.monotonic()
    cluster.switch("all", on=True)
    cluster.make(MANY, PROBE_OF_MANY_S)
    names = cluster.most(MANY, MANY_READY_S)
    took = time.monotonic() - begun
    report.notes.append(
        f"{len(names)} of {len(MANY)} services, each with a pod, were ready {took:.0f} s after they were applied. Only "
        "those are measured."
    )
    print(f"    {report.notes[-1]}", flush=True)
    late, memory, requests = {}, {}, {}
    factor = {OURS: 1.0, KUBECTL: 1.0, LOOP: len(names) / LOOPED}
    for tool in (OURS, KUBECTL, LOOP):
        during = None
        if tool != LOOP:
            cluster.switch("all", on=False)
            cluster.wait_until(False, names, 600)
            during = _after_a_while(cluster, "all", 5)
        run = play(
            found, [EMPTY, {"name": "wait", **many_task(tool, names)}], env=cluster.env, memory=True, during=during
        )
        timed = run.tasks["wait"]
        # A failed wait finishes before its service is ready.
        cluster.wait_until(True, names, 600)
        seen = _seen(timed, names) if tool == KUBECTL else names
        log = audit.read(cluster.settings.audit_log, timed.started)
        counts = audit.counts_by_agent(
            [one for one in log if one.began <= timed.ended], GO if tool == KUBECTL else PYTHON
        )
        # kubectl wait finishes when its service is ready for the first time. Under load some services become not ready
        # again.
        seconds = timed.seconds if tool == LOOP else timed.ended - _event(cluster, timed, seen, first=tool == KUBECTL)
        late[tool], memory[tool] = [seconds * factor[tool]], [run.peak_mib]
        requests[tool] = [sum(counts.values()) * factor[tool]]
        print(f"    {tool}: {late[tool][0]:.1f} s, {memory[tool][0]:.0f} MiB, {counts}", flush=True)
        if tool == OURS:
            _lists_and_watches(report, len(names), counts, timed)
        if failed := len(names) - len(seen):
            why = (timed.result["stderr_lines"] or ["no error output"])[-1]
            report.notes.append(
                f"{failed} of the {len(names)} kubectl wait commands failed, for example: {why}. The time is from the "
                "last event of the services whose command succeeded."
            )
            print(f"    {report.notes[-1]}", flush=True)
    report.compare(f"{len(names)} services: from the last event to the task's end", OURS, late)
    report.compare(f"{len(names)} services: peak memory", OURS, memory, unit="MiB")
    report.compare(f"{len(names)} services: requests", OURS, requests, unit="requests")
    report.notes.append(
        f"The loop of k8s_info runs over {LOOPED} services that are already ready. Its time is the duration of the "
        f"task. Its time and requests are multiplied by {factor[LOOP]:g}."
    )


def _seen(timed: Timed, names: Sequence[str]) -> list[str]:
    """The services that kubectl wait reported as ready."""
    printed = {
        line.partition(" ")[0].rpartition("/")[2] for line in timed.result["stdout_lines"] if "condition met" in line
    }
    return [name for name in names if name in printed]


def _lists_and_watches(report: Report, services: int, counts: dict[str, int], timed: Timed) -> None:
    for verb in ("list", "watch"):
        found = {what.split()[1]: count for what, count in counts.items() if what.startswith(f"{verb} ")}
        values = [float(count) for count in found.values()] or [0.0]
        # The API server closes a watch after a minute. The next one resumes from its resourceVersion.
        most = 1 + int(timed.seconds // WATCH_S) if verb == "watch" else 1
        met = bool(found) and max(values) <= most
        limit = "one" if most == 1 else f"one at a time, {most} in {timed.seconds:.0f} s"
        figure = f"{services} services: {verb} requests a kind"
        report.rows.append(Row(figure, OURS, values, "requests", limit, met, note=", ".join(found)))
    report.notes.append(f"Its requests for the {services} services, in {timed.seconds:.0f} s: {counts}.")


def measure(rounds: int = ROUNDS) -> Report:
    """Wait with every tool for one service in several rounds, and for hundreds once."""
    found = tools.ensure("kubectl")
    names = ("ansible-core", "kubernetes", "kubernetes.core", "kubectl", "kserve-manager", "kind")
    title = "Waiting until InferenceServices serve"
    with measured_cluster.running() as cluster:
        report = Report("readiness", title, found.versions(names))
        cluster.make([ONE], PROBE_S)
        cluster.switch(ONE, on=True)
        cluster.wait_until(True, [ONE], 300)
        _measure_one(cluster, found, report, rounds)
        _measure_many(cluster, found, report)
    report.notes += [
        "The event is the update of the InferenceService's status to Ready, with the time in the API server's audit "
        f"log. It comes at random {FROM_S:.0f} to {TO_S:.0f} s after the task's start, with the same delay for each "
        "tool of a round.",
        "The time of the verdict is that of the API server's last response to the module.",
        "kubectl wait for many services is one process per service, all started at once by xargs.",
        "Memory is the peak proportional set size of all child processes of ansible-playbook.",
    ]
    return report
