# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Products are built once and atomically, and containerd and Docker can load the images."""

from __future__ import annotations

import errno
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from local import cache, engine, oci, programs, settings, table
from local.cache import Product
from local.errors import LocalError
from local.progress import Progress
from local.run import run


def test_a_product_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "NEEDED_BYTES", 0)
    calls = []

    def make(target: Path) -> None:
        calls.append(target)
        target.write_text("complete")

    product = Product(tmp_path / "sub" / "thing-v1", "thing v1", make)
    for _time in range(2):
        cache.build_missing([product], Progress())
    assert product.path.read_text() == "complete"
    assert len(calls) == 1


def test_an_interrupted_product_is_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "NEEDED_BYTES", 0)

    def interrupted(target: Path) -> None:
        target.write_text("incom")
        raise KeyboardInterrupt

    path = tmp_path / "thing-v1"
    with pytest.raises(KeyboardInterrupt):
        cache.build_missing([Product(path, "thing v1", interrupted)], Progress())
    assert not path.exists()
    cache.build_missing([Product(path, "thing v1", lambda target: target.write_text("complete") and None)], Progress())
    assert path.read_text() == "complete"


def test_a_full_disk_is_reported_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "NEEDED_BYTES", 0)

    def full(_target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(LocalError, match="HASHFOUNDRY_CACHE"):
        cache.build_missing([Product(tmp_path / "thing", "thing", full)], Progress())


def test_a_digest_covers_names_and_contents(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (tmp_path / "one" / "a").write_text("x")
    (tmp_path / "two" / "b").write_text("x")
    (tmp_path / "two" / "__pycache__").mkdir()
    before = cache.digest(tmp_path / "two")
    (tmp_path / "two" / "__pycache__" / "b.pyc").write_text("y")
    assert before == cache.digest(tmp_path / "two") != cache.digest(tmp_path / "one")


def test_an_image_build_is_reproducible(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "program").write_text("#!/bin/sh\n")
    (root / "bin" / "program").chmod(0o755)
    (root / "link").symlink_to("/bin/program")
    archives = []
    for name in ("a", "b"):
        (root / "bin" / "program").touch()
        oci.write_layer(root, tmp_path / f"{name}.layer")
        oci.write_archive(tmp_path / name, "example.org/x:1", [tmp_path / f"{name}.layer"], {"User": "1000"})
        archives.append((tmp_path / name).read_bytes())
    assert archives[0] == archives[1]
    with tarfile.open(tmp_path / "a") as archive:
        (manifest,) = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
        config = json.load(archive.extractfile(manifest["Config"]))  # type: ignore[arg-type]
        with tarfile.open(fileobj=archive.extractfile(manifest["Layers"][0])) as layer:
            members = {member.name: member for member in layer}
    assert manifest["RepoTags"] == ["example.org/x:1"]
    assert config["config"] == {"User": "1000"}
    assert members["bin/program"].mode == 0o755
    assert {(member.uid, member.gid) for member in members.values()} == {(0, 0)}
    assert members["link"].linkname == "/bin/program"


def test_a_seed_must_match_its_checksums(tmp_path: Path) -> None:
    program = table.load().programs["kind"]
    (tmp_path / "kind").write_text("not kind")
    subprocess.run(["zstd", "-q", tmp_path / "kind", "-o", tmp_path / f"kind-{program.version}.zst"], check=True)
    (tmp_path / "SHA256SUMS").write_text(f"{'0' * 64}  kind-{program.version}\n")
    config = settings.load({"HOME": str(tmp_path), "HASHFOUNDRY_SEED": str(tmp_path)})
    with pytest.raises(LocalError, match="SHA256SUMS"):
        programs.product(program, config).make(tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("bounding", "missing"), [("000001ffffffffff", False), ("000001fffeffffff", True), ("0000000000000000", True)]
)
def test_missing_capabilities_of_runc_are_detected(tmp_path: Path, bounding: str, missing: bool) -> None:
    status = tmp_path / "status"
    status.write_text(f"Name:\tx\nCapPrm:\t0000000000000000\nCapBnd:\t{bounding}\n")
    assert engine.lacks_capabilities(status) is missing


def test_a_failed_command_is_reported_with_its_hint_and_last_lines() -> None:
    with pytest.raises(LocalError, match=r"(?s)code 3: look there\..*the reason"):
        run(["sh", "-c", "echo the reason >&2; exit 3"], hint="look there.")
    with pytest.raises(LocalError, match=r"no-such-program was not found: install it\."):
        run(["no-such-program"], hint="install it.")


@pytest.mark.parametrize(
    "environment",
    [{"HASHFOUNDRY_HTTPS_PORT": "0"}, {"HASHFOUNDRY_S3_PORT": "x"}, {"HASHFOUNDRY_IMAGES": "none"}],
)
def test_an_invalid_setting_is_named(environment: dict[str, str]) -> None:
    with pytest.raises(LocalError, match=next(iter(environment))):
        settings.load(environment)


def test_without_waiting_a_held_lock_is_reported(tmp_path: Path) -> None:
    with cache.locked(tmp_path) as first, cache.locked(tmp_path, wait=False) as second:
        assert (first, second) == (True, False)
    with cache.locked(tmp_path, wait=False) as alone:
        assert alone


def test_a_seed_contains_only_programs_of_the_same_version(tmp_path: Path) -> None:
    kubectl = table.load().programs["kubectl"]
    assert not programs.seeded(kubectl, settings.load({}))
    where = settings.load({"HASHFOUNDRY_SEED": str(tmp_path)})
    assert not programs.seeded(kubectl, where)
    (tmp_path / f"kubectl-{kubectl.version}.zst").touch()
    assert programs.seeded(kubectl, where)
