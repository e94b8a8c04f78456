# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whole files with real models: what is written, going on after a kill, and rows that are rejected."""

from __future__ import annotations

import hashlib
import io
import json
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
    """The Objects port in memory; broken: how many more times something may be stored."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.broken: int | None = None

    def etag(self, key: str) -> str:
        return hashlib.md5(self.content[key]).hexdigest()

    def get(self, key: str) -> bytes | None:
        return self.content.get(key)

    def size(self, key: str, etag: str) -> int:
        return len(self._known(key, etag))

    def read(self, key: str, etag: str, start: int, size: int) -> bytes:
        return self._known(key, etag)[start : start + size]

    def _known(self, key: str, etag: str) -> bytes:
        if self.etag(key) != etag:
            raise BatchError(f"The file {key} was changed while it was read.")
        return self.content[key]

    def put(self, key: str, content: bytes) -> None:
        if self.broken is not None:
            if not self.broken:
                raise ConnectionError("killed")
            self.broken -= 1
        self.content[key] = content

    def remove(self, key: str) -> None:
        self.content.pop(key, None)

    def written(self) -> dict[str, bytes]:
        return {key.removeprefix(OUTPUT): text for key, text in self.content.items() if key.startswith(OUTPUT)}


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    """A bucket with a version of a model whose classes are words."""
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
    folder = tmp_path / "fetched"
    predictor.fetch(memory, PREFIX, digest(memory), folder)
    return predictor.load("words", folder, probabilities=True)


def digest(memory: Memory) -> str:
    return "sha256:" + hashlib.sha256(memory.content[f"{PREFIX}manifest.json"]).hexdigest()


def order(memory: Memory, **options: Any) -> run.Order:
    key = options.pop("key", "in/rows.csv")
    return run.Order(key, memory.etag(key), "words", "v1", digest(memory), OUTPUT, **options)


def predict(memory: Memory, model: Any, wanted: run.Order, chunk_rows: int = 2) -> run.Done:
    rows = source.open_source(memory, wanted.key, wanted.etag, model.features, wanted.keep, chunk_rows)
    return run.run(memory, wanted, rows, model, lambda _line: None)


FILE = b"x1,id,x0\n0,a,0\n1,b,1\n1,c,1\n0,d,0\n1,e,1\n"


def test_a_file_in_parts(memory: Memory, model: Any) -> None:
    memory.content["in/rows.csv"] = FILE
    wanted = order(memory, keep=("id",))
    done = predict(memory, model, wanted)
    assert (done.rows, done.rejected) == (5, 0)
    assert memory.written().keys() == {"manifest.json", "part-00000.csv", "part-00001.csv", "part-00002.csv"}
    assert memory.written()["part-00001.csv"] == b'"line","id","prediction"\n4,"c","yes"\n5,"d","no"\n'
    manifest = json.loads(memory.written()["manifest.json"])
    assert manifest["input"] == {"etag": wanted.etag, "key": "in/rows.csv"}
    assert manifest["model"] == {"digest": digest(memory), "name": "words", "version": "v1"}
    assert (manifest["rows"], manifest["rejected"], manifest["rejects"]) == (5, 0, {})
    for name, part in manifest["parts"].items():
        content = memory.written()[name]
        assert part == {
            "rows": content.count(b"\n") - 1,
            "sha256": hashlib.sha256(content).hexdigest(),
            "size": len(content),
        }
    assert run.is_complete(memory, wanted)


@pytest.mark.parametrize("stored", range(8))
def test_a_run_that_is_killed_anywhere_goes_on_and_ends_the_same(memory: Memory, model: Any, stored: int) -> None:
    memory.content["in/rows.csv"] = FILE + b"2,f,bad\n"
    wanted = order(memory, max_rejected=1)
    predict(memory, model, wanted)
    whole = memory.written()
    for name in whole:
        memory.remove(OUTPUT + name)
    memory.broken = stored
    with pytest.raises(ConnectionError):
        predict(memory, model, wanted)
    assert not run.is_complete(memory, wanted)
    held = memory.written()
    memory.broken = None
    done = predict(memory, model, wanted)
    assert memory.written() == whole
    assert (done.rows, done.rejected) == (5, 1)
    assert all(whole[name] == text for name, text in held.items() if name != "progress.json")


def test_what_was_written_before_is_not_written_again(memory: Memory, model: Any) -> None:
    memory.content["in/rows.csv"] = FILE
    memory.broken = 4  # two parts, each with its progress
    with pytest.raises(ConnectionError):
        predict(memory, model, order(memory))
    memory.broken = None
    memory.content[f"{OUTPUT}part-00000.csv"] = b"left alone"
    predict(memory, model, order(memory))
    assert memory.written()["part-00000.csv"] == b"left alone"


def test_bad_rows_up_to_a_limit(memory: Memory, model: Any) -> None:
    memory.content["in/rows.csv"] = FILE.replace(b"1,b,1", b"1,b,one").replace(b"0,d,0", b"0,d")
    with pytest.raises(BatchError, match=r"has 1 rows so far .* 0 may be \(line 3: x0 is 'one', which is no number\)"):
        predict(memory, model, order(memory))
    assert "manifest.json" not in memory.written()
    done = predict(memory, model, order(memory, max_rejected=2))
    assert (done.rows, done.rejected) == (3, 2)
    assert memory.written()["rejected-00001.csv"] == (
        b'"line","reason"\n5,"has 2 values where the first line names 3"\n'
    )


def test_only_the_first_bad_rows_are_named(memory: Memory, model: Any) -> None:
    memory.content["in/rows.csv"] = b"x0,x1\n" + b"a,b\n" * 9
    with pytest.raises(BatchError, match=r"line 6: x0 is 'a', which is no number; and 4 more\)"):
        predict(memory, model, order(memory), chunk_rows=100)


def test_probabilities(memory: Memory, model: Any) -> None:
    memory.content["in/rows.csv"] = FILE
    predict(memory, model, order(memory, probabilities=True))
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


def test_parquet_gives_parquet(memory: Memory, model: Any, parquet: bytes) -> None:
    memory.content["in/rows.parquet"] = parquet
    wanted = order(memory, key="in/rows.parquet", keep=("id",), max_rejected=1)
    done = predict(memory, model, wanted)
    assert (done.rows, done.rejected) == (4, 1)
    parts = [pq.read_table(io.BytesIO(memory.written()[name])) for name in done.parts]
    assert pa.concat_tables(parts).to_pydict() == {
        "row": [1, 2, 4, 5],
        "id": ["a", "b", "d", "e"],
        "prediction": ["no", "yes", "no", "yes"],
    }
    assert memory.written()["rejected-00001.csv"] == b'"row","reason"\n3,"x0 is empty or not finite"\n'


@pytest.mark.parametrize("stored", [2, 4, 5])
def test_parquet_goes_on(memory: Memory, model: Any, parquet: bytes, stored: int) -> None:
    memory.content["in/rows.parquet"] = parquet
    wanted = order(memory, key="in/rows.parquet", max_rejected=1)
    predict(memory, model, wanted)
    whole = memory.written()
    for name in whole:
        memory.remove(OUTPUT + name)
    memory.broken = stored
    with pytest.raises(ConnectionError):
        predict(memory, model, wanted)
    memory.broken = None
    predict(memory, model, wanted)
    assert memory.written() == whole


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "has no column 'x0'"),
        (b"x0,y\n1,2\n", "The file in/rows.csv does not fit the model: it has no column 'x1'; it has 'x0', 'y'."),
    ],
)
def test_a_file_that_does_not_fit(memory: Memory, model: Any, content: bytes, said: str) -> None:
    memory.content["in/rows.csv"] = content
    with pytest.raises(BatchError, match=said):
        predict(memory, model, order(memory))


@pytest.mark.parametrize("between", [b"\n", b"\r\n"])
def test_a_first_line_of_any_length(memory: Memory, model: Any, between: bytes) -> None:
    others = [f"column_{number}" for number in range(9000)]
    lines = [",".join(["x0", *others, "x1"]), *[",".join(map(str, [bit, *range(9000), bit])) for bit in (0, 1)]]
    memory.content["in/rows.csv"] = between.join(line.encode() for line in lines)
    assert len(lines[0]) > 2**16
    assert predict(memory, model, order(memory)).rows == 2
    assert memory.written()["part-00000.csv"] == b'"line","prediction"\n2,"no"\n3,"yes"\n'


def test_a_first_line_without_an_end(memory: Memory, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "BLOCK", 2**17)
    memory.content["in/rows.csv"] = b'x0,"x1\n' + b"0,0\n" * 2**16
    with pytest.raises(BatchError, match=r"its first line is longer than .*: see whether a quote is not closed"):
        predict(memory, model, order(memory))


def test_lines_that_end_in_cr_alone_are_refused(memory: Memory, model: Any) -> None:
    memory.content["in/rows.csv"] = FILE.replace(b"\n", b"\r")
    with pytest.raises(BatchError, match="its lines end in CR alone: end them in LF, or in CR and LF"):
        predict(memory, model, order(memory))
    assert memory.written() == {}


@pytest.mark.parametrize(("key", "numbered"), [("in/rows.csv", "line"), ("in/rows.parquet", "row")])
def test_a_number_of_the_files_own_cannot_be_kept(memory: Memory, model: Any, key: str, numbered: str) -> None:
    table = pa.table({"x0": [0.0], "x1": [0.0], numbered: [7]})
    sink = io.BytesIO()
    pq.write_table(table, sink)
    memory.content[key] = sink.getvalue() if numbered == "row" else f"x0,x1,{numbered}\n0,0,7\n".encode()
    with pytest.raises(BatchError, match=f"its column '{numbered}' cannot be kept"):
        predict(memory, model, order(memory, key=key, keep=(numbered,)))


class Picky:
    """A model whose predict_proba refuses what its predict takes; most: rows that it takes together."""

    def __init__(self, most: int = 100) -> None:
        self.features = [Feature("x0"), Feature("x1")]
        self.most = most

    def run(self, columns: Sequence[Any], method: str) -> Any:
        if len(columns[0]) > self.most:
            raise InvalidRows("The model cannot take these rows: too many.")
        if method == "predict_proba" and (columns[0] < 0).any():
            raise InvalidRows("The model cannot take these rows: negative.")
        return columns[0]


def test_a_row_that_has_a_prediction_and_no_probabilities_is_rejected(memory: Memory) -> None:
    memory.content["in/rows.csv"] = b"x0,x1\n1,1\n-1,1\n2,1\n"
    wanted = order(memory, probabilities=True, max_rejected=1)
    done = predict(memory, Picky(), wanted, chunk_rows=100)
    assert (done.rows, done.rejected) == (2, 1)
    assert memory.written()["rejected-00000.csv"] == (
        b'"line","reason"\n3,"The model cannot take these rows: negative"\n'
    )


def test_rows_that_are_refused_together_only_end_the_run(memory: Memory) -> None:
    memory.content["in/rows.csv"] = b"x0,x1\n1,1\n2,1\n3,1\n"
    with pytest.raises(BatchError, match=r"takes each of the 3 rows from 2 to 4, and not all of them \(.* too many\)"):
        predict(memory, Picky(most=2), order(memory), chunk_rows=100)


def test_a_file_of_names_alone_has_no_predictions(memory: Memory, model: Any) -> None:
    memory.content["in/rows.csv"] = b"x0,x1\n"
    assert predict(memory, model, order(memory)).rows == 0
    assert memory.written().keys() == {"manifest.json"}


def test_a_file_that_is_no_parquet(memory: Memory, model: Any) -> None:
    memory.content["in/rows.parquet"] = FILE
    with pytest.raises(BatchError, match=r"in/rows\.parquet cannot be read as Parquet"):
        predict(memory, model, order(memory, key="in/rows.parquet"))


def test_a_file_of_another_kind(memory: Memory, model: Any) -> None:
    memory.content["in/rows.txt"] = FILE
    with pytest.raises(BatchError, match=r"ends in neither \.csv nor \.parquet"):
        predict(memory, model, order(memory, key="in/rows.txt"))


def test_a_file_that_changes_meanwhile(memory: Memory, model: Any) -> None:
    memory.content["in/rows.csv"] = FILE
    wanted = order(memory)
    memory.content["in/rows.csv"] = FILE + b"0,f,0\n"
    with pytest.raises(BatchError, match="was changed while it was read"):
        predict(memory, model, wanted)


def test_a_row_that_the_model_itself_refuses_is_found(memory: Memory, tmp_path: Path) -> None:
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
    done = predict(memory, model, order(memory, max_rejected=2), chunk_rows=100)
    assert (done.rows, done.rejected) == (17, 2)
    rejected = memory.written()["rejected-00000.csv"].decode().splitlines()[1:]
    assert [line.split(",")[0] for line in rejected] == ["18", "20"]
    assert "unknown categories" in rejected[0]


def test_a_version_that_is_another_is_refused(memory: Memory, tmp_path: Path) -> None:
    with pytest.raises(BatchError, match="does not have the digest sha256:0 any more"):
        predictor.fetch(memory, PREFIX, "sha256:0", tmp_path / "fetched")
    memory.content[f"{PREFIX}model.joblib"] += b"!"
    with pytest.raises(BatchError, match=r"words/v1/model\.joblib is not what the version's manifest says"):
        predictor.fetch(memory, PREFIX, digest(memory), tmp_path / "fetched")
