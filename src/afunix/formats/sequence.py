"""A story as text for a terminal: life lines from top to bottom, calls beside them, arrows between. Pure.

Nothing is cut off: what is longer than its lane is wrapped, and where lanes are too narrow to read in, text runs
over the next life lines to the right, never to the left, where it would be read as another's. Where that leaves too
little room the story is a list (`formats.sequence_list`). Steps are drawn one by one as they are given; whoever made
the story joins those that are too many. `formats.sequence_svg` draws the same as a picture.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..model.escaping import escape
from ..model.sequence import Arrow, Step, Story, find_arrows, find_births, find_waits
from .canvas import Canvas, Line
from .columns import display_width
from .lanes import LEAST_LANE, LEAST_LAST, share
from .sequence_list import render_list
from .sequence_words import SIGNS, STYLE_OF, key_of, moments_of, note_lines, title_lines, words_of
from .tracks import find_leaving, find_side
from .wrapping import wrap

_READABLE = 24  # text with less room than this runs over the next life lines
_ROOMY = 30  # lanes are this wide if there is room
_TEXT = 2  # columns from a life line to its text; one more where an arrow leaves between them
_AROUND = 5  # columns of a lane that the label of an arrow leaves free
_HEAD = 2  # columns from a head's left side to its life line


def render(story: Story, *, width: int, times: bool) -> list[Line]:
    """The drawing, at most `width` columns wide, with `times` at the left; a list where life lines need more.

    The texts are escaped here once more, so that nothing in them is obeyed by a terminal.
    """
    if needed_width(story, times=times) > width:
        return render_list(story, width=width, times=times)
    return _Drawing(story, width, moments_of(story, times=times)).lines()


def needed_width(story: Story, *, times: bool) -> int:
    """From how many columns on the story is drawn with life lines."""
    gutter = max(map(display_width, moments_of(story, times=times)), default=0)
    return gutter + _HEAD + LEAST_LANE * (len(story.lifelines) - 1) + LEAST_LAST if story.lifelines else 0


class _Drawing:
    """One story on its canvas. `_leaving` counts the arrows on their way down beside a life line.

    `_begun` are the life lines that are there by now, `_waiting` those on which a call has not returned.
    """

    def __init__(self, story: Story, width: int, moments: list[str]) -> None:
        self._story = story
        self._moments = moments
        gutter = max(map(display_width, moments), default=0)
        left = gutter + _HEAD
        self._width = width
        self._arrows = find_arrows(story)
        self._departures = find_leaving(story)
        self._births = find_births(story)
        self._returns = find_waits(story)
        self._begun: set[int] = set()
        self._waiting: Counter[int] = Counter()
        lanes = share(self._needs(), width - left)
        self._columns = [left + sum(lanes[:line]) for line in range(len(lanes))]
        self._lanes = lanes
        self._gutter = gutter
        self._leaving: Counter[tuple[int, int]] = Counter()
        self._canvas = Canvas()

    def _needs(self) -> list[int]:
        """How wide each lane would have to be for its texts, the label of its arrows and its head."""
        story = self._story
        needs = [max(_ROOMY, 7 + max(map(display_width, words_of(line)))) for line in story.lifelines]
        for index, step in enumerate(story.steps):
            needs[step.line] = max(needs[step.line], _longest(step) + _TEXT + self._side_of(index) + 2)
        for arrow in (arrow for arrows in self._arrows.values() for arrow in arrows):
            lane = self._lane_of(arrow)
            needs[lane] = max(needs[lane], display_width(escape(arrow.label)) + _AROUND)
        return needs

    def _side_of(self, index: int) -> int:
        """1 where an arrow leaves this step to the right: its text begins one column later."""
        return int(1 in self._sides_of(index))

    def _sides_of(self, index: int) -> Counter[int]:
        """How many arrows turn down beside this step at each side: they arrive later."""
        return Counter(find_side(self._story, arrow) for arrow in self._departures.get(index, ()))

    def _lane_of(self, arrow: Arrow) -> int:
        """The lane for an arrow's label: the one beside the line that it comes from."""
        source, target = self._ends(arrow)
        return source - 1 if target < source else source

    def _ends(self, arrow: Arrow) -> tuple[int, int]:
        return self._story.steps[arrow.source].line, self._story.steps[arrow.target].line

    def lines(self) -> list[Line]:
        story = self._story
        late = {line for lines in self._births.values() for line in lines}
        if story.lifelines:
            self._draw_heads([line for line in range(len(story.lifelines)) if line not in late])
        for index, step in enumerate(story.steps):
            if index in self._births:
                self._draw_heads(self._births[index])
            for arrow in self._arrows.get(index, ()):
                self._draw_arrow(arrow)
            self._draw_step(index, step)
        if story.lifelines:
            self._draw_feet()
        return [*title_lines(story, self._width), *self._canvas.lines(), *note_lines(story, self._width)]

    def _draw_heads(self, lines: Sequence[int]) -> None:
        heads = {line: self._head(line) for line in lines}
        height = max((len(rows) for rows in heads.values()), default=0)
        for row in range(height + 2):
            self._add_row()
            for line, rows in heads.items():
                self._draw_head_row(self._columns[line] - _HEAD, rows, row - 1, height)
        self._begun.update(lines)
        self._add_row()

    def _head(self, line: int) -> list[tuple[str, str]]:
        room = max(6, self._lanes[line] - (2 if line == len(self._lanes) - 1 else 5))
        name, detail = words_of(self._story.lifelines[line])
        rows = [(text, "head") for text in wrap(name, room)]
        return rows + [(text, "detail") for text in wrap(detail, room) if detail]

    def _draw_head_row(self, left: int, rows: list[tuple[str, str]], row: int, height: int) -> None:
        inner = max(display_width(text) for text, _ in rows) + 2
        if row < 0:
            self._canvas.put(left, f"╭{'─' * inner}╮", "lifeline")
        elif row == height:
            self._canvas.put(left, f"╰─┬{'─' * (inner - 2)}╯", "lifeline")
        else:
            text, style = rows[row] if row < len(rows) else ("", "")
            self._canvas.put(left, f"│{' ' * inner}│", "lifeline")
            self._canvas.put(left + 2, text, style)

    def _add_row(self) -> None:
        """A new row with every life line on it, and beside them the arrows that have not turned off yet."""
        self._canvas.add_row()
        for line in self._begun:
            is_waiting = self._waiting[line] > 0
            self._canvas.put(
                self._columns[line], "┃" if is_waiting else "│", "waited" if is_waiting else "lifeline"
            )
        for line, side in +self._leaving:
            self._canvas.put(self._columns[line] + side, "╎", "arrow")

    def _draw_step(self, index: int, step: Step) -> None:
        self._leave(index, step)
        self._waiting[step.line] += index in self._returns
        style = STYLE_OF[step.outcome]
        column, room = self._place(step)
        rows = [(text, style) for text in wrap(escape(step.text), room, indent=2)]
        rows += [
            (f"▏ {text}", "inside") for line in step.inside for text in wrap(escape(line), room - 2, indent=2)
        ]
        for number, (text, its_style) in enumerate(rows):
            self._add_row()
            self._put_text(step.line, column, text, its_style)
            if not number:
                moment = self._moments[index]
                self._canvas.put(self._gutter - display_width(moment), moment, "time")
                self._canvas.put(self._columns[step.line], SIGNS[step.outcome], style)
                self._put_corner(index, step)
                self._waiting[step.line] -= list(self._returns.values()).count(index)

    def _place(self, step: Step) -> tuple[int, int]:
        """Where a step's text begins and the room there: in its lane, or over the lines to the right."""
        life = self._columns[step.line]
        begin = life + _TEXT + bool(self._leaving[step.line, 1])
        following = life + self._lanes[step.line]
        own = (following if step.line == len(self._lanes) - 1 else following - 2) - begin
        return begin, own if own >= min(_READABLE, _longest(step)) else self._width - begin

    def _put_text(self, line: int, column: int, text: str, style: str) -> None:
        """Text with a free cell at either side, so that a life line that it covers does not touch it."""
        end = column + display_width(text)
        for beside in (column - 1, end):
            if beside in self._columns and beside != self._columns[line]:
                self._canvas.put(beside, " ", "")
        self._canvas.put(column, text, style)

    def _leave(self, index: int, step: Step) -> None:
        """Turn down beside the life line if arrows begin here that are drawn later."""
        for side, count in self._sides_of(index).items():
            self._leaving[step.line, side] += count

    def _put_corner(self, index: int, step: Step) -> None:
        for side, count in self._sides_of(index).items():
            others = self._leaving[step.line, side] > count
            sign = ("├" if others else "╭") if side < 0 else ("┤" if others else "╮")
            self._canvas.put(self._columns[step.line] + side, sign, "arrow")

    def _draw_arrow(self, arrow: Arrow) -> None:
        source, target = self._ends(arrow)
        begins, room = self._label_room(arrow)
        *above, label = wrap(escape(arrow.label), room)
        for text in above:
            self._add_row()
            self._canvas.put(begins + (room - display_width(text)) // 2, text, "arrow")
        side = -1 if target < source else 1
        if arrow.source < arrow.target:
            self._leaving[source, side] -= 1
        self._add_row()
        others = self._leaving[source, side]
        begin, end = self._columns[source] + side, self._columns[target] - side
        corner = ("┤" if others else "╯") if side < 0 else ("├" if others else "╰")
        if source == target:
            self._canvas.put(begin, f"{corner}▸ {label}", "arrow")
            return
        self._canvas.put(min(begin, end), "─" * (abs(end - begin) + 1), "arrow")
        for crossed in range(min(source, target) + 1, max(source, target)):
            if crossed in self._begun:
                self._canvas.put(self._columns[crossed], "┼", "arrow")
        self._canvas.put(begin, corner, "arrow")
        self._canvas.put(end, "◀" if side < 0 else "▶", "arrow")
        if label:
            place = begins + (room - display_width(label)) // 2
            self._canvas.put(place - 1, f" {label} ", "arrow")

    def _label_room(self, arrow: Arrow) -> tuple[int, int]:
        """Where an arrow's label may begin, and its room: one lane, or all that the arrow crosses if it is long."""
        lanes = [self._lane_of(arrow)]
        source, target = sorted(self._ends(arrow))
        if display_width(escape(arrow.label)) > self._lanes[lanes[0]] - _AROUND and source != target:
            lanes = list(range(source, target))
        return self._columns[lanes[0]] + 3, sum(self._lanes[lane] for lane in lanes) - _AROUND

    def _draw_feet(self) -> None:
        self._canvas.add_row()
        for column in self._columns:
            self._canvas.put(column, "╵", "lifeline")
        key = key_of(self._story)
        if key:
            self._canvas.add_row()
            self._canvas.put(self._columns[0], key, "note")


def _longest(step: Step) -> int:
    """The cells of a step's longest line, were it not wrapped."""
    return max(
        display_width(escape(step.text)), *(2 + display_width(escape(text)) for text in ("", *step.inside))
    )
