# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A canary revision receives the share of requests of canaryTrafficPercent, is promoted, and is rolled back."""

from __future__ import annotations

import io
import json
import math
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import joblib
import pytest
from sklearn.dummy import DummyClassifier

from local.settings import Settings
from tests.integration.helpers import iris_model, s3_client, wait_until

NAME = "canary-iris"
NAMESPACE = "ml-models"
BUCKET = "canary-models"
SERVICE = ("inferenceservices.serving.kserve.io", NAME, "-n", NAMESPACE)
PERCENT = 20
REQUESTS = 600
# One run in a million is beyond five standard deviations of the binomial distribution.
BOUND = 5 * math.sqrt(REQUESTS * PERCENT / 100 * (1 - PERCENT / 100))
FIRST, SECOND = {"predictions": [0, 2]}, {"predictions": [1, 1]}
ROLLOUT_SECONDS = 180
Thing = Callable[..., dict[str, Any]]
Ask = Callable[..., tuple[int, Any]]


def second_model() -> bytes:
    """A model with distinct predictions: class 1 for every input."""
    file = io.BytesIO()
    joblib.dump(DummyClassifier(strategy="constant", constant=1).fit([[0.0] * 4, [1.0] * 4], [0, 1]), file)
    return file.getvalue()


@pytest.fixture(scope="module")
def bucket(settings: Settings) -> Iterator[str]:
    """A bucket with two versions: the served iris model, and the second model."""
    store = s3_client(settings)
    store.create_bucket(Bucket=BUCKET)
    first = iris_model(settings)
    versions = {"v1": first, "v2": second_model()}
    for version, model in versions.items():
        store.put_object(Bucket=BUCKET, Key=f"{NAME}/{version}/model.joblib", Body=model)
    yield BUCKET
    for version in versions:
        store.delete_object(Bucket=BUCKET, Key=f"{NAME}/{version}/model.joblib")
    store.delete_bucket(Bucket=BUCKET)


@pytest.fixture(scope="module")
def change(settings: Settings) -> Callable[..., None]:
    """Patch the predictor: change(canaryTrafficPercent=20)."""

    def patch(model: dict[str, Any] | None = None, **predictor: Any) -> None:
        body = {"spec": {"predictor": {**predictor, **({"model": model} if model else {})}}}
        command = [settings.state / "bin" / "kubectl", f"--kubeconfig={settings.kubeconfig}", "patch", *SERVICE]
        subprocess.run([*command, "--type=merge", "-p", json.dumps(body)], check=True, capture_output=True)

    return patch


@pytest.fixture(scope="module")
def first(settings: Settings, bucket: str, thing: Thing) -> Iterator[str]:
    """The name of the first revision of the service, once it is ready."""
    model = {
        "modelFormat": {"name": "sklearn"},
        "runtime": "kserve-sklearnserver",
        "storageUri": f"s3://{bucket}/{NAME}/v1/",
        "resources": {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
        "readinessProbe": {"httpGet": {"path": f"/v2/models/{NAME}/ready", "port": 8080}, "periodSeconds": 2},
    }
    security = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    predictor = {"serviceAccountName": "model-reader", "securityContext": security, "minReplicas": 1, "model": model}
    manifest = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {"predictor": predictor},
    }
    command = [settings.state / "bin" / "kubectl", f"--kubeconfig={settings.kubeconfig}"]
    subprocess.run([*command, "create", "-f", "-"], input=json.dumps(manifest).encode(), check=True)
    try:
        shares = wait_until(lambda: traffic(thing), lambda seen: list(seen.values()) == [100], ROLLOUT_SECONDS)
        (revision,) = shares
        yield revision
    finally:
        subprocess.run([*command, "delete", *SERVICE, "--wait=true", "--timeout=120s"], check=True)


def traffic(thing: Thing) -> dict[str, int]:
    """The traffic percent of each revision with traffic, from KServe's status; empty while it is not Ready."""
    status = thing(*SERVICE).get("status", {})
    conditions = {condition["type"]: condition["status"] for condition in status.get("conditions", [])}
    if conditions.get("Ready") != "True":
        return {}
    shares: dict[str, int] = {}
    for target in status["components"]["predictor"].get("traffic", []):
        revision = target["revisionName"]
        shares[revision] = shares.get(revision, 0) + target.get("percent", 0)
    return {revision: percent for revision, percent in shares.items() if percent}


def answers(ask: Ask, count: int) -> list[Any]:
    """The answers to this number of requests; each must be that of one of the two models."""
    found = []
    for _request in range(count):
        status, body = ask(NAME)
        assert status == 200, body
        assert body in (FIRST, SECOND)
        found.append(body)
    return found


def test_a_canary_is_split_promoted_and_rolled_back(
    first: str,
    ask: Ask,
    thing: Thing,
    change: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert answers(ask, 20) == [FIRST] * 20

    change({"storageUri": f"s3://{BUCKET}/{NAME}/v2/"}, canaryTrafficPercent=PERCENT)
    shares = wait_until(lambda: traffic(thing), lambda seen: sorted(seen.values()) == [20, 80], ROLLOUT_SECONDS)
    assert shares[first] == 100 - PERCENT
    (second,) = shares.keys() - {first}
    share = answers(ask, REQUESTS).count(SECOND)
    with capsys.disabled():
        print(f"\ncanary at {PERCENT} %: {share} of {REQUESTS} requests, {100 * share / REQUESTS:.1f} %")
    assert abs(share - REQUESTS * PERCENT / 100) <= BOUND

    change(canaryTrafficPercent=None)
    wait_until(lambda: traffic(thing), lambda seen: seen == {second: 100}, ROLLOUT_SECONDS)
    assert answers(ask, 50) == [SECOND] * 50

    change(canaryTrafficPercent=0)
    wait_until(lambda: traffic(thing), lambda seen: seen == {first: 100}, ROLLOUT_SECONDS)
    assert answers(ask, 50) == [FIRST] * 50
