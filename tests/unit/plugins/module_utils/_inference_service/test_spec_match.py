# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The spec compared with what KServe makes of it: every field is noticed, and no default or injected field disturbs.

fixtures/derived.yaml is what KServe's own controller and an API server made of the specs in it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_service.readiness import judge
from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_service.routes import unmatched_timeout
from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_service.spec_match import (
    unmatched_field,
    unmatched_metadata,
    unmatched_replicas,
)

from ..cluster_fixtures import load, objects

Json = dict[str, Any]

DERIVED = load("derived")["items"]
SERVICES = {thing["metadata"]["name"]: thing for thing in DERIVED if thing["kind"] == "InferenceService"}
DEPLOYMENTS = {thing["metadata"]["name"]: thing for thing in DERIVED if thing["kind"] == "Deployment"}
COMPONENTS = [
    (name, component)
    for name, thing in SERVICES.items()
    for component in ("predictor", "transformer")
    if component in thing["spec"]
]
# What is in no pod and no number of replicas: the target of the autoscaler, what only chooses the runtime, which is
# compared by name, and the model's own name, which the container has from the runtime. A value with a placeholder is
# filled in. A higher maximum is seen once there are more replicas. The timeout is in the HTTPRoute.
NOT_IN_PODS = (
    *("scaleTarget", "scaleMetric", "maxReplicas", "timeout", "containerConcurrency"),
    *("model.modelFormat", "model.runtime", "model.protocolVersion", "model.name", "model.args.1"),
)


def unmatched(service: Json, component: str, name: str = "") -> str | None:
    deployment = DEPLOYMENTS[f"{name or service['metadata']['name']}-{component}"]
    return (
        unmatched_field(service["spec"][component], deployment)
        or unmatched_metadata(service, component, deployment)
        or unmatched_replicas(service, component, deployment)
    )


@pytest.mark.parametrize(("name", "component"), COMPONENTS)
def test_the_objects_of_the_controller_match_the_spec(name: str, component: str) -> None:
    assert unmatched(SERVICES[name], component) is None


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, (dict, list)) and value:
        for key, below in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(below, (*path, key))
    else:
        yield path


def changed(value: Any, path: tuple[Any, ...]) -> Any:
    """Return a copy with another value at the path."""
    copied = copy.deepcopy(value)
    place = copied
    for key in path[:-1]:
        place = place[key]
    old = place[path[-1]]
    place[path[-1]] = (
        not old
        if isinstance(old, bool)
        else old + 9
        if isinstance(old, int)
        else f"{old}9"
        if isinstance(old, str)
        else {"other": 1}
    )
    return copied


LEAVES = [
    (name, component, path)
    for name, component in COMPONENTS
    for path in leaves(SERVICES[name]["spec"][component])
    if not f"{'.'.join(map(str, path))}.".startswith(tuple(f"{entry}." for entry in NOT_IN_PODS))
]


@pytest.mark.parametrize(
    ("name", "component", "path"),
    LEAVES,
    ids=lambda value: value if isinstance(value, str) else ".".join(map(str, value)),
)
def test_every_value_of_a_spec_that_changes_is_noticed(name: str, component: str, path: tuple[Any, ...]) -> None:
    service = changed(SERVICES[name], ("spec", component, *path))
    assert unmatched(service, component)


