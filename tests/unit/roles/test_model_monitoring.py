# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role model_monitoring lets Prometheus scrape, and where its alerts are explained."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.ansible_run import ROOT

from .rule_files import Json, rendered, template

RST = ROOT / "docs" / "docsite" / "rst"
IRIS = {"name": "iris", "version": "v1", "format": "sklearn", "runtime": "kserve-sklearnserver"}
# As the role namespace_security has them.
CERT_MANAGER = {"platform_certificates_provider": "cert_manager"}
KNATIVE = {"platform_deployment_mode": "Knative"}


@pytest.fixture(scope="module")
def standard(tmp_path_factory: pytest.TempPathFactory) -> list[Json]:
    models = [IRIS, {**IRIS, "name": "churn"}]
    labels = {"release": "prometheus"}
    return rendered(tmp_path_factory.mktemp("a"), models=models, platform_monitoring_labels=labels, **CERT_MANAGER)


@pytest.fixture(scope="module")
def knative(tmp_path_factory: pytest.TempPathFactory) -> list[Json]:
    return rendered(tmp_path_factory.mktemp("b"), models=[IRIS], **KNATIVE)


def named(objects: list[Json], *kinds: str) -> set[tuple[str, str, str]]:
    found = [(thing["kind"], thing["metadata"]["namespace"], thing["metadata"]["name"]) for thing in objects]
    return {one for one in found if one[0] in kinds}


def one_of(objects: list[Json], name: str) -> Json:
    (found,) = (thing for thing in objects if thing["metadata"]["name"] == name)
    return found


def test_each_model_has_a_service_monitor_in_standard_mode(standard: list[Json]) -> None:
    assert named(standard, "ServiceMonitor", "PodMonitor") == {
        ("ServiceMonitor", "ml-models", "iris"),
        ("ServiceMonitor", "ml-models", "churn"),
        ("ServiceMonitor", "kserve", "kserve-controller"),
        ("PodMonitor", "cert-manager", "cert-manager"),
        ("PodMonitor", "projectcontour", "contour"),
        ("PodMonitor", "projectcontour", "envoy"),
    }
    selector = {"serving.kserve.io/inferenceservice": "iris", "component": "predictor"}
    assert one_of(standard, "iris")["spec"]["selector"] == {"matchLabels": selector}


def test_models_have_a_pod_monitor_in_knative_mode(knative: list[Json]) -> None:
    assert named(knative, "ServiceMonitor", "PodMonitor") == {
        ("PodMonitor", "ml-models", "models"),
        ("ServiceMonitor", "kserve", "kserve-controller"),
        ("PodMonitor", "kourier-system", "envoy"),
        ("PodMonitor", "knative-serving", "knative-serving"),
    }
    ports = [endpoint["port"] for endpoint in one_of(knative, "models")["spec"]["podMetricsEndpoints"]]
    assert ports == ["user-port", "http-usermetric"]


def test_there_is_no_monitor_of_models_without_models(tmp_path: Path) -> None:
    # A selector without values is rejected.
    assert not [one for one in named(rendered(tmp_path, models=[], **KNATIVE), "PodMonitor") if one[1] == "ml-models"]


def test_the_names_of_the_rules_are_those_that_users_look_for(standard: list[Json]) -> None:
    assert named(standard, "PrometheusRule") == {
        ("PrometheusRule", "ml-models", "ml-models-slo-alerts"),
        ("PrometheusRule", "ml-models", "ml-models-model-rules"),
        ("PrometheusRule", "ml-models", "ml-models-model-alerts"),
        ("PrometheusRule", "monitoring", "hashfoundry-kserve-platform"),
    }


def test_all_objects_have_the_labels_that_prometheus_selects(standard: list[Json]) -> None:
    wanted = {"app.kubernetes.io/part-of": "hashfoundry-kserve", "release": "prometheus"}
    assert [thing["metadata"]["labels"] for thing in standard] == [wanted] * len(standard)


def test_only_the_gateway_of_existing_components_is_scraped(tmp_path: Path) -> None:
    existing = {"gateway_state": "existing", "cert_manager_state": "existing", **CERT_MANAGER}
    found = named(rendered(tmp_path, models=[], **existing), "ServiceMonitor", "PodMonitor")
    assert found == {("ServiceMonitor", "kserve", "kserve-controller"), ("PodMonitor", "projectcontour", "envoy")}


def relabeled(rules: list[dict[str, Any]], labels: dict[str, str]) -> dict[str, str] | None:
    """What Prometheus makes of a target: the actions replace and keep of its documentation."""
    for rule in rules:
        value = ";".join(labels.get(name, "") for name in rule["sourceLabels"])
        match = re.fullmatch(rule.get("regex", "(.*)"), value)
        if rule.get("action") == "keep":
            if not match:
                return None
        elif match:
            text = re.sub(r"\$(\d)", lambda group, match=match: match[int(group[1])], rule.get("replacement", "$1"))
            labels = {**labels, rule["targetLabel"]: text}
    return labels


