# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""site.yml and account.yml in check mode on inventories/prod, on a bare cluster.

Charts and manifests are those of the cluster of `make up`; those of Istio are replaced.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from local.settings import REPOSITORY, Settings
from tests.integration.conftest import ended, reason

ISTIO = REPOSITORY / "tests" / "integration_knative" / "istio"
KINDS = ("namespaces", "customresourcedefinitions", "clusterroles", "deployments -A", "secrets -A")


@dataclass(frozen=True)
class Checked:
    """A finished run; text: its output in one line; before, after: the objects of the cluster."""

    code: int
    text: str
    before: list[str]
    after: list[str]


def sources(settings: Settings) -> dict[str, str]:
    """Return variables with local charts, manifests and Helm, which prod downloads from the Internet."""
    here, helm = settings.state / "sources", str(settings.state / "bin" / "helm")
    return {
        "cert_manager_chart_source": str(here),
        "platform_helm": helm,
        "knative_serving_manifest": str(here / "knative-serving" / "serving-core.yaml"),
        "knative_networking_istio_chart_source": str(ISTIO),
        "knative_networking_manifest": str(ISTIO / "net-istio.yaml"),
        "kserve_chart_source": str(here / "kserve" / "charts"),
        # The Istio project supports only older versions of Kubernetes.
        "cluster_preflight_untested": "warn",
        # Two replicas of each component are more than the cluster of the tests has room for.
        "platform_capacity": "warn",
    }


@pytest.fixture(scope="module")
def check(
    settings: Settings, playbook_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Run a playbook on prod in check mode, without secrets in the environment."""

    def run(playbook: str) -> subprocess.CompletedProcess[str]:
        excluded_prefixes = ("HASHFOUNDRY_", "AWS_", "SPACES_")
        env = {name: value for name, value in playbook_env.items() if not name.startswith(excluded_prefixes)}
        env |= {"HOME": str(tmp_path_factory.mktemp("home")), "K8S_AUTH_KUBECONFIG": str(settings.kubeconfig)}
        command: list[str | Path] = [Path(sys.executable).with_name("ansible-playbook"), playbook]
        command += ["-i", "inventories/prod", "--check", "--diff", "-e", json.dumps(sources(settings))]
        return ended(command, REPOSITORY, env, timeout=None)

    return run


@pytest.fixture(scope="module")
def checked(check: Callable[[str], subprocess.CompletedProcess[str]], kubectl: Callable[..., str]) -> Iterator[Checked]:
    def names() -> list[str]:
        return [kubectl("get", *kind.split(), "-o", "name") for kind in KINDS]

    before = names()
    result = check("playbooks/site.yml")
    yield Checked(result.returncode, " ".join(result.stdout.split()), before, names())


def test_it_succeeds_without_secrets(checked: Checked) -> None:
    assert checked.code == 0, checked.text[-3000:]


def test_it_changes_nothing(checked: Checked) -> None:
    assert checked.before == checked.after


@pytest.mark.parametrize(
    "thing",
    [
        "Secret hashfoundry-system/hashfoundry-ca",
        "CustomResourceDefinition certificates.cert-manager.io",
        "Deployment cert-manager/cert-manager",
        "Deployment knative-serving/activator",
        "Deployment istio-system/istiod",
        "PodDisruptionBudget knative-serving/net-istio-controller",
        "CustomResourceDefinition inferenceservices.serving.kserve.io",
        "Deployment kserve/kserve-controller-manager",
        "Namespace ml-models",
        "InferenceService ml-models/iris-classifier",
        "InferenceService ml-models/churn-classifier",
    ],
)
def test_it_shows_what_it_would_create(checked: Checked, thing: str) -> None:
    assert f"--- before: {thing} +++ after: {thing} @@ " in checked.text


@pytest.mark.parametrize(
    "objects",
    [
        "ClusterIssuer hashfoundry-ca; Certificate kserve/serving-cert, istio-system/models-tls.",
        "Gateway knative-serving/knative-ingress-gateway, knative-serving/knative-local-gateway.",
        "InferenceService ml-models/iris-classifier, ml-models/churn-classifier.",
    ],
)
def test_it_reports_what_it_cannot_check_before_the_crds_exist(checked: Checked, objects: str) -> None:
    assert f"The cluster does not know the kind yet. Check mode could not validate {objects}" in checked.text


def test_it_warns_of_untested_versions(checked: Checked) -> None:
    assert "These versions are untested together on prod: " in checked.text


def test_account_yml_works_in_check_mode_too(
    check: Callable[[str], subprocess.CompletedProcess[str]],
) -> None:
    result = check("playbooks/account.yml")
    assert result.returncode == 0, reason(result)
    assert "ServiceAccount hashfoundry-system/deployer" in result.stdout
