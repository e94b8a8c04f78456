# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter typed: the list or dictionary that a text stands for, as surveys and `-e name=value` give it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible.module_utils.common.validation import check_type_dict, check_type_list

CHECKS: dict[str, Callable[[Any], Any]] = {"dict": check_type_dict, "list": check_type_list}


def typed(value: Any, kind: str) -> Any:
    """Return what is no text as it is, and text as the list or dictionary that Ansible takes it for.

    Ansible's own check cuts a list in JSON at its commas; here it is read as JSON.

    kind: list or dict.
    """
    if kind not in CHECKS:
        raise AnsibleFilterError(f"The type is {kind}; name list or dict.")
    if not isinstance(value, str):
        return value
    text = value.strip()
    try:
        if kind == "list" and text.startswith("["):
            return json.loads(text)
        return CHECKS[kind](text) if text else CHECKS[kind]([] if kind == "list" else {})
    except (TypeError, ValueError) as error:
        raise AnsibleFilterError(f"A {kind} is needed, and this text is none: write it in JSON ({error}).") from error


class FilterModule:
    """The collection's filters, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"typed": typed}