@pytest.mark.parametrize(
    ("ip", "annotations", "address", "path"),
    [
        ("10.0.0.1", {"port": "8082", "path": "/metrics"}, "10.0.0.1:8082", "/metrics"),
        ("10.0.0.1", {"port": "8002", "path": "/v2/metrics"}, "10.0.0.1:8002", "/v2/metrics"),
        ("fd00::1", {"port": "8082"}, "[fd00::1]:8082", "/metrics"),
        ("10.0.0.1", {}, "10.0.0.1:8080", "/metrics"),
    ],
)
@pytest.mark.parametrize("mode", ["standard", "knative"])
def test_port_and_path_are_those_of_the_pods_annotations(
    mode: str, ip: str, annotations: dict[str, str], address: str, path: str, request: pytest.FixtureRequest
) -> None:
    objects: list[Json] = request.getfixturevalue(mode)
    spec = one_of(objects, "iris" if mode == "standard" else "models")["spec"]
    endpoint = (spec.get("endpoints") or spec["podMetricsEndpoints"])[0]
    meta = "__meta_kubernetes_pod_"
    discovered = {
        "__address__": f"[{ip}]:8080" if ":" in ip else f"{ip}:8080",
        "__metrics_path__": "/metrics",
        f"{meta}ip": ip,
        "__meta_kubernetes_endpointslice_port_protocol": "TCP",
        f"{meta}label_serving_kserve_io_inferenceservice": "iris",
        f"{meta}label_kserve_hashfoundry_io_version": "v1",
        **{f"{meta}annotation_prometheus_kserve_io_{key}": value for key, value in annotations.items()},
    }
    found = relabeled(endpoint["relabelings"], discovered)
    assert found and (found["__address__"], found["__metrics_path__"]) == (address, path)
    assert (found["model"], found["version"]) == ("iris", "v1")


def test_only_the_port_of_the_service_is_a_target(standard: list[Json]) -> None:
    (endpoint,) = one_of(standard, "iris")["spec"]["endpoints"]
    # KServe's containers need not declare their port, so that a target has no container.
    for discovered in ("endpointslice", "endpoint"):
        assert relabeled(endpoint["relabelings"], {f"__meta_kubernetes_{discovered}_port_protocol": "TCP"}) is not None
    assert relabeled(endpoint["relabelings"], {"__meta_kubernetes_pod_container_port_number": "9081"}) is None


def alerts(objects: list[Json]) -> list[Json]:
    rules = [thing["spec"]["groups"] for thing in objects if thing["kind"] == "PrometheusRule"]
    return [rule for groups in rules for group in groups for rule in group["rules"] if "alert" in rule]


def test_each_alert_is_explained_in_the_runbook(standard: list[Json]) -> None:
    runbook = (RST / "runbook.rst").read_text()
    sections = {title for title, line in re.findall(r"^(\w+)\n(-+)$", runbook, re.MULTILINE) if len(title) == len(line)}
    assert {rule["alert"] for rule in alerts(standard)} == sections
    listed = re.findall(r"^   \* - (``\w+``(?:, ``\w+``)*)$", (RST / "monitoring.rst").read_text(), re.MULTILINE)
    assert sections <= {name for names in listed for name in re.findall(r"\w+", names)}


def test_each_alert_has_what_a_person_needs(standard: list[Json]) -> None:
    for rule in alerts(standard):
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["labels"]["part_of"] == "hashfoundry-kserve"
        told = rule["annotations"]
        assert told["summary"].endswith(".") and told["description"].endswith(".")
        # Sphinx writes the anchor of a section in lower case.
        assert told["runbook_url"].endswith(f"/docsite/runbook.html#{rule['alert'].lower()}")


def test_nothing_is_applied_if_monitoring_is_absent(tmp_path: Path) -> None:
    assert rendered(tmp_path, models=[IRIS], model_monitoring_state="absent") == []


def test_the_default_objectives_are_those_of_the_options() -> None:
    role = ROOT / "roles" / "model_monitoring"
    defaults = yaml.safe_load((role / "defaults" / "main.yml").read_text())
    spec = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())
    assert (
        spec["argument_specs"]["main"]["options"]["model_monitoring_slo"]["default"] == defaults["model_monitoring_slo"]
    )


@pytest.mark.parametrize(
    ("monitoring", "protocol"), [("managed", "prometheus"), ("existing", "prometheus"), ("absent", None)]
)
def test_knative_exposes_its_metrics_if_they_are_scraped(monitoring: str, protocol: str | None, tmp_path: Path) -> None:
    text = template(tmp_path, "knative_serving", "patches.yml.j2", platform_monitoring=monitoring, **KNATIVE)
    (config,) = (
        thing for thing in yaml.safe_load_all(text) if thing and thing["metadata"]["name"] == "config-observability"
    )
    found = [config["data"].get(f"{key}metrics-protocol") for key in ("", "request-")]
    assert found == [protocol, protocol]


def test_knative_starts_again_if_its_metrics_are_switched_on_later(tmp_path: Path) -> None:
    def annotations(role: str = "knative_serving", **variables: Any) -> dict[str, str | None]:
        text = template(tmp_path, role, "patches.yml.j2", **{**KNATIVE, **variables})
        documents = [thing for thing in yaml.safe_load_all(text) if thing]
        found = {
            thing["metadata"]["name"]: thing["spec"]["template"]["metadata"]["annotations"]
            for thing in documents
            if thing["kind"] == "Deployment" and "metadata" in thing["spec"]["template"]
        }
        return {name: one.get("kserve.hashfoundry.io/config-observability") for name, one in found.items()}

    assert annotations(platform_monitoring="absent") == {}
    managed = annotations(platform_monitoring="managed")
    assert set(managed) == {"activator", "autoscaler", "controller", "webhook"}
    assert len(set(managed.values())) == 1
    other = {"config-observability": {"metrics-export-interval": "30s"}}
    assert annotations(platform_monitoring="managed", knative_serving_config=other)["activator"] not in managed.values()
    kourier = {"role": "knative_networking", "__knative_networking_certificate": "0"}
    for monitoring, value in (("absent", None), ("managed", "prometheus")):
        found = annotations(platform_monitoring=monitoring, **kourier)
        assert found == {"net-kourier-controller": value}
