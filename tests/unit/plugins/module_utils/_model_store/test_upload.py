# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.folder import LocalFile, scan
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.location import Target
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.manifest import Entry, Manifest
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.upload import Published, publish
from ansible_collections.hashfoundry.kserve.plugins.module_utils._object_store.port import BucketMissing, Buffer

from ..model_store_fake import MemoryStore

TARGET = Target("models", "iris", "1")
FILES = {"metadata.json": b"{}", "model.joblib": b"model"}


def keys(files: Mapping[str, bytes], manifest: bool = False) -> dict[str, bytes]:
    """The objects of a version with these files, and its manifest if it is complete."""
    content = {f"iris/1/{name}": data for name, data in files.items()}
    if manifest:
        entries = {name: Entry(hashlib.sha256(data).hexdigest(), len(data)) for name, data in files.items()}
        content["iris/1/manifest.json"] = Manifest(entries).content
    return content


WHOLE = keys(FILES, manifest=True)
CHANGED = {**FILES, "model.joblib": b"older"}
SHORTER = {**FILES, "model.joblib": b"old"}
MORE = {**FILES, "other.joblib": b"other"}
LESS = {"metadata.json": b"{}"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    source.mkdir()
    for name, data in FILES.items():
        (source / name).write_bytes(data)
    return source


def run(store: MemoryStore, folder: Path, **options: Any) -> Published:
    return publish(store, TARGET, scan(folder), **{"overwrite": False, "check_mode": False, **options})


ALL = ["manifest.json", "metadata.json", "model.joblib"]
STATES: dict[str, tuple[dict[str, bytes], bool, list[str] | None, list[str]]] = {
    # stored objects, overwrite, uploaded files (None: rejected), removed objects
    "nothing": ({}, False, ALL, []),
    "complete": (WHOLE, False, [], []),
    "complete, overwrite": (WHOLE, True, [], []),
    "complete, one changed": (keys(CHANGED, True), False, None, []),
    "complete, one changed, overwrite": (keys(CHANGED, True), True, ["manifest.json", "model.joblib"], []),
    "complete, one of another size, overwrite": (keys(SHORTER, True), True, ["manifest.json", "model.joblib"], []),
    "complete, one more": (keys(MORE, True), False, None, []),
    "complete, one more, overwrite": (keys(MORE, True), True, ["manifest.json"], ["other.joblib"]),
    "complete, one less": (keys(LESS, True), False, None, []),
    "complete, one less, overwrite": (keys(LESS, True), True, ["manifest.json", "model.joblib"], []),
    "all without a manifest": (keys(FILES), False, ["manifest.json"], []),
    "some without a manifest": (keys(LESS), False, ["manifest.json", "model.joblib"], []),
    "others without a manifest": (keys(CHANGED), False, ["manifest.json", "model.joblib"], []),
    "more without a manifest": (keys(MORE), False, None, []),
    "more without a manifest, overwrite": (keys(MORE), True, ["manifest.json"], ["other.joblib"]),
    "an invalid manifest": ({**keys(FILES), "iris/1/manifest.json": b"{}"}, False, None, []),
    "an invalid manifest, overwrite": (
        {**keys(FILES), "iris/1/manifest.json": b"{}"},
        True,
        ["manifest.json"],
        [],
    ),
    "a manifest with a missing object": (
        {key: data for key, data in WHOLE.items() if "joblib" not in key},
        True,
        [],
        [],
    ),
}


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("case", STATES)
def test_states(folder: Path, case: str, check_mode: bool) -> None:
    stored, overwrite, uploaded, removed = STATES[case]
    store = MemoryStore({**stored, "iris/10/model.joblib": b"of version 10", "iris/1/": b""})
    before = dict(store.content)
    if uploaded is None:
        with pytest.raises(KServeError, match="overwrite"):
            run(store, folder, overwrite=overwrite, check_mode=check_mode)
        assert store.content == before and store.writes == []
        return
    published = run(store, folder, overwrite=overwrite, check_mode=check_mode)
    assert (published.uploaded, published.removed) == (uploaded, removed)
    assert published.result()["changed"] is bool(uploaded or removed)
    assert sorted({*published.uploaded, *published.unchanged}) == ALL
    assert published.digest == "sha256:" + hashlib.sha256(WHOLE["iris/1/manifest.json"]).hexdigest()
    contents = {**FILES, "manifest.json": WHOLE["iris/1/manifest.json"]}
    assert published.bytes_sent == sum(len(contents[name]) for name in uploaded)
    if check_mode or not uploaded:
        assert store.content == before and store.writes == []
    else:
        assert store.content == {**WHOLE, "iris/10/model.joblib": b"of version 10", "iris/1/": b""}
        assert store.writes[-1] == ("put", "iris/1/manifest.json")
    if not uploaded:
        assert published.requests <= 2
    elif not check_mode:
        assert run(store, folder).result()["changed"] is False


def test_a_second_run_takes_one_request_whatever_the_number_of_files(folder: Path) -> None:
    for number in range(50):
        (folder / f"{number}.bin").write_bytes(b"%d" % number)
    store = MemoryStore()
    run(store, folder)
    store.calls.clear()
    again = run(store, folder)
    assert store.calls == [("get", "iris/1/manifest.json")]
    assert again.requests == 1 and len(again.unchanged) == 53


def test_overwriting_deletes_the_manifest_first_and_retains_equal_objects(folder: Path) -> None:
    store = MemoryStore(keys({**CHANGED, "gone": b""}, True), opaque=True)
    run(store, folder, overwrite=True)
    assert store.writes == [
        ("remove", "iris/1/manifest.json"),
        ("put", "iris/1/model.joblib"),
        ("remove", "iris/1/gone"),
        ("put", "iris/1/manifest.json"),
    ]


def test_the_error_names_the_differing_files(folder: Path) -> None:
    store = MemoryStore(keys({"model.joblib": b"older", "gone": b""}, True))
    with pytest.raises(KServeError) as caught:
        run(store, folder)
    assert str(caught.value) == (
        "The version s3://models/iris/1/ is complete and the folder differs from it "
        "(changed: model.joblib; missing: gone; new: metadata.json); give the folder another version, or set overwrite."
    )


def test_the_diff_shows_the_uploaded_files(folder: Path) -> None:
    diff = run(MemoryStore(keys(CHANGED)), folder, check_mode=True).result()["diff"]
    before, after = diff["before"].splitlines(), diff["after"].splitlines()
    assert [line.split()[0] for line in after] == [f"iris/1/{name}" for name in ALL]
    assert before[0] == after[1] == "iris/1/metadata.json 2 sha256:" + hashlib.sha256(b"{}").hexdigest()
    assert before[1] == "iris/1/model.joblib 5 etag:" + hashlib.md5(b"older").hexdigest()
    assert after[2] == "iris/1/model.joblib 5 sha256:" + hashlib.sha256(b"model").hexdigest()


def test_a_downloaded_manifest_is_generated_again(folder: Path) -> None:
    (folder / "manifest.json").write_bytes(WHOLE["iris/1/manifest.json"])
    store = MemoryStore()
    assert run(store, folder).uploaded == ALL
    assert store.content == WHOLE
    (folder / "model.joblib").write_bytes(b"newer")
    with pytest.raises(KServeError, match=r"manifest\.json is not the manifest of the files beside it; remove it"):
        run(store, folder)


def test_a_missing_bucket(folder: Path) -> None:
    store = MemoryStore()
    store.missing = True
    with pytest.raises(BucketMissing):
        run(store, folder)
    checked = run(store, folder, check_mode=True)
    assert checked.uploaded == ALL and checked.warning and "as if it were empty" in checked.warning
    assert run(store, folder, create_bucket=True).uploaded == ALL
    assert store.content == WHOLE


class Gated:
    """A gate that records its calls, and rejects if configured."""

    def __init__(self, refusal: str | None = None) -> None:
        self.refusal = refusal
        self.calls: list[tuple[list[str], str]] = []

    def __call__(self, files: Sequence[LocalFile], manifest: Callable[[], str]) -> dict[str, Any]:
        self.calls.append(([file.name for file in files], manifest()))
        if self.refusal:
            raise KServeError(self.refusal)
        return {"checked": ["metadata"]}


GATED: dict[str, tuple[dict[str, bytes], bool, bool]] = {
    # stored objects, overwrite, whether the gate runs
    "nothing": ({}, False, True),
    "unfinished": (keys(LESS), False, True),
    "complete": (WHOLE, False, False),
    "complete, overwrite": (WHOLE, True, False),
    "complete, one changed": (keys(CHANGED, True), False, False),
    "complete, one changed, overwrite": (keys(CHANGED, True), True, True),
}


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("case", GATED)
def test_the_gate_runs_if_there_is_something_to_upload(folder: Path, case: str, check_mode: bool) -> None:
    stored, overwrite, expected = GATED[case]
    store, gate = MemoryStore(stored), Gated()
    if not expected and stored is not WHOLE:
        with pytest.raises(KServeError, match="set overwrite"):
            run(store, folder, overwrite=overwrite, check_mode=check_mode, gate=gate)
        assert gate.calls == [] and store.writes == []
        return
    published = run(store, folder, overwrite=overwrite, check_mode=check_mode, gate=gate)
    digest = published.digest.removeprefix("sha256:")
    assert gate.calls == ([(["metadata.json", "model.joblib"], digest)] if expected else [])
    assert published.result().get("gate") == ({"checked": ["metadata"]} if expected else None)
    assert bool(store.writes) is (expected and not check_mode)


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("case", [case for case in GATED if GATED[case][2]])
def test_a_version_that_the_gate_rejects_is_not_uploaded(folder: Path, case: str, check_mode: bool) -> None:
    stored, overwrite, _expected = GATED[case]
    store, gate = MemoryStore(stored), Gated("no model")
    with pytest.raises(KServeError, match="no model"):
        run(store, folder, overwrite=overwrite, check_mode=check_mode, gate=gate)
    # Not even the old manifest is deleted.
    assert store.calls == [("get", "iris/1/manifest.json")] and store.content == stored


@pytest.mark.parametrize("check_mode", [False, True])
def test_no_bucket_is_created_for_a_rejected_version(folder: Path, check_mode: bool) -> None:
    store = MemoryStore()
    store.missing = True
    with pytest.raises(KServeError, match="no model"):
        run(store, folder, create_bucket=True, check_mode=check_mode, gate=Gated("no model"))
    assert store.missing and store.writes == []
    published = run(store, folder, create_bucket=True, check_mode=check_mode, gate=Gated())
    assert published.gate and store.missing is check_mode


def test_the_validated_files_are_the_uploaded_ones(folder: Path) -> None:
    class Swapping(Gated):
        def __call__(self, files: Sequence[LocalFile], manifest: Callable[[], str]) -> dict[str, Any]:
            passed = super().__call__(files, manifest)
            (folder / "model.joblib").write_bytes(b"other")
            return passed

    store = MemoryStore()
    with pytest.raises(KServeError, match=r"model\.joblib changed while it was read"):
        run(store, folder, gate=Swapping())
    assert "iris/1/manifest.json" not in store.content


def test_an_object_store_that_corrupts_an_upload(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)

    class Damaging(MemoryStore):
        def put(self, key: str, content: Buffer, sha256: str, *, new: bool = False) -> str:
            etag = super().put(key, content, sha256, new=new)
            if key.endswith("joblib"):
                self.content[key] = b"cut"
            return etag

    store = Damaging()
    with pytest.raises(KServeError, match=r"does not contain s3://models/iris/1/ as it was uploaded \(model\.joblib\)"):
        run(store, folder)
    assert "iris/1/manifest.json" not in store.content


def test_a_file_that_changes_after_the_check(folder: Path) -> None:
    files = scan(folder)
    assert files[1].sha256
    (folder / "model.joblib").write_bytes(b"other")
    store = MemoryStore()
    with pytest.raises(KServeError, match=r"model\.joblib changed while it was read"):
        publish(store, TARGET, files, overwrite=False, check_mode=False)
    assert "iris/1/manifest.json" not in store.content


class Raced(MemoryStore):
    """Another run completes the version just before this one."""

    def __init__(self, other: Mapping[str, bytes]) -> None:
        super().__init__()
        self.other = other

    def put(self, key: str, content: Buffer, sha256: str, *, new: bool = False) -> str:
        if new:
            self.content.update(self.other)
            for key in self.other:
                self.etags.pop(key, None)
        return super().put(key, content, sha256, new=new)


def test_two_runs_of_the_same_folder_at_once(folder: Path) -> None:
    store = Raced(WHOLE)
    assert run(store, folder).digest
    assert store.content == WHOLE


def test_a_manifest_that_another_run_deletes_in_between_is_written_again(folder: Path) -> None:
    class Deleted(Raced):
        def get(self, key: str) -> bytes | None:
            if self.other and key in self.content:
                self.other = {}
                super().remove(key)
            return super().get(key)

    store = Deleted(WHOLE)
    assert run(store, folder).digest
    assert store.content == WHOLE


def test_uploads_of_earlier_runs_are_aborted_at_the_end(folder: Path) -> None:
    store = MemoryStore()
    store.start("iris/1/gone")
    store.start("iris/10/model.joblib")
    run(store, folder)
    assert [key for key, _parts in store.uploads.values()] == ["iris/10/model.joblib"]
    assert store.calls.index(("abort", "iris/1/gone")) > store.calls.index(("put", "iris/1/model.joblib"))


def test_two_runs_of_two_folders_at_once(folder: Path) -> None:
    store = Raced(keys(CHANGED, True))
    with pytest.raises(KServeError, match="Another run with other files has completed"):
        run(store, folder)
    assert store.content == keys(CHANGED, True)


def test_two_runs_that_have_overwritten_each_other(folder: Path) -> None:
    # The other run's manifest was correct until this run uploaded a file of the same name.
    store = Raced({"iris/1/manifest.json": keys(CHANGED, True)["iris/1/manifest.json"]})
    with pytest.raises(KServeError, match="so it is incomplete; run one of them again"):
        run(store, folder)
    assert "iris/1/manifest.json" not in store.content
    store.other = {}
    assert run(store, folder).uploaded == ["manifest.json"]


@pytest.mark.parametrize(
    ("bucket", "name", "version", "says"),
    [
        ("Models", "iris", "1", "bucket name 'Models'"),
        ("192.168.0.1", "iris", "1", "bucket name"),
        ("a..b", "iris", "1", "bucket name"),
        ("models", "a/b", "1", "name 'a/b'"),
        ("models", "iris", "..", r"version '\.\.'"),
        ("models", "", "1", "name ''"),
    ],
)
def test_names_that_are_invalid_in_a_key(bucket: str, name: str, version: str, says: str) -> None:
    with pytest.raises(KServeError, match=says):
        Target(bucket, name, version)
