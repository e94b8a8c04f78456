# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install pip into a virtual environment without pip, from the copy that is bundled with Python.

Replaces get-pip.py for ansible-test where only a package index is reachable. It takes the same arguments, but installs
the pip of `ensurepip` first, and then the requested version from the index.
"""

from __future__ import annotations

import ensurepip
import os
import subprocess
import sys

environment = dict(os.environ)  # ensurepip drops every PIP_* variable from os.environ.
ensurepip.bootstrap()
# ensurepip installs neither setuptools nor wheel, which these two options of get-pip exclude.
arguments = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
sys.exit(subprocess.run([sys.executable, "-m", "pip", "install", *arguments], env=environment, check=False).returncode)
