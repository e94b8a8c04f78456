# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible.template import trust_as_template

from ansible_collections.hashfoundry.kserve.plugins.filter.checked_models import FilterModule
from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_gate.options import GATE_ARGUMENTS
from ansible_collections.hashfoundry.kserve.plugins.plugin_utils._model_list import MODEL, absent_names, checked

ROOT = Path(__file__).resolve().parents[4]
HIDDEN = (
    "uri has a user, a password, a signature or a token in it, which everybody who reads the InferenceService could "
    "read; remove it from uri, and put it into the model Secret, or into one that a ClusterStorageContainer names"
)
IRIS: dict[str, Any] = {"name": "iris", "version": "v1", "format": "sklearn", "runtime": "kserve-sklearnserver"}


def test_an_entry_gets_defaults_and_loses_null_values() -> None:
    given = {**IRIS, "scaling": {"min_replicas": "2", "max_replicas": None}, "exposure": None, "owner": "ml"}
    assert checked([given]) == ([{**IRIS, "storage": "s3", "scaling": {"min_replicas": 2}, "owner": "ml"}], [])


def test_a_checked_list_is_unchanged() -> None:
    once, _faults = checked([{**IRIS, "storage": "pvc", "volume": "models"}])
    assert checked(once, ["models"]) == (once, [])


def test_an_absent_entry_needs_a_name_only_and_is_left_out() -> None:
    absent = {"name": "churn", "state": "absent"}
    assert checked([IRIS, absent]) == checked([IRIS])
    assert checked([{**IRIS, "state": "absent"}]) == ([], [])
    assert absent_names([{**IRIS, "state": "present"}, absent]) == ["churn"]


def test_an_absent_entry_has_no_unknown_key_either() -> None:
    _models, (fault,) = checked([{"name": "churn", "state": "absent", "gate": {"max_acuracy": 1}}])
    assert fault.startswith("Model churn: gate.max_acuracy is not a key of gate; the keys are: ")


def test_the_keys_of_a_gate_are_those_of_the_upload_without_defaults() -> None:
    gate = {"packages": {"numpy": "2.4.6"}, "load": "no", "memory": 2**31}
    assert checked([{**IRIS, "gate": gate}])[0][0]["gate"] == {**gate, "load": False, "memory": str(2**31)}
    assert list(MODEL["gate"]["options"]) == list(GATE_ARGUMENTS)


def test_a_model_in_another_bucket_has_a_digest() -> None:
    there = {**IRIS, "storage": "uri", "uri": "s3://other/m", "digest": "sha256:" + "0" * 64}
    assert checked([there]) == ([there], [])


def test_the_arguments_of_a_command_are_any_strings() -> None:
    command = ["bash", "-c", "set -e\npython train.py\n", "", " "]
    models, faults = checked([{**IRIS, "source": {"folder": "/x", "command": command}}])
    assert models[0]["source"]["command"] == command and not faults


