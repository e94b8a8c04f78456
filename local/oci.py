# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write container images as docker archives, which Docker and containerd both load.

The format is that of `docker save`: manifest.json, a config and a tar for each layer
(https://github.com/moby/moby/blob/master/image/spec/v1.2.md). No engine is needed to write one.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

EPOCH = "1970-01-01T00:00:00Z"  # a fixed time makes builds reproducible


def owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """A filter for archives whose content does not depend on who builds them."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    return member


def write_layer(folder: Path, target: Path) -> None:
    """Write a folder's content as a layer: owned by root, in a fixed order, with zero timestamps."""
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as layer:
        for path in sorted(folder.rglob("*")):
            layer.add(path, arcname=path.relative_to(folder).as_posix(), recursive=False, filter=owned_by_root)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_archive(target: Path, ref: str, layers: Sequence[Path], config: Mapping[str, Any]) -> None:
    """Write an image of the given layers (tar files, lowest first).

    config: the `config` object of the image specification: Entrypoint, Env, User, StopSignal ….
    """
    digests = [_sha256(layer) for layer in layers]
    image = {
        "architecture": "amd64",
        "os": "linux",
        "created": EPOCH,
        "config": dict(config),
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
        "history": [{"created": EPOCH} for _layer in layers],
    }
    image_json = json.dumps(image, sort_keys=True).encode()
    image_name = f"{hashlib.sha256(image_json).hexdigest()}.json"
    names = [f"{digest}/layer.tar" for digest in digests]
    manifest = json.dumps([{"Config": image_name, "RepoTags": [ref], "Layers": names}]).encode()
    with tarfile.open(target, "w") as archive:
        for name, content in ((image_name, image_json), ("manifest.json", manifest)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name, layer in dict(zip(names, layers, strict=True)).items():
            archive.add(layer, arcname=name, filter=owned_by_root)
