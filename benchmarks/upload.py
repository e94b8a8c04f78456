# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Uploading a model version to a local S3 server, over HTTPS like public object stores and over HTTP, and again without
changes.
"""

from __future__ import annotations

import base64
import datetime
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version as package_version
from pathlib import Path

from ansible_collections.hashfoundry.kserve.plugins.module_utils._certificates import pki
from benchmarks import tools
from benchmarks.playbook import EMPTY, Task, play
from benchmarks.results import MeasurementError, Report
from benchmarks.tools import Tools

ROUNDS = 5
SCHEMES = ("https", "http")
OURS, LIBRARY = "spaces_upload", "boto3 upload_file"
BUCKET = "models"
MIB = 2**20
# What is uploaded: the number of files and the size of each.
SHAPES = {"1 GiB in one file": (1, 1024 * MIB), "1,000 files of 256 KiB": (1000, MIB // 4)}
# A module with a loop runs a task per file: only this many are measured, and the time of all is extrapolated.
LOOPED = 20
LOOPED_ROUNDS = 2
MAX_REQUESTS, MAX_SECONDS = 2, 1.5
MEMORY = Path("/dev/shm")
MEMORY_NEEDED = 4 * 2**30  # an object of 1 GiB, its parts, and a reserve
ACCESS = {"AWS_ACCESS_KEY_ID": "benchmark", "AWS_SECRET_ACCESS_KEY": "benchmark-secret", "AWS_REGION": "us-east-1"}


@dataclass(frozen=True)
class Store:
    """An S3 server with a folder as storage; log: one line per request; ca: the file of its CA certificate."""

    url: str
    folder: Path
    log: Path
    ca: Path

    @property
    def env(self) -> dict[str, str]:
        """The environment variables by which each tool finds the server."""
        return {
            **ACCESS,
            "AWS_DEFAULT_REGION": ACCESS["AWS_REGION"],
            "AWS_ENDPOINT_URL": self.url,
            "AWS_CA_BUNDLE": str(self.ca),
            # As the AWS SDK guide recommends for S3-compatible stores; over TLS versitygw rejects trailing checksums.
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            "RCLONE_CA_CERT": str(self.ca),
            "RCLONE_CONFIG": "/dev/null",
            "RCLONE_CONFIG_STORE_TYPE": "s3",
            "RCLONE_CONFIG_STORE_PROVIDER": "Other",
            "RCLONE_CONFIG_STORE_ENV_AUTH": "true",
            "RCLONE_CONFIG_STORE_ENDPOINT": self.url,
        }

    def uploaded_bytes(self, prefix: str) -> int:
        """The bytes below a prefix, without objects that a tool adds."""
        files = (self.folder / BUCKET / prefix).rglob("*.bin")
        return sum(file.stat().st_size for file in files if file.is_file())

    def empty(self) -> None:
        """Delete all objects, and flush a disk."""
        for folder in (self.folder / BUCKET).iterdir():
            shutil.rmtree(folder, ignore_errors=True)
        if not self.folder.is_relative_to(MEMORY):
            os.sync()


def storage_folder(disk: Path) -> Path:
    """The folder for the objects: in memory if possible, so that the speed of the disk is not measured."""
    try:
        with tempfile.NamedTemporaryFile(dir=MEMORY) as probe:
            os.setxattr(probe.name, "user.probe", b"1")  # the server stores the metadata of objects in these
        if shutil.disk_usage(MEMORY).free > MEMORY_NEEDED:
            return MEMORY
    except OSError:
        pass
    return disk


@contextmanager
def store(found: Tools, folder: Path, scheme: str) -> Iterator[Store]:
    """A running versitygw, as in the local cluster, with persistent connections like public object stores."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    root, log = folder / "store", folder / "access.log"
    (root / BUCKET).mkdir(parents=True)
    ca = certificate(folder)
    command = [found.program("versitygw"), "--access", ACCESS["AWS_ACCESS_KEY_ID"], "--port", address, "--keep-alive"]
    command += ["--secret", ACCESS["AWS_SECRET_ACCESS_KEY"], "--quiet", "--access-log", log]
    if scheme == "https":
        command += ["--cert", folder / "tls.crt", "--key", folder / "tls.key"]
    command += ["posix", root]
    with (folder / "server.log").open("wb") as output:
        server = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            _wait(address, server)
            yield Store(f"{scheme}://localhost:{address.rpartition(':')[2]}", root, log, ca)
        finally:
            server.terminate()
            server.wait()