def test_a_third_model_takes_one_entry() -> None:
    others = [{**IRIS, "name": name} for name in ("churn", "fraud")]
    assert [model["name"] for model in checked([IRIS, *others])[0]] == ["iris", "churn", "fraud"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": None}, "missing required arguments: version"),
        ({"state": "gone"}, "value of state must be one of: present, absent, got: gone"),
        ({"version": 1.10}, "version is the number 1.1; put it between quotes"),
        ({"version": "a/b"}, "version is a/b, and must be of letters"),
        ({"version": ".."}, "version is .., and must be of letters"),
        ({"version": "v1-"}, "version is v1-, and must be of letters"),
        ({"version": "v" * 64}, "and of at most 63 characters"),
        ({"name": "Iris"}, "name must be lower-case letters"),
        ({"name": "iris_1"}, "name must be lower-case letters"),
        ({"name": "1iris"}, "name must be lower-case letters"),
        ({"name": "i" * 49}, "name has 49 characters, and 48 are the most in Standard mode"),
        ({"storage": "nfs"}, "value of storage must be one of: s3, pvc, oci, uri, got: nfs"),
        ({"storage": "pvc"}, "storage is pvc but all of the following are missing: volume"),
        (
            {"storage": "pvc", "volume": "other"},
            "volume is other, which is not one of the volumes (models)",
        ),
        ({"storage": "oci"}, "storage is oci but all of the following are missing: image"),
        ({"volume": "models"}, "volume is only for storage pvc, and storage is s3"),
        ({"image": "x"}, "image is only for storage oci, and storage is s3"),
        ({"storage": "uri"}, "storage is uri but all of the following are missing: uri"),
        ({"uri": "gs://b/m"}, "uri is only for storage uri, and storage is s3"),
        ({"digest": "sha256:" + "0" * 64}, "digest is only for storage uri, and storage is s3"),
        ({"storage": "uri", "uri": "b/m"}, "uri must begin with one of gs://, s3://, file://, https://, http://, hdfs"),
        ({"storage": "uri", "uri": "ftp://b/m"}, "uri must begin with one of gs://"),
        ({"storage": "uri", "uri": "gs://"}, "uri must begin with one of gs://"),
        ({"storage": "uri", "uri": "pvc://v/m"}, "for pvc:// and oci:// set storage"),
        ({"storage": "uri", "uri": "https://me:secret-word@host/m"}, HIDDEN),
        ({"storage": "uri", "uri": "https://me:secret-word/x@host/m"}, HIDDEN),
        ({"storage": "uri", "uri": "https://host/m?sv=2026&sig=secret-word"}, HIDDEN),
        ({"storage": "uri", "uri": "https://host/m?X-Amz-Signature=secret-word&X-Amz-Expires=60"}, HIDDEN),
        ({"storage": "uri", "uri": "https://host/m?X-Goog-Signature=secret-word"}, HIDDEN),
        ({"storage": "uri", "uri": "https://host/m?%74oken=secret-word"}, HIDDEN),
        ({"storage": "uri", "uri": "https://host/m#access_token=secret-word"}, HIDDEN),
        ({"storage": "uri", "uri": " https://me:secret-word@host/m"}, "uri begins or ends with white space; remove"),
        ({"storage": "uri", "uri": "gs://b/m 1"}, "uri has white space in it; remove that"),
        ({"storage": "uri", "uri": ""}, "uri is empty; give it a value, or remove the key"),
        ({"storage": "oci", "image": " "}, "image is empty; give it a value, or remove the key"),
        ({"storage": "oci", "image": "oci://registry/m:v1"}, "image must be the reference of an image without oci://"),
        ({"storage": "oci", "image": "me:secret-word@registry/m:v1"}, "image must be the reference of an image with"),
        ({"storage": "oci", "image": "registry/m: v1"}, "image must be the reference of an image without oci://"),
        ({"storage": "pvc", "volume": ""}, "volume is empty; give it a value, or remove the key"),
        ({"format": ""}, "format is empty; give it a value, or remove the key"),
        ({"format": "sklearn\n"}, "format begins or ends with white space; remove that"),
        ({"format": "scikit learn"}, "format is scikit learn, and must be the name of a model format, such as"),
        ({"runtime": "\t"}, "runtime is empty; give it a value, or remove the key"),
        ({"version": ""}, "version is empty; give it a value, or remove the key"),
        ({"owner": " ml"}, "owner begins or ends with white space; remove that"),
        ({"source": {"folder": "/x", "command": []}}, "source.command is an empty list; give the command and its"),
        ({"source": {"folder": "/x", "command": [""]}}, "an entry of source.command is empty; give it a value"),
        ({"source": {"folder": "/x\n"}}, "source.folder begins or ends with white space; remove that"),
        ({"gate": {"python": ""}}, "gate.python is empty; give it a value, or remove the key"),
        ({"slo": {"latency": {"p99": " "}}}, "slo.latency.p99 is empty; give it a value, or remove the key"),
        ({"storage": "uri", "uri": "s3://b/m"}, "nothing would verify its content; set storage to s3, which verifies"),
        ({"storage": "uri", "uri": "gs://b/m", "digest": "1234"}, "digest is 1234, and must be sha256: and 64 hexa"),
        (
            {"storage": "uri", "uri": "gs://b/m", "source": {"folder": "/x"}},
            "source is uploaded to the bucket, and storage is uri; remove source, or set storage",
        ),
        ({"folder": "/x"}, "folder is not a key of a model; the keys are: digest, exposure, format"),
        ({"source": "/x"}, "source must be a dictionary, and is a string"),
        ({"source": {"command": ["x"]}}, "missing required arguments: folder found in source"),
        ({"source": {"folder": "/x", "path": 1}}, "source.path is not a key of source; the keys are: command, folder."),
        ({"source": {"foldr": "/x"}}, "source.foldr is not a key of source; the keys are: command, folder."),
        ({"resources": {"limit": {"cpu": 1}}}, "resources.limit is not a key of resources; the keys are: limits, requ"),
        ({"resources": {"limits": {"mem": "1Gi"}}}, "resources.limits.mem is not a resource of Kubernetes; write mem"),
        ({"scaling": {"min": 1}}, "scaling.min is not a key of scaling; the keys are: max_replicas, min_replicas."),
        (
            {"gate": {"max_acuracy": 1}},
            "gate.max_acuracy is not a key of gate; the keys are: allowed_digests, isolated, load, memory, metadata, "
            "packages, python, python_version, timeout.",
        ),
        ({"gate": {"timeout": "long"}}, "argument 'timeout' is of type str found in 'gate'"),
        ({"gate": {"memory": "2GB"}}, "gate.memory is '2GB'; give bytes, or a number with Ki, Mi, Gi or Ti"),
        ({"gate": "strict"}, "gate must be a dictionary, and is a string"),
        ({"verification": {"protocol": "v2"}}, "verification is not a key of a model; the keys are: digest, exposure"),
        # A mistyped key that is required, of which one sentence is enough.
        ({"runtime": None, "runtme": "kserve-sklearnserver"}, "runtme is not a key of a model; the keys are: digest, "),
        ({"storage": "pvc", "volme": "models"}, "volme is not a key of a model; the keys are: digest, exposure"),
        ({"scaling": {"min_replicas": "many"}}, "argument 'min_replicas' is of type str found in 'scaling'"),
        ({"scaling": {"min_replicas": -1}}, "scaling.min_replicas is -1, and must be 0 or more"),
        ({"scaling": {"min_replicas": 0}}, "scaling.min_replicas is 0, which KServe raises to 1 in Standard mode"),
        ({"scaling": {"max_replicas": 0}}, "scaling.max_replicas is 0, and must be 1 or more"),
        (
            {"scaling": {"min_replicas": 3, "max_replicas": 2}},
            "scaling.min_replicas is 3, which is more than scaling.max",
        ),
        ({"resources": {"limits": {"cpu": "1 core"}}}, "resources.limits.cpu is 1 core, and must be a quantity"),
        ({"resources": {"limits": {"memory": "512m"}}}, "resources.limits.memory is 512m, which is 0.512 bytes"),
        (
            {"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}},
            "resources.requests.memory is 2Gi, which is more than limits.memory, 1Gi",
        ),
        ({"resources": 3}, "resources must be a dictionary, and is a number"),
        ({"exposure": "public"}, "value of exposure must be one of: gateway, ingress, none, got: public"),
        ({"timeout": "1 minute"}, "timeout is 1 minute, and must be more than 0: seconds, or a duration such as 500ms"),
        ({"timeout": "0s"}, "timeout is 0s, and must be more than 0"),
        ({"timeout": 0}, "timeout is 0, and must be more than 0"),
        ({"timeout": True}, "timeout is True, and must be more than 0"),
        ({"timeout": 1.5}, "timeout is 1.5, and must be more than 0"),
        ({"timeout": {"seconds": 1}}, "timeout is {'seconds': 1}, and must be more than 0"),
        ({"retries": -1}, "retries is -1, and must be 0 to 10"),
        ({"retries": 11}, "retries is 11, and must be 0 to 10"),
        ({"retries": "many"}, "argument 'retries' is of type str"),
        ({"retries": 1, "exposure": "none"}, "retries is only for exposure gateway, and exposure is none; remove"),
        ({"timeout": "3s", "exposure": "ingress"}, "timeout is only for exposure gateway, and exposure is ingress"),
        ({"owner": "The Team"}, "owner is The Team, and must be a label's value"),
        ({"labels": {"tier": 1}}, "labels.tier is the number 1; put it between quotes"),
        ({"labels": {"tier": "a b"}}, "labels.tier is a b, and must be a label's value"),
        ({"labels": {False: "x"}}, "a key of labels is the boolean false, which YAML reads from no, off and false"),
        ({"owner": 83}, "owner is the number 83; put it between quotes, so that it stays as it is written"),
        ({"runtime": "SK Learn"}, "runtime is SK Learn, and must be the name of an object: lower-case letters"),
        ({"runtime": True}, "runtime is the boolean true, which YAML reads from yes, on and true; put it between"),
        ({"version": date(2026, 11, 29)}, "version is the date 2026-11-29; put it between quotes"),
        ({"name": "no"}, "name is no, which programs that read it in YAML take for something else"),
        ({"labels": {"a b": "x"}}, "labels.a b is no valid key of a label"),
        ({"labels": {"A/b": "x"}}, "labels.A/b is no valid key of a label"),
        ({"labels": {"kserve.hashfoundry.io/version": "x"}}, "is set by the role or KServe itself"),
        ({"labels": {"serving.kserve.io/x": "x"}}, "is set by the role or KServe itself"),
    ],
)
def test_a_fault_names_the_model_and_the_key(change: dict[str, Any], message: str) -> None:
    other = {**IRIS, "name": "other"}
    model = {key: value for key, value in {**IRIS, **change}.items() if value is not None}
    _models, (fault,) = checked([other, model], ["models"])
    assert fault.startswith(f"Model {model['name']}: ") and fault.endswith(".")
    assert message in fault and "secret-word" not in fault


