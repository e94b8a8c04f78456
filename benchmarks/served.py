# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The iris model on several model servers, each an InferenceService with the same limits, one at a time."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from http.client import HTTPConnection, HTTPException
from io import BytesIO
from pathlib import Path
from typing import Any

import joblib
from kubernetes import client, config, watch
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier

from ansible_collections.hashfoundry.kserve.plugins.module_utils._object_store import s3
from ansible_collections.hashfoundry.kserve.plugins.module_utils._object_store.port import ObjectStore
from ansible_collections.hashfoundry.kserve.plugins.module_utils._object_store.s3_client import S3Options
from benchmarks.results import MeasurementError
from benchmarks.tools import FOLDER
from local import __main__ as commands
from local import debian, demo, images, table
from local.cache import build_missing, locked
from local.cluster import Cluster
from local.demo import playbook_env
from local.progress import Progress
from local.run import run
from local.settings import Settings

NAMESPACE = "benchmark-serving"
ACCOUNT = "reader"
MODEL = "iris-classifier"
MODELS_NAMESPACE = "ml-models"  # of inventories/local
RESOURCES = {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}}
BUCKET = "hashfoundry-ml-models"
INSTANCES, EXPECTED = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.1, 5.6, 2.4]], [0, 2]
SOURCE = "sklearnserver"  # the package of KServe's sklearnserver, and the volume that contains it
TIMEOUT_S = 300
TREES = 200
TOGETHER = "PREDICT_TOGETHER"
S3_KEY = "local-owner"  # of inventories/local
POLL_S = 0.01
PREFIX = "hashfoundry.local/benchmark-"


@dataclass(frozen=True)
class Subject:
    """A model in the bucket, and the rows that it predicts.

    name: its folder in the bucket.
    label: its name in the table, or empty.
    """

    name: str
    label: str = ""
    instances: Any = field(default_factory=lambda: INSTANCES, compare=False)
    expected: Any = field(default_factory=lambda: EXPECTED, compare=False)

    @property
    def uri(self) -> str:
        return f"s3://{BUCKET}/{self.name}/v1/"


IRIS = Subject(MODEL)
CUSTOMERS = [[2, 115.5, 4, "month-to-month", "fibre", "invoice"], [60, 42.5, 0, "two years", "dsl", "card"]]
CHURN = Subject("churn-classifier", "churn", CUSTOMERS, [1, 0])
FOREST = Subject("benchmark-forest", f"forest of {TREES} trees")


@dataclass(frozen=True)
class Server:
    """One model server.

    name: of its InferenceService.
    label: its name in the table.
    protocols: the supported inference protocols.
    model: the model name in its URL paths.
    subject: the model.
    environment: further environment variables.
    """

    name: str
    label: str
    protocols: tuple[str, ...]
    model: str
    subject: Subject = IRIS
    environment: tuple[tuple[str, str], ...] = ()

    def predictor(self, image: str) -> dict[str, Any]:
        """The predictor of its InferenceService; image: the image, unless it is the runtime's."""
        model: dict[str, Any] = {
            "modelFormat": {"name": "sklearn"},
            "storageUri": self.subject.uri,
            "resources": RESOURCES,
        }
        if self.name == "fastapi":
            environment = [{"name": "STORAGE_URI", "value": self.subject.uri}]
            container = {"name": "kserve-container", "image": image, "env": environment, "resources": RESOURCES}
            return {"containers": [{**container, "ports": [{"containerPort": 8080}]}]}
        if self.name == "mlserver":
            environment = [{"name": "MLSERVER_PARALLEL_WORKERS", "value": "0"}]
            mlserver = {"runtime": "kserve-mlserver", "protocolVersion": "v2", "image": image, "env": environment}
            return {"model": {**model, **mlserver}}
        model["runtime"] = "kserve-sklearnserver"
        if self.name == "kserve":
            mount = {"name": SOURCE, "mountPath": f"/{images.APP}/{SOURCE}"}
            volume = {"name": SOURCE, "configMap": {"name": SOURCE}}
            kserve = {"image": image, "volumeMounts": [mount]}
            return {"model": {**model, **kserve}, "volumes": [volume]}
        if self.environment:
            model["env"] = [{"name": name, "value": value} for name, value in self.environment]
        return {"model": model}


OURS = Server("ours", "model/server", ("v1", "v2"), "ours")
FASTAPI = Server("fastapi", "FastAPI", ("v1",), MODEL)
MLSERVER = Server("mlserver", "MLServer", ("v2",), "mlserver")
KSERVE = Server("kserve", "KServe's sklearnserver", ("v1", "v2"), "kserve")
SERVERS = (OURS, FASTAPI, MLSERVER, KSERVE)


