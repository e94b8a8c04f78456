# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles apply the same objects whether an option is false or "false", 20 or "20", a list or its JSON string.

test_conformity_options.py checks every expression against the type of its option. This test renders the results, in one
run of Ansible with a host for each form of the options.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from tests.unit.ansible_run import ROOT, run_play

KEYS = {"access_key": "a", "secret_key": "b"}
CREDENTIALS = {"name": "reader", "endpoint_url": "https://s3.example.org", "verify_ssl": False, **KEYS}
MODEL = {
    "name": "iris",
    "version": "v1",
    "format": "sklearn",
    "runtime": "sklearnserver",
    "scaling": {"min_replicas": 2, "max_replicas": 20},
    "source": {"folder": "/nowhere/iris"},
}
STORED = "s3://models/iris/v1/"
VOLUME = {"name": "models", "size": "1Gi"}

# Required variables of each role, and the internal variables that it passes to modules.
ROLES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "batch_inference": (
        {
            **{f"batch_inference_{name}": name for name in ("image", "bucket", "model", "version", "input")},
            "batch_inference_keep": ["id", "day"],
            "__batch_inference_job": "job",
            "__batch_inference_found": {"model": {"digest": "d"}, "input": {"etag": "e"}, "output": "o"},
        },
        ["__batch_inference_args"],
    ),
    "cert_manager": ({"cert_manager_version": "v1"}, ["__cert_manager_values"]),
    "certificates": (
        {
            "certificates_provider": "cert_manager",
            "certificates_issued": [{"namespace": "kserve", "secret": "tls", "dns_names": ["a.example.org"]}],
        },
        [],
    ),
    "dashboards": ({"dashboards_state": "managed"}, ["__dashboards_routes", "__dashboards_prune"]),
    "deployer_account": (
        {"deployer_account_platform_namespaces": ["kserve"], "deployer_account_model_namespaces": ["a", "b"]},
        [],
    ),
    "gateway": ({"gateway_domain": "example.org", "gateway_tls_secret": "tls"}, []),
    "knative_networking": (
        {"knative_networking_tls_secret": "tls", "__knative_networking_certificate": "x"},
        ["__knative_networking_istiod_values", "__knative_networking_istio_gateway_values"],
    ),
    "knative_serving": (
        {"knative_serving_domain": "example.org", "knative_serving_unresolved_registries": ["one", "two"]},
        [],
    ),
    "kserve": (
        {"kserve_gateway": "a/b", "kserve_domain": "example.org", "__kserve_annotations": {}},
        ["__kserve_patches", "__kserve_budgets", "__kserve_charts"],
    ),
    "model_exposure": (
        {
            "model_exposure_models": [{"name": "iris", "exposure": "ingress"}, {"name": "rose", "retries": 1}],
            "model_exposure_domain": "example.org",
            "__model_exposure_class": {"resources": [{"spec": {"controller": "k8s.io/ingress-nginx"}}]},
        },
        [],
    ),
    "model_namespace": (
        {"model_namespace_credentials": CREDENTIALS, "model_namespace_image_pull_secrets": ["one", "two"]},
        [],
    ),
    "model_serving": (
        {
            "model_serving_bucket": "models",
            "model_serving_credentials": CREDENTIALS,
            "model_serving_models": [MODEL],
            "model_serving_absent": ["rose"],
            "model_serving_digests": {STORED: "sha256:abc"},
        },
        [],
    ),
    "model_volume": (
        {
            "model_volume_bucket": "models",
            "model_volume_credentials": CREDENTIALS,
            "model_volume_volumes": [VOLUME, {**VOLUME, "name": "theirs", "existing": True}],
            "model_volume_models": [{**MODEL, "storage": "pvc", "volume": "models"}],
            "model_volume_digests": {STORED: "sha256:abc"},
        },
        ["__model_volume_existing", "__model_volume_sizeless"],
    ),
    "monitoring": (
        {
            "monitoring_namespace": "observers",
            "monitoring_prometheus_host": "prometheus.example.org",
            "monitoring_prometheus_users_secret": "users",
            "monitoring_ingress_class": "nginx",
            "monitoring_ingress_tls_secret": "tls",
            "monitoring_prometheus_storage": {"resources": {"requests": {"storage": "1Gi"}}},
            "__monitoring_alerting": {"config": {}, "secrets": []},
            **{f"monitoring_{name}_version": "v1.2.3" for name in ("prometheus_operator", "prometheus")},
            **{f"monitoring_{name}_version": "v1.2.3" for name in ("alertmanager", "kube_state_metrics")},
        },
        ["__monitoring_reloaders"],
    ),
    "namespace_security": (
        {
            "namespace_security_namespaces": [
                {"name": "models", "part": "models", "secured": True, "quota": {"pods": "20"}},
                {"name": "contour", "part": "contour"},
                {"name": "theirs", "part": "knative", "secured": False},
                {"name": "monitoring", "part": "monitoring"},
            ],
            "namespace_security_metrics_namespaces": ["monitoring", "logs"],
            "__namespace_security_read": {"api_server": {"addresses": ["10.0.0.1"], "port": 6443}},
        },
        [],
    ),
    "object_storage": ({"object_storage_access_key": "a", "object_storage_secret_key": "b"}, []),
    "platform": (
        {"platform_domain": "example.org", "platform_bucket": "models"},
        ["platform_namespaces", "platform_service_type", "platform_pod_endpoint_url"],
    ),
}
# These templates read objects of the cluster, and no option of the role.
OF_THE_CLUSTER = {"istio-webhooks.yml.j2", "allowed_traffic.j2"}
FORMS = ("false", "text-false", "true", "text-true")


