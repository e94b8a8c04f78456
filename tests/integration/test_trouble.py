# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One message names each fault and its fix: playbooks on the cluster, and runs of `python -m local`.

The runs of `python -m local` use another cluster name, state folder and cache. None creates a cluster.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from local import table

from .conftest import ended, errors, reason
from .helpers import one_line, wait_until

Done = subprocess.CompletedProcess[str]
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may build images, mount a disk and become another")
NOBODY = 65534
NOWHERE = "unix:///nonexistent/docker.sock"
PROXY_SENTENCE = "check that the Go module proxy is reachable, or set GOPROXY."


def says(result: Done, *sentences: str, code: int | None = None) -> str:
    """Assert that a run has failed with these sentences and without a traceback; return its output in one line."""
    assert result.returncode == code if code else result.returncode != 0
    printed = one_line(result.stdout)
    assert "Traceback (most recent call last)" not in printed
    for sentence in sentences:
        assert sentence in printed
    return printed


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port of 127.0.0.1 that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


# Playbooks on the cluster under test.


def test_a_missing_kubeconfig(playbook):
    result = playbook("playbooks/serving.yml", "-e", "platform_kubeconfig=/nonexistent")
    says(result, "The kubeconfig /nonexistent of local is missing;", "platform_kubeconfig or K8S_AUTH_KUBECONFIG, or")
    assert len(errors(result)) == 1


