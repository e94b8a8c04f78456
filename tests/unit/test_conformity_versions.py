# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All files name the same versions. Each check is also run on a tree in which they differ."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[2]


def collection_faults(root: Path) -> list[str]:
    """Compare the collections pinned in requirements.yml with the ranges galaxy.yml accepts."""
    ranges = yaml.safe_load((root / "galaxy.yml").read_text())["dependencies"]
    pinned = yaml.safe_load((root / "requirements.yml").read_text())["collections"]
    pins = {entry["name"]: entry["version"] for entry in pinned}
    faults = [
        f"only one of galaxy.yml and requirements.yml names {name}" for name in sorted(ranges.keys() ^ pins.keys())
    ]
    for name in sorted(ranges.keys() & pins.keys()):
        if pins[name] not in SpecifierSet(ranges[name]):
            faults.append(f"requirements.yml pins {name} {pins[name]}, galaxy.yml accepts {ranges[name]}")
    return faults


def python_requirements(path: Path) -> dict[str, Requirement]:
    """Return the packages a requirements file names."""
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    requirements = [Requirement(line) for line in lines if line and not line.startswith("-")]
    return {requirement.name: requirement for requirement in requirements}


def python_faults(root: Path) -> list[str]:
    """Compare the Python packages of an execution environment with those the checks run on."""
    tested = python_requirements(root / "requirements.txt")
    faults = []
    for name, accepted in python_requirements(root / "meta" / "ee-requirements.txt").items():
        pins = [pin.version for pin in tested[name].specifier] if name in tested else []
        if not any(accepted.specifier.contains(pin) for pin in pins):
            faults.append(
                f"requirements.txt tests {name} {pins}, meta/ee-requirements.txt accepts {accepted.specifier}"
            )
    return faults


def go_requirements(path: Path) -> tuple[str, dict[str, str]]:
    """Return the name of a go.mod's own module and the version of each module it requires."""
    text = re.sub(r"//.*", "", path.read_text())
    own = re.search(r"^module\s+(\S+)", text, re.M)
    if own is None:
        raise ValueError(f"{path} has no module line")
    blocks = re.findall(r"^require\s*\((.*?)^\)", text, re.M | re.S)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += re.findall(r"^require\s+([^(\s].*)$", text, re.M)
    return own[1], dict((line.split()[0], line.split()[1]) for line in lines if line.strip())


