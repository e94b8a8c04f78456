# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mistakes in credentials and endpoints that an object store answers with a misleading error, or not at all.

A key with a line end is signed as it is, and the refusal blames the key or the endpoint. An endpoint with the bucket in
it is accepted, and everything is written below a folder of the bucket's name. No sentence here contains a key.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.header_secrets import key_fault

KEYS = ("access_key", "secret_key", "session_token")
# The environment's credentials, which boto3 reads itself.
ENVIRONMENT = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")

# The endpoints of object stores that show the bucket's own address in their consoles.
_ENDPOINTS = re.compile(
    r"""[a-z0-9-]+\.digitaloceanspaces\.com                              # docs.digitalocean.com/products/spaces
    | s3[a-z0-9.-]*\.amazonaws\.com(\.cn)?                              # docs.aws.amazon.com/general/latest/gr/s3.html
    | s3\.[a-z0-9-]+\.backblazeb2\.com
    | s3(\.[a-z0-9-]+)?\.wasabisys\.com
    | s3\.[a-z0-9-]+\.scw\.cloud
    | [a-z0-9-]+\.linodeobjects\.com
    | [a-z0-9]+\.your-objectstorage\.com""",
    re.VERBOSE,
)


def endpoint_fault(endpoint: Any, bucket: str = "") -> str | None:
    """Return why a URL is not that of the object store but of a bucket in it, and the right one, or None."""
    if not isinstance(endpoint, str) or not endpoint:
        return None
    if any(letter.isspace() for letter in endpoint):
        return "endpoint_url has white space or a line end; remove it"
    try:
        url = urlsplit(endpoint)
        host = (url.hostname or "").lower()
    except ValueError:
        return None  # not a URL, which the client of the store reports
    path = url.path.strip("/")
    right = _endpoint_of(host, bucket)
    if right:
        return f"endpoint_url is the address of a bucket, not of the object storage; set it to {_with(url, right, '')}"
    if bucket and path.split("/")[-1] == bucket:
        rest = path.rpartition("/")[0]
        return f"endpoint_url ends in the bucket's name, which belongs in bucket; set it to {_with(url, host, rest)}"
    return None


def _endpoint_of(host: str, bucket: str) -> str | None:
    """Return the endpoint whose bucket's address a host name is, or None."""
    if host.endswith(".digitaloceanspaces.com"):
        # <bucket>.<region>, the same with .cdn., and the CDN of no bucket.
        region = host.removesuffix(".digitaloceanspaces.com").removesuffix(".cdn").rpartition(".")[2]
        right = f"{region}.digitaloceanspaces.com"
        return right if host != right else None
    if _ENDPOINTS.fullmatch(host) or ".vpce." in host:
        return None
    # A bucket's name may have dots.
    parts = host.split(".")
    for start in range(1, len(parts)):
        rest = ".".join(parts[start:])
        if _ENDPOINTS.fullmatch(rest) or (bucket == ".".join(parts[:start]) and rest.startswith("s3.")):
            return rest
    return None


def _with(url: SplitResult, host: str, path: str) -> str:
    port = f":{url.port}" if url.port else ""
    return f"{url.scheme or 'https'}://{host}{port}{f'/{path}' if path else ''}"


def store_faults(options: Mapping[str, Any], environment: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence, without its end, for each mistake in a module's options about the store.

    :param environment: the process's environment, whose keys count if the options have none.
    """
    keys = {name: options.get(name) for name in KEYS}
    if not options.get("access_key") and not options.get("profile"):
        keys |= {name: environment.get(name) for name in ENVIRONMENT}
    for name, value in keys.items():
        if fault := key_fault(name, value):
            yield fault
    for name in ("bucket", "region", "profile"):
        value = options.get(name)
        if isinstance(value, str) and value != value.strip():
            yield f"{name} has white space or a line end at an end; remove it"
    if fault := endpoint_fault(options.get("endpoint_url"), str(options.get("bucket") or "")):
        yield fault
