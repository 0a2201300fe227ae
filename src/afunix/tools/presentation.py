"""How `serve` shows what clients send: from the options to the framing of a collector, or the frame of a record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ..formats.jsonl import render_piece
from ..formats.label import Label, Sender
from ..formats.records import RecordFormat, frame
from ..model.framing import MAX_LINE_BYTES, LineRules, PieceEnd, PieceRules
from ..sinks.collector import Client, Collector, Framing
from ..sinks.framings import Lines, Pieces, Raw, Render, Terminal
from ..sinks.records import Frame, Records


@dataclass(frozen=True, slots=True)
class Presentation:
    """The options of DESIGN's STDOUT rules. At most one of `raw`, `json` and `label`; `null` is for records."""

    raw: bool = False
    json: bool = False
    label: Label | None = None
    null: bool = False
    escapes: bool = False
    max_line: int = MAX_LINE_BYTES

    @property
    def needs_sender(self) -> bool:
        return self.json or self.label is not None

    @property
    def record_format(self) -> RecordFormat:
        if self.null:
            return RecordFormat.NULL
        return RecordFormat.RAW if self.raw else RecordFormat.LINES


def stream_framing(
    wanted: Presentation,
    collector: Collector,
    *,
    splices: bool,
    on_open: Callable[[Client, int], None],
) -> Framing:
    """The framing of a collector of streams. `on_open(client, size)`: a line of that size left unfinished."""
    terminal = None
    if wanted.escapes:
        terminal = Terminal(collector.put_raw if wanted.raw else collector.put)
    inner: Lines | Raw | Pieces
    if wanted.raw:
        inner = Raw(collector.put_raw if terminal is None else terminal.put)
    elif wanted.needs_sender:
        inner = Pieces(
            PieceRules(wanted.max_line),
            _piece_renderer(wanted),
            _put_of(collector, terminal),
            on_open=on_open,
        )
    else:
        rules = LineRules(wanted.max_line, on_open=lambda line, size: _told(on_open, line, size))
        inner = Lines(rules, _put_of(collector, terminal))
    framing: Framing = inner if terminal is None else terminal.wrap(inner)
    framing.can_splice = framing.can_splice and splices
    return framing


def record_framing(wanted: Presentation, collector: Collector) -> Framing:
    """The framing of a collector of seqpacket connections."""
    return Records(
        record_frame(wanted), collector.put_raw, needs_sender=wanted.needs_sender, escapes=wanted.escapes
    )


def record_frame(wanted: Presentation) -> Frame:
    """One record, as it is written."""
    if wanted.needs_sender:
        render = _piece_renderer(wanted)
        return lambda sender, record, now: render(_known(sender), record, PieceEnd.RECORD, now)
    return lambda sender, record, now: frame(record, wanted.record_format)


def _put_of(collector: Collector, terminal: Terminal | None) -> Callable[[Client, bytes], None]:
    return collector.put if terminal is None else terminal.put


def _told(on_open: Callable[[Client, int], None], line: object, size: int) -> None:
    assert isinstance(line, Client)
    on_open(line, size)


def _piece_renderer(wanted: Presentation) -> Render:
    if wanted.label is None:
        return render_piece
    return partial(_render_labelled, wanted.label, RecordFormat.NULL if wanted.null else RecordFormat.LINES)


def _render_labelled(
    label: Label, ending: RecordFormat, sender: Sender, data: bytes, end: PieceEnd, now: float
) -> bytes:
    """Label, bytes, and what ends them: a record is framed as without a label, any other piece is a line."""
    ended = frame(data, ending) if end is PieceEnd.RECORD else data + b"\n"
    return label.render(sender, now) + ended


def _known(sender: Sender | None) -> Sender:
    return sender if sender is not None else Sender(None, None, None, None, None, None)