@pytest.mark.parametrize(
    "image",
    [
        "iris",
        "registry/models/iris",
        "registry.example.com:5000/a__b/iris:v1",
        "[::1]:5000/iris",
        f"registry/api-token:v1@sha256:{'0' * 64}",
    ],
)
def test_the_reference_of_an_image(image: str) -> None:
    assert checked([{**IRIS, "storage": "oci", "image": image}])[1] == []


@pytest.mark.parametrize(
    "uri", ["https://host:8080/m.tgz?raw=true", "hf://org/model:main", "gs://b/models@v1/m", "https://host/a:b@c"]
)
def test_a_uri_without_credentials(uri: str) -> None:
    assert checked([{**IRIS, "storage": "uri", "uri": uri}])[1] == []


@pytest.mark.parametrize(
    ("mode", "most", "label"), [("Standard", 48, "app: isvc.<name>-predictor"), ("Knative", 53, "<name>-predictor")]
)
def test_the_longest_name_is_that_of_the_label_that_kserve_derives(mode: str, most: int, label: str) -> None:
    assert checked([{**IRIS, "name": "i" * most}], deployment_mode=mode)[1] == []
    _models, (fault,) = checked([{**IRIS, "name": "i" * (most + 1)}], deployment_mode=mode)
    assert f"{most} are the most in {mode} mode" in fault and label in fault


