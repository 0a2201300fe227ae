"""A story as a picture: one SVG that needs nothing else, light or dark as the reader's system is. Pure.

Every row of the drawing is a step or an arrow and has its height to itself, and every lane is as wide as its
texts: so nothing overlaps, whichever monospace font the reader has. Outcomes differ in form and not only in
colour. Text is escaped twice: `model.escaping` for what is no XML at all (control characters), then for XML.
`formats.sequence` draws the same for a terminal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..model.sequence import Arrow, Lifeline, Outcome, Step, Story, find_arrows, find_births, find_waits
from .columns import display_width
from .sequence_style import accent_of, style_sheet
from .sequence_words import describe, format_moment
from .svg_signs import key_of, sign_of
from .svg_signs import number as _n
from .svg_text import Text, set_bold, set_mono, set_title, to_xml
from .tracks import find_side, lay_tracks

_MARGIN = 40
_CELL, _LINE = 8.1, 20  # of the calls' 13 px: no common monospace font is wider than 0.62 em
_SMALL_CELL, _SMALL_LINE = 7.2, 18  # of 11.5 px: times, what the kernel holds, details
_LABEL_CELL, _LABEL_LINE = 7.5, 17  # of an arrow's 12 px
_NAME_SIZE, _NAME_LINE = 14, 20
_TITLE_SIZE, _TITLE_LINE = 20, 28
_WIDEST_TITLE = 1100  # a longer one is broken
_QUESTION_SIZE, _QUESTION_LINE = 14, 21
_KEY_SIZE, _KEY_LINE = 12, 18
_TEXT = 32  # from a life line to its text; more where many arrows go down between them
_FIRST_TRACK, _TRACK = 10, 6  # from a life line to the arrows that go down beside it, side by side
_BESIDE = 10  # between them and a text
_GAP = 34  # between the end of the longest text and the next life line; more as above
_NARROWEST = 190
_LONGEST_CALL, _LONGEST_LABEL, _LONGEST_DETAIL = 48, 34, 28  # cells; what is longer is wrapped
_SHORTER_CALL = 36  # the same where four life lines and more stand side by side
_LONGEST_NAME = 14  # em


def render(story: Story, *, times: bool) -> str:
    """The drawing as an SVG document: text stays text, and the size is that at which it is read well (100 %)."""
    return _Picture(story, times).document()


def _label_text(label: str) -> Text:
    return set_mono(label, _LONGEST_LABEL, _LABEL_CELL, _LABEL_LINE)


@dataclass(frozen=True, slots=True)
class _Head:
    """The box above a life line: its name, who it is, and how large it is."""

    name: Text
    detail: Text
    width: float
    height: float


def _head(line: Lifeline) -> _Head:
    name = set_bold(line.name, _LONGEST_NAME * _NAME_SIZE, _NAME_SIZE, _NAME_LINE)
    detail = set_mono(line.detail, _LONGEST_DETAIL, _SMALL_CELL, _SMALL_LINE)
    if not line.detail:
        detail = Text((), _SMALL_LINE, 0)
    return _Head(name, detail, max(112, name.width + 36, detail.width + 36), name.height + detail.height + 22)


class _Picture:
    """One story laid out from top to bottom; `_y` is where the next row begins."""

    def __init__(self, story: Story, times: bool) -> None:
        self._story = story
        self._moments = [format_moment(step.at) for step in story.steps] if times else []
        self._arrows = find_arrows(story)
        self._longest = _LONGEST_CALL if len(story.lifelines) < 4 else _SHORTER_CALL
        self._heads = [_head(line) for line in story.lifelines]
        self._tracks = lay_tracks(story)
        self._reach = self._reaches()
        self._lives, self._width = self._place_lives()
        self._births, self._returns = find_births(story), find_waits(story)
        self._tops: dict[int, float] = {}
        self._behind: list[str] = []
        self._paths: list[str] = []
        self._parts: list[str] = []
        self._begins: dict[int, float] = {}
        self._y: float = 0

    def _reaches(self) -> dict[tuple[int, int], float]:
        """How far the arrows beside each life line are from it, by line and side."""
        reach: dict[tuple[int, int], float] = {}
        for arrow, track in self._tracks.items():
            place = self._story.steps[arrow.source].line, find_side(self._story, arrow)
            reach[place] = max(reach.get(place, 0), _FIRST_TRACK + track * _TRACK)
        return reach

    def _reach_of(self, line: int, side: int) -> float:
        return self._reach.get((line, side), 0)

    def _text_of(self, line: int) -> float:
        """From a life line to the texts of its steps."""
        return max(float(_TEXT), self._reach_of(line, 1) + _BESIDE)

    def _place_lives(self) -> tuple[list[float], float]:
        """Where each life line is, and how wide the picture has to be."""
        lanes = self._lanes()
        moments = max((display_width(moment) for moment in self._moments), default=0) * _SMALL_CELL
        first = _MARGIN + max(self._heads[0].width / 2 if self._heads else 0, moments + 30 if moments else 0)
        lives = [first + sum(lanes[:line]) for line in range(len(lanes))]
        right = max([lives[-1] + self._heads[-1].width / 2, lives[-1] + lanes[-1] - _GAP] if lives else [0])
        title = set_title(self._story.title, _WIDEST_TITLE, _TITLE_SIZE, _TITLE_LINE)
        return lives, float(round(max(right, title.width + _MARGIN, 440) + _MARGIN + 0.5))

    def _lanes(self) -> list[float]:
        """How wide each lane has to be for its texts, its arrows' labels and the heads at its ends."""
        lanes = [float(_NARROWEST) for _ in self._heads]
        for step in self._story.steps:
            widths = self._call_text(step).width + 12, self._inside_text(step).width + 28
            gap = max(float(_GAP), self._reach_of(step.line + 1, -1) + _BESIDE)
            lanes[step.line] = max(lanes[step.line], self._text_of(step.line) + max(widths) + gap)
        for arrow in (arrow for arrows in self._arrows.values() for arrow in arrows):
            lane = self._lane_of(arrow)
            beside = 44.0 if lane == self._ends(arrow)[1] == self._ends(arrow)[0] else 0.0
            beside = max(beside, self._reach_of(lane, 1) + self._reach_of(lane + 1, -1))
            lanes[lane] = max(lanes[lane], _label_text(arrow.label).width + beside + 40)
        for line, (one, other) in enumerate(zip(self._heads, self._heads[1:], strict=False)):
            lanes[line] = max(lanes[line], (one.width + other.width) / 2 + 28)
        return lanes

    def _call_text(self, step: Step) -> Text:
        return set_mono(step.text, self._longest, _CELL, _LINE, indent=2)

    def _inside_text(self, step: Step) -> Text:
        cells = int(self._longest * _CELL / _SMALL_CELL)
        sets = [set_mono(line, cells, _SMALL_CELL, _SMALL_LINE, indent=2) for line in step.inside]
        lines = tuple(line for each in sets for line in each.lines)
        return Text(lines, _SMALL_LINE, max((each.width for each in sets), default=0))

    def _ends(self, arrow: Arrow) -> tuple[int, int]:
        return self._story.steps[arrow.source].line, self._story.steps[arrow.target].line

    def _lane_of(self, arrow: Arrow) -> int:
        """The lane for an arrow's label: the one beside the line that it comes from."""
        source, target = self._ends(arrow)
        return source - 1 if target < source else source

    def document(self) -> str:
        self._draw_title()
        late = {line for lines in self._births.values() for line in lines}
        self._draw_heads([line for line in range(len(self._heads)) if line not in late])
        for index, step in enumerate(self._story.steps):
            if index in self._births:
                self._y += 16
                self._draw_heads(self._births[index])
            self._begins[index] = self._height_before(index) + self._y
            for arrow in self._arrows.get(index, ()):
                self._draw_arrow(arrow)
            self._draw_step(index, step)
        self._draw_waits()
        self._draw_lives()
        self._draw_key()
        self._draw_notes()
        return self._wrapped(round(self._y + _MARGIN - 8))

    def _height_before(self, index: int) -> float:
        """From here to the middle of the step's sign: its arrows' rows come first."""
        return sum(map(_arrow_height, self._arrows.get(index, ()))) + _LINE / 2 + 6

    def _wrapped(self, height: int) -> str:
        width = round(self._width)
        frame = f'<rect class="page edge" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="14"/>'
        return "\n".join(
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" class="afunix" role="img" xml:space="preserve"'
                f' width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
                f"<title>{to_xml(self._story.title)}</title>",
                f"<desc>{to_xml(describe(self._story))}</desc>",
                f"<style>{style_sheet()}</style>",
                frame,
                *self._behind,
                *self._paths,
                *self._parts,
                "</svg>\n",
            )
        )

    def _draw_title(self) -> None:
        title = set_title(self._story.title, self._width - 2 * _MARGIN, _TITLE_SIZE, _TITLE_LINE)
        self._put(_MARGIN, _MARGIN + 16, title, "title")
        self._y = _MARGIN + title.height + 20
        if self._story.question:
            room = self._width - 2 * _MARGIN
            question = set_bold(self._story.question, room, _QUESTION_SIZE, _QUESTION_LINE)
            self._put(_MARGIN, self._y, question, "question quiet")
            self._y += question.height + 8

    def _draw_heads(self, lines: Sequence[int]) -> None:
        """The boxes of life lines that begin here; they end at one height."""
        height = max((self._heads[line].height for line in lines), default=0)
        for line in lines:
            head, x = self._heads[line], self._lives[line]
            self._tops[line] = self._y + height
            self._parts.append(
                f'<rect class="head {_accent(line)}" x="{_n(x - head.width / 2)}" y="{_n(self._y)}"'
                f' width="{_n(head.width)}" height="{_n(height)}" rx="10"/>'
            )
            first = self._y + (height - head.name.height - head.detail.height) / 2
            self._put(x, first + 15, head.name, "name", anchor="middle")
            self._put(x, first + head.name.height + 12, head.detail, "quiet small", anchor="middle")
        self._y += height + 18

    def _draw_waits(self) -> None:
        """A bar on the life line from where a call began to where it returned."""
        for begin, end in self._returns.items():
            x = self._lives[self._story.steps[begin].line]
            self._paths.insert(
                0,
                f'<path class="wait" d="M{_n(x)} {_n(self._begins[begin])}V{_n(self._begins[end])}"/>',
            )

    def _draw_lives(self) -> None:
        self._y += 14
        for line, x in enumerate(self._lives):
            self._behind.append(
                f'<path class="line" d="M{_n(x)} {_n(self._tops[line])}V{_n(self._y)}m-7 0h14"/>'
            )
        self._y += 4

    def _draw_step(self, index: int, step: Step) -> None:
        x, y = self._lives[step.line], self._begins[index]
        begin = x + self._text_of(step.line)
        text = self._call_text(step)
        if self._moments:
            self._draw_moment(self._moments[index], x, y)
        if step.outcome in (Outcome.WAITED, Outcome.FAILED):
            kind = step.outcome.value
            self._parts.append(
                f'<rect class="{kind}-tint {kind}-edge" x="{_n(begin - 8)}" y="{_n(y - _LINE / 2 - 3)}"'
                f' width="{_n(text.width + 16)}" height="{_n(text.height + 6)}" rx="7"/>'
            )
        self._put(begin, y + 4.5, text, _TEXT_CLASS[step.outcome])
        self._parts.append(sign_of(step.outcome, _accent(step.line), x, y))
        self._y = y - _LINE / 2 + text.height + 7
        if step.inside:
            self._draw_inside(begin - 8, step)

    def _draw_moment(self, moment: str, x: float, y: float) -> None:
        right = self._lives[0] - 30
        self._put(right, y + 4, Text((moment,), _SMALL_LINE, 0), "quiet small", anchor="end")
        if x > self._lives[0]:
            self._behind.append(f'<path class="rule" d="M{_n(right + 10)} {_n(y)}H{_n(x)}"/>')

    def _draw_inside(self, x: float, step: Step) -> None:
        text = self._inside_text(step)
        top = self._y + 3
        self._parts.append(
            f'<rect class="inside-tint" x="{_n(x)}" y="{_n(top)}" width="{_n(text.width + 28)}"'
            f' height="{_n(text.height + 12)}" rx="6"/>'
            f'<rect class="inside-bar" x="{_n(x)}" y="{_n(top)}" width="3" height="{_n(text.height + 12)}" rx="1.5"/>'
        )
        self._put(x + 14, top + 18.5, text, "inside")
        self._y = top + text.height + 12 + 9

    def _draw_arrow(self, arrow: Arrow) -> None:
        """From the sign of its step down beside the life line, across, and into the line of the other."""
        source, target = self._ends(arrow)
        label = _label_text(arrow.label)
        self._y += _arrow_height(arrow)
        y = self._y - 8
        side = -1 if target < source else 1
        x, end = self._lives[source], self._lives[target] - side * 4
        if source == target:
            end = x + self._text_of(source) + 16
        track = x + side * (_FIRST_TRACK + _TRACK * self._tracks.get(arrow, 0))
        if arrow.source > arrow.target:
            begin = f"M{_n(track)} {_n(y)}"
        else:
            begin = (
                f"M{_n(x)} {_n(self._begins[arrow.source])}H{_n(track - side * 7)}q{7 * side} 0 {7 * side} 7"
                f"V{_n(y - 7)}q0 7 {7 * side} 7"
            )
        self._paths.append(
            f'<path class="path {_accent(source)}" d="{begin}H{_n(end - side * 6)}"/>'
            f'<path class="dot {_accent(source)}" d="M{_n(end)} {_n(y)}l{-10 * side} -5v10z"/>'
        )
        if arrow.label:
            middle = self._middle(self._lane_of(arrow))
            if source == target:
                middle = x + self._text_of(source) + 6 + label.width / 2
            first = y - 8 - (len(label.lines) - 1) * _LABEL_LINE
            self._put(middle, first, label, f"label ink {_accent(source)}", anchor="middle")

    def _middle(self, lane: int) -> float:
        following = self._lives[lane + 1] if lane + 1 < len(self._lives) else self._width - _MARGIN
        begin = self._lives[lane] + self._reach_of(lane, 1)
        return (begin + following - self._reach_of(lane + 1, -1)) / 2

    def _draw_key(self) -> None:
        x = self._lives[0] if self._lives else _MARGIN
        shown = key_of(self._story)
        if shown:
            self._y += 24
        for sign, word in shown:
            self._parts.append(f'<g transform="translate({_n(x)} {_n(self._y - 4)})">{sign}</g>')
            self._parts.append(f'<text class="key quiet" x="{_n(x + 16)}" y="{_n(self._y)}">{word}</text>')
            x += 16 + len(word) * 7.4 + 26

    def _draw_notes(self) -> None:
        self._y += 24 if self._story.notes else 0
        for note in self._story.notes:
            text = set_bold(note, self._width - 2 * _MARGIN, _KEY_SIZE, _KEY_LINE)
            self._put(_MARGIN, self._y, text, "key quiet")
            self._y += text.height

    def _put(self, x: float, y: float, text: Text, style: str, anchor: str = "start") -> None:
        """`text` from its first baseline down."""
        place = "" if anchor == "start" else f' text-anchor="{anchor}"'
        for number, line in enumerate(text.lines):
            if line:
                self._parts.append(
                    f'<text class="{style}" x="{_n(x)}" y="{_n(y + number * text.line_height)}"{place}>'
                    f"{to_xml(line)}</text>"
                )


_TEXT_CLASS = {
    Outcome.DONE: "call",
    Outcome.WAITED: "waited",
    Outcome.FAILED: "failed",
    Outcome.NOTE: "quiet note",
}


def _arrow_height(arrow: Arrow) -> float:
    return 22 + (_label_text(arrow.label).height - _LABEL_LINE if arrow.label else -10) + 6


def _accent(line: int) -> str:
    return f"a{accent_of(line)}"
