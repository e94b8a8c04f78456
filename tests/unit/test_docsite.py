# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The generated role pages document defaults that defaults/main.yml computes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from docsite import build


@pytest.mark.parametrize(
    ("default", "expected"),
    [
        ("{{ platform_domain }}", "V({{ platform_domain }})"),
        ("{{ (a | int)\n   or 443 }}", r"V({{ (a | int\) or 443 }})"),
        ("a\\b", r"V(a\\b)"),
    ],
)
def test_a_default_is_one_line_of_markup(default: str, expected: str) -> None:
    assert build.markup(default) == expected


def test_only_computed_defaults_are_added(tmp_path: Path) -> None:
    options = {
        "probe_domain": {"type": "str", "description": "A domain."},
        "probe_words": {"type": "list", "description": ["Words.", "More."]},
        "probe_count": {"type": "int", "default": 3, "description": "A count."},
        "probe_note": {"type": "str", "description": "A note."},
    }
    for folder in ("meta", "defaults"):
        (tmp_path / folder).mkdir()
    specs = tmp_path / "meta" / "argument_specs.yml"
    specs.write_text(yaml.safe_dump({"argument_specs": {"main": {"options": options}}}))
    (tmp_path / "defaults" / "main.yml").write_text(
        "probe_domain: '{{ platform_domain }}'\nprobe_words: '{{ a }}'\nprobe_count: 3\nprobe_note:\n"
    )
    build.add_computed_defaults(tmp_path)
    found = yaml.safe_load(specs.read_text())["argument_specs"]["main"]["options"]
    assert found["probe_domain"]["description"] == ["A domain.", "Defaults to V({{ platform_domain }})."]
    assert found["probe_words"]["description"] == ["Words.", "More.", "Defaults to V({{ a }})."]
    assert {name: found[name] for name in ("probe_count", "probe_note")} == {
        name: options[name] for name in ("probe_count", "probe_note")
    }
