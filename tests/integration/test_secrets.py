# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No secret is in what the playbooks print, neither with -vvv --diff nor when they fail.

The S3 server's key is exchanged for another, so that Secrets really change, and put back before the first test looks.
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

# No key, and no part of one as long as this: a message may be cut, and a PEM block broken into lines.
PIECE = 20
# Certificates are for everybody, and the access key is a name.
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
    """A key of the form that inventories/local makes, told from others by its beginning."""
    return "PLANTED" + "".join(secrets.choice(string.ascii_letters + string.digits) for _letter in range(33))


def encoded(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


def windows(text: str) -> set[str]:
    """All pieces of PIECE characters of a text; the whole of a shorter one."""
    return {text[at : at + PIECE] for at in range(max(1, len(text) - PIECE + 1))}


def pieces(value: str) -> set[str]:
    """The windows of a value's lines and of its base64; of PEM only the body."""
    lines = [line for line in value.splitlines() if line and not line.startswith("-----")]
    return set().union(*map(windows, (*lines, encoded(value))))


@dataclass(frozen=True)
class Search:
    """What no output may hold: names of secrets with their pieces."""

    sought: dict[str, set[str]] = field(repr=False)

    @classmethod
    def of(cls, values: dict[str, str], public: Iterable[str]) -> Search:
        # A private key in PEM holds the public key, too, and so has pieces of its certificate.
        common = set().union(*map(pieces, public))
        return cls({name: pieces(value) - common for name, value in values.items()})

    def leaks(self, text: str) -> list[str]:
        """The names of the secrets of which the text holds a piece, with line and task but not what stands there."""
        held, found = windows(text), []
        for name, sought in self.sought.items():
            piece = next((piece for piece in sought if piece in (held if len(piece) == PIECE else text)), None)
            if piece is not None:
                at = text.index(piece)
                task = text.rfind("\nTASK [", 0, at) + 1
                found.append(f"{name} in line {text.count(chr(10), 0, at) + 1}, {text[task:].splitlines()[0]}")
        return found


@dataclass
class Seen:
    """What the runs around an exchange of keys printed, and what they must not have printed."""

    old: str = field(repr=False)
    new: str = field(repr=False)
    outputs: dict[str, str] = field(repr=False, default_factory=dict)
    values: dict[str, str] = field(repr=False, default_factory=dict)
    public: list[str] = field(repr=False, default_factory=list)

    def search(self) -> Search:
        return Search.of({**self.values, "the old key": self.old, "the new key": self.new}, self.public)


def read_secrets(kubectl, seen: Seen, when: str) -> None:
    for item in json.loads(kubectl("get", "secrets", "-A", "-o", "json"))["items"]:
        meta = item["metadata"]
        if meta["namespace"] == "kube-system":  # kubeadm's own
            continue
        values = {key: base64.b64decode(data).decode() for key, data in (item.get("data") or {}).items() if data}
        for key, value in values.items():
            if key in PUBLIC:
                seen.public.append(value)
            else:
                seen.values[f"{meta['namespace']}/{meta['name']}/{key} {when}"] = value


def read_kubeconfig(path: Path, seen: Seen) -> None:
    user = yaml.safe_load(path.read_text())["users"][0]["user"]
    seen.values["the kubeconfig's client key"] = base64.b64decode(user["client-key-data"]).decode()
    seen.public.append(base64.b64decode(user["client-certificate-data"]).decode())


def put(path: Path, key: str) -> None:
    """Write the file that the inventory's password lookup reads; it is never half there, for others read it, too."""
    written = path.with_name(path.name + ".new")
    written.touch(mode=0o600)
    written.write_text(key + "\n")
    written.replace(path)


def bring(playbook, *names: str) -> str:
    """Run playbooks with all that they can print; another try, for the cluster is to be left as it was found."""
    printed = ""
    for name in names:
        done = playbook(f"playbooks/{name}.yml", *VERBOSE)
        printed += done.stdout
        if done.returncode:
            done = playbook(f"playbooks/{name}.yml", *VERBOSE)
            printed += done.stdout
        assert done.returncode == 0, f"playbooks/{name}.yml ended with {done.returncode}"
    return printed


@pytest.fixture(scope="module")
def seen(settings, playbook, kubectl) -> Iterator[Seen]:
    """Exchange the S3 server's key, put the old one back, and keep what was printed on the way."""
    file = settings.state / "s3-secret-key"
    result = Seen(file.read_text().strip(), new_key())
    read_kubeconfig(settings.kubeconfig, result)
    read_secrets(kubectl, result, "before")
    try:
        put(file, result.new)
        result.outputs["with the new key"] = bring(playbook, "site")
        read_secrets(kubectl, result, "with the new key")
    finally:
        put(file, result.old)
        result.outputs["with the old key"] = bring(playbook, "storage", "serving", "verify")
    read_secrets(kubectl, result, "after")
    yield result


@pytest.mark.parametrize("guise", ["{}", "msg: {}", '"{}\\n"', "password={}", "cut {:.25}…"])
@pytest.mark.parametrize("form", [str, encoded], ids=["plain", "base64"])
def test_the_search_finds_a_key(seen, guise, form):
    planted = guise.format(form(new := new_key()))
    search = Search.of({**seen.values, "planted": new}, seen.public)
    output = seen.outputs["with the new key"]
    leaks = search.leaks(f"{output}\n    {planted}\n{output}")
    assert any(leak.startswith("planted in line") for leak in leaks)


def test_the_search_finds_every_secret_in_every_form(seen):
    """A line of a PEM block alone, too, but for lines that only say what kind of key it is."""
    search = seen.search()
    assert len(search.sought) > len(KEPT)
    for name, value in seen.values.items():
        assert any(leak.startswith(name) for leak in search.leaks(f"a\n  {value}\nb"))
        assert any(leak.startswith(name) for leak in search.leaks(f"a {encoded(value)} b"))
        lines = [line for line in value.splitlines() if len(line) >= PIECE and not line.startswith("-----")]
        secret_lines = [line for line in lines if any(leak.startswith(name) for leak in search.leaks(line))]
        assert secret_lines


def test_the_search_passes_over_what_is_public(seen):
    text = "\n".join(seen.public + [encoded(value) for value in seen.public if value.startswith("-----")])
    assert seen.search().leaks(text) == []


def test_the_secrets_of_the_collection_are_searched_for(seen):
    for when in ("before", "with the new key", "after"):
        assert {f"{name} {when}" for name in KEPT} <= seen.values.keys()


def test_the_key_was_exchanged_and_put_back(seen):
    # No comparison that pytest would show: it holds the keys.
    names = {seen.old: "old", seen.new: "new"}
    for name in ("object-storage/object-storage/ROOT_SECRET_KEY", "ml-models/model-reader/AWS_SECRET_ACCESS_KEY"):
        values = [seen.values[f"{name} {when}"] for when in ("before", "with the new key", "after")]
        assert [names.get(value) for value in values] == ["old", "new", "old"]


@pytest.mark.parametrize("run", ["with the new key", "with the old key"])
def test_no_secret_is_printed_with_vvv_and_diff(seen, run):
    output = seen.outputs[run]
    # The Secrets are in the output, with what was sent and what it differs from: only their values are not.
    assert "Secret object-storage/object-storage" in output
    assert "Secret ml-models/model-reader" in output
    assert "module_args" in output
    leaks = seen.search().leaks(output)
    assert not leaks, "\n".join(leaks)


@pytest.fixture
def scratch(kubectl) -> Iterator[str]:
    """A namespace for what a test makes; it is taken away after it."""
    name = f"secrets-{secrets.token_hex(4)}"  # not the last run's, which may still be going
    yield name
    kubectl("delete", "namespace", name, "--ignore-not-found", "--wait=false")


def test_no_private_key_is_printed_when_certificates_are_issued(seen, scratch, playbook, kubectl):
    issued = [{"namespace": scratch, "secret": "issued", "dns_names": ["issued.hashfoundry.test"]}]
    words = {"certificates_issued": issued, "certificates_ca_namespace": scratch, "certificates_ca_file": ""}
    done = playbook("playbooks/addons.yml", "--tags", "certificates", *VERBOSE, "-e", json.dumps(words))
    assert done.returncode == 0
    read_secrets(kubectl, seen, "issued")
    assert {f"{scratch}/hashfoundry-ca/tls.key issued", f"{scratch}/issued/tls.key issued"} <= seen.values.keys()
    assert "issued.hashfoundry.test" in done.stdout
    assert seen.search().leaks(done.stdout) == []


@pytest.mark.parametrize("words", [(), VERBOSE], ids=["as it is run", "with -vvv --diff"])
def test_a_wrong_key_fails_with_a_sentence_and_without_the_key(seen, playbook, words):
    wrong = new_key()
    done = playbook(
        "playbooks/storage.yml", "--tags", "model_storage", *words, "-e", f"model_storage_secret_key={wrong}"
    )
    assert done.returncode != 0
    said = " ".join(done.stdout.split())
    assert "does not accept the signature, so the secret key is wrong; check access_key, secret_key" in said
    assert "Traceback (most recent call last)" not in done.stdout
    search = Search.of({**seen.values, "the wrong key": wrong, "the key": seen.old}, seen.public)
    assert search.leaks(done.stdout) == []
