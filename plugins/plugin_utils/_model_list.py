# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The list of models that the roles take: what an entry may hold, and what is wrong with one.

Ansible's own check of a role's options names the option, and neither the model nor its place in the list. Here
Ansible's validator is given one model at a time, so that each fault can name its model.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.resources import container_faults
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.unquoted import WORDS, unquoted
from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.url_credentials import has_credentials
from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_service import limits
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_gate.options import GATE_ARGUMENTS, GateOptions
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_store.location import is_segment
from ansible_collections.hashfoundry.kserve.plugins.plugin_utils import _slo

# roles/model_serving/meta/argument_specs.yml says the same to people, and a unit test compares the two.
MODEL: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"]},
    "version": {"type": "str", "required": True},
    "source": {
        "type": "dict",
        "options": {
            "folder": {"type": "path", "required": True},
            "command": {"type": "list", "elements": "str"},
        },
    },
    "format": {"type": "str", "required": True},
    "runtime": {"type": "str", "required": True},
    "storage": {"type": "str", "choices": ["s3", "pvc", "oci", "uri"], "default": "s3"},
    "volume": {"type": "str"},
    "image": {"type": "str"},
    "uri": {"type": "str"},
    "digest": {"type": "str"},
    "resources": {
        "type": "dict",
        "options": {"requests": {"type": "dict"}, "limits": {"type": "dict"}},
    },
    "scaling": {
        "type": "dict",
        "options": {"min_replicas": {"type": "int"}, "max_replicas": {"type": "int"}},
    },
    "exposure": {"type": "str", "choices": ["gateway", "ingress", "none"]},
    "timeout": {"type": "raw"},
    "retries": {"type": "int"},
    "owner": {"type": "str"},
    "labels": {"type": "dict"},
    "slo": {"type": "dict", "options": _slo.OPTIONS},
    "gate": {
        "type": "dict",
        # Without the defaults, which would override the gate of all models.
        "options": {
            name: {key: value for key, value in option.items() if key != "default"}
            for name, option in GATE_ARGUMENTS.items()
        },
    },
}
REQUIRED_IF = [("storage", "pvc", ["volume"]), ("storage", "oci", ["image"]), ("storage", "uri", ["uri"])]
# SupportedStorageURIPrefixList in pkg/controller/v1beta1/inferenceservice/utils/utils.go of KServe v0.20.0, without
# those of the storages pvc and oci. Azure's are https.
SCHEMES = ("gs", "s3", "file", "https", "http", "hdfs", "webhdfs", "hf")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# https://github.com/distribution/reference: a registry, a name, a tag and a digest.
_IMAGE = re.compile(
    r"((?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*"
    r"(?::\w[\w.-]{0,127})?(?:@[a-z0-9]+:[0-9a-f]{32,})?"
)
_KINDS: dict[Any, str] = {
    str: "a string",
    bool: "a boolean",
    (int, float): "a number",
    Mapping: "a dictionary",
    list: "a list",
    (date, datetime): "a date",
}
# Labels below it are the collection's own.
PREFIX = "kserve.hashfoundry.io/"

# Kubernetes: labels, and their keys' two parts.
_LABEL = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
# A duration of the Gateway API (GEP-2257), or a number of seconds.
_DURATION = re.compile(r"([0-9]{1,5}(h|m|s|ms)){1,4}|[0-9]{1,5}")
# Each retry takes time from the timeout, and load from a server that fails already.
_MOST_RETRIES = 10
# The name of an object: RFC 1123.
_OBJECT = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_LABEL_PREFIX = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


@dataclass(frozen=True)
class Surroundings:
    """What is known of where the models are served; see checked."""

    volumes: Collection[str] | None
    deployment_mode: str
    domain: str