def _alone(server: Server) -> Server:
    """The same server with one call of the model for each request."""
    return replace(
        server,
        name=f"{server.name}-alone",
        label=f"{server.label} with {TOGETHER}=false",
        model=f"{server.model}-alone",
        environment=((TOGETHER, "false"),),
    )


# The collection's server with other models, in v1 as the churn model has strings.
OTHERS = tuple(
    replace(OURS, name=subject.name, model=subject.name, protocols=("v1",), subject=subject)
    for subject in (CHURN, FOREST)
)
ALONE = {server: _alone(server) for server in (OURS, *OTHERS)}


@dataclass(frozen=True)
class Start:
    """The phases from a pod's creation to its first prediction in seconds, and the start-up line of the server."""

    parts: Mapping[str, float]
    log_line: str

    @property
    def seconds(self) -> float:
        return sum(self.parts.values())


@dataclass(frozen=True)
class Served:
    """The cluster with the services, which are all stopped until they are measured."""

    cluster: Cluster

    @property
    def settings(self) -> Settings:
        return self.cluster.settings

    def kubectl(self, *arguments: str | Path) -> str:
        """Run kubectl and return what it printed."""
        command = [self.settings.state / "bin" / "kubectl", f"--kubeconfig={self.settings.kubeconfig}", *arguments]
        return run(command, env=playbook_env(self.settings), hint="inspect the cluster.")

    def get(self, *arguments: str) -> Any:
        """Objects of the benchmark's namespace."""
        return json.loads(self.kubectl("get", f"--namespace={NAMESPACE}", "--output=json", *arguments))

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Apply objects server-side."""
        file = self.settings.state / "benchmark.json"
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
        try:
            self.kubectl("apply", "--server-side", "--force-conflicts", "--filename", file)
        finally:
            file.unlink()  # it contains credentials

    def pods(self, server: Server) -> list[Any]:
        """The pods of a service, including terminating ones."""
        found: list[Any] = self.get("pods", f"--selector=serving.kserve.io/inferenceservice={server.name}")["items"]
        return found

    def stop(self, server: Server) -> None:
        """Stop the service, and wait until its pods are deleted."""
        self.annotate(server, "serving.kserve.io/stop=true")
        self.wait_until_deleted(server)

    def wait_until_deleted(self, server: Server) -> None:
        """Wait until the service has no pod."""
        deadline = time.monotonic() + TIMEOUT_S
        while self.pods(server):
            if time.monotonic() > deadline:
                raise MeasurementError(f"The pods of {server.name} were not deleted in {TIMEOUT_S} s.")
            time.sleep(0.5)

    def wait_until_ready(self, server: Server) -> None:
        """Wait until the InferenceService is Ready again after a stop."""
        how = (f"--namespace={NAMESPACE}", f"--timeout={TIMEOUT_S}s", f"inferenceservice/{server.name}")
        self.kubectl("wait", "--for=condition=Ready", *how)

    def start(self, server: Server) -> Start:
        """Start the service, and wait for the first right prediction."""
        host, port = self.address(server)
        with self.created(server) as created:
            self.annotate(server, "serving.kserve.io/stop=false")
            answered = first_answer(lambda: HTTPConnection(host, port, timeout=TIMEOUT_S), server)
        return self.timeline(server, created[0], answered)

    def annotate(self, server: Server, annotation: str) -> None:
        """Set an annotation of the InferenceService, given as KEY=VALUE."""
        self.kubectl("annotate", "inferenceservice", f"--namespace={NAMESPACE}", "--overwrite", server.name, annotation)

    def address(self, server: Server) -> tuple[str, int]:
        """The node's address and the NodePort of the server, which bypass the gateway."""
        networks = json.loads(self.cluster.engine.docker("inspect", "--format", "{{json .NetworkSettings.Networks}}",
                                                         self.cluster.node))  # fmt: skip
        address = next(network["IPAddress"] for network in networks.values() if network["IPAddress"])
        return address, int(self.get("service", f"{server.name}-measured")["spec"]["ports"][0]["nodePort"])

    @contextmanager
    def created(self, server: Server) -> Iterator[list[float]]:
        """Watch for the service's next pod; the yielded list contains its creation time at the end."""
        api = client.CoreV1Api(config.new_client_from_config(str(self.settings.kubeconfig)))
        selector = f"serving.kserve.io/inferenceservice={server.name}"
        version = api.list_namespaced_pod(NAMESPACE, label_selector=selector).metadata.resource_version
        found: list[float] = []

        def follow() -> None:
            how = {"label_selector": selector, "resource_version": version, "timeout_seconds": TIMEOUT_S}
            for event in watch.Watch().stream(api.list_namespaced_pod, NAMESPACE, **how):
                if event["type"] == "ADDED":
                    found.append(time.time())
                    return

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        yield found
        thread.join(TIMEOUT_S)
        if not found:
            raise MeasurementError(f"No pod of {server.name} was created.")

    def timeline(self, server: Server, created: float, answered: float) -> Start:
        """The phases from a pod's creation to its first prediction."""
        (pod,) = [pod for pod in self.pods(server) if "deletionTimestamp" not in pod["metadata"]]
        made = self._containers(pod["metadata"]["uid"])
        loading, serving = made["storage-initializer"][0], made["kserve-container"][0]
        began = made["kserve-container"][1]
        parts = {
            "scheduling and sandbox": loading - created,
            "storage initializer": serving - loading,
            "start of the container": began - serving,
            "the server, to the first answer": answered - began,
        }
        name = pod["metadata"]["name"]
        log = self.kubectl("logs", f"--namespace={NAMESPACE}", "--container=kserve-container", name)
        match = re.search(r"Serving \S+: (.*)", log)
        return Start(parts, match[1] if match else "")

    def _containers(self, uid: str) -> dict[str, tuple[float, float]]:
        """When each container of a pod was made, and when its first process began (0 where it has ended)."""
        node = self.cluster.node
        ctr = ["exec", node, "ctr", "--namespace=k8s.io"]
        names = self.cluster.engine.docker(*ctr, "containers", "list", "-q", f'labels."io.kubernetes.pod.uid"=={uid}')
        tasks = dict(line.split()[:2] for line in self.cluster.engine.docker(*ctr, "tasks", "list").splitlines()[1:])
        ticks = 100  # a second has, in /proc (proc(5)), on every Linux that Go and Python run on
        boot = time.time() - float(Path("/proc/uptime").read_text().split()[0])
        found = {}
        for name in names.split():
            facts = json.loads(self.cluster.engine.docker(*ctr, "containers", "info", name))
            began = 0.0
            if name in tasks:
                stat = self.cluster.engine.docker("exec", node, "cat", f"/proc/{tasks[name]}/stat")
                began = boot + int(stat.rpartition(")")[2].split()[19]) / ticks
            label = facts["Labels"].get("io.kubernetes.container.name", "sandbox")
            found[label] = (to_seconds(facts["CreatedAt"]), began)
        return found


