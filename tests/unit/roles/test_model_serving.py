# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Models that are no longer listed, on an API server without KServe's controller."""

from __future__ import annotations

import re

import pytest
import yaml

from .conftest import Run
from .http_cluster import MODEL, Cluster

ROSE = {**MODEL, "name": "rose"}
DIGESTS = {f"s3://models/{name}/v1/": f"sha256:{name}" for name in ("iris", "rose")}


def test_a_model_that_is_no_longer_listed_is_reported_until_it_is_absent(run: Run, api: Cluster) -> None:
    assert run(["model_serving"], "v1", models=[MODEL, ROSE], model_serving_digests=DIGESTS)[0] == 2
    reported = "Without an entry in the list of models, rose in the namespace models goes on serving."

    code, output = run(["model_serving"], "v1", "--check", "--diff", model_serving_digests=DIGESTS)
    assert code == 0 and reported in output, output
    advice = re.search(r"To delete a model, list it as (\{.*?\})", output)
    assert advice, output
    absent = {"models": [MODEL, yaml.safe_load(advice[1])], "model_serving_digests": DIGESTS}
    code, output = run(["model_serving"], "v1", "--check", "--diff", **absent)
    assert code == 0 and reported not in output, output
    assert "--- before: InferenceService models/rose" in output
    assert api.models().keys() == {"iris", "rose"}

    assert "changed=1" in run(["model_serving"], "v1", **absent)[1]
    assert api.models().keys() == {"iris"}


@pytest.mark.usefixtures("serves_v1")
def test_the_last_model_can_be_deleted_too(run: Run, api: Cluster) -> None:
    code, output = run(["model_serving"], "v1", models=[])
    assert code == 0 and "iris in the namespace models goes on serving" in output, output
    code, output = run(["model_serving"], "v1", models=[{**MODEL, "state": "absent"}])
    assert code == 0 and not api.models(), output
    assert "changed=0" in run(["model_serving"], "v1", models=[{**MODEL, "state": "absent"}])[1]


@pytest.mark.usefixtures("serves_v1")
def test_a_model_that_another_manager_has_applied_is_not_deleted(run: Run, api: Cluster) -> None:
    api.models()["iris"]["metadata"]["managedFields"] = [{"manager": "kubectl", "operation": "Apply"}]
    code, output = run(["model_serving"], "v1", models=[{**MODEL, "state": "absent"}])
    assert code == 2 and api.models()
    assert (
        "InferenceService models/iris was not deleted, because hashfoundry.kserve.model_serving has not applied it."
        in output
    )


@pytest.mark.parametrize("own", [{}, {"resources": {"requests": {"memory": "2Gi"}}}])
def test_a_model_without_resources_has_those_of_the_inventory(run: Run, api: Cluster, own: dict[str, object]) -> None:
    """KServe's runtimes request a whole CPU, for which a small cluster has no room."""
    small = {"requests": {"cpu": "100m"}}
    assert run(["model_serving"], "v1", models=[{**MODEL, **own}], model_serving_resources=small)[0] == 2
    assert api.models()["iris"]["spec"]["predictor"]["model"]["resources"] == own.get("resources", small)
