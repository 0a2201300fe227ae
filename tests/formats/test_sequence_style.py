"""The look of a picture: every class in light and in dark, and nothing that is not inside the picture."""

from __future__ import annotations

import re

from afunix.formats.sequence_style import ACCENTS, accent_of, style_sheet

LIGHT, DARK = style_sheet().split("@media (prefers-color-scheme: dark) {")


def coloured(rules: str) -> list[str]:
    return [name for name, colour in re.findall(r"(\.afunix[^{]*) {[^}]*#([0-9a-f]{6})", rules)]


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(rules: str, name: str, ground: str) -> float:
    text, page = (re.search(rf"\.{each} {{ fill: (#\w+)", rules) for each in (name, ground))
    assert text and page
    darker, lighter = sorted((luminance(text[1]), luminance(page[1])))
    return (lighter + 0.05) / (darker + 0.05)


def test_every_colour_of_the_light_look_has_one_in_the_dark_look() -> None:
    assert coloured(LIGHT) == coloured(DARK)
    assert len(coloured(LIGHT)) > len(ACCENTS) * 3


def test_every_rule_is_about_the_picture_alone() -> None:
    selectors = [part.strip() for rule in re.findall(r"([^{}]+){", LIGHT) for part in rule.split(",")]
    assert [selector for selector in selectors if not selector.startswith(".afunix ")] == []


def test_text_stands_out_from_what_is_behind_it() -> None:
    """4.5 to 1, as WCAG 2.2 asks for text of this size."""
    grounds = {"title": "page", "name": "page", "call": "page", "quiet": "page", "inside": "inside-tint",
               "waited": "waited-tint", "failed": "failed-tint"}  # fmt: skip
    grounds |= {f"dot.a{number}, .afunix .ink.a{number}": "page" for number in range(len(ACCENTS))}
    for rules in (LIGHT, DARK):
        assert {name for name, ground in grounds.items() if contrast(rules, name, ground) < 4.5} == set()


def test_nothing_is_fetched() -> None:
    assert not re.search(r"url\(|@import|@font-face|http", style_sheet())


def test_the_first_colour_is_the_first_line_s_alone() -> None:
    """A server has it; clients have all the others before one comes again."""
    assert [accent_of(line) for line in range(18)] == [0, *range(1, 9), *range(1, 9), 1]


def test_colours_can_be_told_apart() -> None:
    for theme in (0, 1):
        colours = [[int(each[theme][place : place + 2], 16) for place in (1, 3, 5)] for each in ACCENTS]
        for number, one in enumerate(colours):
            for other in colours[number + 1 :]:
                assert sum(abs(a - b) for a, b in zip(one, other, strict=True)) > 60
