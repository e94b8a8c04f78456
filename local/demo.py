# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo: site.yml on inventories/local, then a prediction request over TLS with curl."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from local.cluster import Cluster
from local.errors import LocalError
from local.progress import Progress
from local.run import run
from local.settings import REPOSITORY, Settings

DOMAIN = "ml.hashfoundry.local"
HOST = f"iris-classifier.{DOMAIN}"
# The prediction requests of the demo. Iris: a setosa and a virginica, classes 0 and 2.
# Churn: a customer who is likely to leave and one who is not, classes 1 and 0.
CUSTOMERS = '[2,115.5,4,"month-to-month","fibre","invoice"],[60,42.5,0,"two years","dsl","card"]'
QUESTIONS = {
    "iris-classifier": '{"instances": [[5.1,3.5,1.4,0.2],[6.7,3.1,5.6,2.4]]}',
    "churn-classifier": f'{{"instances": [{CUSTOMERS}]}}',
}


def playbook_env(config: Settings) -> dict[str, str]:
    """The environment in which playbooks run on inventories/local."""
    return {
        **os.environ,
        "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
        "HASHFOUNDRY_STATE": str(config.state),
        "HASHFOUNDRY_HTTPS_PORT": str(config.https_port),
        "HASHFOUNDRY_S3_PORT": str(config.s3_port),
        "PATH": f"{Path(sys.executable).parent}:{config.state / 'bin'}:{os.environ.get('PATH', '')}",
    }


def curl(config: Settings, model: str = "iris-classifier") -> list[str]:
    """The argument list of the curl command that sends a prediction request to the model."""
    authority = f"{model}.{DOMAIN}:{config.https_port}"
    argv = ["curl", "--silent", "--show-error", "--fail-with-body", "--cacert", str(config.state / "ca.crt")]
    argv += ["--resolve", f"{authority}:127.0.0.1", f"https://{authority}/v1/models/{model}:predict"]
    return [*argv, "-H", "Content-Type: application/json", "-d", QUESTIONS[model]]


def _copyable(argv: list[str]) -> str:
    plain = [part for part in argv if part not in ("--silent", "--show-error", "--fail-with-body")]
    return " ".join(f"'{word}'" if " " in word else word for word in plain)


def playbook_command(playbook: str) -> list[str | Path]:
    """The argument list that runs a playbook on inventories/local; run it in the repository with playbook_env."""
    return [Path(sys.executable).with_name("ansible-playbook"), playbook, "-i", "inventories/local"]


def run_demo(cluster: Cluster, progress: Progress) -> None:
    """Run site.yml, then print the URL, the prediction and the curl command of each model."""
    config = cluster.settings
    with progress.stage("playbooks/site.yml"):
        command = playbook_command("playbooks/site.yml")
        result = subprocess.run(
            command, cwd=REPOSITORY, env=playbook_env(config), stdin=subprocess.DEVNULL, check=False
        )
        if result.returncode:
            raise LocalError("playbooks/site.yml failed: fix the error above, then run `make demo` again.")
    with progress.stage("prediction"):
        hint = "the playbook's smoke tests passed, but curl failed: see the message."
        responses = {model: run(curl(config, model), hint=hint) for model in QUESTIONS}
    for model, response in responses.items():
        print(
            f"\nURL         https://{model}.{DOMAIN}:{config.https_port}  (127.0.0.1)\n"
            f"Prediction  {json.dumps(json.loads(response), separators=(',', ':'))}\n\n"
            f"{_copyable(curl(config, model))}"
        )
    print(f"\nkubeconfig  {config.kubeconfig}\nCA          {config.state / 'ca.crt'}\n")
