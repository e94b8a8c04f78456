# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.plugin_utils import _version_sets

DOCUMENT: dict[str, Any] = {
    "default": "new",
    "sets": {
        "new": {
            "status": "tested",
            "kubernetes": {"min": "1.33", "max": "1.35"},
            "components": {
                "kserve": {"version": "v0.20.0"},
                "knative_serving": {"version": "v1.21.1"},
                "net_kourier": {"version": "v1.21.0"},
            },
        },
        "mesh": {
            "status": "published",
            "kubernetes": {"min": "1.33", "max": "1.34"},
            "components": {
                "kserve": {"version": "v0.20.0"},
                "knative_serving": {"version": "v1.21.1"},
                "istio": {"version": "1.28.6"},
            },
        },
        "old": {
            "status": "expired",
            "kubernetes": {"min": "1.25", "max": "1.28"},
            "components": {"kserve": {"version": "v0.11.0"}, "istio": {"version": "1.19.0"}},
        },
    },
}
SETS = _version_sets.parsed(DOCUMENT)
GOOD = {"kserve": "v0.20.0", "knative_serving": "v1.21.1"}


@pytest.mark.parametrize(
    ("kubernetes", "versions", "untested"),
    [
        ("v1.33.0", GOOD, []),
        ("v1.35.4-do.1", GOOD, []),
        # Patch releases of the same minor version are equal.
        ("v1.35.4", {"kserve": "v0.20.3", "knative_serving": "1.21.2"}, []),
        ("v1.35.4", {**GOOD, "net_kourier": "v1.21.7"}, []),
        ("v1.34.1", {**GOOD, "istio": "1.28.0"}, []),
        ("v1.35.4", {**GOOD, "istio": "1.28.0"}, ["Istio 1.28.0 with Kubernetes v1.35.4"]),
        ("v1.36.0", GOOD, ["KServe v0.20.0 with Kubernetes v1.36.0"]),
        (
            "v1.35.4",
            {"kserve": "v0.20.0", "knative_serving": "v1.18.0"},
            ["KServe v0.20.0 with Knative Serving v1.18.0"],
        ),
        # Each is in a set, but both are in none.
        (
            "v1.34.1",
            {"kserve": "v0.20.0", "net_kourier": "v1.21.0", "istio": "1.28.6"},
            ["Kourier v1.21.0 with Istio 1.28.6"],
        ),
        # A set after its end of life makes no pair tested.
        ("v1.34.1", {"kserve": "v0.11.0", "istio": "1.19.0"}, ["KServe v0.11.0 with Istio 1.19.0"]),
        ("v1.34.1", {"kserve": "v0.11.0"}, ["KServe v0.11.0 with Kubernetes v1.34.1"]),
        ("v1.34.1", {"kserve": "v0.20.0", "unknown_component": "v9.9.9"}, []),
        ("v1.34.1", {}, []),
    ],
)
def test_a_pair_that_is_in_no_set_is_untested(kubernetes: str, versions: dict[str, str], untested: list[str]) -> None:
    faults = SETS.faults(None, kubernetes, versions)
    assert list(faults.untested) == untested and faults.too_old == ()


def test_a_cluster_that_is_too_old_is_the_only_fault_reported() -> None:
    faults = SETS.faults(None, "v1.32.9", {"kserve": "v0.1.0", "istio": "0.1.0"})
    assert faults.too_old == ("Kubernetes v1.32.9 is too old for the version set new, which needs 1.33 or newer",)
    assert faults.untested == ()
    assert SETS.faults("old", "v1.32.9", {}).too_old == ()
    # Compared as numbers, not as strings.
    assert SETS.faults(None, "v1.9.0", {}).too_old and not SETS.faults(None, "v1.100.0", {}).too_old


def test_a_missing_set_and_an_invalid_version() -> None:
    with pytest.raises(KServeError, match="no version set other; choose one of new, mesh, old"):
        SETS.named("other")
    assert SETS.named("") is SETS.named(None) is SETS.sets["new"]
    with pytest.raises(KServeError, match="'latest' of Istio"):
        SETS.faults(None, "v1.34.0", {"kserve": "v0.20.0", "istio": "latest"})


def test_the_sets_of_the_collection() -> None:
    sets = _version_sets.load()
    assert sets.named(None).status == "tested"
    for one in sets.sets.values():
        assert one.status in ("tested", "published", "expired")
        assert one.versions.keys() <= _version_sets.TITLES.keys()
        if one.status != "expired":
            # A set is a tested pair with its oldest and its newest Kubernetes.
            for kubernetes in (one.oldest, one.newest):
                assert sets.faults(one.name, kubernetes, one.versions) == _version_sets.Faults()
    first = sets.named("kserve-0.11")
    assert first.status == "expired"
    assert {key: first.versions[key] for key in ("kserve", "knative_serving", "istio", "cert_manager")} == {
        "kserve": "v0.11.0",
        "knative_serving": "v1.11.0",
        "istio": "1.19.0",
        "cert_manager": "v1.13.0",
    }
    assert sets.faults("kserve-0.11", "1.28", first.versions).untested


def test_a_custom_file(tmp_path: Path) -> None:
    file = tmp_path / "sets.yml"
    with pytest.raises(KServeError, match="cannot be read"):
        _version_sets.load(str(file))
    file.write_text(json.dumps({**DOCUMENT, "default": "old"}))
    assert _version_sets.load(str(file)).named(None).status == "expired"
    for name, text in (("a", "- x"), ("b", "default: x"), ("c", "{"), ("d", "{default: x, sets: {x: {status: y}}}")):
        (tmp_path / name).write_text(text)
        with pytest.raises(KServeError, match="is no file of version sets"):
            _version_sets.load(str(tmp_path / name))


def test_the_file_names_the_source_of_every_fact() -> None:
    document = copy.deepcopy(_version_sets.yaml.safe_load(_version_sets.FILE.read_text()))
    components = [entry for one in document["sets"].values() for entry in one["components"].values()]
    assert components and all(entry["source"] for entry in components)
