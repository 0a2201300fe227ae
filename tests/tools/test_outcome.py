"""What is known at the end of a conversation: bytes are counted where they were last seen, errors by their number."""

from __future__ import annotations

import errno
from typing import Any

from afunix.blocking.conversation import Conversation
from afunix.model.conversation import Outcome
from afunix.model.patience import Ending
from afunix.tools.outcome import outcome_of


class FakePump:
    """One direction as it stands at the end."""

    def __init__(self, **facts: Any) -> None:
        self.held = facts.get("held", 0)
        self.source_ended = facts.get("source_ended", False)
        self.source_error: OSError | None = facts.get("source_error")
        self.sink_error: OSError | None = facts.get("sink_error")
        self.too_long = facts.get("too_long", 0)
        self.max_record_bytes = 0


class FakeEnd:
    """A channel, a source or an output with so many bytes in it."""

    bytes_sent = 7

    def __init__(self, count: int) -> None:
        self._count = count

    def queued(self) -> int:
        return self._count

    stranded = queued


def facts(
    inward: FakePump | None = None,
    outward: FakePump | None = None,
    ending: Ending = Ending.ENDED,
    *,
    has_output: bool = True,
) -> Outcome:
    """Of a conversation with 3 bytes left in the channel, 10 in STDIN and 100 on their way to STDOUT."""
    ends: dict[str, Any] = {"source": FakeEnd(10), "output": FakeEnd(100) if has_output else None}
    conversation: Any = object.__new__(Conversation)
    conversation.__dict__.update(
        ends, channel=FakeEnd(3), inward=inward or FakePump(), outward=outward, has_end=True
    )
    return outcome_of(conversation, ending, name="./s", limit_s=2.0)


def test_what_is_sent_and_how_it_ended_is_taken_over() -> None:
    known = facts(ending=Ending.IDLE)
    assert (known.name, known.ending, known.sent, known.has_end, known.limit_s) == (
        "./s",
        Ending.IDLE,
        7,
        True,
        2.0,
    )


def test_what_stdin_still_has_waits_to_be_sent() -> None:
    known = facts(outward=FakePump(held=5))
    assert (known.held, known.waiting, known.source_ended) == (5, 10, False)


def test_nothing_waits_where_stdin_has_ended_failed_or_is_not_sent() -> None:
    failed = OSError(errno.EIO, "")
    over = [FakePump(source_ended=True), FakePump(source_error=failed), None]
    assert [facts(outward=outward).waiting for outward in over] == [0, 0, 0]


def test_bytes_on_their_way_to_stdout_are_unwritten() -> None:
    assert facts(FakePump(held=1)).unwritten == 101


def test_what_the_socket_holds_is_unwritten_too_once_stdout_failed() -> None:
    assert facts(FakePump(held=1), ending=Ending.OUTPUT).unwritten == 104


def test_without_an_output_nothing_is_unwritten() -> None:
    assert facts(FakePump(held=1), ending=Ending.OUTPUT, has_output=False).unwritten == 0


def test_each_error_is_known_by_its_place() -> None:
    def error(number: int) -> OSError:
        return OSError(number, "")

    inward = FakePump(source_error=error(errno.ECONNRESET), sink_error=error(errno.ENOSPC))
    outward = FakePump(source_error=error(errno.EISDIR), sink_error=error(errno.EPIPE), too_long=9)
    known = facts(inward, outward)
    assert (known.receive_errno, known.output_errno) == (errno.ECONNRESET, errno.ENOSPC)
    assert (known.source_errno, known.send_errno, known.too_long) == (errno.EISDIR, errno.EPIPE, 9)
