# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import yaml

from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError
from ansible_collections.hashfoundry.kserve.plugins.modules import namespace_backup

from ..module_utils._backup.test_namespace import Api

ARGUMENTS = {"namespace": "models", "api_key": "PLANTED-KEY"}


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_namespace_is_written(run_module, serve, tmp_path: Path, check_mode: bool) -> None:
    serve(Api())
    file = tmp_path / "objects.yml"
    result = run_module(namespace_backup.main, {**ARGUMENTS, "path": str(file)}, check_mode=check_mode)
    assert (result["changed"], result["counts"]["InferenceService"], file.exists()) == (True, 1, not check_mode)


def test_the_objects_are_written_by_field_manager_too(run_module, serve, tmp_path: Path) -> None:
    serve(Api())
    files = {"path": str(tmp_path / "objects.yml"), "applied_path": str(tmp_path / "applied.yml")}
    result = run_module(namespace_backup.main, {**ARGUMENTS, **files})
    content = (tmp_path / "applied.yml").read_bytes()
    assert result["applied_sha256"] == hashlib.sha256(content).hexdigest()
    groups = list(yaml.safe_load_all(content))
    assert {(group["field_manager"], group["adds"]) for group in groups} == {("hashfoundry.kserve.model_backup", False)}
    # What names an owner comes last.
    things = list(yaml.safe_load_all((tmp_path / "objects.yml").read_text()))
    [[*others], [service]] = [group["objects"] for group in groups]
    assert others == [thing for thing in things if thing["kind"] != "Service"]
    assert service["kind"] == "Service" and "ownerReferences" in service["metadata"]
    assert run_module(namespace_backup.main, {**ARGUMENTS, **files})["changed"] is False
    (tmp_path / "applied.yml").unlink()
    assert run_module(namespace_backup.main, {**ARGUMENTS, **files})["changed"] is True


def test_a_rejected_request_fails_with_one_sentence(run_module, serve, tmp_path: Path) -> None:
    api = Api()
    api.answers["/apis"] = ApiError("The credentials lack a permission: no.", 403)
    serve(api)
    failed = run_module(namespace_backup.main, {**ARGUMENTS, "path": str(tmp_path / "objects.yml")})
    assert (failed["failed"], failed["reason"]) == (True, "Forbidden")
    assert not list(tmp_path.iterdir())