@pytest.mark.parametrize("timeout", [30, "30", "500ms", "1m30s", "1h"])
def test_the_timeout_of_a_route_is_seconds_or_a_duration(timeout: Any) -> None:
    entry = {**IRIS, "timeout": timeout, "retries": "0"}
    assert checked([entry]) == ([{**entry, "storage": "s3", "retries": 0}], [])


def test_timeout_and_retries_are_for_standard_mode() -> None:
    _models, faults = checked([{**IRIS, "timeout": 30, "retries": 1}], deployment_mode="Knative")
    assert faults == [
        f"Model iris: {key} is for the HTTPRoute of Standard mode, and the mode is Knative; remove {key}."
        for key in ("timeout", "retries")
    ]


def test_scale_to_zero_is_for_knative_mode() -> None:
    models, faults = checked([{**IRIS, "scaling": {"min_replicas": 0}}], deployment_mode="Knative")
    assert (models[0]["scaling"], faults) == ({"min_replicas": 0}, [])


def test_a_name_and_a_domain_give_a_host_name_of_at_most_253_characters() -> None:
    domain = ".".join(["d" * 59] * 4)  # 239 characters, as "iris-predictor." has 15
    assert checked([IRIS], domain=domain[1:])[1] == []
    _models, (fault,) = checked([IRIS], domain=domain)
    assert f"iris-predictor.{domain} of 254 characters" in fault


