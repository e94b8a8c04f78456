# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests and responses of the v1 protocol as CloudEvents.

The response has the type and the source that KServe's model server sets. The environment variables CE_TYPE and
CE_SOURCE override them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from .errors import BadRequest
from .protocol import read_json

STRUCTURED = "application/cloudevents+json"
_REQUIRED = ("specversion", "id", "source", "type")


def is_binary(headers: Mapping[str, str]) -> bool:
    """Whether the headers are the event's attributes and the body is its data (binary mode)."""
    return all(f"ce-{name}" in headers for name in _REQUIRED)


def is_structured(content: Any) -> bool:
    """Whether a parsed body is a complete event (structured mode)."""
    return isinstance(content, dict) and {*_REQUIRED, "data"} <= content.keys()


def read_binary(headers: Mapping[str, str], body: bytes) -> Any:
    """The data of an event in binary mode.

    Raises:
        BadRequest: it is not a valid event, or its data are not JSON.
    """
    from cloudevents.exceptions import GenericException
    from cloudevents.http import from_http

    try:
        from_http(dict(headers), body, lambda data: data)
    except GenericException as error:
        raise BadRequest(
            f"The request is not a valid CloudEvent: {' '.join(str(error).split())}.", "InvalidCloudEvent"
        ) from None
    return read_json(body)


def write(model: str, content: Any, binary: bool) -> tuple[bytes, dict[str, str]]:
    """The body and the headers of the event that contains a response."""
    from cloudevents.http import CloudEvent, to_binary, to_structured

    attributes = {
        "type": os.environ.get("CE_TYPE", "io.kserve.inference.response"),
        "source": os.environ.get("CE_SOURCE", f"io.kserve.inference.{model}"),
    }
    headers, body = (to_binary if binary else to_structured)(CloudEvent(attributes, content))
    return body, {**headers, "content-type": "application/json" if binary else STRUCTURED}
