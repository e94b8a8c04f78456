# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One use case for several models side by side, where a loop of tasks would take one after another.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError

from .use_case import Options


def side_by_side(
    entries: Sequence[Options], names: Sequence[str], work: Callable[[Options], dict[str, Any]], at_once: int
) -> list[dict[str, Any]]:
    """Return the result of each entry, in their order; each begins with what names it.

    :param names: the options that name an entry.
    :param at_once: how many are worked on at the same time.
    :raises KServeError: some failed, after all have been tried; its result has those of all as C(models).
    """

    def one(entry: Options) -> dict[str, Any]:
        named = {name: entry[name] for name in names}
        try:
            return {**named, **work(entry)}
        except KServeError as error:
            return {**named, "failed": True, "msg": str(error), **error.result}

    with ThreadPoolExecutor(at_once) as pool:
        results = list(pool.map(one, entries))
    failed = [result for result in results if result.get("failed")]
    if failed:
        titles = [f"{' '.join(result[name] for name in names)}: " if len(failed) > 1 else "" for result in failed]
        message = " ".join(f"{title}{result['msg']}" for title, result in zip(titles, failed, strict=True))
        raise KServeError(message, reason=failed[0]["reason"], models=results)
    return results
