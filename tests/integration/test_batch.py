# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Predictions for a file by batch.yml: each row once, also after an interruption, and no change on a second run."""

from __future__ import annotations

import csv
import io
import json
import secrets
import threading
from collections.abc import Iterator
from typing import Any

import joblib
import numpy as np
import pytest

from local.settings import Settings

from .helpers import s3_client, wait_until

MODEL, VERSION = "iris-classifier", "v1"
NAMES = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"]
ROWS, CHUNK = 300_000, 1_500
# Kills the process whose arguments contain the bucket; because of the brackets the pattern does not match this script.
KILL = """
for file in $(grep -ls 'model[.]batch' /proc/[0-9]*/cmdline); do
    process=${file%/cmdline}
    if grep -qs -e "$1" $file; then kill -9 ${process#/proc/} || true; fi
done
"""


class Batch:
    """A bucket and a namespace for the tests, and the play that predicts a file in the bucket."""

    def __init__(self, name: str, settings: Settings, playbook: Any, kubectl: Any) -> None:
        self.name, self.store, self.playbook, self.kubectl = name, s3_client(settings), playbook, kubectl

    def put(self, key: str, content: bytes) -> None:
        self.store.put_object(Bucket=self.name, Key=key, Body=content)

    def get(self, key: str) -> bytes:
        return self.store.get_object(Bucket=self.name, Key=key)["Body"].read()

    def listed(self, prefix: str = "") -> dict[str, Any]:
        pages = self.store.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return {entry["Key"]: entry for page in pages for entry in page.get("Contents", [])}

    def play(self, key: str, **options: Any) -> tuple[int, str]:
        words = {"model": MODEL, "version": VERSION, "input": key, "batch_inference_bucket": self.name}
        words |= {"batch_inference_namespace": self.name, **options}
        result = self.playbook("playbooks/batch.yml", "-e", json.dumps(words))
        return result.returncode, " ".join(result.stdout.split())

    def pods(self) -> list[str]:
        words = ("get", "pods", "-n", self.name, "-l", "app.kubernetes.io/name=batch-inference", "-o", "name")
        return self.kubectl(*words).split()


@pytest.fixture(scope="module")
def batch(settings, playbook, kubectl) -> Iterator[Batch]:
    name = f"batch-{secrets.token_hex(3)}"
    made = Batch(name, settings, playbook, kubectl)
    store = made.store
    store.create_bucket(Bucket=name)
    kubectl("create", "namespace", name)
    try:
        source = store.list_objects_v2(Bucket="hashfoundry-ml-models", Prefix=f"{MODEL}/{VERSION}/")["Contents"]
        for entry in source:
            store.copy_object(Bucket=name, Key=entry["Key"], CopySource=f"hashfoundry-ml-models/{entry['Key']}")
        yield made
    finally:
        for key in made.listed():
            store.delete_object(Bucket=name, Key=key)
        store.delete_bucket(Bucket=name)
        kubectl("delete", "namespace", name, "--wait=false")
        kubectl("delete", "pods", "--all", "-n", name, "--grace-period=1", "--timeout=60s")


@pytest.fixture(scope="module")
def rows() -> np.ndarray[Any, Any]:
    return np.round(np.random.default_rng(0).uniform(0.1, 8, (ROWS, 4)), 1)


def test_an_interrupted_job_resumes_and_each_row_is_predicted_once(batch, rows, settings, on_node) -> None:
    text = io.StringIO()
    text.write(",".join(["id", *NAMES]) + "\n")
    np.savetxt(text, np.column_stack([np.arange(ROWS), rows]), fmt=["n%d", *["%.1f"] * 4], delimiter=",")
    batch.put("in/rows.csv", text.getvalue().encode())
    ended: list[tuple[int, str]] = []
    options = {"batch_inference_chunk_rows": CHUNK, "batch_inference_keep": ["id"]}
    player = threading.Thread(target=lambda: ended.append(batch.play("in/rows.csv", **options)))
    player.start()
    parts = wait_until(
        lambda: batch.listed("in/rows.csv.predictions/"),
        lambda found: len(found) > 20,
        pause=0.05,
        what="more than 20 parts are written",
    )
    # On the node, since a deleted pod runs until the kubelet has observed the deletion.
    on_node("sh", "-c", KILL, "sh", batch.name)
    (killed,) = batch.pods()
    assert not any(key.endswith("/manifest.json") for key in parts)
    player.join()
    code, output = ended[0]
    assert code == 0, output[-3000:]
    assert f"{ROWS} rows are predicted and 0 rejected" in output

    (second,) = set(batch.pods()) - {killed}
    assert "Resuming after chunk" in batch.kubectl("logs", second, "-n", batch.name)
    after = batch.listed("in/rows.csv.predictions/")
    # Existing parts are not written again, except the one that was in progress.
    before = {key: entry["LastModified"] for key, entry in parts.items() if "/part-" in key}
    assert {key for key, when in before.items() if after[key]["LastModified"] == when} >= set(sorted(before)[:-1])
    (manifest,) = (json.loads(batch.get(key)) for key in after if key.endswith("/manifest.json"))
    assert len(manifest["parts"]) == ROWS // CHUNK == len(after) - 1
    folder = next(iter(after)).rpartition("/")[0]
    predictions = [row for name in sorted(manifest["parts"]) for row in _csv(batch.get(f"{folder}/{name}"))]
    estimator = joblib.load(settings.state / "models" / MODEL / VERSION / "model.joblib")
    assert [row["id"] for row in predictions] == [f"n{number}" for number in range(ROWS)]
    assert [int(row["line"]) for row in predictions] == list(range(2, ROWS + 2))
    assert np.array_equal([int(row["prediction"]) for row in predictions], estimator.predict(rows))


def test_complete_predictions_are_not_repeated(batch) -> None:
    before, pods = batch.listed(), batch.pods()
    code, output = batch.play("in/rows.csv", batch_inference_keep=["id"])
    assert code == 0
    assert "changed=0" in output
    assert f"{ROWS} rows are predicted" in output
    assert (batch.listed(), batch.pods()) == (before, pods)


def test_an_invalid_row_is_reported_and_may_be_allowed(batch) -> None:
    batch.put("in/bad.csv", (",".join(NAMES) + "\n5.1,3.5,1.4,0.2\n5.1,n/a,1.4,0.2\n6.7,3.1,5.6,2.4\n").encode())
    code, output = batch.play("in/bad.csv")
    assert code != 0
    assert "line 3: sepal width (cm) is 'n/a', which is not a number" in output
    code, output = batch.play("in/bad.csv", batch_inference_max_rejected=1)
    assert code == 0, output[-3000:]
    assert "2 rows are predicted and 1 rejected" in output
    (rejected,) = (batch.get(key) for key in batch.listed("in/bad.csv.predictions/") if "/rejected-" in key)
    assert [row["line"] for row in _csv(rejected)] == ["3"]


def _csv(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode())))
