# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which serving runtimes there are, for a message about one that does not exist or does not fit.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
from ansible_collections.hashfoundry.kserve.plugins.module_utils._kube.client import KubeApi

# FailureReason of KServe v0.20.0 where another runtime or model format is needed.
REASONS = ("NoSupportingRuntime", "RuntimeDisabled", "RuntimeNotRecognized")
_API = "/apis/serving.kserve.io/v1alpha1"


def sentence(api: KubeApi, namespace: str) -> str:
    """Name the enabled runtimes of the namespace with their model formats; empty if they cannot be read."""
    paths = (f"{_API}/clusterservingruntimes", f"{_API}/namespaces/{quote(namespace, safe='')}/servingruntimes")
    try:
        found = [runtime for path in paths for runtime in api.get(path)["items"]]
    except KServeError:
        return ""  # it is about another error
    named = sorted({_name(runtime) for runtime in found if not runtime["spec"].get("disabled")})
    return f"The runtimes with their model formats are {', '.join(named)}." if named else "There is no runtime."


def _name(runtime: Mapping[str, Any]) -> str:
    formats = dict.fromkeys(str(entry["name"]) for entry in runtime["spec"].get("supportedModelFormats") or ())
    return f"{runtime['metadata']['name']} ({', '.join(formats) or 'none'})"
