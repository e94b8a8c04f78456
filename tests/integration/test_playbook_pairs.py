# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each playbook that changes models, run after each other one: none leaves what another cannot change again."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from .conftest import reason
from .helpers import objects
from .test_model_lifecycle import EXPECTED, Lifecycle, deployed

LOST = "networkpolicies,resourcequotas,limitranges"
MANAGED = ("inferenceservices", "resourcequotas", "limitranges", "serviceaccounts")


class Pairs(Lifecycle):
    """The models of the walk. The Service of the tests before may still have their port."""

    node_port = 30072


@pytest.fixture(scope="module")
def models(settings, playbook, kubectl, tmp_path_factory) -> Iterator[Pairs]:
    with deployed(Pairs(settings, playbook, kubectl, tmp_path_factory.mktemp("pairs"))) as made:
        yield made


def pairs(names: Sequence[str]) -> Iterator[str]:
    """A walk with each name directly after each other one."""
    for index, first in enumerate(names):
        yield first
        for second in names[index + 1 :]:
            yield from (second, first)


def steps(models: Pairs, folder: Path) -> dict[str, Callable[[], object]]:
    def rotate() -> None:
        old, models.key = models.key, ("owner-" + secrets.token_hex(3), secrets.token_hex(20))
        words = {"credential_rotation_old_access_key": old[0], "credential_rotation_old_secret_key": old[1]}
        models.play("rotate_credentials", listed="v2", **words)

    return {
        "serving": lambda: models.play("serving", listed="v2"),
        "rollback": lambda: models.play("rollback", listed="v2", model=models.stored, version="v1"),
        "rotate_credentials": rotate,
        "restore": lambda: models.play("restore", listed="v2", folder=str(folder)),
    }


def test_each_playbook_runs_after_each_other_one(models: Pairs, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    models.play("backup", listed="v2", folder=str(folder))
    known = steps(models, folder)
    walked = list(pairs(list(known)))
    assert set(itertools.pairwise(walked)) >= {(a, b) for a in known for b in known if a != b}
    for name in walked:
        known[name]()
        served = models.serves(models.stored)
        assert served["predictions"] == EXPECTED, name
        if name != "rotate_credentials":
            assert served["versions"] == ["v1" if name == "rollback" else "v2"], name
    # What a role has applied is its own, whichever playbook has applied it last.
    known["serving"]()
    assert changes(models.play("serving", listed="v2")) == "changed=0"
    for kind in MANAGED:
        for thing in objects(models.kubectl, kind, "-n", models.namespace, "--show-managed-fields"):
            applied = {
                one["manager"] for one in thing["metadata"].get("managedFields", ()) if one["operation"] == "Apply"
            }
            assert "hashfoundry.kserve" not in applied, thing["metadata"]["name"]


def changes(output: str) -> str:
    return next(word for word in output.rpartition("PLAY RECAP")[2].split() if word.startswith("changed="))


def changed_tasks(output: str) -> list[str]:
    tasks = output.split("\nTASK ")[1:]
    return [task.partition("\n")[0] for task in tasks if "\nchanged: " in task]


def test_site_runs_clean_after_a_restore_of_lost_policies(playbook, kubectl, tmp_path: Path) -> None:
    folder = ("-e", f"folder={tmp_path / 'backup'}")
    result = playbook("playbooks/backup.yml", *folder)
    assert result.returncode == 0, reason(result)
    kubectl("delete", LOST, "--all", "-n", "ml-models")
    for name, words in (("restore", folder), ("site", ())):
        result = playbook(f"playbooks/{name}.yml", *words)
        assert result.returncode == 0, f"{name}: {reason(result)}"
    assert changes(result.stdout) == "changed=0", changed_tasks(result.stdout)
    assert objects(kubectl, "networkpolicies", "-n", "ml-models")
