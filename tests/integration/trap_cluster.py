# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shared by the readiness tests: a bucket, a namespace, InferenceServices, and runs of inference_service_ready.

If HASHFOUNDRY_RECORD names a folder, the objects of each verdict are written there, in the format of the unit tests'
fixtures in tests/unit/plugins/module_utils/fixtures/recorded.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from local.settings import REPOSITORY, Settings

from .helpers import iris_model, s3_client, wait_until

Json = dict[str, Any]

LABEL = "serving.kserve.io/inferenceservice"
RUNTIME = "kserve-sklearnserver"
# Not part of any other secret of the cluster, so that every output can be searched for it.
PLANTED = "PLANTED" + secrets.token_hex(16)

# With the first, a failure is reported before the grace period ends; with the second, after it.
AT_ONCE = {"timeout": 150, "grace_period": 120}
AFTER_GRACE = {"timeout": 150, "grace_period": 3}
AT_TIMEOUT = {"timeout": 8, "grace_period": 120}
SERVES = AT_ONCE

# Like KServe's sklearnserver without a model file: it starts, and returns 404 for every request about the model.
# https://github.com/kserve/kserve/blob/v0.20.0/python/sklearnserver/sklearnserver/__main__.py
EMPTY_SERVER = [
    "python3",
    "-c",
    "import signal, sys; from http.server import HTTPServer, SimpleHTTPRequestHandler as Files;"
    "signal.signal(signal.SIGTERM, lambda *_: sys.exit()); HTTPServer(('', 8080), Files).serve_forever()",
]


@dataclass(frozen=True)
class Outcome:
    """The options and the result of a run of the module."""

    options: Json
    result: Json
    failed: bool

    @property
    def verdict(self) -> tuple[str, str]:
        return self.result["verdict"], self.result["reason"]

    @property
    def seconds(self) -> float:
        return self.result["waited_seconds"]

    @property
    def ready(self) -> str | None:
        """The condition Ready at the moment of the verdict."""
        return next((entry["status"] for entry in self.result["conditions"] if entry["type"] == "Ready"), None)

    @property
    def event_text(self) -> str:
        return " ".join(event["message"] for event in self.result["events"])

    @property
    def log_text(self) -> str:
        return "\n".join(line for lines in self.result["logs"].values() for line in lines)


def service(name: str, namespace: str, *, account: str = "reader", mode: str = "Standard", **parts: Any) -> Json:
    """An InferenceService for the iris model's format.

    parts: annotations, predictor and model, merged into the defaults.
    """
    model = {
        "modelFormat": {"name": "sklearn"},
        "runtime": RUNTIME,
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}},
        **parts.get("model", {}),
    }
    predictor = {
        "serviceAccountName": account,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000},
        "storageContainerName": namespace,
        **parts.get("predictor", {}),
        "model": {key: value for key, value in model.items() if value is not None},
    }
    annotations = {"serving.kserve.io/deploymentMode": mode, **parts.get("annotations", {})}
    metadata = {"name": name, "namespace": namespace, "annotations": annotations}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": metadata,
        "spec": {"predictor": predictor},
    }


