"""The buffer and the thread of a recording: nothing waits for them, and what is not kept is counted and told."""

from __future__ import annotations

import errno
import threading

import pytest
from tests.captures import C, S, conversation, opened
from tests.program import PATIENCE_S

from afunix.model.errors import OutputError
from afunix.model.tapped import Over, Said, TapEvent
from afunix.sinks.recording import Recorded, Recording


class Shelf:
    """A Keeper in memory, which a test can hold up (`may_go_on`) or make fail (`failure`)."""

    name = "shelf"

    def __init__(self) -> None:
        self.kept_messages = 0
        self.kept_bytes = 0
        self.events: list[TapEvent] = []
        self.batches: list[int] = []
        self.missing: list[Said] = []
        self.failure: OSError | None = None
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.is_keeping = threading.Event()
        self.is_closed = False

    def prepare(self, event: TapEvent) -> tuple[TapEvent, int]:
        return event, len(event.data) if isinstance(event, Said) else 0

    def missed(self, event: Said) -> None:
        self.missing.append(event)

    def keep(self, pieces: list[TapEvent]) -> None:
        if pieces:
            self.is_keeping.set()
            self.may_go_on.wait()
            self.batches.append(len(pieces))
        for event in pieces:
            if self.failure is not None:
                raise self.failure
            self.events.append(event)
            if isinstance(event, Said):
                self.kept_messages += 1
                self.kept_bytes += len(event.data)

    def wrap_up(self) -> None:
        pass

    def give_up(self) -> None:
        self.may_go_on.set()

    def close(self) -> None:
        self.is_closed = True


def record(recording: Recording[TapEvent], *events: TapEvent) -> None:
    for event in events:
        recording.record(event)


def test_everything_is_kept_in_its_order() -> None:
    shelf, events = Shelf(), conversation((C, b"ping"), (S, b"pong!"))
    recording = Recording(shelf)
    record(recording, *events)
    assert recording.close() == Recorded(2, 9, 0, 0, None)
    assert (shelf.events, shelf.is_closed) == (events, True)
    assert recording.close().is_complete


def test_what_comes_after_a_pause_is_kept_at_once() -> None:
    shelf = Shelf()
    recording = Recording(shelf)
    try:
        record(recording, opened())
        assert shelf.is_keeping.wait(PATIENCE_S)
    finally:
        recording.close()


def test_many_small_ones_are_written_together() -> None:
    shelf = Shelf()
    recording = Recording(shelf)
    record(recording, *(Said(1, 1.0, C, b"x") for _ in range(5000)))
    recording.close()
    assert (sum(shelf.batches), len(shelf.batches) < 500) == (5000, True)


def test_what_does_not_fit_is_counted_and_the_rest_goes_on() -> None:
    shelf, troubles = Shelf(), list[OutputError]()
    shelf.may_go_on.clear()
    recording = Recording(shelf, max_held_bytes=2000, on_trouble=troubles.append)
    long = Said(1, 1.0, C, b"x" * 1500)
    record(recording, opened(), long, long, long, Over(1, 2.0))
    shelf.may_go_on.set()
    recorded = recording.close()
    assert (recorded.messages, recorded.lost_messages, recorded.lost_bytes) == (1, 2, 3000)
    assert [error.errno for error in troubles] == [errno.ENOBUFS]
    assert "'shelf' is too slow" in str(troubles[0])
    assert (shelf.missing, shelf.events) == ([long, long], [opened(), long, Over(1, 2.0)])
    assert not recorded.is_complete


def test_what_is_written_makes_room() -> None:
    recording = Recording(Shelf())
    record(recording, *conversation((C, b"x" * 3_000_000), (S, b"y")))
    assert recording.close().is_complete
    assert recording._held == 0


def test_memory_is_bounded_for_ends_and_openings_too() -> None:
    shelf = Shelf()
    shelf.may_go_on.clear()
    recording = Recording(shelf, max_held_bytes=64_000)
    record(recording, *(opened(number) for number in range(5000)))
    shelf.may_go_on.set()
    recording.close()
    assert len(shelf.events) == 64_000 * 9 // 8 // 64


def test_full_disk_ends_it_once_and_counts_all_that_follows() -> None:
    shelf, told = Shelf(), threading.Event()
    troubles: list[OutputError] = []

    def tell(error: OutputError) -> None:
        troubles.append(error)
        told.set()

    shelf.failure = OSError(errno.ENOSPC, "No space left on device")
    recording = Recording(shelf, on_trouble=tell)
    record(recording, Said(1, 1.0, C, b"abc"))
    assert told.wait(PATIENCE_S)
    record(recording, Said(1, 1.0, C, b"de"))
    recorded = recording.close()
    assert recorded == Recorded(0, 0, 2, 5, troubles[0])
    assert str(troubles[0]) == "recording 'shelf' stopped: no space left on device (ENOSPC)"
    assert (len(troubles), shelf.is_closed) == (1, True)


def test_reader_that_went_away_is_said_as_such() -> None:
    shelf = Shelf()
    shelf.failure = BrokenPipeError(errno.EPIPE, "Broken pipe")
    recording = Recording(shelf)
    record(recording, opened())
    assert str(recording.close().trouble) == "nobody reads the recording 'shelf' any more (EPIPE)"


def test_failure_to_close_is_a_trouble() -> None:
    shelf = Shelf()

    def fail() -> None:
        raise OSError(errno.EIO, "Input/output error")

    shelf.close = fail  # type: ignore[method-assign]
    trouble = Recording(shelf).close().trouble
    assert trouble is not None
    assert trouble.errno == errno.EIO


@pytest.mark.parametrize("is_stuck", [False, True])
def test_end_does_not_wait_for_ever(is_stuck: bool) -> None:
    shelf = Shelf()
    shelf.may_go_on.clear()
    if is_stuck:
        shelf.give_up = lambda: None  # type: ignore[method-assign]
    recording = Recording(shelf)
    record(recording, Said(1, 1.0, C, b"abc"))
    assert shelf.is_keeping.wait(PATIENCE_S)
    record(recording, Said(1, 1.0, C, b"de"))
    recorded = recording.close(timeout_s=0.01)
    assert (recorded.lost_messages, recorded.lost_bytes) == ((2, 5) if is_stuck else (1, 2))
    shelf.may_go_on.set()
    recording._thread.join(PATIENCE_S)