def test_a_cluster_that_does_not_answer(playbook, settings, closed_port, tmp_path):
    config = yaml.safe_load(settings.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{closed_port}"
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(yaml.safe_dump(config))
    result = playbook("playbooks/serving.yml", "-e", f"platform_kubeconfig={kubeconfig}", timeout=60)
    says(
        result,
        "The cluster of local does not answer ([Errno 111] Connection refused).",
        "(APIServerUnreachable)",
        "or set platform_kubeconfig",
    )


def test_a_proxy_of_the_environment_is_not_used_for_a_local_cluster(playbook, closed_port):
    proxy = f"http://127.0.0.1:{closed_port}"
    env = {name: proxy for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")}
    env |= {"NO_PROXY": "", "no_proxy": ""}
    result = playbook("playbooks/storage.yml", "playbooks/serving.yml", "playbooks/verify.yml", env=env)
    assert result.returncode == 0 and "changed=0" in result.stdout, reason(result)


def test_a_cluster_that_does_not_match_the_inventory(playbook, kubectl):
    found = kubectl("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}")
    result = playbook("playbooks/serving.yml", "-e", "cluster_preflight_uid=not-this-one")
    says(
        result,
        f"The cluster of local has the UID {found} and not not-this-one.",
        "or cluster_preflight_uid to this UID.",
    )
    assert len(errors(result)) == 1


def test_a_folder_that_cannot_be_written(playbook):
    result = playbook("playbooks/addons.yml", "-e", "platform_ca_file=/proc/hashfoundry/ca.crt")
    says(result, "ca_file /proc/hashfoundry/ca.crt cannot be written (", "; name another place.")
    assert len(errors(result)) == 1


STORAGE = {
    "a wrong secret key": (
        {"model_storage_secret_key": "not-the-key-of-the-server"},
        "does not accept the signature, so the secret key is wrong; check access_key, secret_key",
    ),
    "an unknown access key": (
        {"model_storage_access_key": "nobody", "model_storage_secret_key": "not-the-key-of-the-server"},
        "check access_key",
    ),
    "a missing bucket": (
        {"model_storage_bucket": "no-such-bucket", "model_storage_create_bucket": False},
        "There is no bucket no-such-bucket at http://127.0.0.1:",
    ),
}


@pytest.mark.parametrize("case", STORAGE)
def test_storage(playbook, case):
    words, sentence = STORAGE[case]
    result = playbook("playbooks/storage.yml", "--tags", "model_storage", "-e", json.dumps(words))
    printed = says(result, sentence)
    assert len(errors(result)) == 1
    assert "not-the-key-of-the-server" not in printed


def test_an_object_store_that_refuses_connections(playbook, closed_port):
    endpoint = f"http://127.0.0.1:{closed_port}"
    words = ("--tags", "model_storage", "-e", f"model_storage_endpoint_url={endpoint}")
    result = playbook("playbooks/storage.yml", *words, timeout=60)
    says(result, f"{endpoint} cannot be reached; check endpoint_url and the network.")
    assert len(errors(result)) == 1


@pytest.fixture
def lost_model(kubectl) -> Iterator[dict[str, Any]]:
    """A model that is missing from the bucket; its InferenceService is deleted after the test."""
    name = "lost-model"
    requests, limits = {"cpu": "50m", "memory": "64Mi"}, {"cpu": "500m", "memory": "512Mi"}
    kind = {"format": "sklearn", "runtime": "kserve-sklearnserver"}
    yield {"name": name, "version": "v1", **kind, "resources": {"requests": requests, "limits": limits}}
    kubectl("delete", "inferenceservice", name, "-n", "ml-models", "--ignore-not-found", "--timeout=60s")


def test_a_model_that_is_missing_from_the_bucket(playbook, lost_model):
    result = playbook("playbooks/serving.yml", "-e", json.dumps({"models": [lost_model]}))
    says(result, "The bucket hashfoundry-ml-models does not contain the listed version of lost-model")
    assert len(errors(result)) == 1


def test_a_model_that_was_deleted_from_the_bucket(playbook, lost_model):
    digests = {"s3://hashfoundry-ml-models/lost-model/v1/": f"sha256:{'0' * 64}"}
    # The digest of a version that has been deleted since the upload.
    words = {"models": [lost_model], "model_storage_digests": digests}
    words |= {"model_serving_timeout": 60, "model_serving_grace_period": 3}
    result = playbook("playbooks/serving.yml", "--tags", "cluster_preflight,model_serving", "-e", json.dumps(words))
    says(
        result,
        "InferenceService lost-model in namespace ml-models does not serve: The init container storage-initializer of",
        "model could not be downloaded: Failed to fetch model. No model found in lost-model/v1/",
        "check storageUri and what the ServiceAccount's secret says about the store.",
    )
    assert len(errors(result)) == 1


MODELS = {
    "a version that is a number": (
        {"version": 1.0},
        "Model lost-model: version is the number 1.0; put it between quotes",
    ),
    "an unsupported storage": (
        {"storage": "nfs"},
        "Model lost-model: value of storage must be one of: s3, pvc, oci",
    ),
    "a misspelt key": (
        {"replicas": 2},
        "Model lost-model: replicas is not a key of a model; the keys are",
    ),
}


@pytest.mark.parametrize("case", MODELS)
def test_an_invalid_model_entry(playbook, lost_model, case):
    change, sentence = MODELS[case]
    words = ("--tags", "model_storage", "-e", json.dumps({"models": [{**lost_model, **change}]}))
    says(playbook("playbooks/storage.yml", *words), sentence)


# `python -m local up` for another cluster.


class Local:
    """`python -m local` for a cluster that does not exist, with an empty cache."""

    def __init__(self, folder: Path, repository: Path) -> None:
        self.cache = folder / "cache"
        self._folder = folder
        self._repository = repository

    def env(self, **extra: str | Path | int) -> dict[str, str]:
        plain = {name: value for name, value in os.environ.items() if not name.startswith("HASHFOUNDRY_")}
        own = {
            "HASHFOUNDRY_CLUSTER": f"hashfoundry-trouble-{os.getpid()}",
            "HASHFOUNDRY_STATE": self._folder / "state",
            "HASHFOUNDRY_CACHE": self.cache,
            "HASHFOUNDRY_IMAGES": "build",  # without a check for a container registry
            "HASHFOUNDRY_HTTPS_PORT": free_port(),
            "HASHFOUNDRY_S3_PORT": free_port(),
            "GOMODCACHE": self._folder / "gomod",
        }
        return {**plain, **{name: str(value) for name, value in (own | extra).items()}}

    def up(self, *wrapper: str, **extra: str | Path | int) -> Done:
        command = [*wrapper, sys.executable, "-m", "local", "up"]
        return ended(command, self._repository, self.env(**extra), timeout=90)

    def start(self, **extra: str | Path | int) -> subprocess.Popen[str]:
        """Start in a new process group, as a terminal does."""
        return subprocess.Popen(
            [sys.executable, "-m", "local", "up"],
            cwd=self._repository,
            env=self.env(**extra),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # A shell makes its background processes ignore SIGINT.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def another(tmp_path, repository) -> Local:
    return Local(tmp_path, repository)


SETTINGS = {
    "a seed that is not a folder": (
        {"HASHFOUNDRY_SEED": "/nonexistent"},
        "HASHFOUNDRY_SEED=/nonexistent is not a folder: set it to a folder of prebuilt binaries, or unset it.",
    ),
    "a port that is a word": (
        {"HASHFOUNDRY_HTTPS_PORT": "https"},
        "HASHFOUNDRY_HTTPS_PORT=https is not a port: set it to a number from 1 to 65535.",
    ),
    "a port that is too high": (
        {"HASHFOUNDRY_S3_PORT": "65536"},
        "HASHFOUNDRY_S3_PORT=65536 is not a port: set it to a number from 1 to 65535.",
    ),
    "an unsupported source of images": (
        {"HASHFOUNDRY_IMAGES": "guess"},
        "HASHFOUNDRY_IMAGES=guess is not supported: set it to one of auto, pull, build.",
    ),
    "a cache that cannot be written": (
        {"HASHFOUNDRY_CACHE": "/proc/x"},
        "The cache folder /proc/x is not writable (No such file or directory): "
        "set HASHFOUNDRY_CACHE to a writable folder.",
    ),
    "a state folder that cannot be created": (
        {"HASHFOUNDRY_STATE": "/proc/x"},
        "The state folder /proc/x is not writable (No such file or directory): "
        "set HASHFOUNDRY_STATE to a writable folder.",
    ),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_an_invalid_setting(another, case):
    extra, sentence = SETTINGS[case]
    result = another.up(**extra)
    printed = says(result, f"Error: {sentence}", code=1)
    assert next(iter(extra)) in printed
    assert printed.count("Error: ") == 1


@pytest.mark.parametrize("name", ["HASHFOUNDRY_HTTPS_PORT", "HASHFOUNDRY_S3_PORT"])
def test_a_port_in_use_is_reported_before_anything_is_built(another, silent_port, name):
    result = another.up(**{name: silent_port})
    says(result, f"Port {silent_port} of 127.0.0.1 is in use (Address already in use)", f"or set {name}.", code=1)
    assert not (another.cache / "programs").exists()


@contextmanager
def disk(folder: Path, size: str) -> Iterator[Path]:
    """A small tmpfs mounted at the folder."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=False)
    if mounted.returncode:
        pytest.skip("this machine forbids mounting a tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def seed_of(folder: Path, programs: Mapping[str, bytes]) -> Path:
    """A folder of prebuilt programs in the layout of HASHFOUNDRY_SEED."""
    folder.mkdir(exist_ok=True)
    sums = []
    for name, content in programs.items():
        subprocess.run(["zstd", "-q", "-f", "-o", folder / f"{name}.zst"], input=content, check=True)
        sums.append(f"{hashlib.sha256(content).hexdigest()}  {name}\n")
    (folder / "SHA256SUMS").write_text("".join(sums))
    return folder


def first_programs(count: int) -> list[str]:
    """The names of the first programs that a run builds."""
    return [f"{program.name}-{program.version}" for program in table.load().programs.values()][:count]


@AS_ROOT
def test_a_disk_with_too_little_free_space(another, tmp_path):
    with disk(tmp_path / "disk", "1m") as small:
        result = another.up(HASHFOUNDRY_CACHE=small / "cache")
        says(result, "GiB free and 12 GiB are needed: free disk space, or set HASHFOUNDRY_CACHE to a folder", code=1)


@AS_ROOT
def test_a_disk_that_becomes_full_during_a_build(another, tmp_path, repository):
    (first,) = first_programs(1)
    seed = seed_of(tmp_path / "seed", {first: os.urandom(4 * 2**20)})
    # Without the check for free space, as if another program filled the disk during the build.
    script = "from local import __main__, cache; cache.NEEDED_BYTES = 0; raise SystemExit(__main__.main(['up']))"
    with disk(tmp_path / "disk", "1m") as small:
        env = another.env(HASHFOUNDRY_CACHE=small / "cache", HASHFOUNDRY_SEED=seed)
        result = ended([sys.executable, "-c", script], repository, env, timeout=90)
        says(result, "the disk is full: free disk space, or set HASHFOUNDRY_CACHE to a folder on another disk.", code=1)
        assert not (small / "cache" / "programs" / first).exists()


@AS_ROOT
def test_a_go_proxy_that_does_not_answer(another, closed_port):
    result = another.up(GOPROXY=f"http://127.0.0.1:{closed_port}")
    printed = says(result, PROXY_SENTENCE, "connection refused", code=1)
    assert printed.count("Error: ") == 1


@AS_ROOT
def test_a_seed_that_does_not_match_its_checksums(another, tmp_path):
    (first,) = first_programs(1)
    seed = seed_of(tmp_path / "seed", {first: b"a program"})
    (seed / "SHA256SUMS").write_text(f"{hashlib.sha256(b'another').hexdigest()}  {first}\n")
    result = another.up(HASHFOUNDRY_SEED=seed)
    says(result, "does not match its SHA256SUMS: replace the file, or unset HASHFOUNDRY_SEED.", code=1)
    assert not (another.cache / "programs" / first).exists()


def test_a_package_index_that_does_not_answer(tmp_path, repository, closed_port):
    for name in ("local/venv.py", "requirements.lock"):
        copy = tmp_path / "checkout" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(repository / name, copy)
    index = f"http://127.0.0.1:{closed_port}/simple"
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    pip = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1", "PIP_RETRIES": "1", "PIP_INDEX_URL": index}
    env = plain | pip | {"UV_INDEX_URL": index}
    result = ended([sys.executable, "local/venv.py"], tmp_path / "checkout", env, timeout=90)
    says(
        result,
        "Error: The installation from PyPI failed: check the network, or set PIP_INDEX_URL and UV_INDEX_URL to a "
        "mirror.",
        code=1,
    )
    # The next run does not treat an incomplete environment as complete.
    assert not (tmp_path / "checkout" / ".venv" / "made-of").exists()


@AS_ROOT
def test_an_unprivileged_user_cannot_start_an_engine(another, repository):
    become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    readable = subprocess.run([*become, sys.executable, "-c", "import local.table"], cwd=repository, check=False)
    if readable.returncode:
        pytest.skip("the checkout lies in a folder that another user may not read")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # pytest's folders are readable by their owner only
        os.chown(folder, NOBODY, NOBODY)
        own = {"HASHFOUNDRY_CACHE": f"{folder}/cache", "HASHFOUNDRY_STATE": f"{folder}/state", "HOME": folder}
        result = another.up(*become, **own, DOCKER_HOST=NOWHERE, PYTHONDONTWRITEBYTECODE=1)
    says(
        result,
        "Error: No Docker engine is running, and starting one requires root: start Docker, set DOCKER_HOST, or run "
        "this as root.",
        code=1,
    )


def wait_for(process: subprocess.Popen[str], words: str) -> str:
    """Read the output of a process up to the line that contains the words."""
    printed = ""
    assert process.stdout
    for line in process.stdout:
        printed += line
        if words in line:
            return printed
    pytest.fail(f"the run ended before {words!r}: {printed}")


def exited(group: int) -> bool:
    """Whether no process of the group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@AS_ROOT
def test_ctrl_c_during_a_build_and_a_resumed_run(another, tmp_path, silent_port, closed_port):
    first, second, third = first_programs(3)
    titles = [f"{name.replace('-v', ' v')} (Go) …" for name in (first, second, third)]
    programs = {first: os.urandom(1000), second: os.urandom(1000)}
    seed = seed_of(tmp_path / "seed", {first: programs[first]})
    # The first program is in the seed; the build of the second waits for a proxy that never answers.
    process = another.start(HASHFOUNDRY_SEED=seed, GOPROXY=f"http://127.0.0.1:{silent_port}")
    try:
        printed = wait_for(process, "    [2/")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait_until(lambda: children.read_text().split(), pause=0.05, what="go runs")
        os.killpg(process.pid, signal.SIGINT)
        printed += process.communicate(timeout=30)[0]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    result = Done(process.args, process.returncode, printed)
    says(result, "Interrupted. Run the same command to resume.", code=130)
    wait_until(lambda: exited(process.pid), seconds=10, what="every process of the run exits")
    whole = {
        file.name: file.read_bytes() for file in (another.cache / "programs").iterdir() if file.suffix != ".unfinished"
    }
    assert whole == {first: programs[first]}

    seed_of(seed, programs)
    result = another.up(HASHFOUNDRY_SEED=seed, GOPROXY=f"http://127.0.0.1:{closed_port}")
    # The first is not built again, the second is, and the third is requested from the proxy.
    printed = says(result, PROXY_SENTENCE, code=1)
    assert [title in printed for title in titles] == [False, True, True]
    assert (another.cache / "programs" / second).read_bytes() == programs[second]
