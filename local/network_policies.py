# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Have kube-router enforce the NetworkPolicies of a cluster, or stop it.

Only on a node image that was built here, whose network is Debian's CNI plugins: kind's own network enforces policies.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from local import dual_stack
from local.cluster import Cluster
from local.errors import LocalError

PROGRAM = "kube-router"
MANIFEST = Path(__file__).with_name("kube-router.yaml")
TIMEOUT = "180s"


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


def manifest(dual: bool) -> str:
    """The manifest of the agent; dual: the cluster has IPv6 addresses, too."""
    documents: list[Any] = list(yaml.safe_load_all(MANIFEST.read_text()))
    if dual:
        pod = documents[-1]["spec"]["template"]["spec"]
        pod["initContainers"][0]["command"][-1] += " && echo 1 >/proc/sys/net/bridge/bridge-nf-call-ip6tables"
        kept = [word for word in pod["containers"][0]["args"] if not word.startswith("--service-cluster-ip-range")]
        more = ["--enable-ipv6=true", f"--service-cluster-ip-range={dual_stack.SERVICE_SUBNETS}"]
        pod["containers"][0]["args"] = [*kept, *more]
    return yaml.safe_dump_all(documents, sort_keys=False)


def _dual(cluster: Cluster) -> bool:
    """Whether the pods of the cluster, which may have been created with another setting, have IPv6 addresses."""
    subnets = cluster.kubectl(
        "get", "nodes", "--output=jsonpath={.items[*].spec.podCIDRs}", hint="inspect the cluster."
    )
    return ":" in subnets


def enforce(cluster: Cluster) -> None:
    """Start the agent and wait until it is ready."""
    file = cluster.settings.state / MANIFEST.name
    file.write_text(manifest(_dual(cluster)))
    hint = "see `kubectl --namespace kube-system logs daemonset/kube-router --all-containers`."
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "--filename", file, hint=hint)
    cluster.kubectl(
        "rollout", "status", "daemonset/kube-router", "--namespace=kube-system", f"--timeout={TIMEOUT}", hint=hint
    )


def stop(cluster: Cluster) -> None:
    """Delete the agent, if there is one, and its rules on the node."""
    cluster.kubectl(
        "delete", "--ignore-not-found", "--cascade=foreground", f"--timeout={TIMEOUT}", "--filename", MANIFEST,
        hint="inspect the cluster.",
    )  # fmt: skip
    cluster.engine.docker("exec", cluster.node, "bash", "-o", "pipefail", "-c", removal(_dual(cluster)))


def removal(dual: bool) -> str:
    """The command that removes the agent's rules from the node.

    The agent leaves them in the kernel when it ends, so that a restart opens nothing. Its --cleanup-config does, too.
    """
    return " && ".join(
        f"{ip}tables-save -t filter | sed -E '/KUBE-(ROUTER|POD-FW|NWPLCY)-/d' | {ip}tables-restore -T filter"
        for ip in (("ip", "ip6") if dual else ("ip",))
    )