def certificate(folder: Path) -> Path:
    """Write tls.crt and tls.key for a server at localhost; return the file of its CA certificate."""
    now = datetime.datetime.now(datetime.UTC)
    authority = pki.new_authority("benchmark CA", 1, now)
    issued = pki.data(pki.issue(authority, ["localhost"], 1, now), authority.certificate)
    for name, content in issued.items():
        (folder / name).write_bytes(base64.b64decode(content))
    return folder / "ca.crt"


def _wait(address: str, server: subprocess.Popen[bytes]) -> None:
    host, _colon, port = address.partition(":")
    for _attempt in range(200):
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                return
        if server.poll() is not None:
            break
        time.sleep(0.05)
    raise MeasurementError("The S3 server did not start.")


def task(tool: str, found: Tools, url: str, source: Path, prefix: str) -> Task:
    """The task that uploads the files of the folder to the prefix, as a user of the tool would write it."""
    files = sorted(file.name for file in source.iterdir())
    if tool == LIBRARY:
        program = Path(__file__).with_name("boto3_upload.py")
        # -P: otherwise platform.py in the same folder would shadow that of Python.
        argv = [str(found.script("python")), "-P", str(program), str(source), BUCKET, f"{prefix}/v1"]
        return {"ansible.builtin.command": {"argv": argv}}
    if tool == OURS:
        options = {"source": str(source), "bucket": BUCKET, "name": prefix, "version": "v1", "endpoint_url": url}
        return {"hashfoundry.kserve.spaces_upload": {**options, "addressing_style": "path"}}
    if tool == "aws s3 sync":
        argv = [str(found.script("aws")), "s3", "sync", "--no-progress", str(source), f"s3://{BUCKET}/{prefix}/v1/"]
        return {"ansible.builtin.command": {"argv": argv}}
    if tool == "rclone copy":
        argv = [str(found.program("rclone")), "copy", str(source), f"store:{BUCKET}/{prefix}/v1"]
        return {"ansible.builtin.command": {"argv": argv}}
    if tool == "community.aws.s3_sync":
        options = {"bucket": BUCKET, "key_prefix": f"{prefix}/v1", "file_root": str(source), "endpoint_url": url}
        return {"community.aws.s3_sync": {**options, "region": ACCESS["AWS_REGION"]}}
    options = {"bucket": BUCKET, "mode": "put", "overwrite": "different", "endpoint_url": url}
    each = {"object": f"{prefix}/v1/{{{{ item }}}}", "src": f"{source}/{{{{ item }}}}"}
    return {"amazon.aws.s3_object": {**options, **each, "region": ACCESS["AWS_REGION"]}, "loop": files[:LOOPED]}


TOOLS = (OURS, LIBRARY, "aws s3 sync", "rclone copy", "amazon.aws.s3_object", "community.aws.s3_sync")


def _sources(folder: Path) -> dict[str, Path]:
    """Create the files of each shape, with random bytes that cannot be compressed."""
    found = {}
    for number, (name, (count, size)) in enumerate(SHAPES.items()):
        found[name] = folder / f"source-{number}"
        found[name].mkdir()
        for index in range(count):
            with (found[name] / f"part-{index:04d}.bin").open("wb") as file:
                for _block in range(0, size, MIB):
                    file.write(os.urandom(min(size, MIB)))
    return found


