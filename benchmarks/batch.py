# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Batch prediction of a million rows of iris in a CSV file, compared with a loop in plain scikit-learn."""

from __future__ import annotations

import hashlib
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.batch_predictions import describe
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.folder import scan
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.location import Target
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.upload import publish
from ansible_collections.hashfoundry.kserve.plugins.module_utils._object_store import s3
from ansible_collections.hashfoundry.kserve.plugins.module_utils._object_store.port import ObjectStore
from ansible_collections.hashfoundry.kserve.plugins.module_utils._object_store.s3_client import S3Options
from benchmarks import tools
from benchmarks.results import ROOT, MeasurementError, Report
from benchmarks.tools import Tools
from benchmarks.upload import ACCESS, BUCKET, Store, storage_folder, store
from local import environments
from local.cache import digest
from local.run import run

ROUNDS = 5
MODEL = "iris-classifier"
ROWS, CHUNK = 1_000_000, 100_000
OURS, PLAIN = "model.batch", "scikit-learn loop"
LOCK = ROOT / "model" / "batch" / "requirements.txt"
PYTHON = "3.11"
NAMES = ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")
# What a user would write with pandas for a local file and a local model. It validates nothing.
LOOP = f"""
import sys, time
import joblib, pandas
model, source, target = sys.argv[1:]
estimator = joblib.load(model)
began, line = time.monotonic(), 2
with open(target, "w") as out:
    for chunk in pandas.read_csv(source, chunksize={CHUNK}):
        predicted = estimator.predict(chunk[{list(NAMES)!r}].to_numpy())
        table = pandas.DataFrame({{"line": range(line, line + len(chunk)), "prediction": predicted}})
        table.to_csv(out, index=False, header=line == 2)
        line += len(chunk)
print(f"{{line - 2}} rows predicted in {{time.monotonic() - began}} s.")
"""


def _environment(found: Tools) -> Path:
    """The Python of a virtual environment with the packages of the batch image."""
    name = f"benchmarks-batch-{digest(LOCK)}"
    return environments.ensure(found.settings, name, LOCK, PYTHON) / "bin" / "python"


def _file(path: Path) -> None:
    """Write a million random rows in the range of iris, the same in every run."""
    rows = np.random.default_rng(0).uniform(0.1, 8, (ROWS, len(NAMES)))
    with path.open("w") as file:
        file.write(",".join(["id", *NAMES]) + "\n")
        np.savetxt(file, np.column_stack([np.arange(ROWS), rows]), fmt=["%d", *["%.1f"] * len(NAMES)], delimiter=",")


