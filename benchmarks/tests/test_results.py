# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables, ratios, and the recorded results."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import demo, measured_cluster, playbook, readiness, results, smoke_test, tools, upload
from benchmarks.results import Report, Row
from local import table


def test_a_row_contains_median_range_and_whether_the_threshold_is_met() -> None:
    report = Report("x", "X", {})
    report.compare("wait", "ours", {"ours": [2.0, 1.0, 9.0], "theirs": [8.0, 5.0, 4.0]}, limit="under 3 s", met=True)
    ours, theirs = report.markdown().splitlines()[2:]
    assert ours == "| wait | ours | 2.00 s | 1.00 s | 9.00 s |  | under 3 s | yes |"
    assert theirs == "| wait | theirs | 5.00 s | 4.00 s | 8.00 s | 2.50 |  |  |"


def test_a_missed_threshold_is_highlighted() -> None:
    row = Row("requests", "ours", [3], "requests", "at most 2", met=False)
    assert Report("x", "X", {}, [row]).markdown().splitlines()[-1].endswith("| 3 | 3 | 3 |  | at most 2 | **no** |")


def test_a_run_is_recorded_with_machine_and_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path / "results")
    Report("x", "X", {"aws": "1.2"}, [Row("f", "t", (1.0, 3.0))], ["A note."]).write()
    recorded = json.loads((tmp_path / "results" / "x.json").read_text())
    assert recorded["rows"][0]["values"] == [1.0, 3.0] and recorded["rows"][0]["median"] == 2.0
    assert (
        recorded["versions"] == {"aws": "1.2"} and recorded["machine"]["cores"] >= 1 and recorded["machine"]["commit"]
    )
    assert "aws 1.2" in (tmp_path / "results" / "x.md").read_text()


def test_the_times_of_a_task_are_those_of_its_host() -> None:
    lines = [
        '{"what": "start", "task": "a", "time": 10.0, "lines": 3}',
        '{"what": "ok", "task": "a", "time": 12.5, "lines": 5, "result": {"changed": true}}',
        '{"what": "start", "task": "b", "time": 13.0, "lines": 5}',
    ]
    timed = dict(playbook.timed(lines))
    assert list(timed) == ["a"]
    assert (timed["a"].seconds, timed["a"].lines, timed["a"].result) == (2.5, 2, {"changed": True})


def test_a_child_process_is_found() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in playbook.below(os.getpid())
        child.communicate(b"\n")


def test_the_summary_of_the_demo_is_parsed() -> None:
    text = "  kind cluster         11.0 s\n  playbooks/site.yml   75.2 s\n  in all              124.0 s\n"
    assert demo.stages(text) == {"kind cluster": 11.0, "playbooks/site.yml": 75.2, "in all": 124.0}


def load(**changes: object) -> dict[str, object]:
    return {"load": {"errors": 0, "throughput": 1999.0, "behind_ms": {"p99": 0.5}, **changes}}


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (load(), True),
        (load(throughput=1900.0), False),
        (load(errors=1), False),
        (load(behind_ms={"p99": 20.0}), False),
        ({**load(), "failed": True}, False),
        ({"failed": True, "msg": "no"}, False),
    ],
)
def test_a_sustained_rate(result: dict[str, object], expected: bool) -> None:
    assert smoke_test.sustained(result, 2000) is expected


def test_the_output_of_the_tools_is_parsed() -> None:
    hey = "  Requests/sec:\t4893.2\n\nLatency distribution:\n  10%% in 0.0001 secs\n  50%% in 0.0002 secs\n"
    timed = playbook.Timed("x", 0, 1, 0, {"stdout": hey})
    assert smoke_test.figures(smoke_test.HEY, timed) == (pytest.approx(0.2), 4893.2)
    timed = playbook.Timed("x", 0, 1, 0, {"stdout": "x\np50_us 140 rate 6543.2\n"})
    assert smoke_test.figures(smoke_test.WRK, timed) == (pytest.approx(0.14), 6543.2)
    errors = "p50_us 140 rate 6543.2\n  Non-2xx or 3xx responses: 459\n"
    for output in ("unable to connect", errors, hey + "  [200]\t5 responses\n  [503]\t9 responses\n"):
        tool = smoke_test.HEY if "[503]" in output else smoke_test.WRK
        with pytest.raises(results.MeasurementError, match=f"{tool} did not report"):
            smoke_test.figures(tool, playbook.Timed("x", 0, 1, 0, {"stdout": output}))


def test_a_service_has_a_switch_with_its_name() -> None:
    (container,) = measured_cluster.service("iris", 1)["spec"]["predictor"]["containers"]
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    assert environment == {"MODEL_NAME": "iris", "SWITCH_FOLDER": container["volumeMounts"][0]["mountPath"]}
    rows = table.load(table.TABLE, tools.FOLDER / "components.toml")
    assert container["image"] in {image.ref for image in rows.placed("cluster")}


def test_each_tool_waits_for_every_service() -> None:
    for tool in (readiness.OURS, readiness.KUBECTL):
        text = json.dumps(readiness.many_task(tool, readiness.MANY))
        assert all(name in text for name in readiness.MANY)
        assert readiness.ONE in json.dumps(readiness.one_task(tool))


def test_every_tool_uploads_the_same_files_to_the_same_prefix(tmp_path: Path) -> None:
    (tmp_path / "part-0000.bin").write_bytes(b"x")
    config = tools.settings.load({"HOME": str(tmp_path)})
    found = tools.Tools(config, table.load(table.TABLE, tools.FOLDER / "components.toml"), tmp_path / "environment")
    for tool in upload.TOOLS:
        text = json.dumps(upload.task(tool, found, "http://127.0.0.1:1", tmp_path, "round-0"))
        assert str(tmp_path) in text and upload.BUCKET in text and "round-0" in text


def test_the_compared_tools_are_pinned() -> None:
    rows = table.load(table.TABLE, tools.FOLDER / "components.toml")
    for name in ("rclone", "hey"):
        gomod = (tools.FOLDER / "go" / name / "go.mod").read_text()
        assert re.search(
            rf"\b{re.escape(rows.programs[name].module)} {re.escape(rows.programs[name].version)}\b", gomod
        )
    pinned = set(re.findall(r"^(\S+==\S+) ", tools.LOCK.read_text(), re.MULTILINE))
    wanted = (tools.FOLDER / "requirements.in").read_text().splitlines()
    assert {line for line in wanted if "==" in line} <= pinned
