# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._manifest_source.load import load

from ..manifests_server import crd, thing


def test_the_order_is_helms_with_crds_early_and_custom_resources_last() -> None:
    definitions = [
        thing("Service", "knative", api="serving.knative.dev/v1"),
        thing("Foo", "f", api="example.com/v1"),
        thing("ValidatingWebhookConfiguration", "v", None, "admissionregistration.k8s.io/v1"),
        thing("Deployment", "d2", api="apps/v1"),
        thing("Deployment", "d1", api="apps/v1"),
        thing("Service", "s"),
        thing("ClusterRole", "c", None, "rbac.authorization.k8s.io/v1"),
        thing("Secret", "s"),
        crd(),
        thing("Namespace", "n", None),
    ]
    assert [manifest.name for manifest in load(definitions, [])] == [
        "n",
        "foos.example.com",
        "s",
        "c",
        "s",
        "d2",
        "d1",
        "v",
        "knative",
        "f",
    ]


@pytest.mark.parametrize("src", [[""], ["a.yml", " "]])
def test_an_empty_path_is_not_the_current_folder(src: list[str]) -> None:
    with pytest.raises(KServeError, match="src contains an empty path") as error:
        load([], src)
    assert error.value.reason == "InvalidOption"


@pytest.mark.parametrize("containers", [["x"], [None], "x", [{"name": "a", "resources": "x"}]])
def test_a_body_of_another_shape_is_left_to_the_api_server(containers: Any) -> None:
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": containers}}
    assert [manifest.name for manifest in load([body], [])] == ["a"]


def test_files_folders_lists_and_empty_documents(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("---\n# nothing\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n---\n")
    (tmp_path / "a.json").write_text(
        json.dumps({"apiVersion": "v1", "kind": "List", "items": [thing("ConfigMap", "a"), thing("Job", "no")]})
    )
    (tmp_path / "note.txt").write_text("not read")
    found = load([{}], [str(tmp_path)], ["Job"])
    assert [(manifest.name, manifest.source) for manifest in found] == [
        ("a", f"{tmp_path}/a.json, document 1"),
        ("b", f"{tmp_path}/b.yaml, document 2"),
    ]


def test_strings_among_the_definitions() -> None:
    text = "# Source: chart\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n"
    found = load([text, "", thing("ConfigMap", "b")], [])
    assert [(manifest.name, manifest.source) for manifest in found] == [
        ("a", "definitions[0], document 1"),
        ("b", "definitions[2]"),
    ]
    with pytest.raises(KServeError, match=r"^definitions\[0\], line 2: this is not YAML"):
        load(["a: 1\n}"], [])


def test_only_selected_kinds_are_loaded_even_if_none_match() -> None:
    definitions = [thing("Secret", "s"), crd(), thing("Namespace", "n", None)]
    found = load(definitions, [], only_kinds=["Namespace", "CustomResourceDefinition"])
    assert [manifest.name for manifest in found] == ["n", "foos.example.com"]
    assert load(definitions, [], only_kinds=["Role"]) == []


def test_yaml_is_read_as_kubernetes_does(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, creationTimestamp: 2026-01-01T00:00:00Z}\n"
        "status: {a: 1}\ndata: {date: 2026-01-01, op: =, 1: one}\n"
    )
    body = load([], [str(file)])[0].body
    assert body["data"] == {"date": "2026-01-01", "op": "=", "1": "one"}
    assert body["metadata"] == {"name": "x"} and "status" not in body


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ("{name: no}", "metadata.name is the boolean false, which YAML reads from no, off and false; put it between"),
        ("{name: x, namespace: 0123}", "metadata.namespace is the number 83; put it between quotes, so that it stays"),
        ("{name: x, labels: {tier: 1}}", "metadata.labels[tier] is the number 1"),
        ("{name: x, labels: {on: a}}", "a key of metadata.labels is the boolean true"),
        ("{name: x, annotations: {a: yes}}", "metadata.annotations[a] is the boolean true"),
    ],
)
def test_metadata_without_its_quotes_is_rejected_by_name(metadata: str, says: str) -> None:
    with pytest.raises(KServeError) as caught:
        load([f"apiVersion: v1\nkind: ConfigMap\nmetadata: {metadata}\n"], [])
    assert caught.value.reason == "InvalidManifest"
    assert str(caught.value).startswith(f"definitions[0], document 1: {says}")


def test_string_data_becomes_data() -> None:
    body = load([thing("Secret", "s", data={"a": "eA==", "b": "eQ=="}, stringData={"b": "new"})], [])[0].body
    assert body["data"] == {"a": "eA==", "b": "bmV3"} and "stringData" not in body


def test_string_data_of_a_patch_becomes_data_too() -> None:
    patch = {"kind": "Secret", "metadata": {"name": "s"}, "stringData": {"b": "new"}}
    body = load([thing("Secret", "s", stringData={"a": "x", "b": "y"})], [], patches=[patch])[0].body
    assert body["data"] == {"a": "eA==", "b": "bmV3"} and "stringData" not in body


