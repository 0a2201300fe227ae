"""A story as a picture: one SVG that needs nothing else, light or dark as the reader's system is. Pure.

Every row of the drawing is a step or an arrow and has its height to itself, and every lane is as wide as its
texts: so nothing overlaps, whichever monospace font the reader has. Outcomes differ in form and not only in
colour. Text is escaped twice: `model.escaping` for what is no XML at all (control characters), then for XML.
`formats.sequence` draws the same for a terminal.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..model.sequence import Arrow, Lifeline, Outcome, Step, Story, find_arrows
from .columns import display_width
from .sequence import format_moment
from .sequence_style import ACCENTS, style_sheet
from .svg_text import Text, set_bold, set_mono, to_xml

_MARGIN = 40
_CELL, _LINE = 8.1, 20  # of the calls' 13 px: no common monospace font is wider than 0.62 em
_SMALL_CELL, _SMALL_LINE = 7.2, 18  # of 11.5 px: times, what the kernel holds, details
_LABEL_CELL, _LABEL_LINE = 7.5, 17  # of an arrow's 12 px
_NAME_SIZE, _NAME_LINE = 14, 20
_TITLE_SIZE, _TITLE_LINE = 20, 28
_TEXT = 32  # from a life line to its text
_TRACKS = (10, 16, 22)  # from a life line to the arrows that go down beside it, side by side
_GAP = 34  # between the end of the longest text and the next life line
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
        self._lives, self._width = self._place_lives()
        self._tracks = _lay_tracks(story)
        self._behind: list[str] = []
        self._paths: list[str] = []
        self._parts: list[str] = []
        self._begins: dict[int, float] = {}
        self._y: float = 0

    def _place_lives(self) -> tuple[list[float], float]:
        """Where each life line is, and how wide the picture has to be."""
        lanes = self._lanes()
        moments = max((display_width(moment) for moment in self._moments), default=0) * _SMALL_CELL
        first = _MARGIN + max(self._heads[0].width / 2 if self._heads else 0, moments + 30 if moments else 0)
        lives = [first + sum(lanes[:line]) for line in range(len(lanes))]
        right = max([lives[-1] + self._heads[-1].width / 2, lives[-1] + lanes[-1] - _GAP] if lives else [0])
        return lives, float(round(max(right + _MARGIN, 480)))

    def _lanes(self) -> list[float]:
        """How wide each lane has to be for its texts, its arrows' labels and the heads at its ends."""
        lanes = [float(_NARROWEST) for _ in self._heads]
        for step in self._story.steps:
            widths = self._call_text(step).width + 12, self._inside_text(step).width + 28
            lanes[step.line] = max(lanes[step.line], _TEXT + max(widths) + _GAP)
        for arrow in (arrow for arrows in self._arrows.values() for arrow in arrows):
            lane = self._lane_of(arrow)
            lanes[lane] = max(lanes[lane], _label_text(arrow.label).width + 2 * _TRACKS[-1] + 40)
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
        top = self._draw_heads()
        for index, step in enumerate(self._story.steps):
            self._begins[index] = self._height_before(index) + self._y
            for arrow in self._arrows.get(index, ()):
                self._draw_arrow(arrow)
            self._draw_step(index, step)
        self._draw_lives(top)
        self._draw_key()
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
                f"<desc>{to_xml(_describe(self._story))}</desc>",
                f"<style>{style_sheet()}</style>",
                frame,
                *self._behind,
                *self._paths,
                *self._parts,
                "</svg>\n",
            )
        )

    def _draw_title(self) -> None:
        title = set_bold(self._story.title, self._width - 2 * _MARGIN, _TITLE_SIZE, _TITLE_LINE)
        self._put(_MARGIN, _MARGIN + 16, title, "title")
        self._y = _MARGIN + title.height + 20

    def _draw_heads(self) -> float:
        """The boxes, which end at one height; where the life lines begin."""
        height = max((head.height for head in self._heads), default=0)
        for line, (head, x) in enumerate(zip(self._heads, self._lives, strict=True)):
            self._parts.append(
                f'<rect class="head {_accent(line)}" x="{_n(x - head.width / 2)}" y="{_n(self._y)}"'
                f' width="{_n(head.width)}" height="{_n(height)}" rx="10"/>'
            )
            first = self._y + (height - head.name.height - head.detail.height) / 2
            self._put(x, first + 15, head.name, "name", anchor="middle")
            self._put(x, first + head.name.height + 12, head.detail, "quiet small", anchor="middle")
        self._y += height
        top = self._y
        self._y += 18
        return top

    def _draw_lives(self, top: float) -> None:
        self._y += 14
        for x in self._lives:
            self._behind.append(f'<path class="line" d="M{_n(x)} {_n(top)}V{_n(self._y)}m-7 0h14"/>')
        self._y += 4

    def _draw_step(self, index: int, step: Step) -> None:
        x, y = self._lives[step.line], self._begins[index]
        text = self._call_text(step)
        if self._moments:
            self._draw_moment(self._moments[index], x, y)
        if step.outcome in (Outcome.WAITED, Outcome.FAILED):
            kind = step.outcome.value
            self._parts.append(
                f'<rect class="{kind}-tint {kind}-edge" x="{_n(x + _TEXT - 8)}" y="{_n(y - _LINE / 2 - 3)}"'
                f' width="{_n(text.width + 16)}" height="{_n(text.height + 6)}" rx="7"/>'
            )
        self._put(x + _TEXT, y + 4.5, text, _TEXT_CLASS[step.outcome])
        self._draw_sign(step.outcome, step.line, x, y)
        self._y = y - _LINE / 2 + text.height + 7
        if step.inside:
            self._draw_inside(x + _TEXT - 8, step)

    def _draw_moment(self, moment: str, x: float, y: float) -> None:
        right = self._lives[0] - 30
        self._put(right, y + 4, Text((moment,), _SMALL_LINE, 0), "quiet small", anchor="end")
        if x > self._lives[0]:
            self._behind.append(f'<path class="rule" d="M{_n(right + 10)} {_n(y)}H{_n(x)}"/>')

    def _draw_sign(self, outcome: Outcome, line: int, x: float, y: float) -> None:
        shape = {
            Outcome.DONE: f'<circle class="dot {_accent(line)}" cx="{_n(x)}" cy="{_n(y)}" r="5"/>',
            Outcome.WAITED: _sign("waited", x, y, "m0 -3.6v3.6l2.6 1.8"),
            Outcome.FAILED: _sign("failed", x, y, "m-2.8 -2.8l5.6 5.6m0 -5.6l-5.6 5.6"),
            Outcome.NOTE: f'<path class="page note-edge" d="M{_n(x)} {_n(y - 6)}l6 6l-6 6l-6 -6z"/>',
        }
        self._parts.append(shape[outcome])

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
            end = x + _TRACKS[-1] + 26
        track = x + side * self._tracks.get(arrow.source, _TRACKS[0])
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
            middle = self._middle(self._lane_of(arrow), source, side)
            if source == target:
                middle = x + _TRACKS[-1] + 16 + label.width / 2
            first = y - 8 - (len(label.lines) - 1) * _LABEL_LINE
            self._put(middle, first, label, f"label ink {_accent(source)}", anchor="middle")

    def _middle(self, lane: int, source: int, side: int) -> float:
        following = self._lives[lane + 1] if lane + 1 < len(self._lives) else self._width - _MARGIN
        shift = _TRACKS[0] / 2 * (-1 if source == lane + 1 and side < 0 else 1)
        return (self._lives[lane] + following) / 2 + shift

    def _draw_key(self) -> None:
        met = {step.outcome for step in self._story.steps}
        entries = [
            (_sign("waited", 0, 0, "m0 -3.6v3.6l2.6 1.8"), "waited", Outcome.WAITED in met),
            (_sign("failed", 0, 0, "m-2.8 -2.8l5.6 5.6m0 -5.6l-5.6 5.6"), "failed", Outcome.FAILED in met),
            (_PANEL, "what the kernel holds", any(step.inside for step in self._story.steps)),
        ]
        x = self._lives[0] if self._lives else _MARGIN
        shown = [(sign, word) for sign, word, is_met in entries if is_met]
        if shown:
            self._y += 24
        for sign, word in shown:
            self._parts.append(f'<g transform="translate({_n(x)} {_n(self._y - 4)})">{sign}</g>')
            self._parts.append(f'<text class="key quiet" x="{_n(x + 16)}" y="{_n(self._y)}">{word}</text>')
            x += 16 + len(word) * 7.4 + 26

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
_PANEL = '<rect class="inside-tint" x="-8" y="-6" width="16" height="12" rx="3"/><rect class="inside-bar" x="-8" y="-6" width="3" height="12" rx="1.5"/>'  # noqa: E501


