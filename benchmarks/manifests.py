# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Applying what a platform is made of, and again with nothing new, beside kubernetes.core with the same objects."""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks import api_server, tools
from benchmarks.playbook import EMPTY, Task, play
from benchmarks.results import MeasurementError, Report
from benchmarks.tools import Tools
from local import releases

ROUNDS = 3
OURS, CORE = "manifests", "kubernetes.core"
NAMESPACE = "cert-manager"
VALUES = {"installCRDs": True, "startupapicheck": {"enabled": False}}
# See the notes.
LEFT_OUT = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", "Image", "Certificate")


@dataclass(frozen=True)
class Source:
    """What is applied: a file of YAML, or a chart."""

    name: str
    path: Path
    chart: bool = False


def tasks(tool: str, source: Source, helm: Path) -> list[Task]:
    """The tasks that apply it, as a user of the tool writes them."""
    if tool == OURS:
        if not source.chart:
            return [{"hashfoundry.kserve.manifests": {"src": [str(source.path)], "wait": False}}]
        chart = {"ref": str(source.path), "release": "cert-manager", "namespace": NAMESPACE, "values": VALUES}
        return [{"hashfoundry.kserve.manifests": {"charts": [chart], "helm": str(helm), "wait": False}}]
    apply = {"apply": True, "server_side_apply": {"field_manager": "benchmark"}}
    if not source.chart:
        return [{"kubernetes.core.k8s": {"src": str(source.path), **apply}}]
    chart = {"chart_ref": str(source.path), "release_name": "cert-manager", "release_namespace": NAMESPACE}
    return [
        {
            "kubernetes.core.helm_template": {**chart, "values": VALUES, "binary_path": str(helm)},
            "register": "rendered",
        },
        {"kubernetes.core.k8s": {"definition": "{{ rendered.stdout | from_yaml_all }}", **apply}},
    ]


def _sources(found: Tools, folder: Path) -> list[Source]:
    """Knative Serving's manifest, and cert-manager's chart."""
    (release,) = (one for one in found.table.releases if one.path.endswith("serving-core.yaml"))
    (chart,) = (one for one in found.table.charts if one.path == "cert-manager")
    objects = [item for item in yaml.safe_load_all(releases.text(release, found.table)) if item]
    kept = [item for item in objects if item["kind"] not in LEFT_OUT]
    path = folder / "serving-core.yaml"
    path.write_text(yaml.safe_dump_all(kept, sort_keys=False))
    releases.write_chart(chart, folder)
    return [
        Source(f"Knative Serving's manifest, {len(kept)} objects", path),
        Source("cert-manager's chart", folder / chart.path, chart=True),
    ]


def measure(rounds: int = ROUNDS) -> Report:
    """Apply each source with each tool into an empty cluster, and again, in turns."""
    found = tools.ensure(*api_server.PROGRAMS, "helm")
    names = ("kube-apiserver", "helm", "ansible-core", "kubernetes", "kubernetes.core")
    report = Report("manifests", "Applying manifests and a chart to an API server", found.versions(names))
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir=found.settings.cache) as name:
        for source in _sources(found, Path(name)):
            _measured(report, found, source, rounds)
    report.notes += [
        "Each tool applies the same objects by server-side apply, as tasks of a playbook, in turns, each time into the "
        "store of an API server that has just started and that runs no pods; nothing is waited for but what the tool "
        "needs to go on. helm_template and k8s are two tasks, of which this is the sum.",
        f"Left out of Knative's manifest: {', '.join(LEFT_OUT)}. Nothing runs here that would answer the first two; "
        "the CRDs of the others are in the manifest, and k8s does not find a kind that the same call defines, and "
        "fails.",
        "Requests are lines of the server's audit log.",
    ]
    return report


def _measured(report: Report, found: Tools, source: Source, rounds: int) -> None:
    seconds: dict[str, dict[str, list[float]]] = {when: {OURS: [], CORE: []} for when in ("first", "again")}
    requests: dict[str, dict[str, list[float]]] = {when: {OURS: [], CORE: []} for when in ("first", "again")}
    home = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    begin: list[Task] = [{"name": "home", "kubernetes.core.k8s": {"definition": home}}, EMPTY]
    for number in range(rounds):
        for tool in (OURS, CORE) if number % 2 else (CORE, OURS):
            steps = tasks(tool, source, found.program("helm"))
            named = [{"name": f"{when} {i}", **step} for when in seconds for i, step in enumerate(steps)]
            with (
                tempfile.TemporaryDirectory(prefix="benchmark-") as folder,
                api_server.running(found, Path(folder)) as server,
            ):
                env = {"K8S_AUTH_KUBECONFIG": str(server.kubeconfig)}
                timed = play(found, [*begin, *named], env=env, counted=server.log).tasks
            for when in seconds:
                parts = [timed[f"{when} {i}"] for i in range(len(steps))]
                seconds[when][tool].append(sum(part.seconds for part in parts))
                requests[when][tool].append(sum(part.lines for part in parts))
            if not _changed(timed[f"first {len(steps) - 1}"].result):
                raise MeasurementError(f"{tool} did not apply {source.name}.")
            again = "changed" if _changed(timed[f"again {len(steps) - 1}"].result) else "unchanged"
            took = ", ".join(f"{when} {seconds[when][tool][-1]:.2f} s" for when in seconds)
            print(f"    round {number + 1}, {source.name}, {tool}: {took}, {again}", flush=True)
    for when, what in (("first", source.name), ("again", f"{source.name}, again")):
        ours, core = (statistics.median(seconds[when][tool]) for tool in (OURS, CORE))
        report.compare(what, OURS, seconds[when], limit="at most half of kubernetes.core's", met=ours <= core / 2)
        report.compare(f"{what}, requests", OURS, requests[when], unit="requests")


def _changed(result: Any) -> bool:
    return bool(result.get("changed"))
