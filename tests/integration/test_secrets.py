# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No secret is in the output of the playbooks, neither with -vvv --diff nor when they fail.

The secret key of the S3 server is rotated, so that Secrets change, and restored before the first test runs.
"""

from __future__ import annotations

import base64
import json
import secrets
import string
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

# No part of a key of this length may appear: a message may be truncated, and a PEM block split into lines.
PIECE = 20
# Certificates are public, and the access key is a user name.
PUBLIC = ("tls.crt", "ca.crt", "ROOT_ACCESS_KEY", "AWS_ACCESS_KEY_ID")
KEPT = {
    "object-storage/object-storage/ROOT_SECRET_KEY",
    "ml-models/model-reader/AWS_SECRET_ACCESS_KEY",
    "kserve/kserve-webhook-server-cert/tls.key",
    "projectcontour/models-tls/tls.key",
    "hashfoundry-system/hashfoundry-ca/tls.key",
}
VERBOSE = ("-vvv", "--diff")


def new_key() -> str:
    """A key of the form that inventories/local generates, recognizable by its prefix."""
    return "PLANTED" + "".join(secrets.choice(string.ascii_letters + string.digits) for _letter in range(33))


def encoded(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


def windows(text: str) -> set[str]:
    """All substrings of PIECE characters; a shorter string as it is."""
    return {text[at : at + PIECE] for at in range(max(1, len(text) - PIECE + 1))}


def pieces(value: str) -> set[str]:
    """The windows of a value's lines and of its base64 encoding; of PEM, only the body."""
    lines = [line for line in value.splitlines() if line and not line.startswith("-----")]
    return set().union(*map(windows, (*lines, encoded(value))))


@dataclass(frozen=True)
class Search:
    """The secrets that no output may contain: their names and pieces."""

    sought: dict[str, set[str]] = field(repr=False)

    @classmethod
    def of(cls, values: dict[str, str], public: Iterable[str]) -> Search:
        # A private key in PEM contains the public key, and so shares pieces with its certificate.
        common = set().union(*map(pieces, public))
        return cls({name: pieces(value) - common for name, value in values.items()})

    def leaks(self, text: str) -> list[str]:
        """The names of the secrets of which the text contains a piece, with line number and task, without the line."""
        held, found = windows(text), []
        for name, sought in self.sought.items():
            piece = next((piece for piece in sought if piece in (held if len(piece) == PIECE else text)), None)
            if piece is not None:
                at = text.index(piece)
                task = text.rfind("\nTASK [", 0, at) + 1
                found.append(f"{name} in line {text.count(chr(10), 0, at) + 1}, {text[task:].splitlines()[0]}")
        return found


@dataclass
class Recorded:
    """The output of the runs around a rotation, and the secrets that it must not contain."""

    old: str = field(repr=False)
    new: str = field(repr=False)
    outputs: dict[str, str] = field(repr=False, default_factory=dict)
    values: dict[str, str] = field(repr=False, default_factory=dict)
    public: list[str] = field(repr=False, default_factory=list)

    def search(self) -> Search:
        return Search.of({**self.values, "the old key": self.old, "the new key": self.new}, self.public)


def read_secrets(kubectl, recorded: Recorded, when: str) -> None:
    for item in json.loads(kubectl("get", "secrets", "-A", "-o", "json"))["items"]:
        meta = item["metadata"]
        if meta["namespace"] == "kube-system":  # written by kubeadm
            continue
        values = {key: base64.b64decode(data).decode() for key, data in (item.get("data") or {}).items() if data}
        for key, value in values.items():
            if key in PUBLIC:
                recorded.public.append(value)
            else:
                recorded.values[f"{meta['namespace']}/{meta['name']}/{key} {when}"] = value


def read_kubeconfig(path: Path, recorded: Recorded) -> None:
    user = yaml.safe_load(path.read_text())["users"][0]["user"]
    recorded.values["the kubeconfig's client key"] = base64.b64decode(user["client-key-data"]).decode()
    recorded.public.append(base64.b64decode(user["client-certificate-data"]).decode())


def put(path: Path, key: str) -> None:
    """Write the file of the inventory's password lookup, atomically, since other processes read it, too."""
    written = path.with_name(path.name + ".new")
    written.touch(mode=0o600)
    written.write_text(key + "\n")
    written.replace(path)


def run_playbooks(playbook, *names: str) -> str:
    """Run playbooks with the most verbose output; retry once, so that the cluster is left as it was."""
    printed = ""
    for name in names:
        result = playbook(f"playbooks/{name}.yml", *VERBOSE)
        printed += result.stdout
        if result.returncode:
            result = playbook(f"playbooks/{name}.yml", *VERBOSE)
            printed += result.stdout
        assert result.returncode == 0, f"playbooks/{name}.yml ended with {result.returncode}"
    return printed