def _timed(command: Sequence[str | Path], server: Store) -> tuple[float, float]:
    """Run a command on one core; return the rows per second of its loop, and the seconds of the whole process."""
    environment = {**os.environ, **server.env, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    began = time.monotonic()
    result = subprocess.run(
        ["taskset", "--cpu-list", "1", *map(str, command)],
        env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    seconds = time.monotonic() - began
    match = re.search(r"^(\d+) rows predicted (?:and 0 rejected )?in ([\d.]+) s\.$", result.stdout, re.MULTILINE)
    if result.returncode or not match or int(match[1]) != ROWS:
        raise MeasurementError(
            f"{command[1]} did not predict {ROWS} rows:\n{result.stdout[-500:]}{result.stderr[-1500:]}"
        )
    return ROWS / float(match[2]), seconds


def _bucket(server: Store) -> ObjectStore:
    access_key, secret_key, region = (
        ACCESS[f"AWS_{name}"] for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "REGION")
    )
    return s3.connect(S3Options(BUCKET, server.url, region, access_key, secret_key, addressing_style="path"))


def _stored(bucket: ObjectStore, folder: Path) -> dict[str, Any]:
    """Upload the model and the file, and return the result of batch_predictions_info for them."""
    target = Target(BUCKET, MODEL, "v1")
    publish(bucket, target, scan(folder / "model"), overwrite=False, check_mode=False)
    content = (folder / "rows.csv").read_bytes()
    bucket.put("rows.csv", content, hashlib.sha256(content).hexdigest())
    return describe(bucket, target, "rows.csv", digest=None, probabilities=False, keep=[])


def measure(rounds: int = ROUNDS) -> Report:
    """Predict the rows of the file with both, alternately."""
    found = tools.ensure("versitygw")
    python = _environment(found)
    report = Report("batch", f"Predicting {ROWS:,} rows of iris in a file of CSV", _versions())
    rates: dict[str, list[float]] = {OURS: [], PLAIN: []}
    whole: dict[str, list[float]] = {OURS: [], PLAIN: []}
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-", dir=found.settings.cache) as name,
        tempfile.TemporaryDirectory(prefix="benchmark-", dir=storage_folder(found.settings.cache)) as objects,
    ):
        folder, model = Path(name), Path(name) / "model"
        run([sys.executable, "-m", "model.iris", "--output", model, "--version", "v1"], hint="see its error.", cwd=ROOT)
        _file(folder / "rows.csv")
        (folder / "loop.py").write_text(LOOP)
        with store(found, Path(objects), "http") as server:
            bucket = _bucket(server)
            stored = _stored(bucket, folder)
            for number in range(rounds):
                for tool in (OURS, PLAIN) if number % 2 else (PLAIN, OURS):
                    rate, seconds = _timed(_command(tool, python, folder, stored, number), server)
                    print(f"    round {number + 1}, {tool}: {rate:,.0f} rows a second", flush=True)
                    rates[tool].append(rate)
                    whole[tool].append(seconds)
                if not _same(bucket, number, folder / "predicted"):
                    raise MeasurementError(f"{OURS} and the loop did not predict the same.")
    met = statistics.median(rates[OURS]) >= statistics.median(rates[PLAIN])
    limit = "at least as many as the loop"
    report.compare("rows predicted, one core", OURS, rates, unit="rows/s", limit=limit, met=met)
    report.compare("the whole process", OURS, whole)
    report.notes += [
        "model.batch reads the file from an S3 server on the same machine, writes the predictions and its progress "
        "there, and validates each value. The loop reads and writes a local file with pandas.",
        "Both run with the packages of the batch image, on the same core, which the S3 server may also use, "
        f"{CHUNK:,} rows at a time. The whole process includes imports and loading the model.",
    ]
    return report


def _versions() -> dict[str, str]:
    pins = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", LOCK.read_text(), re.MULTILINE))
    return {name: pins[name] for name in ("scikit-learn", "numpy", "pandas", "pyarrow", "boto3")}


def _command(tool: str, python: Path, folder: Path, found: Mapping[str, Any], number: int) -> list[str | Path]:
    if tool == PLAIN:
        return [
            python,
            folder / "loop.py",
            folder / "model" / "model.joblib",
            folder / "rows.csv",
            folder / "predicted",
        ]
    argv: list[str | Path] = [python, "-m", "model.batch", "--bucket", BUCKET, "--input", found["input"]["key"]]
    argv += [
        "--etag",
        found["input"]["etag"],
        "--name",
        MODEL,
        "--version",
        "v1",
        "--digest",
        found["model"]["digest"],
    ]
    return [*argv, "--output", _output(number), "--chunk-rows", str(CHUNK)]


def _output(number: int) -> str:
    """A different prefix in each round, because existing predictions are not repeated."""
    return f"rows.csv.predictions/round-{number}/"


def _same(bucket: ObjectStore, number: int, predicted: Path) -> bool:
    """Whether both wrote the same lines and predictions."""
    keys = sorted(key for key in bucket.objects(_output(number)) if "/part-" in key)
    parts = [(bucket.get(key) or b"").splitlines()[1:] for key in keys]
    return [line for part in parts for line in part] == predicted.read_bytes().splitlines()[1:]
