# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_gate import versions
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_gate.versions import version_mismatch

FOUND = {"python": "3.11.7", "scikit-learn": "1.5.2", "numpy": "2.0.0rc1", "odd": "one"}


@pytest.mark.parametrize(
    ("python_version", "packages", "message"),
    [
        (None, {}, None),
        ("3.11", {}, None),
        ("3.11.2", {}, None),
        ("3.1", {}, "Python 3.11.7, and the serving image has 3.1"),
        ("3.12.1", {}, "Python 3.11.7, and the serving image has 3.12"),
        (None, {"scikit-learn": "~=1.5.1"}, None),
        (None, {"scikit_learn": "1.5.2"}, None),
        (None, {"Scikit.Learn": ">=1.5,<1.6"}, None),
        (None, {"scikit-learn": "1.5"}, "scikit-learn 1.5.2, and the serving image has 1.5"),
        (None, {"scikit-learn": "~=1.6.0"}, "scikit-learn 1.5.2, and the serving image has ~=1.6.0"),
        (None, {"numpy": ">=2.0.0rc1"}, None),
        (None, {"joblib": "1.4.2"}, "no known version of joblib, and the serving image has 1.4.2"),
        (None, {"odd": ">=1"}, "odd one, and the serving image has >=1"),
    ],
)
def test_the_first_mismatch_is_reported(
    python_version: str | None, packages: dict[str, str], message: str | None
) -> None:
    found = version_mismatch(FOUND, python_version, packages)
    assert (str(found) if found else None) == message


def test_python_must_be_known() -> None:
    assert str(version_mismatch({}, "3.11", {})) == "no known version of Python, and the serving image has 3.11"


@pytest.mark.parametrize("wanted", ["", "~=1", "latest", "=1.5"])
def test_an_invalid_specifier_is_rejected(wanted: str) -> None:
    with pytest.raises(KServeError, match=r"neither a version nor a specifier such as ~=1\.5\.1; correct it"):
        version_mismatch(FOUND, None, {"scikit-learn": wanted})


def test_without_packaging_the_message_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "PACKAGING_IMPORT_ERROR", "ImportError")
    assert version_mismatch(FOUND, "3.11", {}) is None
    with pytest.raises(KServeError, match="needs the Python library packaging"):
        version_mismatch(FOUND, None, {"numpy": "2"})
