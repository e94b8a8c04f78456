# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials within a URL are rejected by every module, and are in no output and no log."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible.module_utils.basic import AnsibleModule

from ansible_collections.hashfoundry.kserve.plugins.filter.checked_url import checked_url
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.url_credentials import (
    has_credentials,
    without_credentials,
)
from ansible_collections.hashfoundry.kserve.plugins.module_utils._module.use_case import URLS
from ansible_collections.hashfoundry.kserve.plugins.module_utils._object_store import s3_client
from tests.unit.ansible_run import environment, run_play

ROOT = Path(__file__).resolve().parents[4]
MODULES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py"))
WITH = "https://PLANTED-KEY:PLANTED/SE@CRET@store.example.com/path"
SIGNED = "https://store.example.com/path?sv=1&%73ig=PLANTED"
ROW = {"model_name": "iris", "instances": [[1]], "expected": [0]}
CHART = {"ref": "kserve", "release": "kserve", "values": {}}
GIVEN: list[tuple[str, dict[str, Any]]] = [
    ("spaces_info", {"bucket": "models", "endpoint_url": WITH}),
    ("spaces_upload", {"bucket": "models", "endpoint_url": WITH, "name": "a", "version": "1", "source": "/none"}),
    ("spaces_download", {"bucket": "models", "endpoint_url": WITH, "name": "a", "version": "1", "dest": "/none"}),
    ("inference_smoke_test", {**ROW, "url": WITH}),
    ("inference_smoke_test", {**ROW, "url": "https://iris.example.com", "proxy": WITH}),
    ("inference_smoke_test", {**ROW, "url": "https://iris.example.com", "proxy": WITH.partition("://")[2]}),
    ("platform_info", {"host": WITH}),
    ("platform_info", {"proxy": WITH}),
    ("manifests", {"definitions": [{"kind": "ConfigMap"}], "proxy": WITH}),
    ("spaces_info", {"bucket": "models", "endpoint_url": SIGNED}),
    ("inference_smoke_test", {**ROW, "url": SIGNED}),
    ("manifests", {"charts": [{**CHART, "repository": SIGNED}]}),
    ("manifests", {"charts": [{**CHART, "repository": WITH}]}),
    ("manifests", {"charts": [{**CHART, "ref": WITH.replace("https", "oci")}]}),
]


@pytest.mark.parametrize(("name", "options"), GIVEN)
@pytest.mark.parametrize("wrong", [{}, {"unknown": 1}], ids=["valid", "unknown option"])
def test_credentials_in_a_url_are_rejected_and_not_shown(
    run_module, monkeypatch: pytest.MonkeyPatch, name: str, options: dict[str, Any], wrong: dict[str, Any]
) -> None:
    logged: list[Any] = []
    monkeypatch.setattr(AnsibleModule, "log", lambda self, msg, log_args=None: logged.append((msg, log_args)))
    main = importlib.import_module(f"ansible_collections.hashfoundry.kserve.plugins.modules.{name}").main
    # Ansible sends the value of the task's keyword no_log.
    result = run_module(main, {**options, **wrong}, no_log=False)
    assert result["failed"] is True and result["reason"] == ("InvalidOption" if wrong else "CredentialsInURL")
    assert wrong or "contains credentials" in result["msg"]
    for output in (json.dumps(result), str(logged)):
        assert "PLANTED" not in output and "CRET" not in output
    assert "store.example.com" in json.dumps(result["invocation"])


@pytest.mark.parametrize("name", MODULES)
def test_each_option_with_a_url_is_checked(name: str) -> None:
    module = importlib.import_module(f"ansible_collections.hashfoundry.kserve.plugins.modules.{name}")
    urls = {option for option in module.USE_CASE.argument_spec if option.endswith(("url", "proxy", "endpoint"))}
    assert urls - {"no_proxy"} <= set(URLS)


