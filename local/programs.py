# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Go binaries: copied from a folder of prebuilt ones, or built from the Go module proxy."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from pathlib import Path

from local import perses, table
from local.cache import Product, build_missing, digest, locked
from local.errors import LocalError
from local.progress import Progress
from local.run import run
from local.settings import REPOSITORY, Settings
from local.settings import load as load_settings
from local.table import Program

GO_MODULES = REPOSITORY / "local" / "go"
PROXY_HINT = "check that the Go module proxy is reachable, or set GOPROXY."
# kubeadm and the version endpoint of the API report the version that is set at link time.
KUBERNETES_STAMP = "k8s.io/component-base/version"


def _gomod(program: Program) -> Path:
    return program.modules / (program.gomod or program.name)


def _ldflags(program: Program) -> str:
    flags = ["-s", "-w", program.ldflags]
    if program.module == "k8s.io/kubernetes":
        major, minor = program.version.removeprefix("v").split(".")[:2]
        stamps = {"gitVersion": program.version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
        flags += [f"-X {KUBERNETES_STAMP}.{key}={value}" for key, value in stamps.items()]
    return " ".join(flag for flag in flags if flag)


def _packed(program: Program, seed: Path) -> Path:
    return seed / f"{program.name}-{program.version}.zst"


def seeded(program: Program, settings: Settings) -> bool:
    """Whether the folder of prebuilt binaries contains this one."""
    return settings.seed is not None and _packed(program, settings.seed).exists()


def _from_seed(program: Program, seed: Path, target: Path) -> bool:
    """Unpack NAME-VERSION.zst if the seed contains it, and verify its digest in SHA256SUMS."""
    packed = _packed(program, seed)
    name = packed.stem
    if not packed.exists():
        return False
    sums = dict(line.split()[::-1] for line in (seed / "SHA256SUMS").read_text().splitlines() if line.strip())
    run(["zstd", "-d", "-q", "-f", packed, "-o", target], hint="install zstd, or unset HASHFOUNDRY_SEED.")
    with target.open("rb") as program_file:
        found = hashlib.file_digest(program_file, "sha256").hexdigest()
    if found != sums.get(name):
        target.unlink()
        raise LocalError(f"{packed} does not match its SHA256SUMS: replace the file, or unset HASHFOUNDRY_SEED.")
    return True


def product(program: Program, settings: Settings) -> Product:
    """The binary as a cached product."""
    folder = _gomod(program)
    # A program of this repository is identified by its source, an upstream program by its version.
    own = f"-{digest(folder / 'main.go')}" if (folder / "main.go").exists() else ""

    def make(target: Path) -> None:
        if not (settings.seed and _from_seed(program, settings.seed, target)):
            check_go()
            environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GOWORK": "off"}
            command: list[str | Path] = ["go", "build", "-mod=readonly", "-trimpath", "-ldflags", _ldflags(program)]
            command += [f"-tags={program.tags}"] if program.tags else []
            command += ["-o", target, "." if own else program.package or program.module]
            with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
                source = perses.prepared(source_folder(program), Path(scratch)) if program.pages else folder
                run(command, cwd=source, env=environment, hint=PROXY_HINT)
        target.chmod(0o755)

    path = settings.cache / "programs" / f"{program.name}-{program.version}{own}"
    return Product(path, f"{program.name} {program.version} (Go)", make)


def provided(name: str) -> Path:
    """The path of a program of the tables of this folder in the cache, after building it if it is missing."""
    config = load_settings()
    wanted = product(table.load(table.TABLE, *table.SWITCHED.values()).programs[name], config)
    if not wanted.path.exists():
        with locked(config.cache):
            build_missing([wanted], Progress())
    return wanted.path


def check_go() -> None:
    """Raise LocalError if Go is missing or older than the go.mod files require."""
    wanted = re.search(r"^go (\d+)\.(\d+)", (GO_MODULES / "kind" / "go.mod").read_text(), re.MULTILINE)
    assert wanted
    output = run(["go", "env", "GOVERSION"], hint="install Go, https://go.dev/doc/install, and put it on the PATH.")
    found = re.match(r"go(\d+)\.(\d+)", output)
    if not found or tuple(map(int, found.groups())) < tuple(map(int, wanted.groups())):
        raise LocalError(
            f"Go {wanted[1]}.{wanted[2]} or newer is needed, not {output.strip()} of the PATH: install a newer version."
        )


def source_folder(program: Program) -> Path:
    """The folder of the program's module in the Go module cache, after downloading it if necessary."""
    return module_folder(program.module, _gomod(program))


def module_folder(module: str, gomod: Path) -> Path:
    """The folder of a module in the Go module cache, at the version pinned by go.mod in the folder gomod."""
    check_go()
    output = run(
        ["go", "mod", "download", "-json", module],
        cwd=gomod,
        env={**os.environ, "GOFLAGS": "-mod=readonly", "GOWORK": "off"},
        hint=PROXY_HINT,
    )
    return Path(json.loads(output)["Dir"])
