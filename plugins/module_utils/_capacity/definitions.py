# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The objects that a user gives, with the fields that are counted in the types that Kubernetes has for them.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.resources import quantity

Json = Mapping[str, Any]

# Keys of a predictor that name a framework, of which KServe makes the key model (PredictorSpec of KServe v0.20.0).
_FRAMEWORKS = (
    *("sklearn", "xgboost", "tensorflow", "pytorch", "triton", "onnx", "huggingface", "pmml", "lightgbm", "paddle"),
)
# That of an explainer, which remains.
EXPLAINER = "art"
_QUANTITIES = "quantities"
# What a field must be: a dictionary with these fields, a list of something, a type, or quantities by resource.
_RESOURCES: dict[str, Any] = {"requests": _QUANTITIES, "limits": _QUANTITIES}
_CONTAINER: dict[str, Any] = {"name": str, "resources": _RESOURCES}
_POD: dict[str, Any] = {"containers": [_CONTAINER], "initContainers": [_CONTAINER]}
_MODEL: dict[str, Any] = {**_CONTAINER, "runtime": str, "storageUri": str}
_COMPONENT: dict[str, Any] = {
    **_POD,
    "minReplicas": int,
    "model": _MODEL,
    **dict.fromkeys((*_FRAMEWORKS, EXPLAINER), _MODEL),
}
_LIMITS = ("default", "defaultRequest", "min", "max")
_SPECS: dict[str, Any] = {
    "InferenceService": dict.fromkeys(("predictor", "transformer", "explainer"), _COMPONENT),
    "Deployment": {"replicas": int, "template": {"spec": _POD}},
    "StatefulSet": {"replicas": int, "template": {"spec": _POD}},
    "Job": {"parallelism": int, "template": {"spec": _POD}},
    "PersistentVolumeClaim": {"resources": _RESOURCES},
    "ResourceQuota": {"hard": _QUANTITIES},
    "LimitRange": {"limits": [dict.fromkeys(_LIMITS, _QUANTITIES)]},
}
_WORDS = {int: "a whole number", str: "a string"}


def read(definitions: Iterable[Any], where: str = "definitions") -> Iterator[Json]:
    """Yield the objects that count, those of lists one by one, without what is null: to Kubernetes it is absent.

    :raises KServeError: a field that counts has another type than in Kubernetes.
    """
    for number, given in enumerate(definitions):
        entry, place = _without_null(given), f"{where}[{number}]"
        if isinstance(entry, Mapping) and entry.get("kind") == "List":
            items = entry.get("items", [])
            _assert(items, [{}], f"the List of {place}", "items")
            yield from read(items, f"{place}.items")
        elif isinstance(entry, Mapping) and isinstance(kind := entry.get("kind"), str) and kind in _SPECS:
            yield _checked(entry, kind, place)


def _checked(entry: Json, kind: str, place: str) -> Json:
    metadata = entry.get("metadata", {})
    _assert(
        metadata,
        {"name": str, "generateName": str, "namespace": str, "annotations": {}},
        f"{kind} of {place}",
        "metadata",
    )
    name = metadata.get("name") or metadata.get("generateName")
    if not name:
        raise KServeError(f"{kind} of {place} has no metadata.name; every object needs one.", reason="InvalidManifest")
    whole = {**entry, "metadata": {**metadata, "name": name}, "spec": entry.get("spec", {})}
    _assert(whole["spec"], _SPECS[kind], f"{kind} {name}", "spec")
    if kind == "InferenceService" and "predictor" in whole["spec"]:
        whole["spec"] = {**whole["spec"], "predictor": _with_model(whole["spec"]["predictor"])}
    return whole


def _with_model(predictor: Json) -> Json:
    """Return a predictor with the key model, as the API server has it."""
    framework = next((key for key in _FRAMEWORKS if key in predictor), None)
    if framework is None or "model" in predictor:
        return predictor
    return {**{key: value for key, value in predictor.items() if key != framework}, "model": predictor[framework]}


def _assert(value: Any, form: Any, who: str, path: str) -> None:
    """Assert that a field and all below it have the types that are counted with."""
    if form == _QUANTITIES or isinstance(form, dict):
        if not isinstance(value, Mapping):
            raise _wrong(who, path, "a dictionary")
        for key, below in value.items():
            if form == _QUANTITIES:
                _assert_quantity(below, who, f"{path}.{key}")
            elif key in form:
                _assert(below, form[key], who, f"{path}.{key}")
    elif isinstance(form, list):
        if not isinstance(value, (list, tuple)):
            raise _wrong(who, path, "a list")
        for index, below in enumerate(value):
            _assert(below, form[0], who, f"{path}[{index}]")
    elif (form is int and not _is_whole(value)) or (form is str and not isinstance(value, str)):
        raise _wrong(who, path, _WORDS[form])


def _wrong(who: str, path: str, words: str) -> KServeError:
    return KServeError(f"{path} of {who} must be {words}; correct it in definitions.", reason="InvalidManifest")


def _is_whole(value: Any) -> bool:
    """Say whether a value is a number of replicas, which a template may have as a string."""
    return not isinstance(value, bool) and isinstance(value, (int, str)) and str(value).isdecimal()


def _assert_quantity(value: Any, who: str, path: str) -> None:
    amount = quantity(value)
    if amount is None or amount < 0:
        raise KServeError(
            f"{path} of {who} is {str(value)!r}, and must be a quantity such as 500m or 1Gi; correct it in "
            "definitions.",
            reason="InvalidResources",
        )


def _without_null(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_null(below) for key, below in value.items() if below is not None}
    if isinstance(value, (list, tuple)):
        return [_without_null(below) for below in value]
    return value