@dataclass
class Cluster:
    """A namespace with a bucket of the same name and the ServiceAccounts reader, stranger and forgetful.

    The credentials of stranger are wrong, and the Secret of forgetful is missing.
    """

    settings: Settings
    namespace: str
    outputs: list[str] = field(default_factory=list)

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        """Run kubectl and return its output; retry while KServe's webhook is unavailable."""
        program = [str(self.settings.state / "bin" / "kubectl"), f"--kubeconfig={self.settings.kubeconfig}"]
        result = wait_until(
            lambda: subprocess.run([*program, *words], input=stdin, capture_output=True, text=True, check=False),
            lambda result: not result.returncode or "failed calling webhook" not in result.stderr,
            60,
            pause=1,
            what="KServe's webhook answers",
        )
        assert not result.returncode, f"kubectl {' '.join(words)}: {result.stderr.strip()}"
        return result.stdout

    def apply(self, *things: Json) -> None:
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(things)})
        self.kubectl("apply", "--server-side", "--field-manager=ansible", "-f", "-", stdin=text)

    def patch(self, name: str, *, annotations: Json | None = None, **model: Any) -> None:
        """Change the annotations and the predictor's model of an InferenceService."""
        change = {"metadata": {"annotations": annotations or {}}, "spec": {"predictor": {"model": model}}}
        words = ("inferenceservice", name, "-n", self.namespace, "--type=merge", "--field-manager=ansible")
        self.kubectl("patch", *words, "-p", json.dumps(change))

    def get(self, kind: str, name: str) -> Json:
        return json.loads(self.kubectl("get", kind, name, "-n", self.namespace, "-o", "json"))

    def owned(self, name: str, kinds: str, namespace: str | None = None) -> list[Json]:
        """The objects that KServe labels as an InferenceService's."""
        words = ("-n", namespace or self.namespace, "-l", f"{LABEL}={name}", "-o", "json")
        return json.loads(self.kubectl("get", kinds, *words))["items"]

    def await_event(self, name: str, text: str) -> None:
        """Wait for an event of an InferenceService with this message; KServe has one worker for all of them."""
        words = ("events", "-n", self.namespace, f"--field-selector=involvedObject.name={name}", "-o", "json")
        wait_until(
            lambda: [entry["message"] for entry in json.loads(self.kubectl("get", *words))["items"]],
            lambda messages: any(text in message for message in messages),
            60,
            what=f"an event of InferenceService {name} contains {text!r}",
        )

    def start(self, name: str, **options: Any) -> subprocess.Popen[str]:
        """Start the module as a process, as Ansible does: its options as JSON on standard input."""
        given = {"name": name, "namespace": self.namespace, "kubeconfig": str(self.settings.kubeconfig), **options}
        arguments = {"ANSIBLE_MODULE_ARGS": given}
        plain = {key: value for key, value in os.environ.items() if not key.startswith(("K8S_AUTH_", "KUBECONFIG"))}
        process = subprocess.Popen(
            [sys.executable, REPOSITORY / "plugins" / "modules" / "inference_service_ready.py"],
            env={**plain, "PYTHONPATH": str(REPOSITORY / "collections")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdin
        process.stdin.write(json.dumps(arguments))
        process.stdin.close()
        process.stdin = None
        return process

    def outcome(self, process: subprocess.Popen[str], options: Json) -> Outcome:
        """Wait until the module has finished, and read its output, which must not contain a secret."""
        printed = process.communicate(timeout=300)[0]
        self.outputs.append(printed)
        assert PLANTED not in printed
        assert "Traceback" not in printed.partition('"logs"')[0], printed
        result = json.loads(printed)
        return Outcome(options, result, bool(result.get("failed")))

    def run(self, name: str, record: str | None = None, **options: Any) -> Outcome:
        """Run the module for an InferenceService, and record its objects under a name if recording is on."""
        outcome = self.outcome(self.start(name, **options), options)
        if record and os.environ.get("HASHFOUNDRY_RECORD"):
            self.record(name, record, options.get("namespace", self.namespace))
        return outcome

    def record(self, name: str, title: str, namespace: str) -> None:
        """Write the InferenceService and its objects, without the fields that no verdict reads."""
        words = ("inferenceservice", name, "-n", namespace, "--show-managed-fields", "-o", "json")
        found = json.loads(self.kubectl("get", *words))
        knative = found["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Knative"
        listed = "{}" if knative else self.kubectl("get", "httproutes", "-n", namespace, "-o", "json")
        routes = json.loads(listed).get("items", [])
        owned = self.owned(name, "deployments,replicasets,pods", namespace)
        uid = found["metadata"]["uid"]
        mine = [route for route in routes if any(o["uid"] == uid for o in route["metadata"].get("ownerReferences", []))]
        things = {"apiVersion": "v1", "kind": "List", "items": [trimmed(thing) for thing in [found, *owned, *mine]]}
        text = yaml.dump(things, Dumper=_Indented, sort_keys=False, width=110)
        text = text.replace(self.namespace, "models").replace(PLANTED, "PLANTED")
        folder = Path(os.environ["HASHFOUNDRY_RECORD"])
        folder.mkdir(parents=True, exist_ok=True)
        head = "# Recorded on a cluster by tests/integration, without what no verdict looks at.\n"
        (folder / f"{title}.yaml").write_text(head + text, encoding="utf-8")


class _Indented(yaml.SafeDumper):
    """Writes lists with yamllint's indentation, and no aliases."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


# The fields that are recorded of each object; None: all below.
_TEMPLATE: Json = {"metadata": {"annotations": None, "labels": None}, "spec": None}
_RUNNING: Json = dict.fromkeys(("name", "image", "ready", "restartCount", "state", "lastState"))
_METADATA: Json = dict.fromkeys(("name", "namespace", "uid", "generation", "ownerReferences", "deletionTimestamp"))
_KEPT: Json = {
    "InferenceService": {
        "metadata": {**_METADATA, "annotations": None, "managedFields": None},
        "spec": None,
        "status": None,
    },
    "Deployment": {
        "metadata": {**_METADATA, "annotations": None, "labels": None},
        "spec": {"replicas": None, "strategy": None, "template": _TEMPLATE},
        "status": None,
    },
    "ReplicaSet": {"metadata": {**_METADATA, "annotations": None}, "spec": {"replicas": None}, "status": None},
    "Pod": {
        "metadata": {**_METADATA, "labels": None},
        "status": {
            **dict.fromkeys(("phase", "reason", "message", "conditions")),
            "initContainerStatuses": _RUNNING,
            "containerStatuses": _RUNNING,
        },
    },
    "HTTPRoute": {
        "metadata": _METADATA,
        "spec": {"hostnames": None, "parentRefs": None, "rules": None},
        "status": None,
    },
    "Ingress": {"metadata": _METADATA, "spec": None, "status": None},
}
_REVISION = "deployment.kubernetes.io/revision"
# Timestamps except those of managedFields, and other fields that no verdict reads.
_NOISE = (
    *("lastTransitionTime", "lastProbeTime", "lastUpdateTime", "startedAt", "finishedAt", "containerID"),
    *("blockOwnerDeletion", "terminatingReplicas", "fullyLabeledReplicas"),
    *("kubectl.kubernetes.io/last-applied-configuration", "operation", "apiVersion"),
)


def trimmed(thing: Json) -> Json:
    """The fields of an object that a verdict may read."""
    for entry in thing["metadata"].get("managedFields", []):
        entry["fieldsV1"] = {key: {} for key in entry.get("fieldsV1", {}) if key == "f:spec"}
    kept = _quiet(_picked(thing, _KEPT[thing["kind"]]))
    if thing["kind"] == "ReplicaSet":
        kept["metadata"]["annotations"] = {_REVISION: kept["metadata"]["annotations"][_REVISION]}
    template = kept.get("spec", {}).get("template", {}).get("spec", {})
    for container in template.get("containers", []):
        if container["name"] == "queue-proxy":  # added by Knative, and long
            read = ("REVISION_TIMEOUT_SECONDS", "CONTAINER_CONCURRENCY")
            container["env"] = [entry for entry in container["env"] if entry["name"] in read]
    return {"apiVersion": thing["apiVersion"], "kind": thing["kind"], **kept}


def _picked(thing: Any, kept: Json | None) -> Any:
    if kept is None:
        return thing
    if isinstance(thing, list):
        return [_picked(entry, kept) for entry in thing]
    return {key: _picked(thing[key], below) for key, below in kept.items() if key in thing}


def _quiet(thing: Any) -> Any:
    if isinstance(thing, list):
        return [_quiet(entry) for entry in thing]
    if isinstance(thing, dict):
        return {key: _quiet(value) for key, value in thing.items() if key not in _NOISE}
    return thing


def model_files(settings: Settings) -> dict[str, bytes]:
    """The objects of the tests' buckets: iris in two versions, under a wrong file name, and corrupt."""
    model = iris_model(settings)
    return {
        "iris/v1/model.joblib": model,
        "iris/v2/model.joblib": model,
        "misnamed/v1/model.onnx": model,
        "corrupt/v1/model.joblib": b"not a model",
    }


def _account(name: str, namespace: str, secret: str) -> Json:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata, "secrets": [{"name": secret}]}


def _secret(name: str, namespace: str, key: str) -> Json:
    annotations = {
        "serving.kserve.io/s3-endpoint": "object-storage.object-storage.svc.cluster.local:7070",
        "serving.kserve.io/s3-usehttps": "0",
        "serving.kserve.io/s3-region": "us-east-1",
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "annotations": annotations},
        "stringData": {"AWS_ACCESS_KEY_ID": "local-owner", "AWS_SECRET_ACCESS_KEY": key},
    }


@contextmanager
def cluster(settings: Settings, files: dict[str, bytes]) -> Iterator[Cluster]:
    """Create the namespace, its bucket with the files, and what the services need; delete everything afterwards.

    The storage initializer is KServe's with smaller requests, so that many fit on a small node.
    """
    name = f"traps-{secrets.token_hex(3)}"  # a new one: the last run's may still be terminating
    bucket, made = s3_client(settings), Cluster(settings, name)
    key = (settings.state / "s3-secret-key").read_text().strip()
    container = json.loads(made.kubectl("get", "clusterstoragecontainer", "default", "-o", "json"))["spec"]
    container["supportedUriFormats"] = [{"prefix": f"s3://{name}/"}]
    container["container"]["resources"]["requests"] = {"cpu": "10m", "memory": "64Mi"}
    bucket.create_bucket(Bucket=name)
    try:
        for path, content in files.items():
            bucket.put_object(Bucket=name, Key=path, Body=content)
        made.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}},
            {
                "apiVersion": "serving.kserve.io/v1alpha1",
                "kind": "ClusterStorageContainer",
                "metadata": {"name": name},
                "spec": container,
            },
            _secret("good", name, key),
            _secret("wrong", name, PLANTED),
            _account("reader", name, "good"),
            _account("stranger", name, "wrong"),
            _account("forgetful", name, "not-there"),
        )
        yield made
        assert not any(key in printed for printed in made.outputs), "the store's key was printed"
    finally:
        for path in files:
            bucket.delete_object(Bucket=name, Key=path)
        bucket.delete_bucket(Bucket=name)
        words = ("clusterstoragecontainer", name, "--ignore-not-found")
        made.kubectl("delete", *words)
        delete_namespaces(made, name)