def test_a_definition_replaces_the_same_object_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    entries = [thing("ConfigMap", "x", data={"a": "theirs"}), thing("ConfigMap", "y", data={"a": "theirs"})]
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": entries}))
    found = load([thing("ConfigMap", "x", data={"a": "ours"})], [str(file)])
    assert {manifest.name: manifest.body["data"]["a"] for manifest in found} == {"x": "ours", "y": "theirs"}


def test_the_same_object_twice() -> None:
    entry = thing("ConfigMap", "x", data={"a": "1"})
    assert len(load([entry, entry], [])) == 1
    with pytest.raises(KServeError, match=r"ConfigMap models/x is given twice.*definitions\[0\] and in definitions\[1"):
        load([entry, thing("ConfigMap", "x", data={"a": "2"})], [])


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("x.yaml", "a: 1\nb: [\n", "x.yaml, line 3: this is not YAML"),
        ("x.yaml", "a: 1\nb: *none\n", "x.yaml, line 2: this is not YAML"),
        ("x.yaml", "a: \x01\n", "x.yaml is not YAML"),
        ("x.json", '{\n"a": }', "x.json, line 2: this is not JSON"),
        ("x.yaml", "- a\n", "x.yaml, document 1 is not a Kubernetes object but a list"),
        ("x.yaml", "kind: A\nmetadata: {name: x}\n", "x.yaml, document 1 has no apiVersion"),
        ("x.yaml", "apiVersion: v1\nmetadata: {name: x}\n", "x.yaml, document 1 has no kind"),
        ("x.yaml", "apiVersion: v1\nkind: A\nmetadata: {generateName: x}\n", "document 1 has no metadata.name"),
        (
            "x.yaml",
            "apiVersion: v1\nkind: A\nmetadata: {name: x}\na: !!binary eA==\n",
            "values that JSON cannot express",
        ),
        ("x.yaml", "---\n", "There is nothing to apply"),
    ],
)
def test_invalid_files_are_reported_with_their_position(tmp_path: Path, name: str, text: str, says: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(KServeError) as caught:
        load([], [str(tmp_path / name)])
    assert says in str(caught.value)


def large(count: int, names: Iterable[str] = ("things",)) -> str:
    """A manifest with CRDs that are long enough to be cached."""
    text = (
        "kind: CustomResourceDefinition\napiVersion: apiextensions.k8s.io/v1\nmetadata: {name: %s}\n"
        "spec: {text: %s, date: 2026-01-01, 1: one}\n"
    )
    return "".join(f"---\n{text}" % (name, "x" * count) for name in names)


def test_a_long_crd_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    secret = f"---\nkind: Secret\napiVersion: v1\nmetadata: {{name: s}}\nstringData: {{a: {'PLANTED' * 10_000}}}\n"
    text = f"# none\n{large(60_000, 'ab')}{secret}"
    read = []
    load_all = yaml.load_all
    monkeypatch.setattr(yaml, "load_all", lambda part, Loader: read.append(len(part)) or load_all(part, Loader=Loader))
    first = load([text], [])
    assert len(read) == 4
    second = load([text], [])
    assert [(thing.body, thing.source) for thing in second] == [(thing.body, thing.source) for thing in first]
    assert second[0].body["spec"] == {"text": "x" * 60_000, "date": "2026-01-01", "1": "one"}
    assert [thing.source.rsplit(" ", 1)[1] for thing in second] == ["1", "2", "3"]
    assert sum(length > 60_000 for length in read[4:]) == 1, "only the Secret is read again"
    kept = list(tmp_path.rglob("*.json"))
    assert len(kept) == 2
    assert not any("PLANTED" in entry.read_text() for entry in kept)


def test_the_line_of_an_error_counts_from_the_start_of_the_file() -> None:
    with pytest.raises(KServeError, match=r"definitions\[0\], line 8: this is not YAML"):
        load([f"{large(10)}---\na: 1\nb: *none\n"], [])


def test_documents_are_numbered_in_the_order_of_the_file() -> None:
    with pytest.raises(KServeError, match=r"document 4 has no apiVersion"):
        load(["# none\n---\n# none\n---\n# none\n--- {}\n--- {kind: A}\n"], [])


def test_unreadable_sources(tmp_path: Path) -> None:
    with pytest.raises(KServeError, match=r"/none\.yaml cannot be read \(No such file"):
        load([], [str(tmp_path / "none.yaml")])
    with pytest.raises(KServeError, match="contains no file that ends in"):
        load([], [str(tmp_path)])
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(KServeError, match="is not a text file in UTF-8"):
        load([], [str(tmp_path)])
    with pytest.raises(KServeError, match="There is nothing to apply"):
        load([], [])
