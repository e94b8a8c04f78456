# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An upgrade that loses objects fails at its end, and the backup from its start restores them."""

from __future__ import annotations

import re
from pathlib import Path

from tests.integration.conftest import reason

from .test_teardown import Kubectl, Playbook, recap
from .test_trouble import says

LOSS = """
- hosts: clusters
  gather_facts: false
  environment: "{{ platform_environment }}"
  roles: [hashfoundry.kserve.platform]
  tasks:
    - ansible.builtin.include_role: {name: hashfoundry.kserve.cluster_preflight}
    - ansible.builtin.include_role: {name: hashfoundry.kserve.platform_upgrade}
    - kubernetes.core.k8s:
        state: absent
        api_version: serving.kserve.io/v1alpha1
        kind: ClusterServingRuntime
        name: kserve-pmmlserver
    - ansible.builtin.include_role: {name: hashfoundry.kserve.platform_upgrade}
      vars: {platform_upgrade_phase: after}
"""


def test_a_loss_fails_the_upgrade_and_the_backup_restores_it(
    playbook: Playbook, kubectl: Kubectl, tmp_path: Path
) -> None:
    book = tmp_path / "loss.yml"
    book.write_text(LOSS)
    words = ("-e", f"platform_upgrade_backup_folder={tmp_path}/backups")
    result = playbook(book, *words)
    printed = says(
        result,
        "1 custom resources were deleted or re-created: clusterservingruntimes.serving.kserve.io kserve-pmmlserver",
    )
    # As the message says, first in check mode.
    found = re.search(r"with the playbook (\S+) and `-e (folder=\S+)`", printed)
    assert found, printed
    for mode, runtimes in (("--check", 0), ("--diff", 1), ("--diff", 1)):
        restored = playbook(f"playbooks/{found[1]}.yml", "-e", found[2], mode)
        assert restored.returncode == 0, reason(restored)
        assert kubectl("get", "clusterservingruntimes", "-o", "name").count("kserve-pmmlserver") == runtimes
    # The second run has nothing to restore.
    assert recap(restored, "changed") == 0


def test_site_changes_nothing_after_the_restore(playbook: Playbook) -> None:
    result = playbook("playbooks/site.yml")
    assert result.returncode == 0, reason(result)
    assert recap(result, "changed") == 0, [line for line in result.stdout.splitlines() if line.startswith("changed")]
