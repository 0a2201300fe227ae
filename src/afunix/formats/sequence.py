"""A story as text for a terminal: life lines from top to bottom, calls beside them, arrows between. Pure.

Nothing is cut off: what is longer than its lane is wrapped, and where lanes are too narrow to read in, text runs
over the next life lines. What happened is told by a sign as well as by a style word, so it can be read without
colour. Steps are drawn one by one as they are given; whoever made the story joins those that are too many.
`formats.sequence_svg` draws the same as a picture. What a style word looks like is `cli.demo`'s.
"""

from __future__ import annotations

from collections import Counter

from ..model.escaping import escape
from ..model.sequence import Arrow, Lifeline, Outcome, Step, Story, find_arrows
from .canvas import Canvas, Line
from .columns import display_width
from .wrapping import wrap

STYLES = (
    "",  # space between, and nothing to say about it
    "title",
    "head",  # the name of a life line
    "detail",  # who it is, below the name
    "lifeline",  # the lines and the boxes
    "call",
    "waited",  # a call that had to wait: its sign and text
    "failed",  # a call that failed: its sign and text
    "note",  # no call; also the key below the drawing
    "arrow",  # with its label
    "inside",  # what the kernel holds
    "time",
)
"""Every style word that a span can have."""

SIGNS = {Outcome.DONE: "●", Outcome.WAITED: "○", Outcome.FAILED: "✗", Outcome.NOTE: "◇"}
KEY = {Outcome.WAITED: "waited", Outcome.FAILED: "failed"}
"""What is said below a drawing in which such a call occurs."""

_STYLE_OF = {
    Outcome.DONE: "call",
    Outcome.WAITED: "waited",
    Outcome.FAILED: "failed",
    Outcome.NOTE: "note",
}
_LANE = 15  # a lane is not made narrower, and the last one not below 10: rather is the drawing wider
_END = 10
_READABLE = 24  # text with less room than this runs over the next life lines
_ROOMY = 30  # lanes are this wide if there is room
_LAST = 35  # the last lane's share where lanes are narrow: nothing is right of it to run over
_TEXT = 2  # columns from a life line to its text; one more where an arrow leaves between them
_AROUND = 5  # columns of a lane that the label of an arrow leaves free
_HEAD = 2  # columns from a head's left side to its life line


def format_moment(seconds: float) -> str:
    """`+120 µs`, `+1.3 ms`, `+2.31 s`: how long after the beginning, in eight characters at most up to a day."""
    if seconds < 0.0009995:
        return f"+{seconds * 1e6:.0f} µs"
    if seconds < 0.9995:
        milliseconds = seconds * 1e3
        return f"+{milliseconds:.{1 if milliseconds < 99.95 else 0}f} ms"
    return f"+{seconds:.{2 if seconds < 99.995 else 0}f} s"


def render(story: Story, *, width: int, times: bool) -> list[Line]:
    """The drawing, at most `width` columns wide where that leaves 15 for each life line; `times` at the left.

    The texts are escaped here once more, so that nothing in them is obeyed by a terminal.
    """
    return _Drawing(story, width, times).lines()


