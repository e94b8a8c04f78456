# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tested version sets, and whether the versions of a cluster match one.

For plugins that run where Ansible runs: the sets are in a file of the collection, meta/version_sets.yml. Two versions
count as the same when major and minor agree. This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ansible.module_utils.common.yaml import yaml_load

from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError

with suppress(ImportError):  # Ansible itself needs it
    import yaml

FILE = Path(__file__).resolve().parents[2] / "meta" / "version_sets.yml"

# In the order in which a message names a pair: what matters most to models first.
TITLES = {
    "kserve": "KServe",
    "knative_serving": "Knative Serving",
    "net_kourier": "Kourier",
    "net_istio": "net-istio",
    "istio": "Istio",
    "gateway_api": "Gateway API",
    "contour": "Contour",
    "envoy": "Envoy",
    "cert_manager": "cert-manager",
    "prometheus_operator": "Prometheus Operator",
    "prometheus": "Prometheus",
    "alertmanager": "Alertmanager",
    "kube_state_metrics": "kube-state-metrics",
}
_EXPIRED = "expired"


@dataclass(frozen=True)
class VersionSet:
    """Versions by component; status: tested, published or expired; oldest, newest: minor versions of Kubernetes."""

    name: str
    status: str
    oldest: str
    newest: str
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Faults:
    """What is wrong with the versions of a cluster, each in a sentence.

    too_old: what cannot work; untested: pairs that have not been tested.
    """

    too_old: tuple[str, ...] = ()
    untested: tuple[str, ...] = ()


@dataclass(frozen=True)
class VersionSets:
    """All sets, and the name of the one that is taken where none is named."""

    default: str
    sets: Mapping[str, VersionSet]

    def named(self, name: str | None) -> VersionSet:
        """Return the set of a name, or the default.

        :raises KServeError: there is none of this name.
        """
        found = self.sets.get(name or self.default)
        if found is None:
            raise KServeError(
                f"There is no version set {name}; choose one of {', '.join(self.sets)}.", reason="VersionSetNotFound"
            )
        return found

    def faults(self, name: str | None, kubernetes: str, versions: Mapping[str, str]) -> Faults:
        """Judge the versions of a cluster.

        :param name: the set that was chosen; None for the default.
        :param kubernetes: the cluster's version, such as v1.35.4.
        :param versions: the version of each component that is used.
        :raises KServeError: there is no such set, or a version is none.
        """
        chosen = self.named(name)
        if _minor("Kubernetes", kubernetes) < _minor("Kubernetes", chosen.oldest):
            return Faults(
                too_old=(
                    f"Kubernetes {kubernetes} is too old for the version set {chosen.name}, which needs "
                    f"{chosen.oldest} or newer",
                )
            )
        return Faults(untested=tuple(self._untested(kubernetes, versions)))

    def _untested(self, kubernetes: str, versions: Mapping[str, str]) -> Iterator[str]:
        known = {key: versions[key] for key in TITLES if key in versions}
        for index, (key, version) in enumerate(known.items()):
            # One partner is enough for a sentence.
            for other in list(known)[:index]:
                if not self._paired({key: version, other: known[other]}, kubernetes=None):
                    yield f"{TITLES[other]} {known[other]} with {TITLES[key]} {version}"
                    break
        for key, version in known.items():
            if self._paired({key: version}, kubernetes=None) and not self._paired({key: version}, kubernetes):
                yield f"{TITLES[key]} {version} with Kubernetes {kubernetes}"
                break
        # The only component has no partner to be named with.
        for key, version in known.items() if len(known) == 1 else ():
            if not self._paired({key: version}, kubernetes=None):
                yield f"{TITLES[key]} {version} with Kubernetes {kubernetes}"

    def _paired(self, versions: Mapping[str, str], kubernetes: str | None) -> bool:
        return any(_holds(one, versions, kubernetes) for one in self.sets.values() if one.status != _EXPIRED)


def _holds(one: VersionSet, versions: Mapping[str, str], kubernetes: str | None) -> bool:
    if kubernetes is not None:
        minor = _minor("Kubernetes", kubernetes)
        if not _minor("Kubernetes", one.oldest) <= minor <= _minor("Kubernetes", one.newest):
            return False
    return all(
        key in one.versions and _minor(TITLES[key], one.versions[key]) == _minor(TITLES[key], version)
        for key, version in versions.items()
    )


def _minor(title: str, version: str) -> tuple[int, int]:
    found = re.match(r"v?(\d+)\.(\d+)", version)
    if found is None:
        raise KServeError(
            f"The version {version!r} of {title} is not one such as v1.2.3; correct it.", reason="InvalidVersion"
        )
    return int(found[1]), int(found[2])


def parsed(document: Mapping[str, Any]) -> VersionSets:
    """Return the sets in the content of the file."""
    return VersionSets(document["default"], {one.name: one for one in _sets(document["sets"].items())})


def _sets(entries: Iterable[tuple[str, Mapping[str, Any]]]) -> Iterator[VersionSet]:
    for name, entry in entries:
        versions = {key: str(component["version"]) for key, component in entry["components"].items()}
        kubernetes = entry["kubernetes"]
        yield VersionSet(name, entry["status"], str(kubernetes["min"]), str(kubernetes["max"]), versions)


@cache
def load(file: str | None = None) -> VersionSets:
    """Return the sets of a file, or of the collection.

    :raises KServeError: the file cannot be read, or holds something else.
    """
    path = Path(file).expanduser() if file else FILE
    try:
        return parsed(yaml_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise KServeError(
            f"The version sets in {path} cannot be read ({error}); correct the path.", reason="FileNotReadable"
        ) from None
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        what = " ".join(str(error).split())
        raise KServeError(
            f"{path} is no file of version sets ({what}); write it as the collection's meta/version_sets.yml.",
            reason="InvalidVersionSet",
        ) from None