def test_no_output_at_vvv_contains_them_both_ways(tmp_path: Path) -> None:
    link = tmp_path / "python"
    link.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    link.chmod(0o755)
    hosts = {name: {"ansible_python_interpreter": path} for name, path in {"here": sys.executable, "x": link}.items()}
    inventory = {"all": {"hosts": {host: {k: str(v) for k, v in found.items()} for host, found in hosts.items()}}}
    inventory["all"]["vars"] = {"ansible_connection": "local", "planted": WITH}  # type: ignore[dict-item]
    (tmp_path / "hosts.json").write_text(json.dumps(inventory))
    task = {"hashfoundry.kserve.spaces_info": {"bucket": "b", "endpoint_url": "{{ planted }}"}, "ignore_errors": True}
    play = {"hosts": "all", "gather_facts": False, "tasks": [task]}
    env = environment("AWS_", ANSIBLE_REMOTE_TEMP=str(tmp_path / "remote"), ANSIBLE_INJECT_INVOCATION="true")
    output = run_play(tmp_path, play, "-i", "hosts.json", "-vvv", env=env)
    assert output.count("CredentialsInURL") == 2
    assert "PLANTED" not in output and "CRET" not in output


def test_the_endpoint_of_the_configuration_of_boto3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(f"[default]\nendpoint_url = {WITH.replace('/SE@CRET', '')}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    options = s3_client.S3Options(bucket="models", access_key="a", secret_key="b")
    with pytest.raises(KServeError, match="endpoint_url contains credentials") as caught:
        s3_client.connect(options)
    assert "PLANTED" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://h/a?X-Amz-Signature=PLANTED&x=1", "https://h/a?********"),
        ("https://h/a#token=PLANTED", "https://h/a?********"),
        ("https://h/a?key=PLANTED0123456789", "https://h/a?********"),
        ("https://h/a?client_assertion=PLANTED", "https://h/a?********"),
        ("https://h/a?b=1;password=PLANTED", "https://h/a?********"),
        ("https://PLANTED?sig=PLANTED@h/a?sig=PLANTED", "https://********@h/a?********"),
        *(
            (url, url)
            for url in (
                "https://h/a?raw=true#part",
                "https://h/m?key=models/iris.joblib&code=404&auth=none",
                "https://wiki/index.php?title=Token:Expired&q=reset+password%3A+how",
                "https://medium.com/@team/runbook",
                "https://[fd00::1]/m@v",
                "hdfs://nn1:8020,nn2:8020/m@x",
            )
        ),
        ("oci://registry/api-token:v1", "oci://registry/api-token:v1"),
    ],
)
def test_a_signature_or_token_is_not_shown(url: str, shown: str) -> None:
    assert (without_credentials(url), has_credentials(url)) == (shown, "PLANTED" in url)


ROLES = {
    "dashboards": ("dashboards_perses_prometheus_url", "lookup('ansible.builtin.template', 'datasource.yml.j2')"),
    "model_monitoring": ("model_monitoring_runbook_url", "__model_monitoring_runbook_url"),
    "certificates": ("platform_acme_server", "certificates_issuers"),
    "batch_inference": ("batch_inference_endpoint_url", "__batch_inference_env"),
}


@pytest.mark.parametrize("role", ROLES)
def test_a_url_that_is_stored_in_the_cluster_has_no_credentials(role: str, tmp_path: Path) -> None:
    option, value = ROLES[role]
    folder = ROOT / "roles" / role
    files = [folder / name / "main.yml" for name in ("defaults", "vars") if (folder / name / "main.yml").exists()]
    (tmp_path / "templates").symlink_to(folder / "templates")
    given = {
        option: SIGNED,
        "platform_issuer": "letsencrypt",
        "platform_acme_email": "",
        "platform_acme_solvers": [],
        "batch_inference_pod_endpoint_url": "",
    }
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars_files": [str(path) for path in files],
        "tasks": [{"ansible.builtin.debug": {"msg": f"{{{{ {value} }}}}"}, "ignore_errors": True}],
    }
    output = run_play(tmp_path, play, "-e", json.dumps(given), env=environment())
    assert f"The URL in {option} contains credentials" in output and "PLANTED" not in output


def test_the_filter_of_the_roles() -> None:
    with pytest.raises(AnsibleFilterError, match="platform_pod_endpoint_url contains credentials") as caught:
        checked_url(WITH, "platform_pod_endpoint_url")
    assert "PLANTED" not in str(caught.value)
    digest = f"oci://registry:5000/chart@sha256:{'0' * 64}"
    assert [checked_url(url, "x") for url in (None, "http://a:1", digest)] == ["", "http://a:1", digest]