ADDED: dict[str, Json] = {
    "minReplicas": {"minReplicas": 3},
    "tolerations": {"tolerations": [{"key": "gpu", "operator": "Exists"}]},
    "affinity": {"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}]}}},
    "volumes": {"volumes": [{"name": "a", "emptyDir": {}}]},
    "volumeMounts": {"model": {"volumeMounts": [{"name": "a", "mountPath": "/a"}]}},
    "envFrom": {"model": {"envFrom": [{"secretRef": {"name": "a"}}]}},
    "readinessProbe": {"model": {"readinessProbe": {"periodSeconds": 2}}},
    "livenessProbe": {"model": {"livenessProbe": {"tcpSocket": {"port": 8080}}}},
    "startupProbe": {"model": {"startupProbe": {"tcpSocket": {"port": 8080}}}},
    "securityContext": {"securityContext": {"fsGroup": 7}},
    "container securityContext": {"model": {"securityContext": {"allowPrivilegeEscalation": False}}},
    "ports": {"model": {"ports": [{"containerPort": 9000}]}},
    "imagePullPolicy": {"model": {"imagePullPolicy": "Always"}},
    "imagePullSecrets": {"imagePullSecrets": [{"name": "a"}]},
    "sidecars": {"containers": [{"name": "a", "image": "a:1"}]},
    "initContainers": {"initContainers": [{"name": "a", "image": "a:1"}]},
    "annotations": {"annotations": {"example.com/a": "1"}},
    "logger": {"logger": {"url": "http://a"}},
    "automount": {"automountServiceAccountToken": False},
    "strategy": {"deploymentStrategy": {"type": "Recreate"}},
}  # fmt: skip


@pytest.mark.parametrize("added", ADDED.values(), ids=ADDED)
def test_a_field_that_is_added_is_waited_for(added: Json) -> None:
    change = {"InferenceService/iris": {"metadata": {"generation": 3}, "spec": {"predictor": added}}}
    verdict = judge(objects("standard_serving", change))
    assert (verdict.state.value, verdict.reason) == ("progressing", "SpecNotObserved"), verdict.message


IN_QUEUE_PROXY = ("readinessProbe", "livenessProbe", "ports", "minReplicas", "strategy")


@pytest.mark.parametrize("added", [entry for name, entry in ADDED.items() if name not in IN_QUEUE_PROXY])
def test_a_field_that_is_added_is_waited_for_in_knative_mode(added: Json) -> None:
    verdict = judge(objects("recorded/knative-serving", {"InferenceService/rolled": {"spec": {"predictor": added}}}))
    assert (verdict.state.value, verdict.reason) == ("progressing", "SpecNotObserved"), verdict.message


def test_labels_and_annotations_of_the_service_itself_reach_the_pods() -> None:
    service = copy.deepcopy(SERVICES["whole"])
    service["metadata"]["labels"]["kserve.hashfoundry.io/version"] = "v2"
    assert unmatched(service, "predictor") == "metadata.labels[kserve.hashfoundry.io/version]"
    service = copy.deepcopy(SERVICES["whole"])
    service["metadata"]["annotations"]["example.com/owner"] = "you"
    assert unmatched(service, "predictor") == "metadata.annotations[example.com/owner]"
    # An operator can forbid any, and then no pod has it.
    service["metadata"]["annotations"] = {"argocd.argoproj.io/tracking-id": "a"}
    assert unmatched(service, "predictor") is None


def test_another_value_in_the_spec_wins_over_the_services_own() -> None:
    service = copy.deepcopy(SERVICES["whole"])
    service["metadata"]["labels"]["tier"] = "silver"
    assert unmatched(service, "predictor") is None


@pytest.mark.parametrize("wanted", ["kserve/sklearnserver:v0.20.0", "docker.io/kserve/sklearnserver:v0.20.0"])
def test_knative_puts_a_digest_in_the_place_of_a_tag(wanted: str) -> None:
    container = {"name": "kserve-container", "image": f"index.docker.io/kserve/sklearnserver@sha256:{'0' * 64}"}
    deployment = {"spec": {"template": {"spec": {"containers": [container]}}}}
    assert unmatched_field({"model": {"image": wanted.removeprefix("docker.io/")}}, deployment, knative=True) is None
    assert unmatched_field({"model": {"image": "kserve/xgbserver:v1"}}, deployment, knative=True) == "image"


@pytest.mark.parametrize(
    ("spec", "autoscaler", "replicas", "field"),
    [
        ({}, None, 1, None),
        ({}, None, 2, "minReplicas"),  # the HorizontalPodAutoscaler's maximum is 1, too
        ({"minReplicas": 2}, None, 1, "minReplicas"),
        ({"minReplicas": 2}, None, 2, None),
        ({"minReplicas": 2}, None, 3, "minReplicas"),
        ({"minReplicas": 0}, None, 1, None),  # 1 is the least
        ({"minReplicas": 1, "maxReplicas": 4}, None, 4, None),
        ({"minReplicas": 1, "maxReplicas": 4}, None, 5, "maxReplicas"),
        ({"minReplicas": 2}, "none", 3, "minReplicas"),
        ({"maxReplicas": 2}, "none", 3, None),  # nothing scales it
        ({"minReplicas": 2}, "external", 1, None),
        ({"minReplicas": 0, "maxReplicas": 2}, "keda", 0, None),
        ({"minReplicas": 0, "maxReplicas": 2}, "keda", 3, "maxReplicas"),
        ({"minReplicas": 1}, "keda", 0, "minReplicas"),
        ({"minReplicas": 4, "workerSpec": {}}, None, 1, None),
    ],
)
def test_replicas(spec: Json, autoscaler: str | None, replicas: int, field: str | None) -> None:
    annotations = {"serving.kserve.io/autoscalerClass": autoscaler} if autoscaler else None
    service = {"metadata": {"annotations": annotations}, "spec": {"predictor": spec}}
    assert unmatched_replicas(service, "predictor", {"spec": {"replicas": replicas}}) == field
    own = {"metadata": {}, "spec": {"predictor": {**spec, "annotations": annotations}}}
    assert unmatched_replicas(own, "predictor", {"spec": {"replicas": replicas}}) == field


def test_replicas_in_knative_mode_and_beside_canaries() -> None:
    service: Json = {"metadata": {}, "spec": {"predictor": {"minReplicas": 2}}}
    assert unmatched_replicas(service, "predictor", {"spec": {"replicas": 1}}, knative=True) == "minReplicas"
    assert unmatched_replicas(service, "predictor", {"spec": {"replicas": 5}}, knative=True) is None
    service["spec"]["canary"] = [{"trafficPercent": 50}]
    assert unmatched_replicas(service, "predictor", {"spec": {"replicas": 1}}) is None


@pytest.mark.parametrize(
    ("timeout", "rules", "field"),
    [
        (90, [{"timeouts": {"request": "90s"}}], None),
        (90, [{"timeouts": {"request": "60s"}}], "timeout"),
        (90, [{}], None),  # the operator wants none
        (None, [{"timeouts": {"request": "60s"}}], None),
    ],
)
def test_the_timeout_is_that_of_the_route(timeout: int | None, rules: list[Json], field: str | None) -> None:
    assert unmatched_timeout({"timeout": timeout}, [{"spec": {"rules": rules}}]) == field


@pytest.mark.parametrize(("seconds", "field"), [("300", None), ("60", "timeout")])
def test_the_timeout_in_knative_mode_is_that_of_the_queue_proxy(seconds: str, field: str | None) -> None:
    env = [{"name": "REVISION_TIMEOUT_SECONDS", "value": seconds}]
    containers = [{"name": "kserve-container"}, {"name": "queue-proxy", "env": env}]
    deployment = {"spec": {"template": {"spec": {"containers": containers}}}}
    assert unmatched_field({"model": {}, "timeout": 300}, deployment, knative=True) == field


def test_a_route_with_another_timeout_is_waited_for() -> None:
    found = objects("standard_serving", {"InferenceService/iris": {"spec": {"predictor": {"timeout": 90}}}})
    assert judge(found).state.value == "serving"
    own = copy.deepcopy(found.routes[0])
    own["metadata"]["name"] = "iris-predictor"
    own["spec"]["rules"] = [{"timeouts": {"request": "60s"}}]
    verdict = judge(type(found)(**{**vars(found), "routes": [*found.routes, own]}))
    assert verdict.reason == "SpecNotObserved"
    assert "predictor.timeout of generation 2 to the HTTPRoute" in verdict.message
