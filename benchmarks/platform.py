# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a bare cluster to the first prediction, and again without changes: site.yml compared with helm and kubectl.

Each measurement uses a new kind cluster with all images loaded, so that nothing is left from the other tool. A round
takes about six minutes. Then site.yml runs again with 2, 6 and 24 models, on a cluster for each kind of storage.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks import audit, measured_cluster, tools
from benchmarks.results import ROOT, MeasurementError, Report, Row
from benchmarks.tools import Tools
from local import __main__ as commands
from local import engine, execution_environment, settings
from local.demo import playbook_command, playbook_env
from local.progress import Progress
from local.run import run
from local.settings import Settings

ROUNDS = 3
OURS, BY_HAND = "site.yml", "helm and kubectl"
SCRIPT = Path(__file__).with_suffix(".sh")
# As for the other benchmarks, but without the larger number of pods, which costs the control plane CPU.
SETTINGS = {name: value for name, value in measured_cluster.SETTINGS.items() if name != "HASHFOUNDRY_PODS"}
USER = "kubernetes-admin"  # of the kubeconfig; pods use ServiceAccounts
UNUSED = "model/batch"  # an image that is slow to load and not used here
FIRST_LIMIT, AGAIN_LIMIT = 1.1, 0.7
COUNTS = (2, 6, 24)  # models
WAYS = {"s3": "from the bucket", "pvc": "by way of a volume"}
FURTHER_LIMIT = 0.2  # seconds for each further model of a run without changes
FURTHER_ROUNDS = 3
STAGE = re.compile(r"^(\d{10}) (.+)$", re.MULTILINE)
SLOWEST = 6
BUCKET_TASKS = ("Upload the models", "Find the models that are not uploaded from the controller", "Download the models")
# Objects that controllers create, and objects that exist on every cluster.
CONTROLLER_OBJECTS = re.compile(
    r"^(Event|Pod|ReplicaSet|EndpointSlice|Endpoints|Lease|PodMetrics|NodeMetrics|ControllerRevision) "
)


@dataclass(frozen=True)
class Measured:
    """One run: its duration, its requests to the API server, and the duration of its stages or tasks."""

    seconds: float
    requests: int
    parts: Mapping[str, float]
    kinds: Mapping[str, int] = field(default_factory=dict)
    """The number of requests to the API server by verb and resource, and to the bucket."""


@dataclass
class Runs:
    """The runs of one tool.

    first, again: the first run and the run without changes.
    contained: the run without changes in the execution environment.
    objects: the objects that the runs created.
    """

    first: list[Measured] = field(default_factory=list)
    again: list[Measured] = field(default_factory=list)
    contained: list[Measured] = field(default_factory=list)
    objects: set[str] = field(default_factory=set)


@contextmanager
def bare(config: Settings) -> Iterator[None]:
    """A cluster with all images and nothing installed, deleted at the end."""
    rows = commands.rows_of(config)
    rows = replace(rows, images=tuple(image for image in rows.images if image.python != UNUSED))
    try:
        commands.up(config, rows, Progress())
        yield
    finally:
        commands.down(config, rows)


