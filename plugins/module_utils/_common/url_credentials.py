# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Credentials within a URL: whatever prints, logs or stores the URL does so with them, too.

They are a user and a password, as in https://key:secret@host, or a signature or token, as in https://host/a?sig=secret.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from .errors import KServeError
from .redact import MASK, redact

# The end of an image's or a chart's name in a registry.
_DIGEST = re.compile(r"@sha(?:256|512):[0-9a-fA-F]+$")

# Names of parameters that redact leaves alone: in other text they are of something else.
_SECRET = {"auth", "code", "credential", "credentials", "hmac", "jwt", "key", "sign"}


def has_credentials(url: str) -> bool:
    """Return whether the URL may contain credentials: an unquoted secret may contain any character before the @."""
    return "@" in _DIGEST.sub("", url) or is_signed(url)


def is_signed(url: str) -> bool:
    """Return whether the query or the fragment of the URL has a signature, a token or another secret.

    A path or the name of an image may have such words, as in registry/api-token:v1.
    """
    _before, _mark, after = url.replace("#", "?", 1).partition("?")
    # Names of parameters may be quoted, and secrets be known by their form alone.
    pairs = [pair for part in after.split("?") for pair in parse_qsl(part.replace("#", "&").replace(";", "&"))]
    return any(name.lower() in _SECRET or redact(pair := f"?{name}={value}") != pair for name, value in pairs)


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
    if "@" in _DIGEST.sub("", url):
        before, _at, after = url.rpartition("@")
        scheme, slashes, _secret = before.partition("://")
        url = f"{scheme if slashes else ''}{slashes}{MASK}@{after}"
    # The query as a whole, since the secret may be quoted.
    return f"{re.split('[?#]', url, maxsplit=1)[0]}?{MASK}" if is_signed(url) else url