def to_seconds(text: str) -> float:
    """A time of containerd, which has nanoseconds, as seconds since 1970."""
    return datetime.fromisoformat(re.sub(r"(\.\d{1,6})\d*", r"\1", text).replace("Z", "+00:00")).timestamp()


def body(protocol: str, subject: Subject = IRIS) -> str:
    """The request of one protocol."""
    if protocol == "v1":
        return json.dumps({"instances": subject.instances})
    data = [value for row in INSTANCES for value in row]
    tensor = {"name": "input-0", "shape": [len(INSTANCES), 4], "datatype": "FP64", "data": data}
    return json.dumps({"inputs": [tensor]})


def path(protocol: str, model: str) -> str:
    """Where to send it."""
    return f"/v1/models/{model}:predict" if protocol == "v1" else f"/v2/models/{model}/infer"


def is_right(protocol: str, answer: bytes, subject: Subject = IRIS) -> bool:
    """Whether an answer holds the right predictions."""
    try:
        content = json.loads(answer)
        return bool((content["predictions"] if protocol == "v1" else content["outputs"][0]["data"]) == subject.expected)
    except (ValueError, KeyError, TypeError, IndexError):
        return False


def first_answer(connect: Callable[[], HTTPConnection], server: Server) -> float:
    """Ask until the right predictions come; the time of that."""
    protocol, deadline = server.protocols[0], time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        connection = connect()
        try:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", path(protocol, server.model), body(protocol, server.subject), headers)
            response = connection.getresponse()
            if response.status == 200 and is_right(protocol, response.read(), server.subject):
                return time.time()
        except (OSError, HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(POLL_S)
    raise MeasurementError(f"{server.label} did not answer in {TIMEOUT_S} s.")


def _objects(
    served: Served, references: Mapping[str, str], annotations: Mapping[str, str], servers: Sequence[Server]
) -> Iterator[dict[str, Any]]:
    """The account that reads the bucket, KServe's own server, and each service with a port of the node."""
    yield _object("v1", "Namespace", NAMESPACE)
    keys = json.loads(served.kubectl("get", "secret", "model-reader", f"--namespace={MODELS_NAMESPACE}", "-ojson"))
    kept = {name: keys["metadata"].get("annotations", {})[name] for name in keys["metadata"].get("annotations", {})
            if name.startswith("serving.kserve.io/")}  # fmt: skip
    yield {**_object("v1", "Secret", ACCOUNT, kept), "data": keys["data"]}
    yield {**_object("v1", "ServiceAccount", ACCOUNT), "secrets": [{"name": ACCOUNT}]}
    source = served.settings.state / "sources" / "kserve" / "python" / SOURCE / SOURCE
    files = {file.name: file.read_text() for file in source.glob("*.py") if not file.name.startswith("test_")}
    yield {**_object("v1", "ConfigMap", SOURCE), "data": files}
    for server in servers:
        stopped = {"serving.kserve.io/stop": "true", **annotations}
        predictor = {"serviceAccountName": ACCOUNT, "minReplicas": 0 if annotations else 1}
        predictor |= server.predictor(references.get(server.name, ""))
        yield {
            **_object("serving.kserve.io/v1beta1", "InferenceService", server.name, stopped),
            "spec": {"predictor": predictor},
        }
        spec = {
            "type": "NodePort",
            "selector": {"serving.kserve.io/inferenceservice": server.name},
            "ports": [{"port": 80, "targetPort": 8080}],
            # The first answer is waited for, whatever a probe has seen until then.
            "publishNotReadyAddresses": True,
        }
        yield {**_object("v1", "Service", f"{server.name}-measured"), "spec": spec}


def _object(version: str, kind: str, name: str, annotations: Mapping[str, str] | None = None) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "annotations": dict(annotations or {})}
    if kind != "Namespace":
        metadata["namespace"] = NAMESPACE
    return {"apiVersion": version, "kind": kind, "metadata": metadata}