OF_NONE = ("", "a b", "x,y", "Iris")


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ("iris", "The models must be a list, and are a string that is not JSON; write them as a list in JSON."),
        (trust_as_template("{}"), "The models must be a list, and are a dictionary."),
        (None, "The models must be a list, and are null."),
        ([IRIS, "churn"], "Model 2 of the list must be a dictionary, and is a string."),
        ([{**IRIS, "name": None}], "Model 1 of the list: missing required arguments: name."),
        ([{**IRIS, "name": False}], "Model 1 of the list: name is the boolean false, which YAML reads from no, off"),
        ([IRIS, {**IRIS, "name": "iris-predictor"}], "Model iris-predictor: name is that of objects which KServe"),
        ([IRIS, {"state": "absent"}], "Model 2 of the list: missing required arguments: name."),
        *(([IRIS, {"name": name, "state": "absent"}], f"Model {name}: name is that of no model") for name in OF_NONE),
        (
            [{**IRIS, "source": {"folder": " "}}],
            "Model iris: source.folder is empty; give it a value, or remove the key.",
        ),
        ([IRIS, {"name": "iris", "state": "absent"}], "Model iris: name stands 2 times in the list"),
        ([IRIS, {**IRIS, "version": "v2"}], "Model iris: name stands 2 times in the list; each model has one entry"),
    ],
)
def test_faults_of_the_list_itself(models: Any, message: str) -> None:
    _models, (fault,) = checked(models)
    assert message in fault


def test_the_filter_reports_all_faults() -> None:
    check = FilterModule().filters()["checked_models"]
    assert check([IRIS])[0]["storage"] == "s3"
    with pytest.raises(AnsibleFilterError, match=r"Model iris: value of storage(.|\n)*Model b: missing required"):
        check([{**IRIS, "storage": "x"}, {"name": "b"}])


def plain(options: dict[str, Any]) -> dict[str, Any]:
    """Options without their descriptions."""
    return {
        name: {
            key: plain(value) if key == "options" else value for key, value in option.items() if key != "description"
        }
        for name, option in options.items()
    }


def test_the_roles_options_agree() -> None:
    spec = yaml.safe_load((ROOT / "roles" / "model_serving" / "meta" / "argument_specs.yml").read_text())
    option = spec["argument_specs"]["main"]["options"]["model_serving_models"]
    assert plain(option["options"]) == MODEL
    site = yaml.safe_load((ROOT / "roles" / "model_storage" / "meta" / "argument_specs.yml").read_text())
    gate = site["argument_specs"]["main"]["options"]["model_storage_gate"]
    assert plain(gate["options"]) == MODEL["gate"]["options"]


def test_a_list_may_be_json_in_a_string() -> None:
    assert checked(json.dumps([IRIS])) == checked([IRIS])


@pytest.mark.parametrize(
    "entry", [trust_as_template("churn"), {**IRIS, "source": trust_as_template("/x")}, {**IRIS, "scaling": {
        "min_replicas": trust_as_template("many")}}]
)  # fmt: skip
def test_no_name_of_a_type_of_ansible_is_shown(entry: Any) -> None:
    _models, faults = checked([entry])
    assert faults and "Tagged" not in str(faults)
