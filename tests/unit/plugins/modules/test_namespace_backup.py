# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError
from ansible_collections.hashfoundry.kserve.plugins.modules import namespace_backup

from ..module_utils._backup.test_namespace import Api

ARGUMENTS = {"namespace": "models", "api_key": "PLANTED-KEY"}


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_namespace_is_written(run_module, serve, tmp_path: Path, check_mode: bool) -> None:
    serve(Api())
    file = tmp_path / "objects.yml"
    told = run_module(namespace_backup.main, {**ARGUMENTS, "path": str(file)}, check_mode=check_mode)
    assert (told["changed"], told["counts"]["InferenceService"], file.exists()) == (True, 1, not check_mode)


def test_a_refusal_is_a_failure_in_one_sentence(run_module, serve, tmp_path: Path) -> None:
    api = Api()
    api.answers["/apis"] = ApiError("The credentials lack a permission: no.", 403)
    serve(api)
    failed = run_module(namespace_backup.main, {**ARGUMENTS, "path": str(tmp_path / "objects.yml")})
    assert (failed["failed"], failed["reason"]) == (True, "Forbidden")
    assert not list(tmp_path.iterdir())