@pytest.fixture(scope="module")
def recorded(settings, playbook, kubectl) -> Iterator[Recorded]:
    """Rotate the secret key of the S3 server, restore the old one, and record the output of both runs."""
    file = settings.state / "s3-secret-key"
    result = Recorded(file.read_text().strip(), new_key())
    read_kubeconfig(settings.kubeconfig, result)
    read_secrets(kubectl, result, "before")
    try:
        put(file, result.new)
        result.outputs["with the new key"] = run_playbooks(playbook, "site")
        read_secrets(kubectl, result, "with the new key")
    finally:
        put(file, result.old)
        result.outputs["with the old key"] = run_playbooks(playbook, "storage", "serving", "verify")
    read_secrets(kubectl, result, "after")
    yield result


@pytest.mark.parametrize("guise", ["{}", "msg: {}", '"{}\\n"', "password={}", "cut {:.25}…"])
@pytest.mark.parametrize("form", [str, encoded], ids=["plain", "base64"])
def test_the_search_finds_a_key(recorded, guise, form):
    planted = guise.format(form(new := new_key()))
    search = Search.of({**recorded.values, "planted": new}, recorded.public)
    output = recorded.outputs["with the new key"]
    leaks = search.leaks(f"{output}\n    {planted}\n{output}")
    assert any(leak.startswith("planted in line") for leak in leaks)


def test_the_search_finds_every_secret_in_every_form(recorded):
    """A single line of a PEM block, too, except for its header and footer."""
    search = recorded.search()
    assert len(search.sought) > len(KEPT)
    for name, value in recorded.values.items():
        assert any(leak.startswith(name) for leak in search.leaks(f"a\n  {value}\nb"))
        assert any(leak.startswith(name) for leak in search.leaks(f"a {encoded(value)} b"))
        lines = [line for line in value.splitlines() if len(line) >= PIECE and not line.startswith("-----")]
        secret_lines = [line for line in lines if any(leak.startswith(name) for leak in search.leaks(line))]
        assert secret_lines


def test_the_search_ignores_public_values(recorded):
    text = "\n".join(recorded.public + [encoded(value) for value in recorded.public if value.startswith("-----")])
    assert recorded.search().leaks(text) == []


def test_the_search_covers_the_secrets_of_the_collection(recorded):
    for when in ("before", "with the new key", "after"):
        assert {f"{name} {when}" for name in KEPT} <= recorded.values.keys()


def test_the_key_was_rotated_and_restored(recorded):
    # No comparison whose operands pytest would print: they contain the keys.
    names = {recorded.old: "old", recorded.new: "new"}
    for name in ("object-storage/object-storage/ROOT_SECRET_KEY", "ml-models/model-reader/AWS_SECRET_ACCESS_KEY"):
        values = [recorded.values[f"{name} {when}"] for when in ("before", "with the new key", "after")]
        assert [names.get(value) for value in values] == ["old", "new", "old"]


@pytest.mark.parametrize("run", ["with the new key", "with the old key"])
def test_no_secret_is_printed_with_vvv_and_diff(recorded, run):
    output = recorded.outputs[run]
    # The output contains the Secrets with their diff, but not their values.
    assert "Secret object-storage/object-storage" in output
    assert "Secret ml-models/model-reader" in output
    assert "module_args" in output
    leaks = recorded.search().leaks(output)
    assert not leaks, "\n".join(leaks)


@pytest.fixture
def scratch(kubectl) -> Iterator[str]:
    """A namespace for the objects of a test, deleted after it."""
    name = f"secrets-{secrets.token_hex(4)}"  # a new one: the last run's may still be terminating
    yield name
    kubectl("delete", "namespace", name, "--ignore-not-found", "--wait=false")


def test_no_private_key_is_printed_when_certificates_are_issued(recorded, scratch, playbook, kubectl):
    issued = [{"namespace": scratch, "secret": "issued", "dns_names": ["issued.hashfoundry.test"]}]
    words = {"certificates_issued": issued, "certificates_ca_namespace": scratch, "certificates_ca_file": ""}
    result = playbook("playbooks/addons.yml", "--tags", "certificates", *VERBOSE, "-e", json.dumps(words))
    assert result.returncode == 0
    read_secrets(kubectl, recorded, "issued")
    assert {f"{scratch}/hashfoundry-ca/tls.key issued", f"{scratch}/issued/tls.key issued"} <= recorded.values.keys()
    assert "issued.hashfoundry.test" in result.stdout
    assert recorded.search().leaks(result.stdout) == []


@pytest.mark.parametrize("words", [(), VERBOSE], ids=["as it is run", "with -vvv --diff"])
def test_a_wrong_key_fails_with_one_sentence_without_the_key(recorded, playbook, words):
    wrong = new_key()
    result = playbook(
        "playbooks/storage.yml", "--tags", "model_storage", *words, "-e", f"model_storage_secret_key={wrong}"
    )
    assert result.returncode != 0
    output = " ".join(result.stdout.split())
    assert "does not accept the signature, so the secret key is wrong; check access_key, secret_key" in output
    assert "Traceback (most recent call last)" not in result.stdout
    search = Search.of({**recorded.values, "the wrong key": wrong, "the key": recorded.old}, recorded.public)
    assert search.leaks(result.stdout) == []