def delete_namespaces(made: Cluster, *namespaces: str) -> None:
    """Delete namespaces, and wait until no pod is left in them: other tests look at every pod."""
    made.kubectl("delete", "namespaces", *namespaces, "--ignore-not-found", "--wait=false")
    for namespace in namespaces:
        made.kubectl("delete", "pods", "--all", "-n", namespace, "--grace-period=1", "--timeout=60s")


def at_once(outcome: Outcome) -> bool:
    return outcome.verdict[0] == "failed" and outcome.seconds < outcome.options["grace_period"]


def after_grace(outcome: Outcome) -> bool:
    return (
        outcome.verdict[0] == "failed"
        and outcome.options["grace_period"] <= outcome.seconds < outcome.options["timeout"]
    )


def at_timeout(outcome: Outcome) -> bool:
    return outcome.verdict[0] != "failed" and outcome.seconds >= outcome.options["timeout"]


def says(outcome: Outcome, *sentences: str) -> bool:
    """Assert that the module has failed with one line that names the service, the cause and the fix."""
    message = outcome.result["msg"]
    assert outcome.failed
    assert message.startswith("InferenceService ") and message.endswith(".") and "\n" not in message
    # A stopped service is known by its annotation, at which KServe may not have written a status yet.
    assert outcome.result["conditions"] or outcome.verdict[1] == "Stopped"
    for sentence in sentences:
        assert sentence in message
    return True


