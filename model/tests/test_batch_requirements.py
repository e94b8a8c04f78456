# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The batch image has the versions of the model server image, so that both predict the same."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

MODEL = Path(__file__).parents[1]


def pins(folder: str) -> dict[str, str]:
    text = (MODEL / folder / "requirements.txt").read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))


def test_the_batch_image_has_the_versions_of_the_model_server() -> None:
    serving, batch = pins("server"), pins("batch")
    shared = serving.keys() & batch.keys()
    assert {"scikit-learn", "numpy", "scipy", "joblib", "pandas"} <= shared
    assert {name: batch[name] for name in shared} == {name: serving[name] for name in shared}


def test_the_tag_of_the_batch_image_is_its_scikit_learn_version() -> None:
    table = tomllib.loads((MODEL.parent / "local/components.toml").read_text())
    (tag,) = (image["ref"].rpartition(":")[2] for image in table["image"] if image.get("python") == "model/batch")
    assert tag == f"sklearn-{pins('batch')['scikit-learn']}"
