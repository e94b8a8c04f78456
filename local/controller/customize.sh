#!/bin/sh
# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Make a Debian root file system one in which pip may install: its Python belongs to the image alone. $1: its folder.
set -eu
rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED
# Whom this machine trusts, where a package index is behind a proxy with a certificate of its own.
cp /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/ca-certificates.crt"
printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n' > "$1/etc/pip.conf"
