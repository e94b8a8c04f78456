# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write metadata.json beside a model file: ``python -m model.describe model.pkl --name NAME --version VERSION``.

The same code as the module hashfoundry.kserve.model_metadata, without Ansible.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from model.errors import ModelError
from model.metadata import check_version

_ROOT = Path(__file__).resolve().parents[1]
# The folder that contains ansible_collections: of an installed collection, or the link in a checkout.
_COLLECTIONS = next(
    (folder.parent for folder in _ROOT.parents if folder.name == "ansible_collections"), _ROOT / "collections"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Describe the model. If that fails, return 1 after printing one sentence to stderr."""
    if str(_COLLECTIONS) not in sys.path:
        sys.path.append(str(_COLLECTIONS))
    options = _parser().parse_args(arguments)
    from ansible_collections.hashfoundry.kserve.plugins.module_utils._common.errors import KServeError
    from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_gate.describe import (
        PACKAGES,
        Request,
        describe_model,
        result,
    )
    from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_gate.gate import trial_of
    from ansible_collections.hashfoundry.kserve.plugins.module_utils._model_gate.options import GateOptions, OptionNames

    folder: Path = options.model if options.model.is_dir() else options.model.parent
    request = Request(folder, options.name, options.version, options.description, examples_file=options.examples)
    try:
        trial = trial_of(
            GateOptions(
                isolated=not options.not_isolated,
                python=options.python,
                timeout=options.timeout,
                memory=options.memory,
                names=OptionNames("--python", "--timeout", "--memory", "give --not-isolated", "", "--examples"),
            ),
            PACKAGES,
        )
        written = result(request, *describe_model(request, trial), check_mode=False, diff=False)
    except KServeError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print(f"{written['path']}: {'written' if written['changed'] else 'unchanged'}.")
    return 0


def _name(text: str) -> str:
    from ansible_collections.hashfoundry.kserve.plugins.module_utils._inference_service import limits

    if not limits.NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} cannot be the name of an InferenceService: use lower-case letters, digits and hyphens, "
            "beginning with a letter and not ending with a hyphen"
        )
    return text


def _version(text: str) -> str:
    try:
        return check_version(text)
    except ModelError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m model.describe", description="Write metadata.json of a model.")
    parser.add_argument("model", type=Path, help="the model file, the only one in its folder, or the folder")
    parser.add_argument("--name", type=_name, required=True, help="the model's name")
    parser.add_argument("--version", type=_version, required=True, help="the version's name")
    parser.add_argument("--description", help="what the model is for, in words")
    parser.add_argument("--examples", type=Path, help="a CSV file with rows to predict, and a first line with names")
    parser.add_argument("--python", help="interpreter with the serving image's packages (default: this one)")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds to load the model (default: %(default)s)")
    parser.add_argument("--memory", default="2Gi", help="address space to load it in (default: %(default)s)")
    parser.add_argument(
        "--not-isolated", action="store_true", help="load the model without namespaces: its code has network and files"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