def _run(command: Sequence[str | Path], env: Mapping[str, str]) -> str:
    result = subprocess.run(
        command,
        cwd=ROOT,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if result.returncode:
        raise MeasurementError(f"{command[0]} failed:\n{result.stdout[-3000:]}")
    return result.stdout


def variables(config: Settings) -> dict[str, Any]:
    """The variables with which site.yml does the same as the script: one model, one protocol and no load test."""
    folder = str(config.state / "models" / "iris-classifier" / "v1")
    command = [sys.executable, "-m", "model.iris", "--output", folder, "--version", "v1"]
    iris = {
        "name": "iris-classifier",
        "version": "v1",
        "source": {"folder": folder, "command": command},
        "format": "sklearn",
        "runtime": "kserve-sklearnserver",
        "storage": "s3",
        "resources": {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
    }
    names = ("model_verification_requests", "model_verification_warmup")
    verification = {
        "model_verification_protocols": ["v1"],
        "model_verification_thresholds": {},
        **dict.fromkeys(names, 0),
    }
    return {"models": [iris], **verification}


def _ours(config: Settings, again: bool, extra: Mapping[str, Any] | None = None) -> Mapping[str, float]:
    times = config.state / "task-times"
    times.unlink(missing_ok=True)
    callback = {
        "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).with_name("callback_plugins")),
        "ANSIBLE_CALLBACKS_ENABLED": "task_times",
        "BENCHMARK_TIMES": str(times),
        "BENCHMARK_COUNTED": "",
    }
    cache = {"XDG_CACHE_HOME": str(config.state / "cache")}  # empty in the first run
    command = [*playbook_command("playbooks/site.yml"), "-e", json.dumps(extra or variables(config))]
    output = _run(command, {**playbook_env(config), **callback, **cache})
    if again and not re.search(r"changed=0 ", output):
        raise MeasurementError(f"The second run of site.yml changed something:\n{output[-3000:]}")
    return tasks(times.read_text().splitlines())


def _contained(config: Settings) -> Mapping[str, float]:
    """Run site.yml again in the execution environment, with the collection that is installed there."""
    docker = engine.answering(config)
    assert docker is not None
    command: list[str | Path] = ["docker", "run", "--rm", "--network=host", "--user=0", "--tmpfs=/tmp"]
    # The state folder has links to the sources and programs.
    linked = [path.resolve() for name in ("sources", "bin") for path in (config.state / name).iterdir()]
    places = {ROOT: "ro", config.state: "rw", **dict.fromkeys(linked, "ro")}
    command += [f"--volume={place}:{place}:{mode}" for place, mode in places.items()]
    settings_of = {name: value for name, value in playbook_env(config).items() if name.startswith("HASHFOUNDRY_")}
    for name, value in {**settings_of, "HOME": "/tmp", "XDG_CACHE_HOME": f"{config.state}/cache"}.items():
        command += ["--env", f"{name}={value}"]
    command += [execution_environment.REF, "ansible-playbook", "hashfoundry.kserve.site"]
    command += ["-i", ROOT / "inventories" / "local", "-e", json.dumps(variables(config))]
    output = _run(command, docker.env)
    if not re.search(r"changed=0 ", output):
        raise MeasurementError(f"site.yml in the execution environment changed something:\n{output[-3000:]}")
    return {}


def tasks(lines: Sequence[str]) -> dict[str, float]:
    """The seconds of each task in the lines written by the callback, summed by task name."""
    seconds: dict[str, float] = {}
    started = 0.0
    for line in lines:
        row = json.loads(line)
        if row["what"] == "start":
            started = row["time"]
        else:
            seconds[row["task"]] = seconds.get(row["task"], 0.0) + row["time"] - started
    return seconds


def _by_hand(config: Settings, found: Tools) -> Mapping[str, float]:
    env = {**os.environ, "PATH": f"{config.state / 'bin'}:{found.environment / 'bin'}:{os.environ.get('PATH', '')}"}
    ports = (str(config.https_port), str(config.s3_port))
    return stages(_run([SCRIPT, config.state, *ports, sys.executable], env))


def stages(output: str) -> dict[str, float]:
    """The seconds of each stage that the script printed."""
    begun = [(name, int(when)) for when, name in STAGE.findall(output)]
    return {name: float(later - when) for (name, when), (_next, later) in pairwise(begun)}


def _timed(config: Settings, work: Callable[[], Mapping[str, float]]) -> Measured:
    began = time.time()
    parts = work()
    ended = time.time()
    found = [request for request in audit.read(config.audit_log, began) if request.began <= ended]
    return Measured(ended - began, audit.count_of_user(found, USER), parts, audit.kinds_of(found, USER))


def _objects(config: Settings) -> set[str]:
    """Every object of the cluster as `Kind namespace/name`, without those that controllers create."""
    kubectl: list[str | Path] = [config.state / "bin" / "kubectl", f"--kubeconfig={config.kubeconfig}"]
    listed = run([*kubectl, "api-resources", "--verbs=list", "--output=name"], hint="inspect the cluster.").split()
    form = r"{range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name}{'\n'}{end}".replace("'", '"')
    names = run([*kubectl, "get", ",".join(listed), "--all-namespaces", "--ignore-not-found",
                f"--output=jsonpath={form}"], hint="inspect the cluster.")  # fmt: skip
    return {line for line in names.splitlines() if not CONTROLLER_OBJECTS.match(line)}


def _round(runs: Mapping[str, Runs], tool: str, config: Settings, found: Tools) -> None:
    def ours(again: bool) -> Mapping[str, float]:
        return _ours(config, again)

    def by_hand(_again: bool) -> Mapping[str, float]:
        return _by_hand(config, found)

    work = ours if tool == OURS else by_hand
    with bare(config):
        before = _objects(config)
        runs[tool].first.append(_timed(config, lambda: work(False)))
        runs[tool].again.append(_timed(config, lambda: work(True)))
        if tool == OURS:
            runs[tool].contained.append(_timed(config, lambda: _contained(config)))
        runs[tool].objects = _objects(config) - before
    first, again = runs[tool].first[-1], runs[tool].again[-1]
    print(f"    {tool}: {first.seconds:.1f} s and {again.seconds:.1f} s, {again.requests} requests", flush=True)


def many(config: Settings, way: str, count: int) -> dict[str, Any]:
    """The variables for so many models, which are the same but for their names; their folders are made where needed."""
    entry = variables(config)["models"][0]
    trained = Path(entry["source"]["folder"])
    models = []
    for number in range(count):
        name = f"iris-{way}-{number:02}"
        folder = config.state / "models" / name / "v1"
        if not folder.exists():
            shutil.copytree(trained, folder)
            metadata = json.loads((folder / "metadata.json").read_text())
            (folder / "metadata.json").write_text(json.dumps({**metadata, "name": name}))
        resources = {"requests": {"cpu": "10m", "memory": "160Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}}
        storage = {"storage": way, **({"volume": "models"} if way == "pvc" else {})}
        models.append({**entry, "name": name, "source": {"folder": str(folder)}, "resources": resources, **storage})
    return {
        "models": models,
        "model_verification_thresholds": {},
        "model_namespace_quota": {"pods": "200"},
        "model_serving_timeout": 1200,
        # Otherwise the pods of all models request more CPU than the node has, by the container that loads the model.
        "kserve_values": {"kserve": {"storage": {"resources": {"requests": {"cpu": "10m"}}}}},
    }


def bucket_requests(lines: Sequence[str]) -> int:
    """The requests to the bucket, as the results of the tasks in the lines written by the callback report them."""
    found = 0
    for line in lines:
        row = json.loads(line)
        if row["what"] != "start" and row["task"].endswith(BUCKET_TASKS):
            results = row["result"].get("results", [row["result"]])
            found += sum(result.get("requests", 0) for result in results)
    return found


def _grown(config: Settings, way: str) -> dict[int, list[Measured]]:
    """Runs of site.yml without changes for each number of models, on one cluster."""
    grown: dict[int, list[Measured]] = {}
    with bare(config):
        _ours(config, False)  # trains the model that the others are copies of
        for count in COUNTS:
            extra = many(config, way, count)
            _ours(config, False, extra)
            grown[count] = []
            for number in range(FURTHER_ROUNDS):
                one = _timed(config, lambda extra=extra: _ours(config, True, extra))  # type: ignore[misc]
                sent = bucket_requests((config.state / "task-times").read_text().splitlines())
                grown[count].append(replace(one, kinds={**one.kinds, "bucket": sent}))
                print(f"    {count} models {WAYS[way]}, {number + 1}: {one.seconds:.1f} s", flush=True)
    return grown


def further(report: Report, way: str, grown: Mapping[int, Sequence[Measured]]) -> None:
    """Add what each further model costs a run without changes."""
    where = WAYS[way]
    for count, runs in grown.items():
        report.rows.append(Row(f"again with {count} models {where}", OURS, [one.seconds for one in runs], "s"))
    few, some, most = COUNTS
    steps = [(last.seconds - first.seconds) / (most - few) for first, last in zip(grown[few], grown[most], strict=True)]
    met = statistics.median(steps) <= FURTHER_LIMIT
    report.rows.append(Row(f"each further model {where}", OURS, steps, "s", f"at most {FURTHER_LIMIT} s", met))
    kinds = {kind: [grown[count][-1].kinds.get(kind, 0) for count in COUNTS] for kind in grown[most][-1].kinds}
    faster = [
        kind
        for kind, (one, two, three) in sorted(kinds.items())
        if (three - two) * (some - few) > max((two - one) * (most - some), most - some)
    ]
    figure = f"kinds of requests whose number grows faster than the models {where}"
    report.rows.append(Row(figure, OURS, [float(len(faster))], "", "0", not faster))
    requests = {kind: (three - one) / (most - few) for kind, (one, _two, three) in kinds.items() if three > one}
    listed = ", ".join(f"{kind} {each:.1f}" for kind, each in sorted(requests.items(), key=lambda pair: -pair[1]))
    parts = {
        name: (seconds - grown[few][-1].parts.get(name, 0.0)) / (most - few)
        for name, seconds in grown[most][-1].parts.items()
    }
    slowest = ", ".join(
        f"{name} {parts[name]:.3f} s" for name in sorted(parts, key=lambda name: -parts[name])[:SLOWEST]
    )
    report.notes += [
        f"Requests for each further model {where}: {listed or 'none'}.",
        f"The tasks that grow most with each further model {where}: {slowest}.",
    ] + ([f"Growing faster than the models {where}: {', '.join(faster)}."] if faster else [])


def measure(rounds: int = ROUNDS) -> Report:
    """Install with both tools alternately, each time on a new cluster; then run with more and more models."""
    found = tools.ensure()
    config = settings.load({**os.environ, **SETTINGS})
    if execution_environment.main(["build"]):
        raise MeasurementError("The execution environment was not built: fix the error above.")
    runs = {OURS: Runs(), BY_HAND: Runs()}
    for number in range(rounds):
        # Alternate the order, because the first tool runs with a colder page cache.
        for tool in (OURS, BY_HAND) if number % 2 == 0 else (BY_HAND, OURS):
            _round(runs, tool, config, found)
    report = _report(runs, found)
    for way in WAYS:
        further(report, way, _grown(config, way))
    return report


def _report(runs: Mapping[str, Runs], found: Tools) -> Report:
    versions = found.versions(("ansible-core", "kubectl", "helm", "awscli", "kserve-manager", "contour", "versitygw"))
    report = Report(
        "platform", "From a bare cluster to a prediction: site.yml compared with helm and kubectl", versions
    )
    ours, by_hand = runs[OURS], runs[BY_HAND]
    report.compare(
        "first install", OURS, {name: [one.seconds for one in tool_runs.first] for name, tool_runs in runs.items()}
    )
    report.rows.append(_ratio("first install, relative to helm and kubectl", ours.first, by_hand.first, FIRST_LIMIT))
    report.compare("again, nothing changed", OURS, {name: [one.seconds for one in r.again] for name, r in runs.items()})
    report.rows.append(_ratio("again, relative to helm and kubectl", ours.again, by_hand.again, AGAIN_LIMIT))
    contained = "again in the execution environment"
    report.rows.append(Row(contained, OURS, [one.seconds for one in ours.contained], "s"))
    report.rows.append(_ratio(f"{contained}, relative to helm and kubectl", ours.contained, by_hand.again, AGAIN_LIMIT))
    for figure, attribute in (("first install", "first"), ("again", "again")):
        counts = {
            name: [float(one.requests) for one in getattr(tool_runs, attribute)] for name, tool_runs in runs.items()
        }
        report.compare(f"{figure}, requests to the API server", OURS, counts, unit="requests")
    report.notes += [
        "Each measurement uses a new cluster with its images loaded, and includes the training of the model.",
        "The script finishes with one prediction, site.yml with predictions of the model's examples.",
        f"The requests are those of {USER} in the audit log.",
        f"The slowest tasks of the last first run of site.yml: {_slowest(ours.first[-1])}.",
        f"The slowest stages of the script: {_slowest(by_hand.first[-1])}.",
        _difference(OURS, ours.objects - by_hand.objects),
        _difference(BY_HAND, by_hand.objects - ours.objects),
    ]
    return report


def _ratio(figure: str, ours: Sequence[Measured], others: Sequence[Measured], limit: float) -> Row:
    values = [one.seconds / other.seconds for one, other in zip(ours, others, strict=True)]
    return Row(figure, OURS, values, "", f"at most {limit}", statistics.median(values) <= limit)


def _slowest(run: Measured) -> str:
    slowest = sorted(run.parts.items(), key=lambda part: -part[1])[:SLOWEST]
    return ", ".join(f"{name} {seconds:.1f} s" for name, seconds in slowest)


def _difference(tool: str, objects: set[str]) -> str:
    """The objects that only one tool created, without names that end in a random suffix."""
    plain = sorted(name for name in objects if not re.search(r"-[a-z0-9]{5,10}$|sh\.helm\.release", name))
    return f"Only {tool} creates {len(plain)} objects" + (f": {', '.join(plain)}." if plain else ".")
