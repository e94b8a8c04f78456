# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install pip into a virtual environment that has none, from the copy that comes with Python.

Takes get-pip.py's place for ansible-test where only a package index can be reached: the same arguments, but the first
pip is that of `ensurepip`. The version asked for then comes from the index.
"""

from __future__ import annotations

import ensurepip
import os
import subprocess
import sys

environment = dict(os.environ)  # ensurepip drops every PIP_* variable from os.environ.
ensurepip.bootstrap()
# pip brings neither setuptools nor wheel, which is what these two options of get-pip ask for.
arguments = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
sys.exit(subprocess.run([sys.executable, "-m", "pip", "install", *arguments], env=environment, check=False).returncode)
