# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The execution environment of execution-environment.yml, built by ansible-builder.

Its base image is the one that runs the checks on the newest ansible-core, so no container registry is needed.

    python -m local.execution_environment files    only write the build inputs to the folder ee/
    python -m local.execution_environment build    write the build inputs and build the image
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from local import controller, engine, environments, galaxy, programs, settings, table
from local.cache import build_missing, digest, locked
from local.errors import LocalError
from local.progress import Progress
from local.run import run
from local.settings import REPOSITORY, Settings
from local.table import Table

FILES = REPOSITORY / "ee"
REF = "hashfoundry.local/execution-environment:latest"
LOCK = REPOSITORY / "tests" / "execution_environment" / "requirements.lock"
PROGRAMS = ("helm", "kubectl")


def tools(config: Settings) -> Path:
    """The folder with ansible-builder, ansible-runner and ansible-navigator, in a cached virtual environment."""
    return environments.ensure(config, f"execution-environment-{digest(LOCK, sys.version)}", LOCK) / "bin"


def _entry(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o644
    archive.addfile(member, io.BytesIO(content))


def pack(collection: Path, target: Path) -> None:
    """Rebuild the tarball of an installed collection.

    The PyPI package omits development files, so they are removed from FILES.json.
    """
    listed = json.loads((collection / "FILES.json").read_text())
    listed["files"] = [entry for entry in listed["files"] if (collection / entry["name"]).exists()]
    files = json.dumps(listed).encode()
    manifest = json.loads((collection / "MANIFEST.json").read_text())
    manifest["file_manifest_file"]["chksum_sha256"] = hashlib.sha256(files).hexdigest()
    with tarfile.open(target, "w:gz") as archive:
        _entry(archive, "MANIFEST.json", json.dumps(manifest).encode())
        _entry(archive, "FILES.json", files)
        for entry in listed["files"]:
            if entry["name"] != ".":
                archive.add(collection / entry["name"], entry["name"], recursive=False)


def _build_collection(target: Path) -> None:
    """Build the tarball of this checkout."""
    with tempfile.TemporaryDirectory() as folder:
        run(
            [Path(sys.executable).with_name("ansible-galaxy"), "collection", "build", "--output-path", folder],
            cwd=REPOSITORY,
            hint="see galaxy.yml.",
        )
        shutil.move(next(Path(folder).glob("*.tar.gz")), target)


def fill(config: Settings, rows: Table) -> None:
    """Write the files that execution-environment.yml uses to the folder ee/."""
    FILES.mkdir(exist_ok=True)
    newest = galaxy.platforms()[-1]
    _build_collection(FILES / "hashfoundry-kserve.tar.gz")
    kubernetes_core = config.cache / "collections" / f"kubernetes-core-{newest.kubernetes_core}.tar.gz"
    if not kubernetes_core.exists():
        kubernetes_core.parent.mkdir(exist_ok=True)
        wanted = {"kubernetes.core": newest.kubernetes_core}
        with tempfile.TemporaryDirectory(dir=kubernetes_core.parent) as name:
            folder = Path(name, "ansible_collections")
            galaxy.from_package(f"ansible=={newest.ansible}", wanted, folder)
            pack(folder / "kubernetes" / "core", Path(name, "complete"))
            Path(name, "complete").replace(kubernetes_core)
    shutil.copyfile(kubernetes_core, FILES / "kubernetes-core.tar.gz")
    made = [programs.product(rows.programs[name], config) for name in PROGRAMS]
    build_missing(made, Progress())
    for name, product in zip(PROGRAMS, made, strict=True):
        shutil.copy(product.path, FILES / name)


def build(config: Settings, rows: Table) -> None:
    """Build the image on a base image that is itself built from package registries."""
    python = galaxy.platforms()[-1].python
    docker = engine.ensure(config, rows, Progress())
    controller.ensure(python, config, rows, docker, Progress())
    with tempfile.TemporaryDirectory() as context:
        command: list[str | Path] = [tools(config) / "ansible-builder", "build", "--container-runtime=docker"]
        command += ["--file", REPOSITORY / "execution-environment.yml", "--context", context, "--tag", REF]
        arguments = {"EE_BASE_IMAGE": controller.ref(python), "PYCMD": "/usr/bin/python3", "PYPKG": "python3"}
        command += [f"--build-arg={name}={value}" for name, value in arguments.items()]
        command += ["--extra-build-cli-args=--network=host"]
        result = subprocess.run([str(word) for word in command], env=docker.env, stdin=subprocess.DEVNULL, check=False)
    if result.returncode:
        raise LocalError("ansible-builder failed: fix the error above.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0 on success, else 1."""
    parser = argparse.ArgumentParser(prog="python -m local.execution_environment", description=__doc__)
    parser.add_argument("command", choices=("files", "build"))
    command = parser.parse_args(arguments).command
    try:
        config, rows = settings.load(), table.load()
        with locked(config.cache):
            fill(config, rows)
            if command == "build":
                build(config, rows)
    except LocalError as error:
        print(f"\nError: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
