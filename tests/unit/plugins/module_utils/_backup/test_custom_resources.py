# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.hashfoundry.kserve.plugins.module_utils._backup import custom_resources
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import ApiError

from ..custom_resources_fake import Api, thing

KSERVE = ["serving.kserve.io"]
ISVC, RUNTIMES = "inferenceservices.serving.kserve.io", "servingruntimes.serving.kserve.io"


def test_a_group_and_its_subdomains_match_and_no_other() -> None:
    groups = ["knative.dev", "cert-manager.io"]
    named = ("knative.dev", "serving.knative.dev", "acme.cert-manager.io", "notknative.dev", "apps", "dev")
    assert [custom_resources.is_in_groups(group, groups) for group in named] == [True, True, True, False, False, False]


@pytest.mark.parametrize("groups", [[], [""], ["serving.kserve.io "], ["Serving.kserve.io"], [*KSERVE, "-"]])
def test_no_groups_are_no_backup_of_nothing(groups: list[str], tmp_path: Path) -> None:
    api = Api(thing("iris"))
    custom_resources.backup(api, KSERVE, tmp_path, check_mode=False)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    for refused in (
        lambda: custom_resources.backup(api, groups, tmp_path, check_mode=False),
        lambda: custom_resources.info(api, groups, tmp_path),
    ):
        with pytest.raises(KServeError, match="which names no API group or not as") as error:
            refused()
        assert error.value.reason == "InvalidOption"
    assert before == {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}


def test_each_resource_is_read_once_in_the_preferred_version() -> None:
    api = Api(thing("iris"), thing("rose", "other"))
    found = {entry.resource.name: entry for entry in custom_resources.read(api, KSERVE)}
    assert list(found) == [ISVC, RUNTIMES]
    assert [item["metadata"]["name"] for item in found[ISVC].roots] == ["iris", "rose"]
    assert {item["apiVersion"] for item in found[ISVC].roots} == {"serving.kserve.io/v1beta1"}
    # Neither subresources nor resources of other groups, nor a resource again in an older version.
    assert sorted(path for path in api.paths if path.count("/") == 4) == [
        "/apis/serving.kserve.io/v1alpha1/servingruntimes",
        "/apis/serving.kserve.io/v1beta1/inferenceservices",
    ]


def test_all_pages_of_a_list_are_read() -> None:
    api = Api(*(thing(f"model-{number:02d}") for number in range(25)), page=10)
    assert custom_resources.index(custom_resources.read(api, KSERVE))["counts"][ISVC] == 25


def test_a_group_that_is_not_served_has_no_objects() -> None:
    assert custom_resources.read(Api(), ["cert-manager.io"]) == []


class Clock:
    """Time that passes while it is slept, when something may happen."""

    def __init__(self, happens: Callable[[], object] = lambda: None) -> None:
        self.now = 0.0
        self._happens = happens

    @property
    def timing(self) -> custom_resources.Timing:
        return (lambda: self.now), self.sleep

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self._happens()


@pytest.mark.parametrize("path", ["v1alpha1", "v1alpha1/servingruntimes"])
def test_a_crd_deleted_during_the_backup_is_no_error_but_other_errors_are(path: str) -> None:
    api = Api(thing("iris"))
    # The API server lists it for a moment after it is gone.
    api.refusals[f"/apis/serving.kserve.io/{path}"] = ApiError("gone", 404)
    found = custom_resources.read(api, KSERVE, Clock(lambda: api.delete_version("v1alpha1")).timing)
    assert [len(entry.roots) for entry in found] == [1]
    api = Api(thing("iris"))
    api.refusals[f"/apis/serving.kserve.io/{path}"] = ApiError("The credentials lack a permission", 403)
    with pytest.raises(KServeError, match="lack a permission"):
        custom_resources.read(api, KSERVE)


def test_a_version_that_is_no_longer_served_hides_no_object() -> None:
    api = Api(thing("iris"))
    api.refusals["/apis/serving.kserve.io/v1beta1/inferenceservices"] = ApiError("gone", 404)
    clock = Clock()
    with pytest.raises(KServeError, match=r"lists an API of serving\.kserve\.io and does not serve it") as caught:
        custom_resources.read(api, KSERVE, clock.timing)
    assert caught.value.reason == "KindNotServed" and clock.now == 30
    # It is served again while the upgrade that changed it goes on.
    found = custom_resources.read(api, KSERVE, Clock(api.refusals.clear).timing)
    assert custom_resources.index(found)["counts"][ISVC] == 1


def snapshot(*things: dict[str, Any]) -> dict[str, Any]:
    return custom_resources.index(custom_resources.read(Api(*things), KSERVE))