def specs(role: str) -> dict[str, Any]:
    """Return the specifications of a role's options."""
    text = (ROOT / "roles" / role / "meta" / "argument_specs.yml").read_text()
    options: dict[str, Any] = yaml.safe_load(text)["argument_specs"]["main"]["options"]
    return options


def structured(option: dict[str, Any]) -> bool:
    """Whether an option is a list of dictionaries, for which Ansible accepts no string."""
    return option.get("type") == "list" and option.get("elements") == "dict"


def inner_text(value: Any) -> Any:
    """Return the value with every bool and number in it as a string."""
    if isinstance(value, dict):
        return {key: inner_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [inner_text(item) for item in value]
    return json.dumps(value) if isinstance(value, (bool, int, float)) else value


def given(role: str, form: str) -> dict[str, Any]:
    """Return the role's variables in one of the forms: bools true or false, numbers 20, all or none as strings."""
    needed = ROLES[role][0]
    defaults = yaml.safe_load((ROOT / "roles" / role / "defaults" / "main.yml").read_text())
    values = dict(needed)
    for name, option in specs(role).items():
        kind = option.get("type", "str")
        value = needed.get(name, defaults.get(name))
        if kind == "bool":
            value = form.endswith("true")
        elif kind in ("int", "float"):
            value = 20
        elif kind not in ("list", "dict") or isinstance(value, str) or value is None:
            continue  # strings, and references to another option
        if form.startswith("text"):
            value = inner_text(value) if structured(option) or "options" in option else value
            value = value if structured(option) else json.dumps(value)
        values[name] = value
    return values


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the rendered templates and variables of each role, for each form of its options."""
    folder = tmp_path_factory.mktemp("text")
    for role, (_needed, internal) in ROLES.items():
        ours = folder / "roles" / role
        (ours / "tasks").mkdir(parents=True)
        for part in ("defaults", "vars", "templates", "files"):
            if (ROOT / "roles" / role / part).exists():
                (ours / part).symlink_to(ROOT / "roles" / role / part)
        if (ROOT / "roles" / role / "meta" / "main.yml").exists():
            # Its dependencies set defaults.
            (ours / "meta").mkdir()
            (ours / "meta" / "main.yml").symlink_to(ROOT / "roles" / role / "meta" / "main.yml")
        names = sorted({path.name for path in (ours / "templates").glob("*.j2")} - OF_THE_CLUSTER)
        parts = [f"'{name}': lookup('ansible.builtin.template', '{name}')" for name in names]
        content = "{{ {" + ", ".join(parts + [f"'{name}': {name}" for name in internal]) + "} | to_json }}"
        copy = {"dest": f"{folder}/{role}-{{{{ inventory_hostname }}}}.json", "content": content, "mode": "0600"}
        (ours / "tasks" / "main.yml").write_text(yaml.safe_dump([{"ansible.builtin.copy": copy}]))
    hosts = {
        form: {name: value for role in ROLES for name, value in given(role, form).items()}
        | {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        for form in FORMS
    }
    (folder / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    play = {"hosts": "all", "gather_facts": False, "roles": list(ROLES)}
    run_play(folder, play, "-i", "hosts.json")
    read = {(role, form): json.loads((folder / f"{role}-{form}.json").read_text()) for role in ROLES for form in FORMS}
    return {key: {name: parsed(name, value) for name, value in made.items()} for key, made in read.items()}


def parsed(name: str, value: Any) -> Any:
    """Return the documents of a rendered template; a variable unchanged."""
    return list(yaml.safe_load_all(value)) if name.endswith(".yml.j2") else value


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("value", ["false", "true"])
def test_a_string_option_renders_the_same_as_its_value(
    made: dict[tuple[str, str], dict[str, Any]], role: str, value: str
) -> None:
    assert made[role, f"text-{value}"] == made[role, value]


@pytest.mark.parametrize("role", ["batch_inference", "deployer_account", "gateway", "model_volume"])
def test_a_false_option_renders_differently_from_a_true_one(
    made: dict[tuple[str, str], dict[str, Any]], role: str
) -> None:
    assert made[role, "false"] != made[role, "true"]


REFUSED = {"bool": "many", "int": "many", "float": "many"}
OPTIONS = [
    (path.parents[1].name, name, option)
    for path in sorted(ROOT.glob("roles/*/meta/argument_specs.yml"))
    for name, option in specs(path.parents[1].name).items()
    if option.get("type", "str") in REFUSED or structured(option)
]


@pytest.mark.parametrize(("role", "name", "option"), OPTIONS, ids=[f"{role}-{name}" for role, name, _option in OPTIONS])
def test_an_invalid_string_is_rejected(role: str, name: str, option: dict[str, Any]) -> None:
    """Ansible validates the options by this before the first task of a role."""
    keys = ("type", "elements", "options")
    spec = {name: {key: value for key, value in option.items() if key in keys}}
    for text in (REFUSED[option["type"]], "") if option["type"] in REFUSED else ("[]", '[{"name": "a"}]', ""):
        errors = ArgumentSpecValidator(spec).validate({name: text}).errors.errors
        assert any(name in str(error) for error in errors), (text, errors)