def _lay_tracks(story: Story) -> dict[int, int]:
    """How far from its life line each arrow goes down, by its step: those at the same time not on each other.

    What leaves later is further inside: then none has to cross another that came from the same line.
    """
    chosen: dict[int, int] = {}
    for index in reversed(range(len(story.steps))):
        step = story.steps[index]
        if step.to is None or not index < step.to < len(story.steps):
            continue
        side = story.steps[step.to].line < step.line
        beside = [
            chosen[other]
            for other in range(index + 1, step.to)
            if other in chosen
            and story.steps[other].line == step.line
            and (story.steps[story.steps[other].to or 0].line < step.line) == side
        ]
        chosen[index] = next((track for track in _TRACKS if track > max(beside, default=0)), _TRACKS[-1])
    return chosen


def _arrow_height(arrow: Arrow) -> float:
    return 22 + (_label_text(arrow.label).height - _LABEL_LINE if arrow.label else -10) + 6


def _sign(kind: str, x: float, y: float, drawing: str) -> str:
    """A round sign that is told apart by what is drawn in it."""
    return (
        f'<circle class="page" cx="{_n(x)}" cy="{_n(y)}" r="9"/>'
        f'<circle class="{kind}-tint" cx="{_n(x)}" cy="{_n(y)}" r="7"/>'
        f'<path class="sign {kind}-sign" d="M{_n(x - 7)} {_n(y)}a7 7 0 1 0 14 0a7 7 0 1 0 -14 0'
        f'M{_n(x)} {_n(y)}{drawing}"/>'
    )


def _describe(story: Story) -> str:
    """The story in words, for who cannot see it."""
    lines = []
    for step in story.steps:
        words = [f"{story.lifelines[step.line].name}: {step.text}"]
        if step.outcome in (Outcome.WAITED, Outcome.FAILED):
            words.append(step.outcome.value)
        if step.to is not None and 0 <= step.to < len(story.steps):
            other = story.lifelines[story.steps[step.to].line].name
            words.append(f"{step.arrow} to {other}" if step.arrow else f"to {other}")
        words += step.inside
        lines.append("; ".join(words))
    return ". ".join(lines)


def _accent(line: int) -> str:
    return f"a{line % len(ACCENTS)}"


def _n(value: float) -> str:
    """A coordinate, with no more digits than can be seen."""
    return f"{value:.1f}".removesuffix(".0")