def test_missing_objects_are_lost_and_new_ones_are_not() -> None:
    before, now = snapshot(thing("iris"), thing("rose")), snapshot(thing("rose"), thing("lily"))
    assert custom_resources.lost_objects(before, now) == [{"resource": ISVC, "name": "models/iris", "what": "object"}]
    assert custom_resources.lost_objects(before, before) == []


def test_a_re_created_object_is_lost_too() -> None:
    before, now = snapshot(thing("iris", uid="1")), snapshot(thing("iris", uid="2"))
    assert custom_resources.lost_objects(before, now) == [{"resource": ISVC, "name": "models/iris", "what": "replaced"}]


def test_a_deleted_crd_is_lost_with_its_objects() -> None:
    before = snapshot(thing("iris"))
    now = {"counts": {}, "objects": {RUNTIMES: {}}}
    assert custom_resources.lost_objects(before, now) == [
        {"resource": ISVC, "name": None, "what": "kind"},
        {"resource": ISVC, "name": "models/iris", "what": "object"},
    ]


def test_objects_of_a_controller_are_counted_and_never_lost() -> None:
    owned = thing("iris-child", owner="iris")
    before, now = snapshot(thing("iris"), owned), snapshot(thing("iris"))
    assert (before["counts"][ISVC], now["counts"][ISVC]) == (2, 1)
    assert custom_resources.lost_objects(before, now) == []


def test_the_files_contain_objects_that_can_be_applied_again(tmp_path: Path) -> None:
    api = Api(thing("iris"), thing("rose"), thing("iris-child", owner="iris"))
    result = custom_resources.backup(api, KSERVE, tmp_path / "backup", check_mode=False)
    assert result == {
        "changed": True,
        "folder": str(tmp_path / "backup"),
        "counts": {ISVC: 3, RUNTIMES: 0},
        "objects": {ISVC: ["models/iris", "models/rose"], RUNTIMES: []},
    }
    restore, owned = (tmp_path / "backup" / place / f"{ISVC}.yaml" for place in ("restore", "owned"))
    assert list(yaml.safe_load_all(restore.read_text())) == [
        {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {"name": name, "namespace": "models", "annotations": {"team": "a"}},
            "spec": {"predictor": {"minReplicas": 1}},
        }
        for name in ("iris", "rose")
    ]
    (child,) = yaml.safe_load_all(owned.read_text())
    assert child["metadata"]["name"] == "iris-child" and "ownerReferences" not in child["metadata"]
    assert stat.S_IMODE(restore.stat().st_mode) == 0o600
    assert stat.S_IMODE(restore.parent.stat().st_mode) == 0o700


def test_the_objects_are_written_by_the_field_manager_that_applied_each_part(tmp_path: Path) -> None:
    iris, rose = thing("iris"), thing("rose")
    owned = {"f:spec": {"f:predictor": {"f:minReplicas": {}}}}
    applied = {"operation": "Apply", "apiVersion": "serving.kserve.io/v1beta1", "fieldsV1": owned}
    iris["metadata"]["managedFields"] = [{**applied, "manager": "hashfoundry.kserve.model_serving"}]
    custom_resources.backup(Api(iris, rose), KSERVE, tmp_path, check_mode=False)
    groups = list(yaml.safe_load_all((tmp_path / "applied.yaml").read_text()))
    names = [(group["resource"], group["field_manager"], group["adds"], list(group["objects"])) for group in groups]
    assert names == [
        (ISVC, "hashfoundry.kserve.model_backup", False, ["models/rose"]),
        (ISVC, "hashfoundry.kserve.model_serving", False, ["models/iris"]),
    ]
    assert groups[1]["objects"]["models/iris"] == {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "iris", "namespace": "models"},
        "spec": {"predictor": {"minReplicas": 1}},
    }
    assert groups[0]["objects"]["models/rose"]["metadata"]["annotations"] == {"team": "a"}


def test_an_object_with_an_owner_comes_after_it_and_names_it(tmp_path: Path) -> None:
    """An HTTPRoute sorts before its InferenceService, and is restored after it, or deleting that would leave it."""
    iris = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "name": "iris", "uid": "9"}
    elsewhere, certificate = {**iris, "name": "rose"}, {**iris, "apiVersion": "v1", "kind": "Secret"}
    api = Api(thing("iris"), thing("rose", namespace="other"), thing("dependent"), thing("lone"))
    api.services[2]["metadata"]["ownerReferences"] = [elsewhere, iris, certificate]
    api.services[3]["metadata"]["ownerReferences"] = [elsewhere]
    api.add_routes(thing("iris.public"))
    api.routes[0]["metadata"]["ownerReferences"] = [iris]
    custom_resources.backup(api, [*KSERVE, "gateway.networking.k8s.io"], tmp_path, check_mode=False)
    groups = list(yaml.safe_load_all((tmp_path / "applied.yaml").read_text()))
    assert [(group["resource"], list(group["objects"])) for group in groups] == [
        (ISVC, ["models/iris", "models/lone", "other/rose"]),
        ("httproutes.gateway.networking.k8s.io", ["models/iris.public"]),
        (ISVC, ["models/dependent"]),
    ]
    named = {key: value for key, value in iris.items() if key != "uid"}
    for group in groups[1:]:
        [owned] = group["objects"].values()
        assert owned["metadata"]["ownerReferences"] == [named]
    # What can be applied as a whole, in any order, names none.
    assert "ownerReferences" not in (tmp_path / "restore" / f"{ISVC}.yaml").read_text()
    assert "ownerReferences" not in groups[0]["objects"]["models/lone"]["metadata"]


