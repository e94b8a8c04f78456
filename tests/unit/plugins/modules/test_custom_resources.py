# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError
from ansible_collections.hashfoundry.kserve.plugins.modules import custom_resources_backup, custom_resources_info

from ..module_utils.custom_resources_fake import Api, thing

ISVC = "inferenceservices.serving.kserve.io"
ARGUMENTS = {"groups": ["serving.kserve.io"], "api_key": "PLANTED-KEY"}


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_backup_is_written_and_compared(run_module, serve, tmp_path: Path, check_mode: bool) -> None:
    serve(Api(thing("iris"), thing("rose")))
    folder = tmp_path / "backup"
    kept = run_module(custom_resources_backup.main, {**ARGUMENTS, "folder": str(folder)}, check_mode=check_mode)
    assert (kept["changed"], kept["counts"][ISVC], folder.exists()) == (True, 2, not check_mode)
    if check_mode:
        return
    serve(Api(thing("iris")))
    arguments = {**ARGUMENTS, "since": str(folder)}
    result = run_module(custom_resources_info.main, arguments, check_mode=check_mode)
    assert [entry["name"] for entry in result["lost"]] == ["models/rose"]


def test_counting_changes_nothing(run_module, serve) -> None:
    serve(Api(thing("iris")))
    result = run_module(custom_resources_info.main, ARGUMENTS)
    assert result["changed"] is False
    assert result["objects"][ISVC] == ["models/iris"]


@pytest.mark.parametrize("module", [custom_resources_backup, custom_resources_info])
def test_a_rejected_request_fails_with_one_sentence(run_module, serve, tmp_path: Path, module) -> None:
    api = Api()
    api.refusals["/apis"] = ApiError("The credentials lack a permission: no.", 403)
    serve(api)
    folder = {"folder": str(tmp_path)} if module is custom_resources_backup else {}
    failed = run_module(module.main, {**ARGUMENTS, **folder})
    assert (failed["failed"], failed["reason"]) == (True, "Forbidden")
    assert not list(tmp_path.iterdir())
