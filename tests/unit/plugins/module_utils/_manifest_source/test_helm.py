# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The arguments and the output of Helm; the tests of roles on a cluster run the real one."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._apply.options import Options, with_namespace
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.parallel import concurrently
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.objects import Kind
from ansible_collections.hashfoundry.kserve.plugins.module_utils._manifest_source.helm import (
    Rendered,
    mask_values,
    render_charts,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._manifest_source.load import load

KIND = "kind: CustomResourceDefinition\n"
CHART = {"ref": "web", "release": "mine", "repository": None, "version": None, "namespace": None, "values": {}}


def program(folder: Path, script: str) -> str:
    """A script instead of the Helm binary."""
    path = folder / "helm"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def rendered_by(folder: Path, of_objects: str | None = None, **entry: Any) -> tuple[list[str], Any]:
    """The arguments and the values of Helm for an entry of charts."""
    helm = program(folder, 'printf "%s\\n" "$@" && cat')
    ((name, output, _namespace),) = render_charts([{**CHART, **entry}], helm, of_objects)
    assert name == f"the chart {entry.get('ref', 'web')}"
    *words, values = output.splitlines()
    return words, json.loads(values)


def test_a_chart_folder_needs_no_other_option(tmp_path: Path) -> None:
    assert rendered_by(tmp_path, ref="/charts/web") == (
        ["template", "mine", "/charts/web", "--include-crds", "--values=-"],
        {},
    )


def test_repository_version_namespace_and_values_are_passed_on(tmp_path: Path) -> None:
    words, values = rendered_by(
        tmp_path, repository="https://charts.example.com", version="1.2.3", namespace="web", values={"name": "{{ a }}"}
    )
    assert words[-3:] == ["--namespace=web", "--repo=https://charts.example.com", "--version=1.2.3"]
    assert values == {"name": "{{ a }}"}


@pytest.mark.parametrize(("own", "namespace"), [(None, "of-the-objects"), ("its-own", "its-own")])
def test_a_release_without_a_namespace_is_in_that_of_the_objects(
    tmp_path: Path, own: str | None, namespace: str
) -> None:
    words, _values = rendered_by(tmp_path, "of-the-objects", namespace=own)
    assert words[-1] == f"--namespace={namespace}"


def test_the_manifests_are_in_the_order_of_the_charts(tmp_path: Path) -> None:
    helm = program(tmp_path, 'case "$3" in a) sleep 0.3;; esac; echo "$3"')
    charts = [{**CHART, "ref": ref} for ref in ("a", "b", "c")]
    assert [chart.text for chart in render_charts(charts, helm, None)] == ["a\n", "b\n", "c\n"]


def test_a_chart_is_parsed_while_the_next_is_rendered(tmp_path: Path) -> None:
    go = tmp_path / "go"
    helm = program(tmp_path, f'case "$3" in b) until [ -e {go} ]; do sleep 0.01; done;; esac; echo "$3"')
    charts = render_charts([{**CHART, "ref": ref} for ref in ("a", "b")], helm, None)
    assert next(charts).text == "a\n"
    go.touch()
    assert next(charts).text == "b\n"


class LocalChart:
    """A chart in a folder, and the number of runs of Helm."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "chart" / "templates" / "web.yaml"
        self.file.parent.mkdir(parents=True)
        self.file.write_text(f"{KIND}a: 1\n")
        (folder / "chart" / "Chart.yaml").write_text("name: web\n")
        self._log = folder / "log"
        self._log.touch()
        self.helm = program(folder, f'echo >>{self._log}; cat "$3"/templates/*')

    def render(self, **entry: Any) -> tuple[str, int]:
        """Return the manifest, and the number of runs of Helm until now."""
        chart = {**CHART, "ref": str(self.file.parent.parent), **entry}
        (found,) = render_charts([chart], self.helm, "web")
        return found.text, len(self._log.read_text())


@pytest.fixture
def local_chart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalChart:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return LocalChart(tmp_path)


def test_a_chart_in_a_folder_is_rendered_once(local_chart: LocalChart) -> None:
    assert local_chart.render() == local_chart.render() == (f"{KIND}a: 1\n", 1)
    local_chart.file.write_text(f"{KIND}a: 2\n")
    assert local_chart.render() == (f"{KIND}a: 2\n", 2)
    local_chart.file.rename(local_chart.file.with_name("other.yaml"))
    assert local_chart.render() == (f"{KIND}a: 2\n", 3)


def test_it_is_rendered_again_for_another_release_or_by_another_helm(local_chart: LocalChart) -> None:
    others: list[dict[str, Any]] = [{}, {"release": "other"}, {"namespace": "other"}]
    assert [local_chart.render(**entry)[1] for entry in others] == [1, 2, 3]
    program(Path(local_chart.helm).parent, "echo b")
    assert local_chart.render()[0] == "b\n"


def test_a_chart_with_values_is_not_cached(local_chart: LocalChart, tmp_path: Path) -> None:
    assert [local_chart.render(values={"key": "PLANTED"})[1] for _time in range(2)] == [1, 2]
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("other", ["kind: Secret", "{kind: Secret}", "kind: CustomResourceDefinitionList", "- a"])
def test_a_chart_with_other_objects_is_not_cached(local_chart: LocalChart, tmp_path: Path, other: str) -> None:
    local_chart.file.write_text(f"# none\n---\n{KIND}---\n{other}\n")
    assert [local_chart.render()[1] for _time in range(2)] == [1, 2]
    assert not (tmp_path / "cache").exists()


def test_a_folder_that_is_no_chart_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "walk", lambda *_words, **_options: pytest.fail("the folder is read"))
    helm = program(tmp_path, "echo 'Error: Chart.yaml file is missing' >&2; exit 1")
    (tmp_path / "large").mkdir()
    for tool in (helm, "/nowhere/helm"):
        with pytest.raises(KServeError, match=r"Chart\.yaml file is missing|install Helm"):
            list(render_charts([{**CHART, "ref": str(tmp_path / "large")}], tool, None))


def test_a_linked_folder_of_a_chart_is_part_of_the_key(local_chart: LocalChart, tmp_path: Path) -> None:
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "values.yaml").touch()
    (local_chart.file.parent.parent / "more").symlink_to(tmp_path / "linked")
    assert [local_chart.render()[1] for _time in range(2)] == [1, 1]
    (tmp_path / "linked" / "values.yaml").write_text("b: 1\n")
    assert local_chart.render()[1] == 2


def test_helms_error_is_reported_with_the_fix(tmp_path: Path) -> None:
    helm = program(tmp_path, 'echo "Error: chart \\"web\\" not found" >&2; exit 1')
    with pytest.raises(KServeError, match=r'the chart web: chart "web" not found; correct the entry in charts\.$'):
        list(render_charts([CHART], helm, None))


def test_values_that_helm_repeats_are_masked(tmp_path: Path) -> None:
    helm = program(tmp_path, "echo \"Error: values: /key: 'PLANTED' does not match pattern\" >&2; exit 1")
    with pytest.raises(KServeError, match=r"values: /key: '\W+' does not match pattern; correct") as refused:
        list(render_charts([{**CHART, "values": {"deep": [{"key": "PLANTED"}]}}], helm, None))
    assert "PLANTED" not in str(refused.value)


VALUES = {
    "image": {"repository": "nginx", "pullPolicy": "Always", "tag": "main"},
    "service": {"port": 8080, "type": "string", "name": "http"},
    "web": {"enabled": True, "mode": "ingress", "zone": "templates"},
    "adminPassword": "swordfish",
    "extra": ["correct-horse-battery-staple"],
    "phrase": "opensesame",
}


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        # What has no value in it stays as it is.
        ("web: service.port: Invalid type. Expected: string, given: integer", None),
        ("template: web/main/deployment.yaml:8080:12: executing at <.Values.image.tag>", "template: web/********/depl"),
        ("at '/web/enabled': got true, want string; see https://nginxed.example.com/domain", None),
        ("parse error at (web/ingresses.yaml:12): mode must be set for http", None),
        # Values are masked as whole words, and secret or long ones anywhere.
        ("bad mode ingress", "bad mode ********"),
        ("cannot use 'opensesame'", "cannot use '********'"),
        ("dsn user:swordfish@db and xswordfishx", "dsn user:********@db and x********x"),
        ("got acorrect-horse-battery-stapleb", "got a********b"),
    ],
)
def test_only_values_are_masked_in_helms_message(tmp_path: Path, message: str, shown: str | None) -> None:
    (tmp_path / "message").write_text(f"Error: {message}")
    helm = program(tmp_path, f"cat {tmp_path}/message >&2; exit 1")
    with pytest.raises(KServeError) as refused:
        list(render_charts([{**CHART, "values": VALUES}], helm, None))
    assert f"Helm does not render the chart web: {shown or message}" in str(refused.value)


def test_a_missing_helm_is_reported(tmp_path: Path) -> None:
    with pytest.raises(KServeError, match=r"/helm cannot be run \(No such file or directory\); install Helm, or set"):
        list(render_charts([CHART], str(tmp_path / "helm"), None))


@pytest.mark.parametrize("charts", [[{**CHART, "values": {"key": "PLANTED"}}], ["PLANTED"], "PLANTED"])
def test_values_are_not_shown(charts: Any) -> None:
    assert "PLANTED" not in json.dumps(mask_values(charts))


def test_crds_come_before_the_objects_of_charts() -> None:
    text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: %s}, data: {of: chart}}"
    (one, other) = load(
        [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"of": "definitions"}}],
        [],
        charts=[Rendered("the chart web", f"{text % 'a'}\n---\n{text % 'b'}", "")],
    )
    assert (one.body["data"], other.body["data"]) == ({"of": "definitions"}, {"of": "chart"})


def test_a_chart_that_is_not_yaml_is_named() -> None:
    with pytest.raises(KServeError, match=r"^the chart web, line 1: this is not YAML"):
        load([], [], charts=[Rendered("the chart web", "a: b: c", "")])


@pytest.mark.parametrize(
    ("own", "home", "namespace"), [(None, "web", "web"), ("its-own", "web", "its-own"), (None, "", "of-the-objects")]
)
def test_objects_without_a_namespace_are_in_that_of_their_release(own: str | None, home: str, namespace: str) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": own}}
    (manifest,) = load([], [], charts=[Rendered("the chart web", json.dumps(body), home)])
    assert (
        with_namespace(manifest, Kind("configmaps", True), Options(namespace="of-the-objects")).manifest.namespace
        == namespace
    )


SLOW = 'case "$3" in slow) touch {0}/started; sleep 20; touch {0}/finished;; esac; echo "$3"'


class Interruption(BaseException):
    """What the keyword timeout raises in the thread that runs the task, in a handler of SIGALRM."""


def interrupted(work: Callable[[], Any], when: Path) -> None:
    """Do some work, and interrupt it once a file is there."""

    def interrupt(*_arguments: Any) -> None:
        raise Interruption

    def send() -> None:
        while not when.exists():
            time.sleep(0.01)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        threading.Thread(target=send, daemon=True).start()
        with pytest.raises(Interruption):
            work()
    finally:
        signal.signal(signal.SIGALRM, before)


def test_an_interruption_ends_helm_too(tmp_path: Path) -> None:
    helm = program(tmp_path, SLOW.format(tmp_path))
    interrupted(lambda: list(render_charts([{**CHART, "ref": "slow"}], helm, None)), tmp_path / "started")
    assert not (tmp_path / "finished").exists()


def test_an_error_in_one_chart_ends_helm_for_the_others(tmp_path: Path) -> None:
    helm = program(tmp_path, SLOW.format(tmp_path))
    charts = [{**CHART, "ref": ref} for ref in ("not a manifest", "slow")]
    with closing(render_charts(charts, helm, None)) as rendered, pytest.raises(KServeError, match="not a Kubernetes"):
        load([], [], charts=rendered)
    assert not (tmp_path / "finished").exists()


def test_an_interruption_does_not_wait_for_what_is_under_way(tmp_path: Path) -> None:
    go = threading.Event()

    def slow(_number: int) -> None:
        (tmp_path / "started").touch()
        if not go.wait(5):
            (tmp_path / "finished").touch()

    interrupted(lambda: concurrently(slow, range(20)), tmp_path / "started")
    assert not (tmp_path / "finished").exists()
    go.set()
