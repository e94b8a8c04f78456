# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check mode after a change of the list of models: it shows the difference, waits for nothing and ends with 0."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.manifest import Entry, Manifest

from ..plugins.module_utils.model_store_fake import MemoryStore, serving
from .conftest import Run
from .http_cluster import MODEL, Cluster

FOUND = "{{ model_storage_digests }}"


@pytest.mark.usefixtures("serves_v1")
def test_a_new_version_is_shown_and_not_waited_for(run: Run, api: Cluster) -> None:
    assert api.models()["iris"]["spec"]["predictor"]["model"]["storageUri"] == "s3://models/iris/v1/"
    before = dict(api.objects)
    api.seen.clear()
    code, output = run(["model_serving"], "v2", "--check", "--diff")
    assert code == 0, output
    assert '- "storageUri": "s3://models/iris/v1/" + "storageUri": "s3://models/iris/v2/"' in output
    assert "changed=1" in output
    assert api.objects == before
    # Once, for the report of the models that are no longer listed, and not to wait.
    assert len(api.paths("/pods")) == 1


@pytest.mark.usefixtures("serves_v1")
def test_a_model_that_does_not_serve_yet_is_no_failure(run: Run) -> None:
    code, output = run(["model_serving"], "v1", "--check", "--diff")
    assert code == 0, output
    assert "changed=0" in output


@pytest.fixture
def connections() -> Iterator[tuple[int, list[object]]]:
    """A port, and who has connected to it."""
    came: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, address = listener.accept()
                except OSError:
                    return
                came.append(address)
                connection.close()

        Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1], came


@pytest.mark.usefixtures("serves_v1")
@pytest.mark.parametrize(("version", "verified"), [("v1", True), ("v2", False)])
def test_only_an_unchanged_model_is_verified(
    run: Run, connections: tuple[int, list[object]], tmp_path: Path, version: str, verified: bool
) -> None:
    """The examples are those of the new version, and the previous one serves."""
    port, came = connections
    (tmp_path / "metadata.json").write_text(json.dumps({"examples": {"instances": [[1]], "predictions": [1]}}))
    models = [{**MODEL, "version": version, "source": {"folder": str(tmp_path)}}]
    where = {"model_verification_port": port, "model_verification_address": "127.0.0.1"}
    where |= {"model_verification_ca_file": "", "models": models}
    code, output = run(["model_serving", "model_verification"], version, "--check", **where)
    assert code == 0, output
    assert bool(came) is verified


@pytest.mark.usefixtures("serves_v1")
def test_credentials_that_have_expired_can_be_rotated(run: Run) -> None:
    """The models do not serve, which new credentials may change."""
    with serving(MemoryStore()) as store:
        where = {"platform_endpoint_url": store.url, "credential_rotation_timeout": 1}
        code, output = run(["credential_rotation"], "v1", "--check", **where)
    assert code == 0, output
    assert "TASK [hashfoundry.kserve.credential_rotation : Restart the model pods] " in output


def test_a_version_in_the_bucket_keeps_its_digest_where_its_folder_is_missing(run: Run, tmp_path: Path) -> None:
    """As in continuous integration, which has no models."""
    manifest = Manifest({"model.joblib": Entry("0" * 64, 5)})
    models = [{**MODEL, "source": {"folder": str(tmp_path / "missing")}}]
    digests = {"s3://models/iris/v1/": manifest.digest}
    assert run(["model_serving"], "v1", model_serving_digests=digests)[0] == 2
    with serving(MemoryStore({"iris/v1/manifest.json": manifest.content})) as store:
        where = {"platform_endpoint_url": store.url, "models": models, "model_serving_digests": FOUND}
        code, output = run(["model_storage", "model_serving"], "v1", "--check", "--diff", **where)
    assert code == 0, output
    assert "changed=0" in output, output
