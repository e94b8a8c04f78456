# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run `ansible-test sanity` on the files of this checkout, on this Python, without containers.

ansible-test requires the path `ansible_collections/<namespace>/<name>`, so it runs on a copy of the files that git
tracks or would add, in a temporary tree beside links to the required collections. The virtual environments of the tests
are retained in `~/.ansible/test/venv`, for the next run.

Usage: run_sanity.py [options of ansible-test sanity, e.g. `--test pylint` or a path]
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
COLLECTIONS = ROOT / "collections" / "ansible_collections"
NEIGHBOURS = ("kubernetes",)

PIP_SCRIPT_WANTED = re.compile(r"bootstrap script can be manually downloaded and saved to: (?P<path>\S+)")
"""What ansible-test says when it cannot download get-pip.py."""

PROGRAM_MISSING = re.compile(
    r'^Running sanity test "(?P<test>[\w-]+)".*\nWARNING: (?P<reason>Required program .*)$', re.M
)
"""What ansible-test prints for a test that it then records as "No tests applicable"."""


class SanityError(Exception):
    """The tests cannot run; the message names the reason and the fix."""


@dataclass
class Tally:
    """The results of a run: names of tests, and the reasons of skipped ones."""

    passed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"sanity: {len(self.passed)} passed, {len(self.failed)} failed, {len(self.skipped)} skipped"


def checkout_files(root: Path) -> list[Path]:
    """Return the files git tracks or would add, relative to `root`, without the link from collections/ to `root`."""
    listing = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    names = sorted(set(filter(None, listing.split("\0"))))
    # A file deleted but not yet committed is still listed.
    return [path for path in map(Path, names) if path.parts[0] != "collections" and (root / path).exists()]


def lay_out(destination: Path) -> Path:
    """Copy the checkout below `destination` as a collection, and return its folder."""
    tree = destination / "ansible_collections"
    collection = tree / "hashfoundry" / "kserve"
    for path in checkout_files(ROOT):
        (collection / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, collection / path, follow_symlinks=False)
    for name in NEIGHBOURS:
        if not (COLLECTIONS / name).is_dir():
            raise SanityError(
                f"{COLLECTIONS / name} is missing: install the collections of requirements.yml with"
                " `ansible-galaxy collection install -r requirements.yml -p collections`."
            )
        (tree / name).symlink_to(COLLECTIONS / name)
    return collection


def ansible_test(collection: Path, arguments: list[str]) -> tuple[int, str]:
    """Run the sanity tests, print their output line by line, and return the exit code and the output."""
    program = Path(sys.executable).with_name("ansible-test")
    if not program.exists():
        raise SanityError(f"{program} is missing: run this script with the Python of the environment that has it.")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    # Commands such as shellcheck may be installed in the same environment.
    environment = {**os.environ, "PATH": f"{program.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    command = [str(program), "sanity", "--local", "--python", version, "--junit", "--color", "no", *arguments]
    lines = []
    with subprocess.Popen(
        command, cwd=collection, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            lines.append(line)
    return process.returncode, "".join(lines)


def tally(results: Path, output: str) -> Tally:
    """Count the tests by their JUnit files in `results`; `output` contains the reasons of missing commands."""
    counted = Tally()
    missing = {match["test"]: match["reason"] for match in PROGRAM_MISSING.finditer(output)}
    for path in sorted(results.glob("ansible-test-sanity-*.xml")):
        name = re.sub(r"-python-[\d.]+$", "", path.stem.removeprefix("ansible-test-sanity-"))
        cases = list(ElementTree.parse(path).iter("testcase"))
        skips = [case.find("skipped") for case in cases]
        if any(case.find("failure") is not None or case.find("error") is not None for case in cases):
            counted.failed.append(name)
        elif cases and all(skip is not None for skip in skips):
            counted.skipped[name] = missing.get(name) or "".join(skips[0].itertext()).strip()
        else:
            counted.passed.append(name)
    return counted


def main(arguments: list[str]) -> int:
    """Run the tests and return the exit code: 0 when all passed, 1 when one failed or none could run."""
    with tempfile.TemporaryDirectory(prefix="sanity-") as temporary:
        try:
            collection = lay_out(Path(temporary))
            code, output = ansible_test(collection, arguments)
            wanted = PIP_SCRIPT_WANTED.search(output)
            if code and wanted:
                print("Taking the pip that comes with Python instead.")
                shutil.copy(Path(__file__).with_name("get_pip.py"), wanted["path"])
                code, output = ansible_test(collection, arguments)
        except SanityError as error:
            print(error, file=sys.stderr)
            return 1
        counted = tally(collection / "tests" / "output" / "junit", output)
    for name, reason in counted.skipped.items():
        print(f"skipped {name}: {reason}")
    for name in counted.failed:
        print(f"failed {name}")
    print(counted)
    return 1 if code or counted.failed or not counted.passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
