# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables, ratios, and what is kept of a run."""

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


def test_a_row_tells_median_and_spread_and_whether_the_bar_is_met() -> None:
    report = Report("x", "X", {})
    report.compare("wait", "ours", {"ours": [2.0, 1.0, 9.0], "theirs": [8.0, 5.0, 4.0]}, limit="under 3 s", met=True)
    ours, theirs = report.markdown().splitlines()[2:]
    assert ours == "| wait | ours | 2.00 s | 1.00 s | 9.00 s |  | under 3 s | yes |"
    assert theirs == "| wait | theirs | 5.00 s | 4.00 s | 8.00 s | 2.50 |  |  |"


def test_a_missed_bar_stands_out() -> None:
    row = Row("requests", "ours", [3], "requests", "at most 2", met=False)
    assert Report("x", "X", {}, [row]).markdown().splitlines()[-1].endswith("| 3 | 3 | 3 |  | at most 2 | **no** |")


def test_a_run_is_kept_with_its_machine_and_its_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path / "results")
    Report("x", "X", {"aws": "1.2"}, [Row("f", "t", (1.0, 3.0))], ["Said."]).write()
    kept = json.loads((tmp_path / "results" / "x.json").read_text())
    assert kept["rows"][0]["values"] == [1.0, 3.0] and kept["rows"][0]["median"] == 2.0
    assert kept["versions"] == {"aws": "1.2"} and kept["machine"]["cores"] >= 1 and kept["machine"]["commit"]
    assert "aws 1.2" in (tmp_path / "results" / "x.md").read_text()


def test_the_times_of_a_task_are_those_of_its_host() -> None:
    lines = [
        '{"what": "start", "task": "a", "time": 10.0, "lines": 3}',
        '{"what": "ok", "task": "a", "time": 12.5, "lines": 5, "result": {"changed": true}}',
        '{"what": "start", "task": "b", "time": 13.0, "lines": 5}',
    ]
    done = dict(playbook.timed(lines))
    assert list(done) == ["a"]
    assert (done["a"].seconds, done["a"].lines, done["a"].result) == (2.5, 2, {"changed": True})


def test_a_process_below_this_one_is_found_and_weighed() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in playbook.below(os.getpid())
        child.communicate(b"\n")


def test_the_demos_closing_table_is_read() -> None:
    text = "  kind cluster         11.0 s\n  playbooks/site.yml   75.2 s\n  in all              124.0 s\n"
    assert demo.stages(text) == {"kind cluster": 11.0, "playbooks/site.yml": 75.2, "in all": 124.0}


def load(**changes: object) -> dict[str, object]:
    return {"load": {"errors": 0, "throughput": 1999.0, "behind_ms": {"p99": 0.5}, **changes}}


@pytest.mark.parametrize(
    ("result", "kept"),
    [
        (load(), True),
        (load(throughput=1900.0), False),
        (load(errors=1), False),
        (load(behind_ms={"p99": 20.0}), False),
        ({**load(), "failed": True}, False),
        ({"failed": True, "msg": "no"}, False),
    ],
)
def test_a_rate_is_honest_only_when_it_was_kept(result: dict[str, object], kept: bool) -> None:
    assert smoke_test.honest(result, 2000) is kept


def test_what_the_tools_say_is_read() -> None:
    hey = "  Requests/sec:\t4893.2\n\nLatency distribution:\n  10%% in 0.0001 secs\n  50%% in 0.0002 secs\n"
    timed = playbook.Timed("x", 0, 1, 0, {"stdout": hey})
    assert smoke_test.figures(smoke_test.HEY, timed) == (pytest.approx(0.2), 4893.2)
    timed = playbook.Timed("x", 0, 1, 0, {"stdout": "x\np50_us 140 rate 6543.2\n"})
    assert smoke_test.figures(smoke_test.WRK, timed) == (pytest.approx(0.14), 6543.2)
    refused = "p50_us 140 rate 6543.2\n  Non-2xx or 3xx responses: 459\n"
    for said in ("unable to connect", refused, hey + "  [200]\t5 responses\n  [503]\t9 responses\n"):
        tool = smoke_test.HEY if "[503]" in said else smoke_test.WRK
        with pytest.raises(results.NotMeasured, match=f"{tool} did not say"):
            smoke_test.figures(tool, playbook.Timed("x", 0, 1, 0, {"stdout": said}))


def test_a_service_is_ready_by_the_switch_of_its_own_name() -> None:
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


def test_every_tool_is_told_the_same_files_and_place(tmp_path: Path) -> None:
    (tmp_path / "part-0000.bin").write_bytes(b"x")
    config = tools.settings.load({"HOME": str(tmp_path)})
    found = tools.Tools(config, table.load(table.TABLE, tools.FOLDER / "components.toml"), tmp_path / "environment")
    for tool in upload.TOOLS:
        text = json.dumps(upload.task(tool, found, "http://127.0.0.1:1", tmp_path, "round-0"))
        assert str(tmp_path) in text and upload.BUCKET in text and "round-0" in text


def test_what_is_measured_beside_the_modules_is_pinned() -> None:
    rows = table.load(table.TABLE, tools.FOLDER / "components.toml")
    for name in ("rclone", "hey"):
        gomod = (tools.FOLDER / "go" / name / "go.mod").read_text()
        assert re.search(
            rf"\b{re.escape(rows.programs[name].module)} {re.escape(rows.programs[name].version)}\b", gomod
        )
    pinned = set(re.findall(r"^(\S+==\S+) ", tools.LOCK.read_text(), re.MULTILINE))
    wanted = (tools.FOLDER / "requirements.in").read_text().splitlines()
    assert {line for line in wanted if "==" in line} <= pinned