class _Drawing:
    """One story on its canvas. `_leaving` counts the arrows on their way down beside a life line."""

    def __init__(self, story: Story, width: int, times: bool) -> None:
        self._story = story
        self._moments = [format_moment(step.at) if times else "" for step in story.steps]
        gutter = max(map(len, self._moments), default=0)
        left = gutter + _HEAD
        self._width = max(width, left + _LANE * (len(story.lifelines) - 1) + _END)
        self._arrows = find_arrows(story)
        lanes = _share(self._needs(), self._width - left)
        self._columns = [left + sum(lanes[:line]) for line in range(len(lanes))]
        self._lanes = lanes
        self._gutter = gutter
        self._leaving: Counter[tuple[int, int]] = Counter()
        self._canvas = Canvas()

    def _needs(self) -> list[int]:
        """How wide each lane would have to be for its texts, the label of its arrows and its head."""
        story = self._story
        needs = [max(_ROOMY, 7 + max(map(display_width, _words(line)))) for line in story.lifelines]
        for index, step in enumerate(story.steps):
            needs[step.line] = max(needs[step.line], _longest(step) + _TEXT + self._side_of(index) + 1)
        for arrow in (arrow for arrows in self._arrows.values() for arrow in arrows):
            lane = self._lane_of(arrow)
            needs[lane] = max(needs[lane], display_width(escape(arrow.label)) + _AROUND)
        return needs

    def _side_of(self, index: int) -> int:
        """1 where an arrow leaves this step to the right: its text begins one column later."""
        step = self._story.steps[index]
        return int(
            step.to is not None and self._leads_down(index) and self._story.steps[step.to].line >= step.line
        )

    def _leads_down(self, index: int) -> bool:
        to = self._story.steps[index].to
        return to is not None and index < to < len(self._story.steps)

    def _lane_of(self, arrow: Arrow) -> int:
        """The lane for an arrow's label: the one beside the line that it comes from."""
        source, target = self._ends(arrow)
        return source - 1 if target < source else source

    def _ends(self, arrow: Arrow) -> tuple[int, int]:
        return self._story.steps[arrow.source].line, self._story.steps[arrow.target].line

    def lines(self) -> list[Line]:
        for text in wrap(escape(self._story.title), self._width):
            self._canvas.add_row()
            self._canvas.put(0, text, "title")
        self._canvas.add_row()
        if self._story.lifelines:
            self._draw_heads()
        for index, step in enumerate(self._story.steps):
            for arrow in self._arrows.get(index, ()):
                self._draw_arrow(arrow)
            self._draw_step(index, step)
        if self._story.lifelines:
            self._draw_feet()
        return self._canvas.lines()

    def _draw_heads(self) -> None:
        heads = [self._head(line) for line in range(len(self._story.lifelines))]
        height = max(len(rows) for rows in heads)
        for row in range(height + 2):
            self._canvas.add_row()
            for column, rows in zip(self._columns, heads, strict=True):
                self._draw_head_row(column - _HEAD, rows, row - 1, height)
        self._add_row()

    def _head(self, line: int) -> list[tuple[str, str]]:
        room = max(6, self._lanes[line] - (2 if line == len(self._lanes) - 1 else 5))
        name, detail = _words(self._story.lifelines[line])
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
        for column in self._columns:
            self._canvas.put(column, "│", "lifeline")
        for line, side in +self._leaving:
            self._canvas.put(self._columns[line] + side, "╎", "arrow")

    def _draw_step(self, index: int, step: Step) -> None:
        self._leave(index, step)
        style = _STYLE_OF[step.outcome]
        column, room = self._place(step)
        rows = _aligned(wrap(escape(step.text), abs(room), indent=2), style, column, room)
        inside = [f"▏ {text}" for line in step.inside for text in wrap(escape(line), abs(room) - 2, indent=2)]
        rows += _aligned(inside, "inside", column, room)
        for number, (place, text, its_style) in enumerate(rows):
            self._add_row()
            self._put_text(step.line, place, text, its_style)
            if not number:
                self._canvas.put(0, self._moments[index].rjust(self._gutter), "time")
                self._canvas.put(self._columns[step.line], SIGNS[step.outcome], style)
                self._put_corner(index, step)

    def _place(self, step: Step) -> tuple[int, int]:
        """Where a step's text begins and the room there: in its lane, or over the lines at the wider side.

        A negative room is one to the left: where the text ends, and how far it may reach.
        """
        life = self._columns[step.line]
        begin = life + _TEXT + bool(self._leaving[step.line, 1])
        following = life + self._lanes[step.line]
        enough = min(_READABLE, _longest(step))
        own = (following if step.line == len(self._lanes) - 1 else following - 1) - begin
        right = self._width - begin
        left = life - _TEXT - (self._columns[0] + _TEXT)
        if own >= enough:
            return begin, own
        if right >= enough or right >= left:
            return begin, right
        return life - _TEXT, -left

    def _put_text(self, line: int, column: int, text: str, style: str) -> None:
        """Text with a free cell at either side, so that a life line that it covers does not touch it."""
        end = column + display_width(text)
        for beside in (column - 1, end):
            if beside in self._columns and beside != self._columns[line]:
                self._canvas.put(beside, " ", "")
        self._canvas.put(column, text, style)

    def _leave(self, index: int, step: Step) -> None:
        """Turn down beside the life line if an arrow begins here that is drawn later."""
        if self._leads_down(index):
            self._leaving[step.line, 1 if self._side_of(index) else -1] += 1

    def _put_corner(self, index: int, step: Step) -> None:
        if self._leads_down(index):
            side = 1 if self._side_of(index) else -1
            others = self._leaving[step.line, side] > 1
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
        met = {step.outcome for step in self._story.steps}
        key = "   ".join(f"{SIGNS[outcome]} {word}" for outcome, word in KEY.items() if outcome in met)
        if key:
            self._canvas.add_row()
            self._canvas.put(self._columns[0], key, "note")


def _words(line: Lifeline) -> tuple[str, str]:
    return escape(line.name), escape(line.detail)


def _longest(step: Step) -> int:
    """The cells of a step's longest line, were it not wrapped."""
    return max(
        display_width(escape(step.text)), *(2 + display_width(escape(text)) for text in ("", *step.inside))
    )


def _aligned(texts: list[str], style: str, column: int, room: int) -> list[tuple[int, str, str]]:
    """Where each row of a text begins, all at the same column: `column`, or so that the longest ends before it."""
    begin = column if room >= 0 else column - max(map(display_width, texts), default=0)
    return [(begin, text, style) for text in texts]


def _share(needs: list[int], total: int) -> list[int]:
    """What each lane gets of `total`: what it needs; where that is too much the greatest needs are cut equally."""
    if sum(needs) > total and len(needs) > 1:
        equal = total // len(needs)
        left_over = min(_LAST, total - _LANE * (len(needs) - 1))
        last = min(needs[-1], max(left_over, equal if equal >= _READABLE else _END))
        return [*_cut(needs[:-1], total - last), last]
    return _cut(needs, total)


def _cut(needs: list[int], total: int) -> list[int]:
    shares = [0] * len(needs)
    for left, position in enumerate(sorted(range(len(needs)), key=needs.__getitem__)):
        shares[position] = min(needs[position], (total - sum(shares)) // (len(needs) - left))
    return shares
