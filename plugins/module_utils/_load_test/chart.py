# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A chart of the distribution of latencies, as SVG without scripts, fonts or further files.

This file is private to the collection and may change at any time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from .latency import PERCENTILES, buckets

WIDTH, HEIGHT = 760, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 736, 96, 304
_BUCKETS = 60
_LABELS = {"p50": "p50", "p95": "p95", "p99": "p99", "p999": "p99.9"}
_STYLE = """
    svg { color-scheme: light dark; background: #ffffff; font: 13px system-ui, sans-serif; }
    text { fill: #1f2328; } .quiet { fill: #59636e; }
    .bar { fill: #2f6feb; } .axis { stroke: #8c959f; } .grid { stroke: #d1d9e0; }
    .mark { stroke: #bc4c00; stroke-dasharray: 4 3; }
    .page { fill: #ffffff; }
    @media (prefers-color-scheme: dark) {
      svg { background: #0d1117; } .page { fill: #0d1117; }
      text { fill: #f0f6fc; } .quiet { fill: #9198a1; }
      .bar { fill: #4493f8; } .axis { stroke: #656c76; } .grid { stroke: #30363d; }
      .mark { stroke: #f0883e; }
    }
"""


def latency_chart(title: str, subtitle: str, seconds: Sequence[float], measured: Mapping[str, Any]) -> str:
    """Return the chart; measured: latency_ms, whose percentiles are marked."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" role="img">',
        f"  <title>{escape(title)}</title>",
        f"  <style>{_STYLE}  </style>",
        f'  <rect class="page" width="{WIDTH}" height="{HEIGHT}"/>',
        f'  <text x="{_LEFT}" y="30" font-size="17" font-weight="600">{escape(title)}</text>',
        f'  <text class="quiet" x="{_LEFT}" y="52">{escape(subtitle)}</text>',
    ]
    parts += _chart(seconds, measured) if seconds else [_text(WIDTH / 2, HEIGHT / 2, "nothing was measured")]
    return "\n".join([*parts, "</svg>", ""])


def _chart(seconds: Sequence[float], measured: Mapping[str, Any]) -> list[str]:
    edges, counts = buckets(seconds, _BUCKETS)
    highest = max(counts)
    width = (_RIGHT - _LEFT) / _BUCKETS
    parts = []
    for step in range(5):
        y = _BOTTOM - (_BOTTOM - _TOP) * step / 4
        label = highest * step / 4
        parts.append(f'  <line class="grid" x1="{_LEFT}" x2="{_RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        if label == int(label):
            parts.append(_text(_LEFT - 8, y + 4, f"{int(label)}", "end"))
    for number, count in enumerate(counts):
        if count:
            # A bucket with one request of a million must remain visible.
            height = max(1.5, (_BOTTOM - _TOP) * count / highest)
            size = f'width="{width - 1:.1f}" height="{height:.1f}"'
            position = f'x="{_LEFT + number * width + 0.5:.1f}" y="{_BOTTOM - height:.1f}"'
            tooltip = f"{edges[number]:.3g} to {edges[number + 1]:.3g} ms: {count}"
            parts.append(f'  <rect class="bar" {position} {size}><title>{tooltip}</title></rect>')
    parts.append(f'  <line class="axis" x1="{_LEFT}" x2="{_RIGHT}" y1="{_BOTTOM}" y2="{_BOTTOM}"/>')
    for number in range(0, _BUCKETS + 1, _BUCKETS // 6):
        parts.append(_text(_LEFT + number * width, _BOTTOM + 20, _milliseconds(edges[number]), "middle"))
    parts.append(_text((_LEFT + _RIGHT) / 2, _BOTTOM + 44, "latency in milliseconds, logarithmic", "middle"))
    return parts + _percentile_lines(edges, measured)


def _percentile_lines(edges: Sequence[float], measured: Mapping[str, Any]) -> list[str]:
    """Mark the percentiles; a label that would overlap another moves to the second line, or is omitted."""
    parts, ends = [], [0.0, 0.0]
    for name in PERCENTILES:
        value = measured[name]
        x = _LEFT + (_RIGHT - _LEFT) * _position(edges, value)
        parts.append(f'  <line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 6}" y2="{_BOTTOM}"/>')
        label = f"{_LABELS[name]} {_milliseconds(value)}"
        half = len(label) * 3.8
        middle = min(x, WIDTH - 4 - half)
        row = next((row for row, end in enumerate(ends) if middle - half > end), None)
        if row is not None:
            ends[row] = middle + half
            parts.append(_text(middle, _TOP - 10 - 15 * row, label))
    return parts


def _position(edges: Sequence[float], value: float) -> float:
    """Return where a value lies on the axis, from 0 to 1."""
    share = math.log(max(value, edges[0]) / edges[0]) / math.log(edges[-1] / edges[0])
    return min(1.0, share)


def _milliseconds(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'  <text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
