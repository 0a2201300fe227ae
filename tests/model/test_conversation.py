"""How it ended, and whether anything was lost: facts become success or one error."""

from __future__ import annotations

import errno

import pytest

from afunix.model.conversation import Outcome, verdict
from afunix.model.errors import AfunixError, BrokenStreamError, LineTooLongError, OutputError, TimedOutError
from afunix.model.patience import Ending


def outcome(ending: Ending = Ending.ENDED, **facts: object) -> Outcome:
    return Outcome("/run/app.sock", ending, **{"limit_s": 2.0, **facts})  # type: ignore[arg-type]


GOOD = [
    outcome(sent=5, source_ended=True),
    outcome(sent=5, source_ended=False),  # the server left, and STDIN had nothing to say
    outcome(Ending.IDLE, has_end=False, source_ended=True),  # the silence that ends datagrams
]


@pytest.mark.parametrize("good", GOOD)
def test_nothing_lost_is_nothing_to_say(good: Outcome) -> None:
    assert verdict(good) is None


@pytest.mark.parametrize(
    ("bad", "kind", "message"),
    [
        (
            outcome(Ending.OUTPUT, unwritten=7, output_errno=errno.ENOSPC, receive_errno=errno.ECONNRESET),
            OutputError,
            "STDOUT takes no more (ENOSPC); 7 bytes received and not written",
        ),
        (
            outcome(Ending.OUTPUT, unwritten=1),
            OutputError,
            "the reader of STDOUT is gone (EPIPE); 1 byte received and not written",
        ),
        (outcome(source_errno=errno.EISDIR), AfunixError, "STDIN cannot be read (EISDIR)"),
        (
            outcome(too_long=300_000, max_record=212_960),
            LineTooLongError,
            "a record of 300000 bytes or more is too long for '/run/app.sock': it may have 212960 (EMSGSIZE)",
        ),
        (
            outcome(receive_errno=errno.ECONNRESET, sent=10),
            BrokenStreamError,
            "'/run/app.sock' closed the connection without reading all that was sent (ECONNRESET);"
            " 10 bytes sent",
        ),
        (
            outcome(send_errno=errno.EPIPE, sent=10, held=3, waiting=4),
            BrokenStreamError,
            "'/run/app.sock' stopped reading (EPIPE); 10 bytes sent, at least 7 bytes not sent",
        ),
        (
            outcome(send_errno=errno.ECONNREFUSED, held=3),
            BrokenStreamError,
            "the connection to '/run/app.sock' broke (ECONNREFUSED); 0 bytes sent, at least 3 bytes not sent",
        ),
        (
            outcome(waiting=3),
            BrokenStreamError,
            "'/run/app.sock' closed the connection before the end of STDIN; 0 bytes sent,"
            " at least 3 bytes not sent",
        ),
        (
            outcome(Ending.IDLE, held=3, sent=1),
            BrokenStreamError,
            "timed out: '/run/app.sock' read nothing for 2 s; 1 byte sent, at least 3 bytes not sent",
        ),
        (
            outcome(Ending.WHOLE, waiting=3, sent=1),
            BrokenStreamError,
            "timed out after 2 s, before the end of STDIN; 1 byte sent, at least 3 bytes not sent",
        ),
        (outcome(Ending.WHOLE), TimedOutError, "timed out after 2 s: '/run/app.sock' had not ended"),
        (outcome(Ending.IDLE), TimedOutError, "timed out: '/run/app.sock' and STDIN were silent for 2 s"),
        (
            outcome(Ending.WHOLE, unwritten=9),
            TimedOutError,
            "timed out after 2 s: nobody reads STDOUT, 9 bytes not written",
        ),
        (
            outcome(Ending.IDLE, has_end=False),
            TimedOutError,
            "timed out: '/run/app.sock' and STDIN were silent for 2 s",
        ),
    ],
)
def test_what_was_lost_is_said(bad: Outcome, kind: type[AfunixError], message: str) -> None:
    error = verdict(bad)
    assert (type(error), str(error)) == (kind, message)


def test_error_carries_the_numbers() -> None:
    broken = verdict(outcome(receive_errno=errno.ECONNRESET, sent=10))
    assert isinstance(broken, BrokenStreamError)
    assert (broken.bytes_sent, broken.errno) == (10, errno.ECONNRESET)
    lost = verdict(outcome(Ending.OUTPUT, unwritten=7))
    assert isinstance(lost, OutputError)
    assert (lost.bytes_lost, lost.errno) == (7, errno.EPIPE)
