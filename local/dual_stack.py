# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network of a cluster with IPv4 and IPv6 addresses, on a node image that was built here."""

from __future__ import annotations

import copy
from typing import Any

from local import node

CNI_FILE = "/etc/cni/net.d/10-kind.conflist"  # in the node
# kind's default subnets: of the only node's pods, and of the Services in both families.
POD_SUBNET = "fd00:10:244::/64"
SERVICE_SUBNETS = "10.96.0.0/16,fd00:10:96::/112"


def cni() -> dict[str, Any]:
    """The network configuration of the node image, with IPv6 addresses as well."""
    config = copy.deepcopy(node.CNI)
    plugins: Any = config["plugins"]
    plugins[0]["ipam"]["ranges"].append([{"subnet": POD_SUBNET}])
    plugins[0]["ipam"]["routes"].append({"dst": "::/0"})
    return config
