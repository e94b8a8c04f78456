# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube import apply_client
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import Unreachable
from ansible_collections.hashfoundry.kserve.plugins.modules import platform_info

from ..module_utils.platform_fixtures import Platform, kserve
from ..module_utils.prometheus_fake import Prometheus, Proxied
from ..module_utils.services_fixtures import Api


@pytest.mark.parametrize("check_mode", [False, True])
def test_the_cluster_and_its_components_are_returned(
    run_module, monkeypatch: pytest.MonkeyPatch, check_mode: bool
) -> None:
    monkeypatch.setattr(apply_client, "session", lambda _options: nullcontext(kserve()))
    arguments = {"components": ["kserve"], "verify": True, "api_key": "PLANTED-KEY"}
    result = run_module(platform_info.main, arguments, check_mode=check_mode)
    assert result["changed"] is False and result["cluster"]["version"] == "v1.35.4"
    assert result["components"]["kserve"]["version"] == "v0.20.0"
    assert "PLANTED" not in json.dumps(result)
    assert run_module(platform_info.main, {})["components"] == {}


def test_a_cluster_that_does_not_answer(run_module, monkeypatch: pytest.MonkeyPatch) -> None:
    def session(_options: object) -> None:
        raise Unreachable("The cluster's API server cannot be reached.")

    monkeypatch.setattr(apply_client, "session", session)
    assert run_module(platform_info.main, {})["reason"] == "APIServerUnreachable"
    assert run_module(platform_info.main, {"components": ["x"]})["reason"] == "InvalidOption"


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_network_that_does_not_enforce_policies_is_a_warning(
    run_module, monkeypatch: pytest.MonkeyPatch, check_mode: bool
) -> None:
    api = kserve()
    monkeypatch.setattr(apply_client, "session", lambda _options: nullcontext(api))
    failed = {"type": "Failed", "status": "True", "reason": "PodFailurePolicy"}
    api.jobs["/apis/batch/v1/namespaces/kserve/jobs/probe"] = {"status": {"conditions": [failed]}}
    warnings: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda self, text: warnings.append(text))
    result = run_module(platform_info.main, {"policy_probe": "kserve/probe"}, check_mode=check_mode)
    assert result["network_policies"] == "not_enforced" and result["changed"] is False
    assert len(warnings) == 1 and "(NetworkPoliciesNotEnforced)" in warnings[0]
    quiet = {"policy_probe": "kserve/probe", "policy_probe_warn": False}
    assert run_module(platform_info.main, quiet)["network_policies"] == "not_enforced" and len(warnings) == 1
    assert run_module(platform_info.main, {"policy_probe": "kserve/other"})["network_policies"] is None
    assert run_module(platform_info.main, {})["network_policies"] is None


class Everything(Platform):
    """A platform with pods, and a namespace with the models of services_fixtures."""

    def __init__(self, *pods: dict[str, Any]) -> None:
        super().__init__()
        self.pods = list(pods)
        self.models = Api()
        self.proxied: Proxied | None = None

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        if path.startswith("/api/v1/namespaces/kserve/"):
            return {"items": self.pods}
        if path.startswith("/apis/apps/v1/namespaces/kserve/"):
            return {"items": []}
        return self.models.get(path, **query) if "/namespaces/models/" in path else super().get(path, **query)

    def text(self, path: str, **query: Any) -> str:
        return self.models.text(path, **query)

    def end_watches(self) -> None:
        self.models.end_watches()

    def read(self, *request: Any, **options: Any) -> bytes:
        assert self.proxied
        return self.proxied.read(*request, **options)


@pytest.fixture
def prometheus() -> Iterator[Prometheus]:
    with Prometheus({"up": [({"namespace": "models", "model": "iris"}, "1")]}) as made:
        yield made


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("proxied", [False, True])
def test_the_status_of_everything(run_module, serve, prometheus: Prometheus, check_mode: bool, proxied: bool) -> None:
    api = Everything({"metadata": {"name": "a"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}})
    api.proxied = Proxied(prometheus)
    serve(api)
    where = {} if proxied else {"url": prometheus.url, "token": "PLANTED-TOKEN", "proxy": ""}
    arguments = {"namespaces": ["kserve"], "model_namespaces": ["models"], "prometheus": where}
    result = run_module(platform_info.main, arguments, check_mode=check_mode)
    found = result["status"]
    assert found["well"] is True and found["summary"].startswith("Everything is well: 1 model serves, 1 pod")
    assert found["summary"].startswith(found["table"][0]) and found["time"].endswith("+00:00")
    assert found["models"][0]["scraped"] is True and found["prometheus"]["state"] == "answers"
    assert result["changed"] is False and "PLANTED" not in json.dumps(result)
    assert bool(api.proxied.paths) is proxied
    assert {header for header, _query in prometheus.asked} == {"" if proxied else "Bearer PLANTED-TOKEN"}


def test_only_pods(run_module, serve) -> None:
    serve(Everything({"metadata": {"name": "a"}, "status": {}}))
    found = run_module(platform_info.main, {"namespaces": ["kserve"]})["status"]
    assert found["problems"] == ["Pod kserve/a does not run: it is not ready; see its events and logs."]
    assert found["summary"] == f"Not well: {found['problems'][0]}"
    assert run_module(platform_info.main, {})["status"] is None


@pytest.mark.parametrize(
    ("prometheus", "reason"),
    [
        ({"url": "https://me:PLANTED@prometheus.example.com"}, "CredentialsInURL"),
        ({"url": "https://a", "proxy": "http://me:PLANTED@proxy"}, "CredentialsInURL"),
        ({"url": "https://a", "username": "me"}, "InvalidOption"),
        ({"token": "PLANTED"}, "InvalidOption"),
        ({"url": "https://a", "token": "PLANTED", "username": "me", "password": "PLANTED"}, "InvalidOption"),
    ],
)
def test_prometheus_options_that_are_not_valid(run_module, serve, prometheus: dict[str, str], reason: str) -> None:
    serve(Everything())
    result = run_module(platform_info.main, {"model_namespaces": ["models"], "prometheus": prometheus})
    assert result["reason"] == reason and "PLANTED" not in json.dumps(result)


@pytest.mark.parametrize(("check_mode", "reads"), [(False, 3), (True, 1)])
def test_what_only_needs_time_is_read_again(
    run_module, serve, monkeypatch: pytest.MonkeyPatch, check_mode: bool, reads: int
) -> None:
    pod: dict[str, Any] = {"metadata": {"name": "a"}, "status": {}}
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            pod["status"] = {"conditions": [{"type": "Ready", "status": "True"}]}

    serve(Everything(pod))
    monkeypatch.setattr(platform_info.time, "sleep", pause)
    arguments = {"namespaces": ["kserve"], "retry_for": 60}
    assert run_module(platform_info.main, arguments, check_mode=check_mode)["status"]["well"] is (not check_mode)
    assert len(pauses) == reads - 1


def test_a_model_is_read_again_until_prometheus_has_its_series(
    run_module, serve, prometheus: Prometheus, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(Everything())
    series, prometheus.series = prometheus.series, {}
    monkeypatch.setattr(platform_info.time, "sleep", lambda _seconds: prometheus.series.update(series))
    arguments = {"model_namespaces": ["models"], "prometheus": {"url": prometheus.url, "proxy": ""}, "retry_for": 60}
    assert run_module(platform_info.main, arguments)["status"]["well"] is True
