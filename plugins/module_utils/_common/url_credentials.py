# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Credentials within a URL, such as https://key:secret@host: whatever prints or logs the URL prints them, too.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import re

from .errors import KServeError
from .redact import MASK

# The end of an image's or a chart's name in a registry.
_DIGEST = re.compile(r"@sha(?:256|512):[0-9a-fA-F]+$")


def has_credentials(url: str) -> bool:
    """Return whether the URL may contain credentials: an unquoted secret may contain any character before the @."""
    return "@" in _DIGEST.sub("", url)


def reject_credentials(option: str, url: str, cure: str) -> None:
    """Fail if the URL of an option may contain credentials.

    :param cure: what to set instead.
    :raises KServeError: it may.
    """
    if has_credentials(url):
        raise KServeError(
            f"The URL in {option} contains credentials, which would be shown with it; remove them and {cure}.",
            reason="CredentialsInURL",
        )


def without_credentials(url: str) -> str:
    """Return the URL as it may be shown."""
    if not has_credentials(url):
        return url
    before, _at, after = url.rpartition("@")
    scheme, slashes, _secret = before.partition("://")
    return f"{scheme if slashes else ''}{slashes}{MASK}@{after}"