@contextmanager
def running(
    config: Settings, annotations: Mapping[str, str] | None = None, servers: Sequence[Server] = SERVERS
) -> Iterator[Served]:
    """The services on the demo's cluster, which is made, and converged, where it is not; they are deleted at the end.

    annotations: of the services, in Knative mode.
    """
    everything = table.load(table.TABLE, FOLDER / "components.toml").of_mode(config.mode)
    ours = tuple(image for image in everything.images if image.ref.startswith(PREFIX))
    progress = Progress()
    cluster = commands.up(config, commands.rows_of(config), progress)
    demo.run_demo(cluster, progress)
    debian.ensure(mmdebstrap="mmdebstrap", zstd="zstd")
    with locked(config.cache):
        rootfs = {image.rootfs for image in ours}
        products = [images.rootfs_product(everything.rootfs[name], config) for name in sorted(rootfs)]
        build_missing([*products, *(images.product(image, everything, config) for image in ours)], progress)
    Cluster(config, replace(everything, images=ours), cluster.engine).load(progress, built=True)
    served = Served(cluster)
    references = {image.ref.removeprefix(PREFIX).split("-")[0].split(":")[0]: image.ref for image in ours}
    served.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")
    try:
        if any(server.subject is FOREST for server in servers):
            _bucket(config).put(*_forest())
        served.apply(*_objects(served, references, annotations or {}, servers))
        yield served
    finally:
        served.kubectl("delete", "namespace", NAMESPACE)
        if any(server.subject is FOREST for server in servers):
            _bucket(config).remove(_forest()[0])


def _bucket(config: Settings) -> ObjectStore:
    """The bucket of the models, for their owner."""
    secret = (config.state / "s3-secret-key").read_text().split()[0]
    url = f"http://127.0.0.1:{config.s3_port}"
    return s3.connect(S3Options(BUCKET, url, "us-east-1", S3_KEY, secret, addressing_style="path"))


@cache
def _forest() -> tuple[str, bytes, str]:
    """The key, the content and the SHA-256 of a forest that predicts iris."""
    rows, classes = load_iris(return_X_y=True)
    content = BytesIO()
    joblib.dump(RandomForestClassifier(TREES, random_state=0).fit(rows, classes), content)
    data = content.getvalue()
    return f"{FOREST.name}/v1/model.joblib", data, hashlib.sha256(data).hexdigest()