def checked(
    models: Any, volumes: Collection[str] | None = None, deployment_mode: str = "Standard", domain: str = ""
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the models with defaults and right types, without what is null, and one sentence for each fault.

    Entries with the state absent are left out; see absent_names.

    :param models: the list as the inventory has it.
    :param volumes: the volumes that there are; any name is taken without.
    :param deployment_mode: Standard or Knative.
    :param domain: below which the models are served, if it is known.
    """
    around = Surroundings(volumes, deployment_mode, domain)
    try:
        models = _parsed(models)
    except ValueError:
        return [], ["The models must be a list, and are a string that is not JSON; write them as a list in JSON."]
    if not isinstance(models, list):
        return [], [f"The models must be a list, and are {_kind(models)}."]
    complete, faults = [], []
    for number, entry in enumerate(models, 1):
        if not isinstance(entry, Mapping):
            faults.append(f"Model {number} of the list must be a dictionary, and is {_kind(entry)}.")
            continue
        who = f"Model {entry['name']}" if isinstance(entry.get("name"), str) else f"Model {number} of the list"
        unknown = [f"{who}: {fault}." for fault in _unknown(entry, MODEL)]
        if unknown:
            # What is mistyped may be missing, too, which would be reported as a second fault.
            faults += unknown
            complete += [] if _is_absent(entry) else [_without_null(entry)]
            continue
        if _is_absent(entry):
            faults += [f"{who}: {fault}." for fault in _absent_faults(entry)]
            continue
        model, found = _model(entry, around)
        complete.append(model)
        faults += [f"{who}: {fault.rstrip('.')}." for fault in found]
    named = [*complete, *filter(_is_absent, models)]
    names = Counter(model["name"] for model in named if isinstance(model.get("name"), str))
    faults += [
        f"Model {name}: name stands {count} times in the list; each model has one entry, with one version."
        for name, count in names.items()
        if count > 1
    ]
    # KServe gives objects of <name> this name, such as the HTTPRoute or the Service.
    faults += [
        f"Model {name}-predictor: name is that of objects which KServe creates for the model {name}; choose another."
        for name in names
        if f"{name}-predictor" in names
    ]
    return complete, faults


def absent_names(models: Any) -> list[str]:
    """Return the names of the entries with the state absent, which need no other key and are in no checked list."""
    try:
        models = _parsed(models)
    except ValueError:
        return []
    return [str(entry.get("name")) for entry in models if _is_absent(entry)] if isinstance(models, list) else []


def _parsed(models: Any) -> Any:
    """Return a list that a survey, or -e models=..., gives as JSON."""
    return json.loads(models) if isinstance(models, str) else models


def _is_absent(entry: Any) -> bool:
    return isinstance(entry, Mapping) and entry.get("state") == "absent"


def _model(entry: Mapping[str, Any], around: Surroundings) -> tuple[dict[str, Any], list[str]]:
    given = _without_null(entry)
    # Ansible's validator fails on these itself.
    flat = [key for key, value in given.items() if "options" in MODEL.get(key, {}) and not isinstance(value, Mapping)]
    if flat:
        return given, [f"{key} must be a dictionary, and is {_kind(given[key])}" for key in flat]
    # It would make a string of the wrong value.
    strings = [key for key, value in given.items() if MODEL.get(key, {}).get("type") == "str" and unquoted(value)]
    if strings:
        return given, [f"{key} is {unquoted(given[key])}" for key in strings]
    result = ArgumentSpecValidator(MODEL, required_if=REQUIRED_IF).validate(given)
    faults = [" ".join(str(error).split()) for error in result.errors.errors]
    model: dict[str, Any] = _without_null(result.validated_parameters)
    # A value of the wrong type is reported already, and cannot be inspected.
    return model, faults or list(_string_faults(model, MODEL)) or list(_faults(model, around))


def _string_faults(given: Mapping[str, Any], options: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield a fault for each string that is empty, or that has white space around it, at any depth of the entry."""
    for key, option in options.items():
        value, name = given.get(key), f"{path}{key}"
        if isinstance(value, Mapping) and "options" in option:
            yield from _string_faults(value, option["options"], f"{name}.")
        elif isinstance(value, list):
            # Of a command only the program: its arguments may be any strings.
            entries = value[:1] if name == "source.command" else value
            yield from (fault for entry in entries for fault in _string_fault(f"an entry of {name}", entry))
        elif name != "owner" or value:  # no owner, as a label may be empty
            yield from _string_fault(name, value)


def _string_fault(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, str) and not value.strip():
        yield f"{name} is empty; give it a value, or remove the key"
    elif isinstance(value, str) and value != value.strip():
        # Without the value, which may have a password.
        yield f"{name} begins or ends with white space; remove that"


def _unknown(entry: Mapping[str, Any], options: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield a fault for each key that the options do not have, at any depth of the entry."""
    what = f"of {path.rstrip('.')}" if path else "of a model"
    for key, value in entry.items():
        if key not in options:
            yield f"{path}{key} is not a key {what}; the keys are: {', '.join(sorted(options))}"
        elif "options" in options[key] and isinstance(value, Mapping):
            yield from _unknown(value, options[key]["options"], f"{path}{key}.")


def _faults(model: Mapping[str, Any], around: Surroundings) -> Iterator[str]:
    yield from _name_faults(model, around)
    storage = model["storage"]
    for key, needed in (("volume", "pvc"), ("image", "oci"), ("uri", "uri"), ("digest", "uri")):
        if key in model and storage != needed:
            yield f"{key} is only for storage {needed}, and storage is {storage}; remove {key}, or set storage"
    if storage == "pvc" and around.volumes is not None and model["volume"] not in around.volumes:
        there = ", ".join(sorted(around.volumes)) or "none"
        yield f"volume is {model['volume']}, which is not one of the volumes ({there})"
    for key in ("volume", "runtime"):
        if key in model and not (_OBJECT.fullmatch(model[key]) and len(model[key]) <= limits.HOST):
            yield (
                f"{key} is {model[key]}, and must be the name of an object: lower-case letters, digits, '-' and '.', "
                "with a letter or digit at both ends"
            )
    if re.search(r"\s", model["format"]):
        yield f"format is {model['format']}, and must be the name of a model format, such as sklearn"
    if storage == "oci" and not _IMAGE.fullmatch(model["image"]):
        # Without the value, which may have a password.
        yield (
            "image must be the reference of an image without oci:// and credentials, such as registry/models/iris:v1; "
            "credentials are in a Secret of type kubernetes.io/dockerconfigjson"
        )
    if storage == "uri":
        yield from _uri_faults(model)
    scaling = model.get("scaling", {})
    least, most = scaling.get("min_replicas"), scaling.get("max_replicas")
    if least is not None and least < 0:
        yield f"scaling.min_replicas is {least}, and must be 0 or more"
    if least == 0 and around.deployment_mode == "Standard":
        yield "scaling.min_replicas is 0, which KServe raises to 1 in Standard mode; set 1, or serve in Knative mode"
    if most is not None and most < 1:
        yield f"scaling.max_replicas is {most}, and must be 1 or more"
    elif least is not None and most is not None and least > most:
        yield f"scaling.min_replicas is {least}, which is more than scaling.max_replicas, {most}"
    if model.get("source", {}).get("command") == []:
        yield "source.command is an empty list; give the command and its arguments, or remove the key"
    yield from _route_faults(model, around)
    yield from (f"resources.{fault}" for fault in container_faults(model.get("resources", {})))
    yield from _label_faults(model)
    try:
        GateOptions(**model.get("gate", {}))
    except KServeError as error:
        yield str(error)
    try:
        _slo.check(model.get("slo", {}))
    except KServeError as error:
        yield f"{error} ({error.reason})"


def _route_faults(model: Mapping[str, Any], around: Surroundings) -> Iterator[str]:
    """Yield what is wrong with the keys of the HTTPRoute."""
    exposure = model.get("exposure", "gateway")
    for key in ("timeout", "retries"):
        if key in model and around.deployment_mode != "Standard":
            yield f"{key} is for the HTTPRoute of Standard mode, and the mode is {around.deployment_mode}; remove {key}"
        elif key in model and exposure != "gateway":
            yield f"{key} is only for exposure gateway, and exposure is {exposure}; remove {key}, or set exposure"
    timeout = model.get("timeout", 1)
    text = "" if isinstance(timeout, bool) else str(timeout)
    if not _DURATION.fullmatch(text) or not text.strip("0hms"):
        yield f"timeout is {timeout}, and must be more than 0: seconds, or a duration such as 500ms, 30s or 1m30s"
    if not 0 <= model.get("retries", 0) <= _MOST_RETRIES:
        yield f"retries is {model['retries']}, and must be 0 to {_MOST_RETRIES}"


def _uri_faults(model: Mapping[str, Any]) -> Iterator[str]:
    scheme, there, rest = model["uri"].partition("://")
    if not there or not rest or scheme not in SCHEMES:
        yield (
            f"uri must begin with one of {', '.join(f'{known}://' for known in SCHEMES)} and name a model, since "
            "KServe downloads from no other; for pvc:// and oci:// set storage"
        )
    elif has_credentials(model["uri"]):
        # Without the value, which has a secret.
        yield (
            "uri has a user, a password, a signature or a token in it, which everybody who reads the InferenceService "
            "could read; remove it from uri, and put it into the model Secret, or into one that a "
            "ClusterStorageContainer names"
        )
    elif re.search(r"\s", rest):
        yield "uri has white space in it; remove that"
    elif scheme == "s3" and "digest" not in model:
        yield (
            "uri is in S3 object storage and has no digest, so nothing would verify its content; set storage to s3, "
            "which verifies the version of this name in the bucket, or set digest"
        )
    if "digest" in model and not _DIGEST.fullmatch(model["digest"]):
        yield f"digest is {model['digest']}, and must be sha256: and 64 hexadecimal digits in lower case"
    if "source" in model:
        yield "source is uploaded to the bucket, and storage is uri; remove source, or set storage"


def _absent_faults(entry: Mapping[str, Any]) -> Iterator[str]:
    name = entry.get("name")
    if not isinstance(name, str):
        yield "missing required arguments: name"
    elif not limits.NAME.fullmatch(name):
        yield "name is that of no model: lower-case letters, digits and hyphens, beginning with a letter"


def _name_faults(model: Mapping[str, Any], around: Surroundings) -> Iterator[str]:
    name, version = model["name"], model["version"]
    if not limits.NAME.fullmatch(name):
        yield (
            "name must be lower-case letters, digits and hyphens, beginning with a letter and not ending with a hyphen,"
            " since it becomes part of a host name"
        )
    elif name in WORDS:
        yield f"name is {name}, which programs that read it in YAML take for something else; choose another"
    elif fault := limits.length_fault(name, around.deployment_mode) or limits.host_fault(name, around.domain):
        yield fault
    if not (is_segment(version) and _LABEL.fullmatch(version)):
        yield (
            f"version is {version}, and must be of letters, digits, '.', '_' and '-' with a letter or digit at both "
            "ends, and of at most 63 characters, since it is a folder's name and a label's value"
        )


def _label_faults(model: Mapping[str, Any]) -> Iterator[str]:
    if not _LABEL.fullmatch(model.get("owner", "")):
        yield f"owner is {model['owner']}, and must be a label's value: letters, digits, '.', '_' and '-', at most 63"
    for key, value in model.get("labels", {}).items():
        prefix, slash, name = str(key).rpartition("/")
        if not isinstance(key, str):
            yield f"a key of labels is {unquoted(key) or key}"
        elif not name or not _LABEL.fullmatch(name) or (slash and not _LABEL_PREFIX.fullmatch(prefix)):
            yield f"labels.{key} is no valid key of a label"
        elif str(key).startswith(PREFIX) or prefix == "serving.kserve.io":
            yield f"labels.{key} is set by the role or KServe itself; choose another key"
        elif not isinstance(value, str):
            yield f"labels.{key} is {unquoted(value) or f'of type {_kind(value)}, and must be a string'}"
        elif not _LABEL.fullmatch(value):
            yield f"labels.{key} is {value}, and must be a label's value: letters, digits, '.', '_' and '-', at most 63"


def _without_null(value: Any) -> Any:
    """Return plain dictionaries and lists: Ansible's own hold all variables, which its validator would copy."""
    if isinstance(value, Mapping):
        return {key: _without_null(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_null(item) for item in value]
    # Ansible's own strings and numbers would be named in the validator's errors.
    return next((kind(value) for kind in (str, float) if isinstance(value, kind)), value)


def _kind(value: Any) -> str:
    """Return the type in words: Ansible's own types have names that say nothing to users."""
    return next((words for kind, words in _KINDS.items() if isinstance(value, kind)), "null")
