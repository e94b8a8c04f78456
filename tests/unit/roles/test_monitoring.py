# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role monitoring: what it grants, what it exposes, and which labels an existing Prometheus asks for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.ansible_run import environment, exit_code_and_output

from .http_cluster import Cluster

Json = dict[str, Any]
GROUP = "/apis/monitoring.coreos.com/v1"
EVERYTHING = {
    f"{kind}{where}Selector": {} for kind in ("serviceMonitor", "podMonitor", "rule") for where in ("", "Namespace")
}
SHARED = {"platform_domain": "models.example.com", "platform_monitoring": "managed"}


def played(folder: Path, tasks: list[Json], **variables: Any) -> tuple[int, str]:
    """Run tasks with variables, and return the exit code and the output in one line."""
    play = {"hosts": "localhost", "gather_facts": False, "tasks": tasks}
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    env = environment("K8S_", "HASHFOUNDRY_", "KUBECONFIG")
    words = ("play.yml", "-e", json.dumps({**SHARED, **variables}))
    code, output = exit_code_and_output("ansible-playbook", *words, folder=folder, env=env)
    return code, " ".join(output.split())


def role(**options: Any) -> Json:
    return {"ansible.builtin.include_role": {"name": "hashfoundry.kserve.monitoring", **options}}


@pytest.fixture
def existing(api: Cluster) -> Cluster:
    """A cluster with a Prometheus of kube-prometheus-stack, which selects by the release."""
    api.kinds[GROUP] = {"Prometheus": ("prometheuses", True)}
    release = {"matchLabels": {"release": "stack"}}
    spec = {**EVERYTHING, "serviceMonitorSelector": release, "ruleSelector": release}
    for name in ("ml-models", "kserve", "projectcontour", "hashfoundry-system", "monitoring"):
        metadata = {"name": name, "uid": name, "labels": {"kubernetes.io/metadata.name": name}}
        api.objects[f"/api/v1/namespaces/{name}"] = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    api.objects[f"{GROUP}/namespaces/monitoring/prometheuses/stack"] = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "Prometheus",
        "metadata": {"name": "stack", "namespace": "monitoring", "uid": "stack"},
        "spec": spec,
    }
    return api


LABELS = [role(tasks_from="labels.yml"), {"ansible.builtin.debug": {"msg": "found {{ monitoring_labels | to_json }}"}}]


def test_the_labels_of_an_existing_prometheus_become_a_fact(existing: Cluster, tmp_path: Path) -> None:
    variables = {"platform_kubeconfig": str(existing.kubeconfig), "platform_monitoring": "existing"}
    code, output = played(tmp_path, LABELS, **variables, platform_monitoring_labels={"team": "ml"})
    assert code == 0, output
    assert 'found {\\"team\\": \\"ml\\", \\"release\\": \\"stack\\"}' in output
    # Nothing was changed.
    assert not [request for request in existing.seen if not request.startswith("GET")]


@pytest.mark.parametrize(
    ("change", "namespace", "says"),
    [
        ({}, "elsewhere", "(PrometheusNotFound)"),
        ({"ruleNamespaceSelector": None}, "monitoring", "(MonitoringSelectorNotMet)"),
        ({"podMonitorSelector": None}, "monitoring", "(MonitoringSelectorNotMet)"),
    ],
)
def test_an_existing_prometheus_that_selects_nothing_of_the_models(
    existing: Cluster, tmp_path: Path, change: Json, namespace: str, says: str
) -> None:
    spec = existing.objects[f"{GROUP}/namespaces/monitoring/prometheuses/stack"]["spec"]
    spec |= {key: value for key, value in change.items() if value is not None}
    for key in change:
        del spec[key]
    variables = {"platform_kubeconfig": str(existing.kubeconfig), "platform_monitoring": "existing"}
    code, output = played(tmp_path, LABELS, **variables, platform_monitoring_namespace=namespace)
    assert code == 2 and says in output, output


def objects(folder: Path, **variables: Any) -> list[Json]:
    """The objects that the role would apply."""
    lookup = "{{ lookup('ansible.builtin.template', item) }}"
    names = [
        path.name for path in (Path(__file__).parents[3] / "roles" / "monitoring" / "templates").glob("*.yml.j2")
        if path.name not in ("kubelet.yml.j2", "kube-state-metrics-config.yml.j2")
    ]  # fmt: skip
    ours = folder / "roles" / "rendering"
    (ours / "tasks").mkdir(parents=True, exist_ok=True)
    for part in ("defaults", "vars", "templates", "meta"):
        if not (ours / part).exists():
            (ours / part).symlink_to(Path(__file__).parents[3] / "roles" / "monitoring" / part)
    copy = {"dest": f"{folder}/{{{{ item }}}}", "content": f"---\n{lookup}", "mode": "0600"}
    (ours / "tasks" / "main.yml").write_text(yaml.safe_dump([{"ansible.builtin.copy": copy, "loop": names}]))
    given = {"__monitoring_alerting": {"config": {"route": {}}, "secrets": ["slack"]}, **variables}
    code, output = played(folder, [{"ansible.builtin.include_role": {"name": "rendering"}}], **given)
    assert code == 0, output
    texts = [(folder / name).read_text() for name in names]
    return [document for text in texts for document in yaml.safe_load_all(text) if document]


def of_kind(found: list[Json], kind: str) -> dict[str, Json]:
    return {one["metadata"]["name"]: one for one in found if one["kind"] == kind}


