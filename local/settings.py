# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of a local cluster: environment variables with defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local.errors import LocalError

REPOSITORY = Path(__file__).resolve().parent.parent
KUBELET_PODS = 110  # the kubelet's default of maxPods
IMAGE_SOURCES = ("auto", "pull", "build")
MODES = ("Standard", "Knative")
RECORDED = ("monitoring", "dashboards")  # switches that playbooks read from the state folder: inventories/local
SWITCH = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True)
class Settings:
    """Folders, ports and properties of one local cluster.

    cache: the folder of built products, shared by checkouts (HASHFOUNDRY_CACHE).
    seed: a folder of prebuilt binaries, NAME-VERSION.zst with SHA256SUMS, or None (HASHFOUNDRY_SEED).
    state: the folder with the kubeconfig, CA and tools of this cluster (HASHFOUNDRY_STATE).
    cluster: the name of the kind cluster (HASHFOUNDRY_CLUSTER).
    https_port, s3_port: ports of 127.0.0.1 (HASHFOUNDRY_HTTPS_PORT, HASHFOUNDRY_S3_PORT).
    images: auto, pull or build (HASHFOUNDRY_IMAGES).
    mode: KServe's deployment mode, Standard or Knative (HASHFOUNDRY_MODE; defaults to the existing cluster's mode).
    audit: whether the API server writes an audit log to the state folder (HASHFOUNDRY_AUDIT).
    pods: the maximum number of pods on the node (HASHFOUNDRY_PODS).
    network_policies: whether the cluster enforces NetworkPolicies (HASHFOUNDRY_NETWORK_POLICIES).
    monitoring: whether the playbooks install Prometheus and Alertmanager, whose images are loaded then
    (HASHFOUNDRY_MONITORING; defaults to what the last `up` recorded).
    dashboards: whether they also install Perses (HASHFOUNDRY_DASHBOARDS; defaults to what the last `up` recorded).
    """

    cache: Path
    seed: Path | None
    state: Path
    cluster: str
    https_port: int
    s3_port: int
    images: str
    mode: str
    audit: bool
    pods: int
    network_policies: bool
    monitoring: bool
    dashboards: bool

    @property
    def kubeconfig(self) -> Path:
        return self.state / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        return self.state / "audit" / "audit.log"


def _number(environment: Mapping[str, str], name: str, default: int, most: int, what: str) -> int:
    text = environment.get(name) or str(default)
    if not text.isdecimal() or not 0 < int(text) <= most:
        raise LocalError(f"{name}={text} is not {what}: set it to a number from 1 to {most}.")
    return int(text)


def _port(environment: Mapping[str, str], name: str, default: int) -> int:
    return _number(environment, name, default, 65535, "a port")


def _switch(environment: Mapping[str, str], name: str, default: bool) -> bool:
    text = environment.get(name) or str(default)
    if text.lower() not in SWITCH:
        raise LocalError(f"{name}={text} is not supported: set it to true or false.")
    return SWITCH[text.lower()]


def saved_mode(state: Path) -> str:
    """The mode recorded in a state folder when its cluster was created, or an empty string."""
    kept = state / "mode"
    return kept.read_text().strip() if kept.exists() else ""


def saved_switch(state: Path, name: str) -> bool:
    """What save_switches() recorded in the state folder, and off before."""
    kept = state / name
    return kept.exists() and kept.read_text().strip() == "true"


def save_switches(config: Settings) -> None:
    """Record each switch of RECORDED in a file of its name in the state folder."""
    for name in RECORDED:
        (config.state / name).write_text("true\n" if getattr(config, name) else "false\n")


def _mode(environment: Mapping[str, str], state: Path) -> str:
    mode = environment.get("HASHFOUNDRY_MODE") or saved_mode(state) or MODES[0]
    if mode not in MODES:
        raise LocalError(f"HASHFOUNDRY_MODE={mode} is not supported: set it to one of {', '.join(MODES)}.")
    return mode


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings, by default from os.environ; raises LocalError for an invalid one."""
    environment = os.environ if environment is None else environment
    default_cache = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hashfoundry-kserve"
    seed = environment.get("HASHFOUNDRY_SEED")
    if seed and not Path(seed).is_dir():
        raise LocalError(
            f"HASHFOUNDRY_SEED={seed} is not a folder: set it to a folder of prebuilt binaries, or unset it."
        )
    images = environment.get("HASHFOUNDRY_IMAGES") or "auto"
    if images not in IMAGE_SOURCES:
        raise LocalError(f"HASHFOUNDRY_IMAGES={images} is not supported: set it to one of {', '.join(IMAGE_SOURCES)}.")
    state = Path(environment.get("HASHFOUNDRY_STATE") or REPOSITORY / ".local").absolute()
    return Settings(
        cache=Path(environment.get("HASHFOUNDRY_CACHE") or default_cache).absolute(),
        seed=Path(seed).absolute() if seed else None,
        state=state,
        cluster=environment.get("HASHFOUNDRY_CLUSTER") or "hashfoundry",
        https_port=_port(environment, "HASHFOUNDRY_HTTPS_PORT", 8443),
        s3_port=_port(environment, "HASHFOUNDRY_S3_PORT", 7070),
        images=images,
        mode=_mode(environment, state),
        audit=_switch(environment, "HASHFOUNDRY_AUDIT", False),
        pods=_number(environment, "HASHFOUNDRY_PODS", KUBELET_PODS, 1000, "a number of pods"),
        network_policies=_switch(environment, "HASHFOUNDRY_NETWORK_POLICIES", True),
        monitoring=_switch(environment, "HASHFOUNDRY_MONITORING", saved_switch(state, "monitoring")),
        dashboards=_switch(environment, "HASHFOUNDRY_DASHBOARDS", saved_switch(state, "dashboards")),
    )