def local_rows(root: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of the tables of local/ by section."""
    rows: dict[str, list[dict[str, Any]]] = {"program": [], "image": [], "release": []}
    for name in ("components.toml", "dashboards.toml", "monitoring.toml"):
        raw = tomllib.loads((root / "local" / name).read_text())
        for section, found in rows.items():
            found += raw.get(section, ())
    return rows


def go_faults(root: Path) -> list[str]:
    """Compare the versions in the tables of local/ with those the Go modules in local/go are locked to."""
    programs = local_rows(root)["program"]
    faults = []
    for program in programs:
        folder = program.get("gomod", program["name"])
        own, locked = go_requirements(root / "local" / "go" / folder / "go.mod")
        # A program whose source is in the folder has no locked version.
        if program["module"] != own and locked.get(program["module"]) != program["version"]:
            found = locked.get(program["module"])
            faults.append(
                f"{program['name']} is {program['version']} in the table, {found} in local/go/{folder}/go.mod"
            )
    used = {program.get("gomod", program["name"]) for program in programs}
    present = {path.parent.name for path in (root / "local" / "go").glob("*/go.mod")}
    return faults + [f"no program of the table is built in local/go/{name}" for name in sorted(present - used)]


def release_faults(root: Path) -> list[str]:
    """Compare the releases in the tables of local/ with the tags of their images and the READMEs of roles."""
    table = local_rows(root)
    readmes = {path: path.read_text() for path in sorted((root / "roles").glob("*/README.md"))}
    faults = []
    for release in table["release"]:
        path, version = release["path"], release["version"]
        gomods = {program["name"]: program.get("gomod", program["name"]) for program in table["program"]}
        built = {name for name, gomod in gomods.items() if gomod == release["gomod"]}
        tags = {image["ref"].rpartition(":")[2] for image in table["image"] if image.get("program") in built}
        if tags != {f"v{version}"}:
            faults.append(f"{path} is of {version}, its images are of {sorted(tags)}")
        file = re.escape(path.rpartition("/")[2])
        named = [
            (readme, found) for readme, text in readmes.items() for found in re.findall(rf"v([\d.]+)/{file}", text)
        ]
        if not named:
            faults.append(f"no role tells of {path}")
        faults += [f"{readme.parent.name} tells of {path} {found}" for readme, found in named if found != version]
    return faults


def kserve_faults(root: Path) -> list[str]:
    """Compare the versions in the tables of local/ with the dependencies of KServe's controller."""
    programs = local_rows(root)["program"]
    _own, locked = go_requirements(root / "local" / "go" / "kserve" / "go.mod")
    return [
        f"{program['name']} is {program['version']} in the table, KServe is built with {locked[program['module']]}"
        for program in programs
        if locked.get(program["module"], program["version"]) != program["version"]
    ]


# Component of a version set, and the program or release of the tables of local/ with its version.
TESTED = {
    "kserve": "kserve-manager",
    "contour": "contour",
    "prometheus": "prometheus",
    "prometheus_operator": "prometheus-operator",
    "alertmanager": "alertmanager",
    "kube_state_metrics": "kube-state-metrics",
}
RELEASED = {"knative_serving": "knative-serving", "net_kourier": "net-kourier"}


def version_set_faults(root: Path) -> list[str]:
    """Compare the default version set with the local cluster, and the sets with those of the upgrade guide."""
    document = yaml.safe_load((root / "meta" / "version_sets.yml").read_text())
    table = local_rows(root)
    found = {program["name"]: program["version"] for program in table["program"]}
    # A Go module may count differently than the project, as that of Prometheus does.
    found |= {image["program"]: image["ref"].rpartition(":")[2] for image in table["image"] if "program" in image}
    found |= {release["gomod"]: f"v{release['version']}" for release in table["release"]}
    components = document["sets"][document["default"]]["components"]
    faults = [
        f"the set {document['default']} says {key} {components[key]['version']}, the table {found[name]}"
        for key, name in (TESTED | RELEASED).items()
        if name in found and components.get(key, {}).get("version") != found[name]
    ]
    guide = (root / "docs" / "docsite" / "rst" / "upgrade.rst").read_text()
    return faults + [f"the upgrade guide has no {name}" for name in document["sets"] if f"``{name}``" not in guide]


Check = Callable[[Path], list[str]]


def serving_faults(root: Path) -> list[str]:
    """Compare the versions that validate a model, and the tags of this project's images, with the images."""
    storage = yaml.safe_load((root / "roles" / "model_storage" / "defaults" / "main.yml").read_text())
    packages = storage["model_storage_gate"]["packages"]
    text = (root / "model" / "server" / "requirements.txt").read_text()
    pinned = dict(re.findall(r"(?m)^([\w-]+)==([^ \n]+)", text))
    faults = [
        f"model_storage_gate has {name} {version}, the server has {pinned.get(name)}"
        for name, version in packages.items()
        if pinned.get(name) != version
    ]
    table = tomllib.loads((root / "local" / "components.toml").read_text())
    refs = {image["ref"].rpartition("/")[2] for image in table["image"]}
    tags = {
        "kserve": r"'/(sklearnserver)', 'tag': '([^']+)'",
        "batch_inference": r"'/(batch-inference):([^']+)'",
    }
    for role, pattern in tags.items():
        defaults = (root / "roles" / role / "defaults" / "main.yml").read_text()
        named = [":".join(found) for found in re.findall(pattern, defaults)]
        if not named or set(named) - refs:
            faults.append(f"{role} names the image {named}, which is not in the table")
    return faults


CHECKS: list[Check] = [
    collection_faults,
    python_faults,
    go_faults,
    release_faults,
    kserve_faults,
    version_set_faults,
    serving_faults,
]


@pytest.mark.parametrize("check", CHECKS)
def test_the_versions_agree(check: Check) -> None:
    assert check(ROOT) == []


FILES = {
    "galaxy.yml": 'dependencies: {a.b: ">=1.2.0"}\n',
    "requirements.yml": 'collections: [{name: a.b, version: "1.10.0"}]\n',
    "requirements.txt": "# Tested.\nlibrary==2.0\n",
    "meta/ee-requirements.txt": "library>=1.0\n",
    "local/components.toml": """
[[program]]
name = "one"
module = "example.org/one"
version = "v1.0.0"
[[program]]
name = "two"
gomod = "both"
module = "example.org/two/v2"
version = "v2.0.0"
[[program]]
name = "own"
module = "example.local/own"
version = "v1"
[[program]]
name = "kserve"
module = "example.org/kserve"
version = "v4.0.0"
[[image]]
ref = "example.org/two:v3.0.0"
program = "two"
[[image]]
ref = "example.local/sklearnserver:v4.0.0"
[[image]]
ref = "example.local/batch-inference:sklearn-5.0"
[[release]]
path = "two/two.yaml"
gomod = "both"
version = "3.0.0"
""",
    "local/dashboards.toml": "",
    "local/monitoring.toml": """
[[program]]
name = "seen"
module = "example.org/seen"
version = "v6.0.0"
[[image]]
ref = "example.org/seen:v7.0.0"
program = "seen"
[[release]]
path = "seen/seen.yaml"
gomod = "seen"
version = "7.0.0"
""",
    "meta/version_sets.yml": (
        "default: now\nsets: {now: {components: {contour: {version: v5.0.0}, net_kourier: {version: v3.0.0}, "
        "prometheus: {version: v8.0.0}}}}\n"
    ),
    "docs/docsite/rst/upgrade.rst": "The set ``now``.\n",
    "roles/model_storage/defaults/main.yml": "model_storage_gate: {packages: {scikit-learn: '5.0'}}\n",
    "model/server/requirements.txt": "scikit-learn==5.0 \\\n    --hash=sha256:1\n",
    "roles/kserve/defaults/main.yml": "kserve_runtimes: {image: registry ~ '/sklearnserver', 'tag': 'v4.0.0'}\n",
    "roles/batch_inference/defaults/main.yml": "batch_inference_image: registry ~ '/batch-inference:sklearn-5.0'\n",
    "roles/two/README.md": "From `https://example.org/v3.0.0/two.yaml`, then `https://example.org/v7.0.0/seen.yaml`.\n",
    "local/go/kserve/go.mod": (
        "module example.local/kserve\n\n"
        "require (\n\texample.org/kserve v4.0.0 // indirect\n\texample.org/two/v2 v2.0.0 // indirect\n)\n"
    ),
    "local/go/one/go.mod": "module example.local/one\n\nrequire example.org/one v1.0.0 // indirect\n",
    "local/go/both/go.mod": "module example.local/both\n\nrequire (\n\texample.org/two/v2 v2.0.0 // indirect\n)\n",
    "local/go/own/go.mod": "module example.local/own\n",
    "local/go/seen/go.mod": "module example.local/seen\n\nrequire example.org/seen v6.0.0 // indirect\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Files with the same versions."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_a_correct_tree_has_no_fault(tree: Path) -> None:
    assert [check(tree) for check in CHECKS] == [[] for _check in CHECKS]


@pytest.mark.parametrize(
    ("check", "file", "old", "new", "fault"),
    [
        (collection_faults, "requirements.yml", "1.10.0", "1.1.0", "pins a.b 1.1.0"),
        (collection_faults, "requirements.yml", "a.b", "a.c", "names a.c"),
        (collection_faults, "galaxy.yml", "a.b", "a.c", "names a.c"),
        (python_faults, "requirements.txt", "2.0", "0.9", "0.9"),
        (python_faults, "requirements.txt", "library", "other", "tests library []"),
        (go_faults, "local/components.toml", "v1.0.0", "v1.0.1", "one is v1.0.1 in the table, v1.0.0"),
        (go_faults, "local/go/both/go.mod", "v2.0.0", "v2.0.1", "two is v2.0.0 in the table, v2.0.1"),
        (go_faults, "local/go/one/go.mod", "org/one", "org/three", "one is v1.0.0 in the table, None"),
        (go_faults, "local/components.toml", "own", "both", "built in local/go/own"),
        (go_faults, "local/monitoring.toml", "v6.0.0", "v6.0.1", "seen is v6.0.1 in the table, v6.0.0"),
        (release_faults, "local/components.toml", "two:v3.0.0", "two:v3.0.1", "images are of ['v3.0.1']"),
        (release_faults, "local/components.toml", '"3.0.0"', '"3.0.1"', "images are of ['v3.0.0']"),
        (release_faults, "local/monitoring.toml", '"7.0.0"', '"7.0.1"', "images are of ['v7.0.0']"),
        (release_faults, "roles/two/README.md", "3.0.0", "3.0.1", "two tells of two/two.yaml 3.0.1"),
        (release_faults, "roles/two/README.md", "two.yaml", "one.yaml", "no role tells of two/two.yaml"),
        (serving_faults, "model/server/requirements.txt", "5.0", "5.1", "has scikit-learn 5.0, the server has 5.1"),
        (serving_faults, "roles/kserve/defaults/main.yml", "v4.0.0", "v4.0.1", "kserve names the image"),
        (serving_faults, "roles/batch_inference/defaults/main.yml", "/batch", "/other", "batch_inference names the"),
        (
            kserve_faults,
            "local/go/kserve/go.mod",
            "v2.0.0",
            "v2.0.1",
            "two is v2.0.0 in the table, KServe is built with",
        ),
    ],
)
def test_a_broken_tree_has_the_fault(tree: Path, check: Check, file: str, old: str, new: str, fault: str) -> None:
    (tree / file).write_text(FILES[file].replace(old, new))
    assert any(fault in found for found in check(tree))


def test_a_missing_table_is_an_error(tree: Path) -> None:
    (tree / "local" / "components.toml").unlink()
    with pytest.raises(FileNotFoundError):
        go_faults(tree)


@pytest.mark.parametrize(
    ("contour", "kourier", "prometheus", "guide", "faults"),
    [
        ("v5.0.0", "3.0.0", "v8.0.0", "``now``", []),
        ("v5.0.1", "3.0.0", "v8.0.0", "``now``", ["the set now says contour v5.0.0, the table v5.0.1"]),
        ("v5.0.0", "3.1.0", "v8.0.0", "``now``", ["the set now says net_kourier v3.0.0, the table v3.1.0"]),
        ("v5.0.0", "3.0.0", "v8.0.1", "``now``", ["the set now says prometheus v8.0.0, the table v8.0.1"]),
        ("v5.0.0", "3.0.0", "v8.0.0", "``then``", ["the upgrade guide has no now"]),
    ],
)
def test_a_version_set_is_what_is_tested(
    tree: Path, contour: str, kourier: str, prometheus: str, guide: str, faults: list[str]
) -> None:
    (tree / "local" / "components.toml").write_text(
        f'[[program]]\nname = "contour"\nversion = "{contour}"\n'
        f'[[release]]\ngomod = "net-kourier"\nversion = "{kourier}"\n'
    )
    (tree / "local" / "monitoring.toml").write_text(
        '[[program]]\nname = "prometheus"\nversion = "v0.800.0"\n'
        f'[[image]]\nref = "example.org/prometheus:{prometheus}"\nprogram = "prometheus"\n'
    )
    (tree / "docs" / "docsite" / "rst" / "upgrade.rst").write_text(guide)
    assert version_set_faults(tree) == faults
