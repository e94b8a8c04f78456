# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An API server of Kubernetes and its etcd, and nothing that would run a pod: what applying is measured on."""

from __future__ import annotations

import base64
import datetime
import json
import secrets
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.hashfoundry.kserve.plugins.module_utils._certificates import pki
from benchmarks.results import MeasurementError
from benchmarks.tools import Tools

PROGRAMS = ("etcd", "kube-apiserver")
START_S = 180
# Every request that has ended is a line, and nothing else is.
AUDIT = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "users": ["system:apiserver", "system:anonymous"]},
        {"level": "Metadata"},
    ],
}


@dataclass(frozen=True)
class ApiServer:
    """Where it is; log: one line a request."""

    kubeconfig: Path
    log: Path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(found: Tools, folder: Path) -> Iterator[ApiServer]:
    """Both, on ports of their own, without an object of anybody's."""
    now, token = datetime.datetime.now(datetime.UTC), secrets.token_urlsafe()
    authority = pki.new_authority("benchmark CA", 1, now)
    for name, content in pki.data(pki.issue(authority, ["localhost"], 1, now), authority.certificate).items():
        (folder / name).write_bytes(base64.b64decode(content))
    (folder / "tokens.csv").write_text(f"{token},benchmark,benchmark,system:masters\n")
    (folder / "policy.json").write_text(json.dumps(AUDIT))
    kept, peers, port = _free_port(), _free_port(), _free_port()
    etcd = ["etcd", "--data-dir", folder / "etcd", "--unsafe-no-fsync"]
    for kind, number in (("client", kept), ("peer", peers)):
        etcd += [f"--listen-{kind}-urls", f"http://127.0.0.1:{number}"]
    etcd += ["--advertise-client-urls", f"http://127.0.0.1:{kept}"]
    etcd += ["--initial-advertise-peer-urls", f"http://127.0.0.1:{peers}"]
    etcd += ["--initial-cluster", f"default=http://127.0.0.1:{peers}"]
    server = ["kube-apiserver", "--etcd-servers", f"http://127.0.0.1:{kept}", "--secure-port", port]
    server += ["--bind-address", "127.0.0.1", "--tls-cert-file", folder / "tls.crt"]
    server += ["--tls-private-key-file", folder / "tls.key", "--cert-dir", folder]
    server += ["--token-auth-file", folder / "tokens.csv", "--authorization-mode", "RBAC"]
    server += ["--service-account-issuer", "https://localhost", "--service-account-key-file", folder / "tls.crt"]
    server += ["--service-account-signing-key-file", folder / "tls.key", "--service-cluster-ip-range", "10.96.0.0/16"]
    server += ["--audit-log-path", folder / "audit.log", "--audit-policy-file", folder / "policy.json"]
    with ExitStack() as stack:
        for command in (etcd, server):
            stack.enter_context(_process(found, [str(word) for word in command], folder))
        _wait(port, folder)
        cluster = {"server": f"https://localhost:{port}", "certificate-authority": str(folder / "ca.crt")}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "benchmark", "cluster": cluster}],
            "users": [{"name": "benchmark", "user": {"token": token}}],
            "contexts": [{"name": "benchmark", "context": {"cluster": "benchmark", "user": "benchmark"}}],
            "current-context": "benchmark",
        }
        (folder / "kubeconfig").write_text(json.dumps(config))
        yield ApiServer(folder / "kubeconfig", folder / "audit.log")


@contextmanager
def _process(found: Tools, command: Sequence[str], folder: Path) -> Iterator[None]:
    with (folder / f"{command[0]}.log").open("wb") as output:
        process = subprocess.Popen(
            [str(found.program(command[0])), *command[1:]], stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait()


def _wait(port: int, folder: Path) -> None:
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"https://localhost:{port}/readyz", context=context, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise MeasurementError(f"The API server did not start:\n{(folder / 'kube-apiserver.log').read_text()[-2000:]}")
