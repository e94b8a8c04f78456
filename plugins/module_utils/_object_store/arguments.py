# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options by which every module reaches a store; the doc fragment C(s3) describes them.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import env_fallback

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError

from .credentials import store_faults
from .s3_client import S3Options

S3_ARGUMENTS: dict[str, Any] = {
    "bucket": {"type": "str", "required": True},
    "endpoint_url": {"type": "str", "fallback": (env_fallback, ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"])},
    "region": {"type": "str", "fallback": (env_fallback, ["AWS_REGION", "AWS_DEFAULT_REGION"])},
    # boto3 knows the environment's credentials, and when a profile or a token goes with them and when not.
    "access_key": {"type": "str", "no_log": True},
    "secret_key": {"type": "str", "no_log": True},
    "session_token": {"type": "str", "no_log": True},
    "profile": {"type": "str"},
    "validate_certs": {"type": "bool", "default": True},
    "ca_bundle": {"type": "path", "fallback": (env_fallback, ["AWS_CA_BUNDLE"])},
    "addressing_style": {"type": "str", "choices": ["auto", "path", "virtual"], "default": "auto"},
    "connections": {"type": "int", "default": 8},
}
REQUIRED_TOGETHER = [("access_key", "secret_key")]


def s3_options(params: Mapping[str, Any]) -> S3Options:
    """Return the module's options about the store.

    :raises KServeError: a number is out of its range, a key has white space, or the endpoint is that of a bucket.
    """
    if fault := next(store_faults(params, os.environ), None):
        raise KServeError(f"{fault}.", reason="InvalidOption")
    if not 1 <= params["connections"] <= 64:
        raise KServeError(
            f"connections is {params['connections']}; set it to a number from 1 to 64.", reason="InvalidOption"
        )
    return S3Options(**{name: params[name] for name in S3_ARGUMENTS})