@contextmanager
def outcomes(waits: Mapping[str, Callable[[], Any]]) -> Iterator[Callable[..., Any]]:
    """Start every wait, and give the function that returns the outcome of one, or of one of its steps."""
    with ThreadPoolExecutor(len(waits)) as pool:
        started = {name: pool.submit(wait) for name, wait in waits.items()}
        yield lambda name, step=None: started[name].result()[step] if step else started[name].result()


# Verdicts that are the same in both deployment modes.


def assert_model_not_found(empty: Outcome) -> None:
    """Check the verdict on a server that runs without its model, which KServe calls Ready."""
    assert empty.ready == "True"
    assert after_grace(empty) and empty.verdict[1] == "ModelNotFound"
    assert says(empty, "runs without the model empty (404", "check that storageUri holds exactly one model file")


def assert_no_supporting_runtime(unsupported: Outcome) -> None:
    """Check the verdict on a model format that no serving runtime supports."""
    assert at_once(unsupported) and unsupported.verdict[1] == "NoSupportingRuntime"
    assert says(unsupported, "install a serving runtime for this model format and protocol version, or name another.")


def assert_secret_missing(missing: Outcome) -> None:
    """Check the verdict on a ServiceAccount that names a Secret which does not exist."""
    assert after_grace(missing) and missing.verdict[1] == "SecretMissing"
    assert says(missing, 'secrets "not-there" not found; create the Secret, or remove it from the ServiceAccount.')
