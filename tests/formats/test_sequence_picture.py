"""The SVG as a real browser draws it: not blank, of its size, light and dark, and nothing upon anything else."""

from __future__ import annotations

import json
import re
from html import unescape

from tests.browser import photograph, run_page
from tests.stories import EMPTY, FIVE_LINES, STORIES

from afunix.formats.sequence_svg import render
from afunix.model.sequence import Outcome, Step, Story

MEASURE = """
const found = [];
for (const [story, svg] of document.querySelectorAll('svg').entries()) {
  const frame = svg.getBoundingClientRect();
  const boxOf = (element) => {
    const box = element.getBoundingClientRect();
    return {name: element.textContent || element.getAttribute('class'), left: box.left - frame.left,
            right: box.right - frame.left, top: box.top - frame.top, bottom: box.bottom - frame.top};
  };
  const tell = (what, one, other) => found.push([story, what, one.name, other ? other.name : '']);
  const texts = [...svg.querySelectorAll('text')].map(boxOf);
  const panels = [...svg.querySelectorAll('rect[class*="tint"], rect.head')].map(boxOf);
  for (const text of texts)
    if (text.left < 20 || text.top < 20 || text.right > frame.width - 20 || text.bottom > frame.height - 10)
      tell('outside', text);
  const meet = (one, other) => Math.min(one.right, other.right) - Math.max(one.left, other.left) > 1
    && Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top) > 1;
  texts.forEach((text, number) => texts.slice(number + 1).forEach((other) => {
    if (meet(text, other)) tell('texts on each other', text, other);
  }));
  panels.forEach((panel, number) => panels.slice(number + 1).forEach((other) => {
    if (meet(panel, other)) tell('panels on each other', panel, other);
  }));
  for (const panel of panels) for (const text of texts) {
    const holds = text.left >= panel.left && text.right <= panel.right
      && text.top >= panel.top - 1 && text.bottom <= panel.bottom + 1;
    if (meet(text, panel) && !holds) tell('text over an edge', text, panel);
  }
  for (const path of svg.querySelectorAll('path.path, path.line, path.rule, path.wait'))
    for (let way = 0; way <= path.getTotalLength(); way += 2) {
      const {x, y} = path.getPointAtLength(way);
      const hit = [...texts, ...panels.filter((panel) => !panel.name.startsWith('head'))].find((box) =>
        x > box.left && x < box.right && y > box.top + 2 && y < box.bottom - 2);
      if (hit) { tell('line through text', hit, {name: path.getAttribute('class')}); break; }
    }
}
document.body.innerHTML = '';
document.body.append(JSON.stringify({found, hacked: typeof hacked}));
"""


def test_nothing_overlaps_and_nothing_is_outside() -> None:
    pictures = [
        render(story, times=times) for story in (*STORIES.values(), *EMPTY) for times in (True, False)
    ]
    page = f"<!doctype html><meta charset=utf-8><body>{''.join(pictures)}<script>{MEASURE}</script>"
    body = re.search(r"<body>(.*)</body>", run_page(page), re.DOTALL)
    assert body
    assert json.loads(unescape(body[1])) == {"found": [], "hacked": "undefined"}


def test_the_picture_is_drawn_in_its_size_and_as_the_reader_likes_it() -> None:
    told = tuple(Step(line, "a call", 0.0, outcome) for line, outcome in enumerate(Outcome))
    svg = render(Story("every outcome", FIVE_LINES.lifelines[:4], told), times=False)
    size = re.search(r'width="(\d+)" height="(\d+)"', svg)
    assert size
    width, height = int(size[1]), int(size[2])
    for dark, page in ((False, (0xFF, 0xFF, 0xFF)), (True, (0x14, 0x17, 0x1F))):
        picture = photograph(svg, ".svg", (width, height), dark=dark)
        assert (picture.width, picture.height, picture.at(width // 2, 12)) == (width, height, page)
        assert len(picture.colours()) > 100
