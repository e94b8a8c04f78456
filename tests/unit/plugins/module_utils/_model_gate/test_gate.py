# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The complete gate, on the folder of the trained iris model."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_gate import gate as model_gate
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_gate.gate import check_model
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_gate.options import GateOptions
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_gate.sandbox import Outcome
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.folder import scan

pytest.importorskip("sklearn")

ROOT = Path(__file__).resolve().parents[5]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("trained") / "v1"
    command = [sys.executable, "-m", "model.iris", "--output", str(folder), "--version", "v1"]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def folder(tmp_path: Path, trained: dict[str, bytes]) -> Path:
    for name, content in trained.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def gate(folder: Path, **options: Any) -> dict[str, Any]:
    return check_model(GateOptions(**options), "iris-classifier", "v1", scan(folder))


def refusal(folder: Path, **options: Any) -> str:
    with pytest.raises(KServeError) as caught:
        gate(folder, **options)
    return str(caught.value)


def rewrite(folder: Path, **fields: Any) -> None:
    path = folder / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.fixture
def no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if the model is loaded; it must be rejected before."""
    monkeypatch.delattr(model_gate, "try_model")


def test_the_trained_model_passes(folder: Path, trained: dict[str, bytes]) -> None:
    packages = json.loads(trained["metadata.json"])["libraries"]
    python_version = packages.pop("python")
    digest = hashlib.sha256(trained["model.joblib"]).hexdigest()
    passed = gate(
        folder, python_version=python_version, packages=packages, allowed_digests=["sha256:" + digest.upper()]
    )
    assert passed["checked"] == ["allowed_digests", "metadata", "versions", "load"]
    assert passed["isolated"] is True
    assert passed["seconds"] > 0


def test_wrong_examples_are_found_by_loading_only(folder: Path) -> None:
    examples = json.loads((folder / "metadata.json").read_text())["examples"]
    rewrite(folder, examples={"instances": examples["instances"], "predictions": [2, 1, 0]})
    assert gate(folder, load=False)["checked"] == ["metadata"]
    message = refusal(folder)
    assert "predict of the model" in message
    assert "gives [0, 1, 2], and metadata.json says [2, 1, 0]; train it again" in message


def test_versions_that_differ_from_the_image_are_rejected(folder: Path, no_trial: None) -> None:
    assert "was made with Python 3." in refusal(folder, python_version="2.7")
    message = refusal(folder, packages={"scikit-learn": "<1"})
    assert "and the serving image has <1; train it under the image's versions" in message


def test_an_interpreter_with_other_versions_is_rejected(folder: Path) -> None:
    libraries = json.loads((folder / "metadata.json").read_text())["libraries"]
    rewrite(folder, libraries=libraries | {"scikit-learn": "0.1"})
    message = refusal(folder, packages={"scikit-learn": "0.1"})
    assert message.startswith(f"{sys.executable}, which loads the model, has scikit-learn ")
    assert "set gate.python to an interpreter with the image's packages" in message


def test_a_digest_that_is_not_allowed_is_rejected(folder: Path, no_trial: None) -> None:
    assert "which is not among the 1 of gate.allowed_digests" in refusal(folder, allowed_digests=["0" * 64])
    assert "which is not among the 0 of gate.allowed_digests" in refusal(folder, allowed_digests=[])


def test_the_digest_of_the_manifest_allows_all_files(folder: Path, no_trial: None) -> None:
    options = GateOptions(load=False, allowed_digests=["1" * 64])
    files = scan(folder)
    manifests = []

    def manifest() -> str:
        manifests.append(1)
        return "1" * 64

    assert check_model(options, "iris-classifier", "v1", files, manifest)["checked"] == ["allowed_digests", "metadata"]
    assert check_model(GateOptions(load=False), "iris-classifier", "v1", files, manifest)["checked"] == ["metadata"]
    assert len(manifests) == 1


def test_the_model_file_must_be_allowed_whatever_its_name_is(folder: Path, no_trial: None) -> None:
    harmless = hashlib.sha256((folder / "model.joblib").read_bytes()).hexdigest()
    unknown = hashlib.sha256(b"unknown").hexdigest()
    (folder / "model.joblib").rename(folder / "harmless.pkl")
    (folder / "model.mar").write_bytes(b"unknown")
    rewrite(
        folder,
        model_format="pytorch",
        model_file={"name": "model.mar", "sha256": unknown, "size_bytes": len(b"unknown")},
    )
    assert "model.mar is" in refusal(folder, load=False, allowed_digests=[harmless])
    allowed = gate(folder, load=False, allowed_digests=[harmless, unknown])
    assert allowed["checked"] == ["allowed_digests", "metadata"]
    # The gate does not know which files the server of another format loads.
    (folder / "handler.bin").write_bytes(b"another")
    assert "handler.bin is" in refusal(folder, load=False, allowed_digests=[harmless, unknown])


def test_beside_a_model_of_a_known_format_other_files_need_no_digest(folder: Path, no_trial: None) -> None:
    model = hashlib.sha256((folder / "model.joblib").read_bytes()).hexdigest()
    (folder / "README.md").write_text("how it was made")
    assert gate(folder, load=False, allowed_digests=[model])["checked"] == ["allowed_digests", "metadata"]
    (folder / "more").mkdir()
    (folder / "more" / "old.pkl").write_bytes(b"another")
    assert "old.pkl is" in refusal(folder, load=False, allowed_digests=[model])


def test_without_metadata_every_file_must_be_allowed(folder: Path, no_trial: None) -> None:
    model = hashlib.sha256((folder / "model.joblib").read_bytes()).hexdigest()
    options: dict[str, Any] = {"metadata": False, "load": False}
    assert gate(folder, **options, allowed_digests=[model])["checked"] == ["allowed_digests"]
    (folder / "other.bin").write_bytes(b"other")
    assert "other.bin is" in refusal(folder, **options, allowed_digests=[model])


def test_other_formats_are_not_loaded(folder: Path, no_trial: None) -> None:
    rewrite(folder, model_format="onnx")
    assert gate(folder, load=False)["checked"] == ["metadata"]
    assert "metadata.json says onnx; set gate.load to false" in refusal(folder)


def test_other_systems_do_not_load(folder: Path, no_trial: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_gate.sys, "platform", "darwin")
    assert "on Linux only; run there, or set gate.load to false" in refusal(folder)


def test_the_error_contains_the_output_of_the_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_gate, "try_model", lambda *_arguments: Outcome(1, error="no", output="last words"))
    with pytest.raises(KServeError) as caught:
        gate(folder)
    assert caught.value.result == {"reason": "ModelRejected", "output": "last words"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metadata": False}, "set gate.metadata to true, or gate.load to false"),
        ({"metadata": False, "load": False, "packages": {"numpy": "2"}}, "set gate.metadata to true"),
        ({"metadata": False, "load": False, "python_version": "3"}, "set gate.metadata to true"),
        ({"memory": "2GB"}, "gate.memory is '2GB'; give bytes, or a number with Ki, Mi, Gi or Ti"),
        ({"memory": "0Gi"}, "gate.memory is '0Gi'"),
        ({"timeout": 0}, "gate.timeout is 0; give a number of seconds above 0"),
        ({"allowed_digests": ["sha1"]}, "gate.allowed_digests has 'sha1'; give each as 64 hexadecimal digits"),
    ],
)
def test_invalid_gate_options_are_rejected(options: dict[str, Any], message: str) -> None:
    with pytest.raises(KServeError) as caught:
        GateOptions(**options)
    assert message in str(caught.value)


@pytest.mark.parametrize(("memory", "size"), [("1", 1), ("3Ki", 3072), ("2Mi", 2**21), ("2Gi", 2**31), ("1Ti", 2**40)])
def test_memory_is_a_kubernetes_quantity(memory: str, size: int) -> None:
    assert GateOptions(memory=memory).memory_bytes == size


PROBE = """#!/usr/bin/python
from pathlib import Path
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_gate import gate as model_gate
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_gate.options import GateOptions
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.folder import scan

module = AnsibleModule({"folder": {"type": "path"}})
files = scan(Path(module.params["folder"]))
passed = model_gate.check_model(GateOptions(), "iris-classifier", "v1", files)
module.exit_json(file=model_gate.__file__, **passed)
"""


def test_the_program_is_found_in_a_module_as_ansible_sends_it(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "probe.py").write_text(PROBE)
    (tmp_path / "iris").mkdir()
    for path in list(folder.glob("m*.*")):
        path.rename(tmp_path / "iris" / path.name)
    ansible = Path(sys.executable).with_name("ansible")
    options = ["-c", "local", "-e", f"ansible_python_interpreter={sys.executable}", "-M", str(tmp_path / "library")]
    found = subprocess.run(
        [ansible, "localhost", *options, "-m", "probe", "-a", f"folder={tmp_path}/iris"],
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    result = json.loads(found.stdout.partition("=>")[2])
    assert ".zip/ansible_collections" in result["file"]
    assert result["checked"] == ["metadata", "load"]
