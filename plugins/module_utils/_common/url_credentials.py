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
from .redact import MASK, is_known_secret, redact

# The end of an image's or a chart's name in a registry.
_DIGEST = re.compile(r"@sha(?:256|512):[0-9a-fA-F]+$")

# Names of parameters that redact leaves alone, since in other text they are of something else.
_SECRET = {"assertion", "client_assertion", "hmac", "jwt", "passkey", "sas"}
# These are of something else in many URLs, too, as in ?key=models/iris and ?code=404.
_PERHAPS = {"auth", "code", "credential", "credentials", "key", "sign"}
_RANDOM = re.compile(r"[\w~+=%-]{16,}")
# User and password, wherever in a text. A slash in a password may be unquoted; a port, also of one of several hosts,
# and an IPv6 address are none.
_USER = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#\s]*@|(?!\[)[^/?#\s:@]*:(?!\d{1,5}(?:[,/?#\s]|$))\S*@)")


def has_user(url: str) -> bool:
    """Return whether there is a user or a password in the URL; without a scheme, each @ but a digest's counts."""
    bare = _DIGEST.sub("", url)
    return bool(_USER.search(bare)) if "://" in bare else "@" in bare


def has_credentials(url: str) -> bool:
    """Return whether the URL may contain credentials."""
    return has_user(url) or is_signed(url)


def is_signed(url: str) -> bool:
    """Return whether the query or the fragment of the URL has a signature, a token or another secret.

    A path or the name of an image may have such words, as in registry/api-token:v1.
    """
    _before, _mark, after = url.replace("#", "?", 1).partition("?")
    # Names of parameters may be quoted, and secrets be known by their form alone.
    pairs = [pair for part in after.split("?") for pair in parse_qsl(part.replace("#", "&").replace(";", "&"))]
    return any(_is_secret(name.lower(), value) for name, value in pairs)


def _is_secret(name: str, value: str) -> bool:
    if name in _PERHAPS:
        return bool(_RANDOM.fullmatch(value)) or is_known_secret(value)
    # The value is no text in which something could be named.
    return name in _SECRET or is_known_secret(value) or redact(named := f"?{name}=value") != named


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
    # What stands before an @ may be a password that is not quoted, since there are credentials.
    if "@" in _DIGEST.sub("", url):
        before, _at, after = url.rpartition("@")
        scheme, slashes, _secret = before.partition("://")
        url = f"{scheme if slashes else ''}{slashes}{MASK}@{after}"
    # The query as a whole, since the secret may be quoted.
    return f"{re.split('[?#]', url, maxsplit=1)[0]}?{MASK}" if is_signed(url) else url
