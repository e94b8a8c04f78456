# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Complete files with real models: the output, resuming after an interruption, and rejected rows."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import joblib
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

pa = pytest.importorskip("pyarrow", reason="needs the packages of model/batch/requirements.txt")
pq = pytest.importorskip("pyarrow.parquet")

from model.batch import predictor, run, source  # noqa: E402
from model.batch.errors import BatchError  # noqa: E402
from model.server.rows import Feature, InvalidRows  # noqa: E402

PREFIX = "words/v1/"
OUTPUT = "in/rows.csv.predictions/words-v1-0123456789ab/"


class Memory:
    """Objects in memory; uploads_left: the number of uploads until one fails, or None."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.uploads_left: int | None = None

    def etag(self, key: str) -> str:
        return hashlib.md5(self.content[key]).hexdigest()

    def get(self, key: str) -> bytes | None:
        return self.content.get(key)

    def size(self, key: str, etag: str) -> int:
        return len(self._content(key, etag))

    def read(self, key: str, etag: str, start: int, size: int) -> bytes:
        return self._content(key, etag)[start : start + size]

    def _content(self, key: str, etag: str) -> bytes:
        if self.etag(key) != etag:
            raise BatchError(f"The file {key} was changed while it was read.")
        return self.content[key]

    def put(self, key: str, content: bytes) -> None:
        if self.uploads_left is not None:
            if not self.uploads_left:
                raise ConnectionError("interrupted")
            self.uploads_left -= 1
        self.content[key] = content

    def delete(self, key: str) -> None:
        self.content.pop(key, None)

    def written(self) -> dict[str, bytes]:
        return {key.removeprefix(OUTPUT): text for key, text in self.content.items() if key.startswith(OUTPUT)}


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    """A bucket with a version of a model whose classes are strings."""
    model = LogisticRegression().fit([[0.0, 0.0], [1.0, 1.0]], ["no", "yes"])
    joblib.dump(model, tmp_path / "model.joblib")
    memory, content = Memory(), (tmp_path / "model.joblib").read_bytes()
    files = {"model.joblib": {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}}
    memory.content = {
        f"{PREFIX}model.joblib": content,
        f"{PREFIX}manifest.json": json.dumps({"files": files}).encode(),
    }
    return memory


@pytest.fixture
def model(memory: Memory, tmp_path: Path) -> predictor.Predictor:
    folder = tmp_path / "downloaded"
    predictor.download(memory, PREFIX, digest(memory), folder)
    return predictor.load("words", folder, probabilities=True)


def digest(memory: Memory) -> str:
    return "sha256:" + hashlib.sha256(memory.content[f"{PREFIX}manifest.json"]).hexdigest()


def batch_job(memory: Memory, **options: Any) -> run.BatchJob:
    key = options.pop("key", "in/rows.csv")
    return run.BatchJob(key, memory.etag(key), "words", "v1", digest(memory), OUTPUT, **options)


def predict(memory: Memory, model: Any, job: run.BatchJob, chunk_rows: int = 2) -> run.Summary:
    rows = source.open_source(memory, job.key, job.etag, model.features, job.keep, chunk_rows)
    return run.run(memory, job, rows, model, lambda _line: None)


FILE = b"x1,id,x0\n0,a,0\n1,b,1\n1,c,1\n0,d,0\n1,e,1\n"


def test_a_file_in_parts(memory: Memory, model: Any) -> None:
    memory.content["in/rows.csv"] = FILE
    job = batch_job(memory, keep=("id",))
    result = predict(memory, model, job)
    assert (result.rows, result.rejected) == (5, 0)
    assert memory.written().keys() == {"manifest.json", "part-00000.csv", "part-00001.csv", "part-00002.csv"}
    assert memory.written()["part-00001.csv"] == b'"line","id","prediction"\n4,"c","yes"\n5,"d","no"\n'
    manifest = json.loads(memory.written()["manifest.json"])
    assert manifest["input"] == {"etag": job.etag, "key": "in/rows.csv"}
    assert manifest["model"] == {"digest": digest(memory), "name": "words", "version": "v1"}
    assert (manifest["rows"], manifest["rejected"], manifest["rejects"]) == (5, 0, {})
    for name, part in manifest["parts"].items():
        content = memory.written()[name]
        assert part == {
            "rows": content.count(b"\n") - 1,
            "sha256": hashlib.sha256(content).hexdigest(),
            "size": len(content),
        }
    assert run.is_complete(memory, job)


@pytest.mark.parametrize("stored", range(8))
def test_a_run_that_is_interrupted_anywhere_resumes_with_the_same_result(
    memory: Memory, model: Any, stored: int
) -> None:
    memory.content["in/rows.csv"] = FILE + b"2,f,bad\n"
    job = batch_job(memory, max_rejected=1)
    predict(memory, model, job)
    complete = memory.written()
    for name in complete:
        memory.delete(OUTPUT + name)
    memory.uploads_left = stored
    with pytest.raises(ConnectionError):
        predict(memory, model, job)
    assert not run.is_complete(memory, job)
    interrupted = memory.written()
    memory.uploads_left = None
    result = predict(memory, model, job)
    assert memory.written() == complete
    assert (result.rows, result.rejected) == (5, 1)
    assert all(complete[name] == text for name, text in interrupted.items() if name != "progress.json")


def test_uploaded_parts_are_not_uploaded_again(memory: Memory, model: Any) -> None:
    memory.content["in/rows.csv"] = FILE
    memory.uploads_left = 4  # two parts, each with its progress
    with pytest.raises(ConnectionError):
        predict(memory, model, batch_job(memory))
    memory.uploads_left = None
    memory.content[f"{OUTPUT}part-00000.csv"] = b"unchanged"
    predict(memory, model, batch_job(memory))
    assert memory.written()["part-00000.csv"] == b"unchanged"


def test_bad_rows_up_to_a_limit(memory: Memory, model: Any) -> None:
    memory.content["in/rows.csv"] = FILE.replace(b"1,b,1", b"1,b,one").replace(b"0,d,0", b"0,d")
    with pytest.raises(
        BatchError,
        match=r"has 1 rejected rows so far, but the maximum is 0 \(line 3: x0 is 'one', which is not a number\)",
    ):
        predict(memory, model, batch_job(memory))
    assert "manifest.json" not in memory.written()
    result = predict(memory, model, batch_job(memory, max_rejected=2))
    assert (result.rows, result.rejected) == (3, 2)
    assert memory.written()["rejected-00001.csv"] == (b'"line","reason"\n5,"has 2 values, but the first line has 3"\n')


def test_only_the_first_bad_rows_are_reported(memory: Memory, model: Any) -> None:
    memory.content["in/rows.csv"] = b"x0,x1\n" + b"a,b\n" * 9
    with pytest.raises(BatchError, match=r"line 6: x0 is 'a', which is not a number; and 4 more\)"):
        predict(memory, model, batch_job(memory), chunk_rows=100)


def test_probabilities(memory: Memory, model: Any) -> None:
    memory.content["in/rows.csv"] = FILE
    predict(memory, model, batch_job(memory, probabilities=True))
    header, first, *_rest = memory.written()["part-00000.csv"].decode().splitlines()
    assert header == '"line","prediction","probability_0","probability_1"'
    line, word, no, yes = first.split(",")
    assert (line, word) == ("2", '"no"')
    assert float(no) + float(yes) == pytest.approx(1)


@pytest.fixture
def parquet(memory: Memory) -> Iterator[bytes]:
    table = pa.table({"x0": [0.0, 1.0, None, 0.0, 1.0], "id": list("abcde"), "x1": [0, 1, 1, 0, 1]})
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=3)
    yield sink.getvalue()


def test_predictions_of_parquet_are_parquet(memory: Memory, model: Any, parquet: bytes) -> None:
    memory.content["in/rows.parquet"] = parquet
    job = batch_job(memory, key="in/rows.parquet", keep=("id",), max_rejected=1)
    result = predict(memory, model, job)
    assert (result.rows, result.rejected) == (4, 1)
    parts = [pq.read_table(io.BytesIO(memory.written()[name])) for name in result.parts]
    assert pa.concat_tables(parts).to_pydict() == {
        "row": [1, 2, 4, 5],
        "id": ["a", "b", "d", "e"],
        "prediction": ["no", "yes", "no", "yes"],
    }
    assert memory.written()["rejected-00001.csv"] == b'"row","reason"\n3,"x0 is empty or not finite"\n'


@pytest.mark.parametrize("stored", [2, 4, 5])
def test_a_run_with_parquet_resumes(memory: Memory, model: Any, parquet: bytes, stored: int) -> None:
    memory.content["in/rows.parquet"] = parquet
    job = batch_job(memory, key="in/rows.parquet", max_rejected=1)
    predict(memory, model, job)
    complete = memory.written()
    for name in complete:
        memory.delete(OUTPUT + name)
    memory.uploads_left = stored
    with pytest.raises(ConnectionError):
        predict(memory, model, job)
    memory.uploads_left = None
    predict(memory, model, job)
    assert memory.written() == complete


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no column 'x0'"),
        (b"x0,y\n1,2\n", "The file in/rows.csv does not fit the model: it has no column 'x1'; it has 'x0', 'y'."),
    ],
)
def test_a_file_that_does_not_fit(memory: Memory, model: Any, content: bytes, message: str) -> None:
    memory.content["in/rows.csv"] = content
    with pytest.raises(BatchError, match=message):
        predict(memory, model, batch_job(memory))


@pytest.mark.parametrize("between", [b"\n", b"\r\n"])
def test_a_first_line_of_any_length(memory: Memory, model: Any, between: bytes) -> None:
    others = [f"column_{number}" for number in range(9000)]
    lines = [",".join(["x0", *others, "x1"]), *[",".join(map(str, [bit, *range(9000), bit])) for bit in (0, 1)]]
    memory.content["in/rows.csv"] = between.join(line.encode() for line in lines)
    assert len(lines[0]) > 2**16
    assert predict(memory, model, batch_job(memory)).rows == 2
    assert memory.written()["part-00000.csv"] == b'"line","prediction"\n2,"no"\n3,"yes"\n'


def test_a_first_line_without_an_end(memory: Memory, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "BLOCK", 2**17)
    memory.content["in/rows.csv"] = b'x0,"x1\n' + b"0,0\n" * 2**16
    with pytest.raises(BatchError, match=r"its first line is longer than .*: close open quotes"):
        predict(memory, model, batch_job(memory))


def test_lines_that_end_in_cr_alone_are_rejected(memory: Memory, model: Any) -> None:
    memory.content["in/rows.csv"] = FILE.replace(b"\n", b"\r")
    with pytest.raises(BatchError, match="its lines end in CR alone: end them in LF, or in CR and LF"):
        predict(memory, model, batch_job(memory))
    assert memory.written() == {}


@pytest.mark.parametrize(("key", "number_column"), [("in/rows.csv", "line"), ("in/rows.parquet", "row")])
def test_a_number_column_of_the_file_cannot_be_copied(memory: Memory, model: Any, key: str, number_column: str) -> None:
    table = pa.table({"x0": [0.0], "x1": [0.0], number_column: [7]})
    sink = io.BytesIO()
    pq.write_table(table, sink)
    memory.content[key] = sink.getvalue() if number_column == "row" else f"x0,x1,{number_column}\n0,0,7\n".encode()
    with pytest.raises(BatchError, match=f"its column '{number_column}' cannot be copied"):
        predict(memory, model, batch_job(memory, key=key, keep=(number_column,)))


class SelectiveModel:
    """A model whose predict_proba rejects rows that predict accepts; max_rows: the maximum number of rows at a time."""

    def __init__(self, max_rows: int = 100) -> None:
        self.features = [Feature("x0"), Feature("x1")]
        self.max_rows = max_rows

    def run(self, columns: Sequence[Any], method: str) -> Any:
        if len(columns[0]) > self.max_rows:
            raise InvalidRows("The model rejected these rows: too many.")
        if method == "predict_proba" and (columns[0] < 0).any():
            raise InvalidRows("The model rejected these rows: negative.")
        return columns[0]


def test_a_row_that_has_a_prediction_and_no_probabilities_is_rejected(memory: Memory) -> None:
    memory.content["in/rows.csv"] = b"x0,x1\n1,1\n-1,1\n2,1\n"
    job = batch_job(memory, probabilities=True, max_rejected=1)
    result = predict(memory, SelectiveModel(), job, chunk_rows=100)
    assert (result.rows, result.rejected) == (2, 1)
    assert memory.written()["rejected-00000.csv"] == (b'"line","reason"\n3,"The model rejected these rows: negative"\n')


def test_rows_that_are_rejected_only_together_fail_the_run(memory: Memory) -> None:
    memory.content["in/rows.csv"] = b"x0,x1\n1,1\n2,1\n3,1\n"
    with pytest.raises(
        BatchError, match=r"accepts each of the 3 rows from 2 to 4, but not all of them together \(.* too many\)"
    ):
        predict(memory, SelectiveModel(max_rows=2), batch_job(memory), chunk_rows=100)


def test_a_file_with_only_a_header_has_no_predictions(memory: Memory, model: Any) -> None:
    memory.content["in/rows.csv"] = b"x0,x1\n"
    assert predict(memory, model, batch_job(memory)).rows == 0
    assert memory.written().keys() == {"manifest.json"}


def test_a_file_that_is_not_parquet(memory: Memory, model: Any) -> None:
    memory.content["in/rows.parquet"] = FILE
    with pytest.raises(BatchError, match=r"in/rows\.parquet is not valid Parquet"):
        predict(memory, model, batch_job(memory, key="in/rows.parquet"))


def test_a_file_with_an_unsupported_extension(memory: Memory, model: Any) -> None:
    memory.content["in/rows.txt"] = FILE
    with pytest.raises(BatchError, match=r"is not supported: use \.csv or \.parquet"):
        predict(memory, model, batch_job(memory, key="in/rows.txt"))


def test_a_file_that_changes_during_the_run(memory: Memory, model: Any) -> None:
    memory.content["in/rows.csv"] = FILE
    job = batch_job(memory)
    memory.content["in/rows.csv"] = FILE + b"0,f,0\n"
    with pytest.raises(BatchError, match="was changed while it was read"):
        predict(memory, model, job)


def test_a_row_that_the_model_itself_rejects_is_found(memory: Memory, tmp_path: Path) -> None:
    rows = [["basic"], ["more"], ["basic"], ["more"]]
    pipeline = make_pipeline(OneHotEncoder(handle_unknown="error"), LogisticRegression()).fit(rows, [0, 1, 0, 1])
    folder = tmp_path / "plans"
    folder.mkdir()
    joblib.dump(pipeline, folder / "model.joblib")
    file = folder / "model.joblib"
    metadata = {
        "version": "v1",
        "model_file": {"sha256": hashlib.sha256(file.read_bytes()).hexdigest()},
        "libraries": {"scikit-learn": __import__("sklearn").__version__},
        "features": ["plan"],
        "inputs": [{"name": "plan", "datatype": "BYTES", "shape": [-1]}],
        "examples": {"instances": [["basic"]], "predictions": [0]},
    }
    (folder / "metadata.json").write_text(json.dumps(metadata))
    model = predictor.load("plans", folder, probabilities=False)
    memory.content["in/rows.csv"] = b"plan\n" + b"basic\nmore\n" * 8 + b"gold\nbasic\nsilver\n"
    result = predict(memory, model, batch_job(memory, max_rejected=2), chunk_rows=100)
    assert (result.rows, result.rejected) == (17, 2)
    rejected = memory.written()["rejected-00000.csv"].decode().splitlines()[1:]
    assert [line.split(",")[0] for line in rejected] == ["18", "20"]
    assert "unknown categories" in rejected[0]


def test_another_version_is_rejected(memory: Memory, tmp_path: Path) -> None:
    with pytest.raises(BatchError, match="does not have the digest sha256:0: run again"):
        predictor.download(memory, PREFIX, "sha256:0", tmp_path / "downloaded")
    memory.content[f"{PREFIX}model.joblib"] += b"!"
    with pytest.raises(BatchError, match=r"words/v1/model\.joblib does not match the manifest of the version"):
        predictor.download(memory, PREFIX, digest(memory), tmp_path / "downloaded")


def test_a_run_starts_without_packages_that_its_model_does_not_need(tmp_path: Path) -> None:
    joblib.dump(LogisticRegression().fit([[0.0], [1.0]], ["no", "yes"]), tmp_path / "model.joblib")
    code = (
        "import sys; from pathlib import Path; from model.batch import __main__, predictor; "
        "predictor.load('words', Path(sys.argv[1]), True); "
        "print([name for name in ('pandas', 'scipy.stats') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    result = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert (result.stdout.strip(), result.returncode) == ("[]", 0), result.stderr