def measure(rounds: int = ROUNDS) -> Report:
    """Upload both shapes with each tool in turn, and again without changes."""
    found = tools.ensure("versitygw", "rclone")
    names = ("versitygw", "ansible-core", "boto3", "awscli", "rclone", "amazon.aws", "community.aws")
    versions = {**found.versions(names), "boto3 of spaces_upload": package_version("boto3")}
    report = Report("upload", "Uploading a model version to an S3 server on the same machine", versions)
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir=found.settings.cache) as name:
        sources = _sources(Path(name))
        os.sync()
        for scheme in SCHEMES:
            with tempfile.TemporaryDirectory(prefix="benchmark-", dir=storage_folder(found.settings.cache)) as objects:
                location = "in memory" if Path(objects).is_relative_to(MEMORY) else "on the same disk"
                with store(found, Path(objects), scheme) as server:
                    for shape, source in sources.items():
                        _rows(report, f"{shape}, {scheme.upper()}", _measured(found, server, shape, source, rounds))
    report.notes += [
        "Each tool runs in turn as a task of a playbook, each time with an empty prefix. The S3 server is versitygw "
        f"with a folder {location}, and the files are in the page cache.",
        f"amazon.aws.s3_object needs a task per file: {LOOPED} of the 1,000 are measured, times {1000 // LOOPED}.",
        "The seconds of a second run exclude those of an empty task (ansible.builtin.ping); the requests are those of "
        "the access log.",
        "The client of the AWS Common Runtime (boto3[crt]) is not measured, because boto3 supports it neither with a "
        "custom CA nor with an endpoint_url.",
        "AWS_REQUEST_CHECKSUM_CALCULATION is when_required for all tools, as for S3-compatible object stores.",
    ]
    return report


@dataclass(frozen=True)
class Measured:
    """The measurements by tool: seconds of the first and of the second run, and requests of the second."""

    first: dict[str, list[float]]
    again: dict[str, list[float]]
    requests: dict[str, list[float]]


def _measured(found: Tools, server: Store, shape: str, source: Path, rounds: int) -> Measured:
    count, size = SHAPES[shape]
    measured = Measured({tool: [] for tool in TOOLS}, {tool: [] for tool in TOOLS}, {tool: [] for tool in TOOLS})
    for number in range(rounds):
        for tool in TOOLS[number % len(TOOLS) :] + TOOLS[: number % len(TOOLS)]:
            factor = 1.0
            if tool == "amazon.aws.s3_object" and count > LOOPED:
                factor = count / LOOPED
                if number >= LOOPED_ROUNDS:
                    continue
            server.empty()
            prefix = f"round-{number}"
            one = task(tool, found, server.url, source, prefix)
            tasks = [EMPTY, {"name": "first", **one}, {"name": "again", **one}]
            timed = play(found, tasks, env=server.env, counted=server.log).tasks
            if server.uploaded_bytes(prefix) * factor != count * size:
                raise MeasurementError(f"{tool} did not upload {shape}.")
            print(f"    round {number + 1}, {shape}, {server.url}, {tool}: {timed['first'].seconds:.2f} s", flush=True)
            measured.first[tool].append(timed["first"].seconds * factor)
            measured.again[tool].append((timed["again"].seconds - timed["empty"].seconds) * factor)
            measured.requests[tool].append(timed["again"].lines * factor)
    return measured


def _rows(report: Report, shape: str, measured: Measured) -> None:
    medians = {tool: statistics.median(values) for tool, values in measured.first.items()}
    best = min(value for tool, value in medians.items() if tool != OURS)
    report.compare(shape, OURS, measured.first, limit="at least as fast as the fastest", met=medians[OURS] <= best)
    met = statistics.median(measured.again[OURS]) <= MAX_SECONDS
    limit = f"at most {MAX_SECONDS} s more than an empty task"
    report.compare(f"{shape}, again", OURS, measured.again, limit=limit, met=met)
    met = max(measured.requests[OURS]) <= MAX_REQUESTS
    limit = f"at most {MAX_REQUESTS}"
    report.compare(f"{shape}, again, requests", OURS, measured.requests, unit="requests", limit=limit, met=met)