def test_what_a_role_applied_comes_before_what_a_user_did_if_its_resource_does(tmp_path: Path) -> None:
    """A Gateway of a user waits for the GatewayClass of a role."""
    route = thing("class")
    route["metadata"]["managedFields"] = [
        {
            "manager": "hashfoundry.kserve.gateway",
            "operation": "Apply",
            "apiVersion": "gateway.networking.k8s.io/v1",
            "fieldsV1": {"f:spec": {}},
        }
    ]
    api = Api(thing("iris"))
    api.add_routes(route)
    custom_resources.backup(api, [*KSERVE, "gateway.networking.k8s.io"], tmp_path, check_mode=False)
    groups = list(yaml.safe_load_all((tmp_path / "applied.yaml").read_text()))
    assert [group["resource"] for group in groups] == ["httproutes.gateway.networking.k8s.io", ISVC]


def test_a_second_backup_changes_nothing_and_a_third_drops_deleted_objects(tmp_path: Path) -> None:
    api = Api(thing("iris"))
    assert custom_resources.backup(api, KSERVE, tmp_path, check_mode=False)["changed"] is True
    assert custom_resources.backup(api, KSERVE, tmp_path, check_mode=False)["changed"] is False
    assert custom_resources.backup(Api(), KSERVE, tmp_path, check_mode=False)["changed"] is True
    assert not list((tmp_path / "restore").iterdir())


def test_check_mode_writes_nothing(tmp_path: Path) -> None:
    result = custom_resources.backup(Api(thing("iris")), KSERVE, tmp_path / "backup", check_mode=True)
    assert result["changed"] is True
    assert not (tmp_path / "backup").exists()


def test_check_mode_predicts_the_next_run(tmp_path: Path) -> None:
    def changes(check_mode: bool, *things: dict[str, Any]) -> bool:
        return bool(custom_resources.backup(Api(*things), KSERVE, tmp_path, check_mode=check_mode)["changed"])

    assert changes(False, thing("iris"))
    assert not changes(True, thing("iris"))
    assert changes(True, thing("iris"), thing("rose")) and changes(True)
    # Neither new nor deleted objects have changed the backup.
    assert not changes(False, thing("iris"))


def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KServeError, match=r"The folder .*/file/backup cannot be written \(Not a directory\)"):
        custom_resources.backup(Api(thing("iris")), KSERVE, tmp_path / "file" / "backup", check_mode=False)


def test_info_compares_with_a_backup(tmp_path: Path) -> None:
    custom_resources.backup(Api(thing("iris"), thing("rose")), KSERVE, tmp_path, check_mode=False)
    result = custom_resources.info(Api(thing("rose")), KSERVE, tmp_path)
    assert result == {
        "changed": False,
        "counts": {ISVC: 1, RUNTIMES: 0},
        "counts_before": {ISVC: 2, RUNTIMES: 0},
        "objects": {ISVC: ["models/rose"], RUNTIMES: []},
        "lost": [{"resource": ISVC, "name": "models/iris", "what": "object"}],
    }
    assert "lost" not in custom_resources.info(Api(), KSERVE, None)


def test_a_backup_of_another_cluster_is_not_compared(tmp_path: Path) -> None:
    custom_resources.backup(Api(thing("iris")), KSERVE, tmp_path, check_mode=False)
    with pytest.raises(KServeError, match="is a backup of another cluster") as refused:
        custom_resources.info(Api(thing("iris"), uid="another-cluster"), KSERVE, tmp_path)
    assert refused.value.reason == "OtherCluster"


@pytest.mark.parametrize("text", [None, "", "[]", '{"counts": {}}', '{"counts": {}, "objects": []}'])
def test_an_incomplete_backup_is_not_compared(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "index.json").write_text(text)
    with pytest.raises(KServeError, match="contains no complete backup of custom resources"):
        custom_resources.info(Api(), KSERVE, tmp_path)
