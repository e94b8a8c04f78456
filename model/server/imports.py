# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Import scikit-learn without what takes half of the time and few models use: pandas and scipy.stats.

Modules of scikit-learn import both for functions of training and of single estimators. While they are imported here,
sys.modules contains a stand-in that imports the package on first use. Whatever is imported later, such as the code of a
model, gets the package itself. With a scikit-learn that uses either at its import, only the time is lost.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

STATS, PANDAS = "scipy.stats", "pandas"
# Functions that modules of scikit-learn import by their names.
_FUNCTIONS = ("gmean", "rankdata")
# Modules that import scipy.stats, and which most models need: each linear model, ensemble and search.
_MODULES = ("sklearn.linear_model", "sklearn.preprocessing")


class _LazyPackage(ModuleType):
    """A package that is imported when something of it is first used."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            if name in _FUNCTIONS:
                return _lazy_function(self.__name__, name)
            if name.startswith("__"):  # the import system asks for these
                raise AttributeError(name)
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


def _lazy_function(module: str, name: str) -> Callable[..., Any]:
    def function(*arguments: Any, **options: Any) -> Any:
        return getattr(import_module(module), name)(*arguments, **options)

    return function


def import_scikit_learn() -> None:
    """Import it, and leave pandas and scipy.stats for their first use."""
    if PANDAS in sys.modules or STATS in sys.modules:
        return
    spec = find_spec(STATS)
    stats = _LazyPackage(STATS)
    # The path makes it a package, of which a module can be imported.
    stats.__path__ = list(spec.submodule_search_locations or ()) if spec else []
    sys.modules[STATS] = stats
    sys.modules[PANDAS] = None  # type: ignore[assignment]  # an import of it then fails
    try:
        fixes: Any = import_module("sklearn.utils.fixes")
        fixes.pd = _LazyPackage(PANDAS)
        del sys.modules[PANDAS]
        for name in _MODULES:
            import_module(name)
    finally:
        if PANDAS in sys.modules and sys.modules[PANDAS] is None:
            del sys.modules[PANDAS]
        if sys.modules.get(STATS) is stats:
            del sys.modules[STATS]
