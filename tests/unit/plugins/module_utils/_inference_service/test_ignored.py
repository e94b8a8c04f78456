# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_service.ignored import ignored_fields


def service(spec: dict[str, Any], mode: str = "Standard", **annotations: str) -> dict[str, Any]:
    return {
        "metadata": {"annotations": {f"serving.kserve.io/{key}": value for key, value in annotations.items()}},
        "spec": spec,
        "status": {"deploymentMode": mode},
    }


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (
            {"predictor": {"canaryTrafficPercent": 10}},
            "spec.predictor.canaryTrafficPercent is 10, which KServe ignores in Standard mode: all requests go to the",
        ),
        ({"predictor": {"canaryTrafficPercent": 0}}, "spec.predictor.canaryTrafficPercent is 0, which KServe ignores"),
        ({"predictor": {}, "transformer": {"containerConcurrency": 4}}, "spec.transformer.containerConcurrency is 4"),
        ({"predictor": {"minReplicas": 0}}, "spec.predictor.minReplicas is 0, which KServe raises to 1"),
        (
            {"predictor": {}, "canary": [{"trafficPercent": 20, "predictor": {"name": "next"}}]},
            "spec.canary has next with 20 percent of the traffic, and KServe creates its pods without routing requests",
        ),
    ],
)
def test_a_field_that_only_the_other_mode_knows_is_reported(spec: dict[str, Any], says: str) -> None:
    (sentence,) = ignored_fields(service(spec))
    assert sentence.startswith(says)
    assert list(ignored_fields(service({**spec, "canary": []}, "Knative"))) == []


def test_what_kserve_acts_on_is_not_reported() -> None:
    assert list(ignored_fields(service({"predictor": {"minReplicas": 1, "containerConcurrency": 0}}))) == []
    # KEDA, and a Deployment without autoscaler, can have no pods.
    assert list(ignored_fields(service({"predictor": {"minReplicas": 0}}, autoscalerClass="keda"))) == []
