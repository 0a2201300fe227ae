"""Reports through the pipe: every kind of call there and back, and nothing but these."""

from __future__ import annotations

import errno

import pytest

from afunix.model import events
from afunix.model.address import Address
from afunix.model.credentials import PeerCredentials
from afunix.model.lifecycle import Call
from afunix.tools.demo.reporting import Failed, Told, decode, encode, is_told

PATH = Address.pathname(b'a \xff\n"b')

EVENTS = [
    events.Created(3, "SOCK_STREAM"),
    events.Bound(3, PATH),
    events.Listening(3, Address.abstract(b"x\0y"), 4096, inherited=True),
    events.Accepted(11, 3, 1, PeerCredentials(None, 1000, 1000)),
    events.Connected(3, PATH),
    events.BytesRead(3, 0),
    events.BytesWritten(3, 6),
    events.DescriptorsReceived(3, 1, 2),
    events.DescriptorsSent(3, 1, 2),
    events.HalfClosed(3, events.Direction.SENDING),
    events.Unlinked(3, PATH, True),
    events.Closed(11, 1, 6, 0),
    events.CallFailed(3, Call.CONNECT, errno.ECONNREFUSED, PATH),
    events.CallFailed(3, Call.ACCEPT, errno.EMFILE),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_event_comes_back_as_it_was(event: events.Event) -> None:
    told = Told(812.25, event, ("inode 1 ⇄ 2",))
    line = encode(told)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode(line) == told


def test_words_of_a_failure_come_back() -> None:
    assert decode(encode(Failed("it is\nfull", None))) == Failed("it is\nfull", None)


def test_what_is_no_call_is_not_told() -> None:
    assert all(map(is_told, EVENTS))
    assert not is_told(events.Stopping(-1, "SIGTERM"))


@pytest.mark.parametrize(
    "line",
    [b"", b"[]", b"{}", b'{"event": "Event", "at": 1, "fd": 3, "inside": []}', b'{"event": "Bound", "at"'],
)
def test_anything_else_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match="no report"):
        decode(line)
