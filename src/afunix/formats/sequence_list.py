"""A story as a list, for a terminal that is too narrow for life lines side by side: when, who, which call. Pure.

One step after another in order of time; who made a call stands before it or above it, so that nobody has to be found by
the column. Nothing is cut off, and no line is wider than it may be. `formats.sequence` decides when this is drawn.
"""

from __future__ import annotations

from ..model.escaping import escape
from ..model.sequence import Step, Story
from .canvas import Line
from .columns import display_width
from .sequence_words import SIGNS, STYLE_OF, key_of, moments_of, note_lines, title_lines, words_of
from .wrapping import wrap

_CALL = 32  # cells that a call has beside its name; where there are fewer it stands below
_GAP = "  "


def render_list(story: Story, *, width: int, times: bool) -> list[Line]:
    """The title, who takes part, the steps, the key and the notes: the lines, each at most `width` cells."""
    lines = title_lines(story, width)
    for lifeline in story.lifelines:
        name, detail = words_of(lifeline)
        if detail:
            lines += _styled([(name, "head"), (detail, "detail")], width)
    if lines[-1]:
        lines.append([])
    writer = _Steps(story, width, moments_of(story, times=times))
    for index, step in enumerate(story.steps):
        lines += writer.lines(index, step)
    key = key_of(story)
    lines += [[], *([(text, "note")] for text in wrap(key, width))] if key else []
    return lines + note_lines(story, width)


class _Steps:
    """The steps of one story; `_last` is what the head of the latest one said."""

    def __init__(self, story: Story, width: int, moments: list[str]) -> None:
        self._story = story
        self._width = width
        self._names = [words_of(line)[0] for line in story.lifelines]
        self._moments = moments
        self._gutter = max(map(display_width, moments), default=0)
        self._who = max(map(display_width, self._names), default=0)
        before = self._who + len(_GAP) + (self._gutter + len(_GAP) if self._gutter else 0)
        self._is_beside = width - before >= _CALL
        self._last: tuple[str, str] | None = None

    def lines(self, index: int, step: Step) -> list[Line]:
        name = self._names[step.line]
        if not self._is_beside:
            return [*self._head_above(self._moments[index], name), *self._body("", step)]
        before: Line = [(name, "head"), (" " * (self._who - display_width(name)) + _GAP, "")]
        if self._gutter:
            moment = self._moments[index]
            before = [
                (" " * (self._gutter - display_width(moment)), ""),
                (moment, "time"),
                (_GAP, ""),
                *before,
            ]
        indent = " " * sum(display_width(text) for text, _ in before)
        first, *others = self._body(indent, step)
        return [[*before, *first[1:]], *others]

    def _head_above(self, moment: str, name: str) -> list[Line]:
        """Once for steps of one line that have the same time."""
        if (moment, name) == self._last:
            return []
        self._last = moment, name
        return _styled([(moment, "time"), (name, "head")] if moment else [(name, "head")], self._width)

    def _body(self, indent: str, step: Step) -> list[Line]:
        """The call after its sign, what the kernel held, and where it led; each line begins with the span `indent`."""
        style = STYLE_OF[step.outcome]
        rows = [(f"{SIGNS[step.outcome]} ", escape(step.text), style)]
        rows += [("▏ ", escape(text), "inside") for text in step.inside]
        rows += [("→ ", text, "arrow") for text in self._led_to(step)]
        lines: list[Line] = []
        for sign, text, its in rows:
            for number, part in enumerate(
                wrap(text, max(1, self._width - len(indent) - len(sign)), indent=2)
            ):
                is_marked = not number or its == "inside"
                lines.append([(indent, ""), (sign if is_marked else " " * len(sign), its), (part, its)])
        return lines

    def _led_to(self, step: Step) -> list[str]:
        steps = self._story.steps
        found = [
            (self._names[steps[to].line], escape(label))
            for to, label in step.leads_to()
            if 0 <= to < len(steps) and steps[to] is not step
        ]
        return [f"{name}: {label}" if label else name for name, label in found]


def _styled(spans: Line, width: int) -> list[Line]:
    """The spans on one line if they fit, else under each other, wrapped."""
    line = [piece for span in spans for piece in ((_GAP, ""), span)][1:]
    if sum(display_width(text) for text, _ in line) <= width:
        return [line]
    return [[(part, style)] for text, style in spans for part in wrap(text, width)]
