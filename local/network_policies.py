# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Have kube-router enforce the NetworkPolicies of a cluster, or stop it.

Only on a node image that was built here, whose network is Debian's CNI plugins: kind's own network enforces policies.
"""

from __future__ import annotations

from pathlib import Path

from local.cluster import Cluster
from local.errors import LocalError

PROGRAM = "kube-router"
MANIFEST = Path(__file__).with_name("kube-router.yaml")
TIMEOUT = "180s"
# The agent leaves its rules in the kernel when it ends, so that a restart opens nothing; its --cleanup-config, too.
REMOVE_RULES = (
    "set -o pipefail; iptables-save -t filter | sed -E '/KUBE-(ROUTER|POD-FW|NWPLCY)-/d' | iptables-restore -T filter"
)


def apply(cluster: Cluster, built: bool) -> None:
    """Enforce NetworkPolicies on the cluster or not, as its settings say.

    built: the node image was built here rather than pulled.
    """
    if cluster.settings.network_policies:
        if built:
            enforce(cluster)
    elif built:
        stop(cluster)
    else:
        raise LocalError(
            "The network of a pulled kind node always enforces NetworkPolicies: unset HASHFOUNDRY_NETWORK_POLICIES, or "
            "set HASHFOUNDRY_IMAGES=build."
        )


def enforce(cluster: Cluster) -> None:
    """Start the agent and wait until it is ready."""
    hint = "see `kubectl --namespace kube-system logs daemonset/kube-router --all-containers`."
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "--filename", MANIFEST, hint=hint)
    cluster.kubectl(
        "rollout", "status", "daemonset/kube-router", "--namespace=kube-system", f"--timeout={TIMEOUT}", hint=hint
    )


def stop(cluster: Cluster) -> None:
    """Delete the agent, if there is one, and its rules on the node."""
    cluster.kubectl(
        "delete", "--ignore-not-found", "--cascade=foreground", f"--timeout={TIMEOUT}", "--filename", MANIFEST,
        hint="inspect the cluster.",
    )  # fmt: skip
    cluster.engine.docker("exec", cluster.node, "bash", "-c", REMOVE_RULES)
