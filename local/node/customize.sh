#!/bin/sh
# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# mmdebstrap runs this with the node's root file system as $1, when all packages are in.
set -eu
root=$1

# systemd runs in a container here: no devices, no consoles, no clock to keep. Only what the node is for may start.
rm -f "$root"/lib/systemd/system/multi-user.target.wants/* "$root"/etc/systemd/system/*.wants/* \
  "$root"/lib/systemd/system/local-fs.target.wants/* "$root"/lib/systemd/system/basic.target.wants/* \
  "$root"/lib/systemd/system/sockets.target.wants/*udev* "$root"/lib/systemd/system/sockets.target.wants/*initctl* \
  "$root"/lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service
ln -sf /dev/null "$root/etc/systemd/system/systemd-binfmt.service" # it would register formats in the host's kernel
echo "ReadKMsg=no" >>"$root/etc/systemd/journald.conf"             # the kernel's log is the host's

# Where kind's units and kubelet look for what Debian keeps elsewhere.
ln -sf /usr/bin/containerd "$root/usr/local/bin/containerd"
mkdir -p "$root/opt/cni" "$root/etc/kubernetes/manifests"
ln -sfn /usr/lib/cni "$root/opt/cni/bin"

# The runtime specification that kind's containerd configuration names: containerd's own, with kind's hook that gives
# each container the node's product name, and without limits that a container in a container may not raise.
mkdir -p "$root/etc/containerd"
chroot "$root" ctr oci spec | chroot "$root" jq '
  .hooks.createContainer += [{"path": "/kind/bin/mount-product-files.sh"}] | del(.process.rlimits)
' >"$root/etc/containerd/cri-base.json"