def test_what_the_role_applies(tmp_path: Path) -> None:
    found = objects(tmp_path, monitoring_prometheus_storage={"resources": {"requests": {"storage": "1Gi"}}})
    spec = of_kind(found, "Prometheus")["prometheus"]["spec"]
    # An empty selector selects everything, and one that is absent nothing.
    assert all(spec[name] == {} for name in EVERYTHING)
    assert spec["storage"]["volumeClaimTemplate"]["spec"] == {"resources": {"requests": {"storage": "1Gi"}}}
    assert spec["retention"] == "30d" and spec["replicas"] == 2 and "externalUrl" not in spec
    assert of_kind(found, "Alertmanager")["alertmanager"]["spec"]["secrets"] == ["slack"]
    assert of_kind(found, "PodDisruptionBudget").keys() == {"prometheus", "alertmanager"}
    assert not {"HTTPRoute", "Ingress"} & {one["kind"] for one in found}
    # No account reads Secrets or ConfigMaps; that of the operator has the ClusterRole of the manifest.
    for name, one in of_kind(found, "ClusterRole").items():
        for rule in one["rules"]:
            assert not {"secrets", "configmaps", "*"} & set(rule.get("resources", ())), name
            assert set(rule["verbs"]) <= {"get", "list", "watch"}, name
    for one in of_kind(found, "Deployment").values():
        pod = one["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert all(container["securityContext"]["capabilities"] == {"drop": ["ALL"]} for container in pod["containers"])
    jobs = yaml.safe_load(of_kind(found, "Secret")["prometheus-scrape-configs"]["stringData"]["kubelet.yaml"])
    assert [job["job_name"] for job in jobs] == ["kubelet", "kubelet-cadvisor"]


def test_an_exposed_prometheus_has_users_and_tls(tmp_path: Path) -> None:
    users = {"monitoring_prometheus_users_secret": "users", "monitoring_proxy_image": "envoy:v1"}
    found = objects(tmp_path, monitoring_prometheus_host="prometheus.models.example.com", **users)
    route = of_kind(found, "HTTPRoute")["prometheus"]["spec"]
    assert route["hostnames"] == ["prometheus.models.example.com"]
    # The only way from outside leads through the proxy that authenticates.
    assert route["rules"] == [{"backendRefs": [{"name": "prometheus-proxy", "port": 80}]}]
    config = json.loads(of_kind(found, "ConfigMap")["prometheus-proxy"]["data"]["envoy.json"])
    [listener] = config["static_resources"]["listeners"]
    [chain] = listener["filter_chains"]
    names = [one["name"] for one in chain["filters"][0]["typed_config"]["http_filters"]]
    assert names == ["envoy.filters.http.basic_auth", "envoy.filters.http.router"]
    assert of_kind(found, "Prometheus")["prometheus"]["spec"]["externalUrl"] == "https://prometheus.models.example.com"


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({}, "monitoring_prometheus_users_secret is not set"),
        ({"monitoring_prometheus_users_secret": "users", "host": "prometheus.example.org"}, "accepts hosts of"),
        ({"monitoring_prometheus_users_secret": "users", "platform_deployment_mode": "Knative"}, "no Gateway"),
        (
            {"monitoring_prometheus_users_secret": "users", "monitoring_ingress_class": "nginx"},
            "monitoring_ingress_tls_secret is not set",
        ),
    ],
)
def test_prometheus_is_not_exposed_without_users_or_tls(
    api: Cluster, tmp_path: Path, variables: Json, says: str
) -> None:
    host = variables.pop("host", "prometheus.models.example.com")
    given = {"platform_kubeconfig": str(api.kubeconfig), "monitoring_prometheus_host": host, **variables}
    code, output = played(tmp_path, [role()], **given)
    assert code == 2 and says in output and "(PrometheusNotExposed)" in output, output
    assert not [request for request in api.seen if not request.startswith("GET")]


def test_what_exposed_prometheus_is_deleted_though_its_host_is_no_longer_set(api: Cluster, tmp_path: Path) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "monitoring", "uid": "m"}}
    api.objects["/api/v1/namespaces/monitoring"] = namespace
    paths = []
    for group, kind, plural in (
        ("networking.k8s.io/v1", "Ingress", "ingresses"),
        ("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes"),
    ):
        api.kinds[f"/apis/{group}"] = {kind: (plural, True)}
        paths.append(f"/apis/{group}/namespaces/monitoring/{plural}/prometheus")
        applied = {"manager": "hashfoundry.kserve.monitoring", "operation": "Apply", "fieldsV1": {}}
        metadata = {"name": "prometheus", "namespace": "monitoring", "uid": kind, "managedFields": [applied]}
        api.objects[paths[-1]] = {"apiVersion": group, "kind": kind, "metadata": metadata}
    (tmp_path / "operator.yaml").write_text("")
    given = {"platform_kubeconfig": str(api.kubeconfig), "monitoring_manifest": str(tmp_path / "operator.yaml")}
    # The fake API server does not tell what else the namespace contains, so the role keeps it and ends there.
    _code, output = played(tmp_path, [role()], **given, monitoring_state="absent", platform_deployment_mode="Standard")
    assert not [path for path in paths if path in api.objects], output


def test_a_secret_of_a_receiver_in_the_inventory_stops_the_role_and_is_not_shown(api: Cluster, tmp_path: Path) -> None:
    receivers = [{"name": "team", "slack_configs": [{"api_url": "https://hooks.example.com/PLANTED"}]}]
    given = {"platform_kubeconfig": str(api.kubeconfig), "monitoring_receivers": receivers}
    code, output = played(tmp_path, [role()], **given, monitoring_route={"receiver": "team"})
    assert code == 2 and "(AlertSecretNotReferenced)" in output, output
    assert "PLANTED" not in output
    assert not api.seen
