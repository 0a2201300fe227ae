"""The look of a sequence picture: fonts, and the colours of each class in light and in dark. Pure.

Colours are plain values in two rules for each class (no CSS variables, which not every SVG renderer knows), all
below `.afunix`, so that a picture within a page changes nothing but itself. What is drawn is `sequence_svg`'s.
"""

from __future__ import annotations

from collections.abc import Iterable

_MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace"
_SANS = "ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"

ACCENTS = (
    ("#3b5bdb", "#8ea6ff"),
    ("#0b7a75", "#5fd4c4"),
    ("#9333b8", "#dd9cf5"),
    ("#2f7d32", "#8bd48f"),
    ("#57606f", "#b4bdca"),
    ("#b0267a", "#ff8fc7"),
    ("#0566b8", "#5cbcff"),
    ("#7a5230", "#d8b08a"),
    ("#5c6b00", "#c6d25a"),
)
"""The colours of life lines, light and dark: the first is the first line's alone."""


def accent_of(line: int) -> int:
    """The place in ACCENTS of a life line's colour: after the last they begin again at the second."""
    return line and 1 + (line - 1) % (len(ACCENTS) - 1)


_COLOURS = {
    "page": ("fill", "#ffffff", "#14171f"),
    "edge": ("stroke", "#e4e7ee", "#2a3040"),
    "title": ("fill", "#1b2130", "#eef1f7"),
    "name": ("fill", "#1b2130", "#f2f4f9"),
    "call": ("fill", "#252c3b", "#dde2ec"),
    "quiet": ("fill", "#667085", "#8f99ab"),
    "line": ("stroke", "#cdd3de", "#3b4356"),
    "rule": ("stroke", "#eef0f5", "#1f2430"),
    "note-edge": ("stroke", "#667085", "#8f99ab"),
    "waited": ("fill", "#8a4b00", "#ffc670"),
    "waited-edge": ("stroke", "#c9862b", "#b07a2e"),
    "waited-tint": ("fill", "#fff6e6", "#2b2416"),
    "failed": ("fill", "#b3202c", "#ff9a9a"),
    "failed-edge": ("stroke", "#dd7680", "#a5484f"),
    "failed-tint": ("fill", "#fff0f0", "#2f1a1e"),
    "inside": ("fill", "#3d4c72", "#b3c1e6"),
    "inside-tint": ("fill", "#eff3fc", "#1c2436"),
    "inside-bar": ("fill", "#9db1e6", "#4e649e"),
}
"""Class to the property it sets, and its colour in light and in dark."""

_FONTS = f"""
.afunix text {{ font-family: {_MONO}; font-size: 13px; white-space: pre; }}
.afunix .title {{ font: 600 20px {_SANS}; }}
.afunix .question {{ font: 14px {_SANS}; }}
.afunix .name {{ font: 600 14px {_SANS}; }}
.afunix .small, .afunix .inside {{ font-size: 11.5px; }}
.afunix .label {{ font-size: 12px; font-weight: 600; }}
.afunix .key {{ font: 12px {_SANS}; }}
.afunix .note {{ font-style: italic; }}
.afunix .path {{ fill: none; stroke-width: 1.6; stroke-linecap: round; }}
.afunix .edge, .afunix .rule, .afunix .waited-edge, .afunix .failed-edge {{ stroke-width: 1; }}
.afunix .waited-edge {{ stroke-dasharray: 4 3; }}
.afunix .line, .afunix .note-edge {{ stroke-width: 1.5; }}
.afunix .wait {{ fill: none; stroke-width: 5; stroke-linecap: round; }}
.afunix .sign {{ fill: none; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; }}
"""


def style_sheet() -> str:
    light, dark = (list(_rules(theme)) for theme in (0, 1))
    return "\n".join(
        (_FONTS.strip(), *light, "@media (prefers-color-scheme: dark) {", *dark, "}"),
    )


def _rules(theme: int) -> Iterable[str]:
    for name, (what, *colours) in _COLOURS.items():
        yield f".afunix .{name} {{ {what}: {colours[theme]}; }}"
    for kind in ("waited", "failed"):
        yield f".afunix .{kind}-sign {{ stroke: {_COLOURS[kind][1 + theme]}; }}"
    yield f".afunix .wait {{ stroke: {_COLOURS['waited-edge'][1 + theme]}; }}"
    for number, accents in enumerate(ACCENTS):
        colour = accents[theme]
        yield f".afunix .dot.a{number}, .afunix .ink.a{number} {{ fill: {colour}; }}"
        yield f".afunix .path.a{number} {{ stroke: {colour}; }}"
        yield f".afunix .head.a{number} {{ fill: {colour}; fill-opacity: {(0.08, 0.14)[theme]}; stroke: {colour}; stroke-width: 1.4; }}"  # noqa: E501
