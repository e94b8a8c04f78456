# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Python libraries that a module needs and that may be missing.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import sys

from .errors import KServeError


def require(library: str, import_error: str | None) -> None:
    """Check that a Python library could be imported.

    :param library: its name, and the oldest version that will do, as pip takes them.
    :param import_error: the traceback of the import that failed, if one did.
    :raises KServeError: it could not; the message names the interpreter and says what to do.
    """
    if import_error:
        raise KServeError(
            f"The Python package {library} is missing from {sys.executable}: install it there with pip, or set "
            "ansible_python_interpreter to a Python that has it.",
            reason="LibraryMissing",
            exception=import_error,
        )
