# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the documentation site from what the collection ships: guides, and a page for each module, plugin and role.

    make docs                          .docs/html, with references and the collection's markup checked
    DOCS_EXTERNAL_LINKS=1 make docs    also ask other hosts whether the links to them work

The programs run in an environment of docsite/requirements.lock, which is in the cache.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from local import environments, settings
from local.cache import digest
from local.errors import LocalError

ROOT = Path(__file__).resolve().parents[1]
HERE = ROOT / "docsite"
OUT = ROOT / ".docs"
PYTHON = "3.11"
NAME = "hashfoundry.kserve"


def run(*command: str | Path, env: Mapping[str, str] | None = None) -> None:
    """Run a program in the checkout; SystemExit with its code where it fails."""
    result = subprocess.run([str(word) for word in command], cwd=ROOT, env=env, stdin=subprocess.DEVNULL, check=False)
    if result.returncode:
        sys.exit(result.returncode)


def environment() -> Path:
    """The folder of the programs, created where it is not in the cache."""
    lock = HERE / "requirements.lock"
    return environments.ensure(settings.load(), f"docsite-{digest(lock, PYTHON)}", lock, PYTHON) / "bin"


def markup(default: Any) -> str:
    """A default that is computed, in Ansible's markup, on one line."""
    text = " ".join(str(default).split())
    escaped = re.sub(r"([\\)])", r"\\\1", text)
    return f"V({escaped})"


def add_computed_defaults(role: Path) -> None:
    """Say in a role's options what defaults/main.yml computes from other variables.

    The options cannot say it themselves: Ansible would evaluate such a default wherever the role is mentioned.
    """
    path = role / "meta" / "argument_specs.yml"
    specs = yaml.safe_load(path.read_text())
    defaults = yaml.safe_load((role / "defaults" / "main.yml").read_text()) or {}
    for entry in specs["argument_specs"].values():
        for name, option in (entry.get("options") or {}).items():
            if "default" not in option and defaults.get(name) is not None:
                description = option.get("description") or []
                description = [description] if isinstance(description, str) else description
                option["description"] = [*description, f"Defaults to {markup(defaults[name])}."]
    path.write_text(yaml.safe_dump(specs, sort_keys=False, width=1000))


def install(folder: Path) -> Path:
    """The collection as a user installs it, beside those that it needs; returns its folder."""
    galaxy = Path(sys.executable).with_name("ansible-galaxy")
    run(galaxy, "collection", "build", ROOT, "--output-path", folder, "--force")
    (tarball,) = folder.glob("*.tar.gz")
    run(galaxy, "collection", "install", tarball, "--no-deps", "--offline", "--force", "-p", folder)
    collections = folder / "ansible_collections"
    # Not a link, which ansible-galaxy passes over.
    shutil.copytree(ROOT / "collections" / "ansible_collections" / "kubernetes", collections / "kubernetes")
    return collections.joinpath(*NAME.split("."))


def main() -> None:
    """Build the site into .docs/html."""
    programs = environment()
    shutil.rmtree(OUT, ignore_errors=True)
    source = OUT / "rst"
    # antsibull-docs refuses a folder that others may write to.
    source.mkdir(parents=True, mode=0o755)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        env = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(folder),
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        }
        # From the tarball, in which no development file can be missed or mistaken for a part.
        collection = install(folder)
        antsibull: list[str | Path] = [programs / "antsibull-docs", "--config-file", HERE / "antsibull-docs.cfg"]
        run(*antsibull, "lint-collection-docs", "--plugin-docs", "--skip-rstcheck", collection, env=env)
        for role in sorted((collection / "roles").iterdir()):
            add_computed_defaults(role)
        run(
            *antsibull, "collection", "--use-current", "--fail-on-error", "--cleanup", "everything",
            "--dest-dir", source, NAME, env=env,
        )  # fmt: skip
        shutil.copytree(collection / "docs" / "images", source / "images")
    shutil.copy(HERE / "index.rst", source)
    sphinx: list[str | Path] = [programs / "sphinx-build", "--quiet", "-c", HERE, "-W", "--keep-going"]
    sphinx += ["-d", OUT / "doctrees"]
    run(*sphinx, "-b", "html", source, OUT / "html")
    run(*sphinx, "-b", "linkcheck", source, OUT / "links")
    print(f"docs: {len(list((OUT / 'html').rglob('*.html')))} pages in {OUT / 'html'}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except LocalError as error:
        sys.exit(f"Error: {error}")
