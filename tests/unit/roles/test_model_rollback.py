# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The advice of a rollback is followed, on an API server without KServe's controller."""

from __future__ import annotations

import re
from pathlib import Path

from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.manifest import Entry, Manifest

from ..plugins.module_utils.model_store_fake import MemoryStore, serving
from .conftest import Run
from .http_cluster import MODEL

V1 = Manifest({"model.joblib": Entry("0" * 64, 5)})


def test_the_list_of_models_can_be_changed_as_the_rollback_says(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "v2"
    folder.mkdir()
    (folder / "model.joblib").write_bytes(b"the second model")
    entry = {**MODEL, "version": "v2", "source": {"folder": str(folder)}, "gate": {"load": False, "metadata": False}}
    digests = {"s3://models/iris/v1/": V1.digest}
    assert run(["model_serving"], "v2")[0] == 2
    with serving(MemoryStore({"iris/v1/manifest.json": V1.content, "iris/v1/model.joblib": b"first"})) as store:
        where = {"platform_endpoint_url": store.url, "model_serving_digests": digests}
        names = {"model_rollback_model": "iris", "model_rollback_version": "v1"}
        code, output = run(["model_rollback"], "v2", "--check", models=[entry], **where, **names)
        assert code == 0, output
        advice = re.search(r"Set version: (\S+) there, and remove (\S+),", output)
        assert advice, output
        followed = {key: value for key, value in entry.items() if key != advice[2]} | {"version": advice[1]}
        code, output = run(["model_storage"], "v1", models=[followed], **where)
    assert code == 0 and "changed=0" in output, output
