"""Events are values: typed, frozen, about one descriptor, and every call of a socket's life has its event."""

from __future__ import annotations

import dataclasses

import pytest

from afunix.formats.trace import TraceFormat
from afunix.model import events
from afunix.model.address import Address
from afunix.model.credentials import PeerCredentials
from afunix.model.lifecycle import Call

PATH = Address.pathname("/run/app.sock")
ANA = PeerCredentials(4121, 1000, 1000)
KINDS = [kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, events.Event)]

EVENT_OF_CALL: dict[Call, events.Event] = {
    Call.SOCKET: events.Created(3, "SOCK_STREAM"),
    Call.BIND: events.Bound(3, PATH),
    Call.LISTEN: events.Listening(3, PATH, 4096),
    Call.ACCEPT: events.Accepted(5, 3, 1, ANA),
    Call.CONNECT: events.Connected(3, PATH),
    Call.READ: events.BytesRead(5, 6),
    Call.WRITE: events.BytesWritten(5, 6),
    Call.SHUTDOWN: events.HalfClosed(5, events.Direction.SENDING),
    Call.CLOSE: events.Closed(5),
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_is_frozen_and_says_first_which_descriptor_it_is_about(kind: type[events.Event]) -> None:
    assert next(field.name for field in dataclasses.fields(kind)) == "fd"
    assert kind.__doc__ and "__slots__" in vars(kind)
    event = next((each for each in EVENT_OF_CALL.values() if type(each) is kind), None)
    if event is not None:
        with pytest.raises(dataclasses.FrozenInstanceError):
            event.fd = 9  # type: ignore[misc]


def test_equal_facts_are_equal_events() -> None:
    assert events.Bound(3, PATH) == events.Bound(3, Address.parse("/run/app.sock"))
    assert len({events.BytesRead(3, 1), events.BytesWritten(3, 1)}) == 2
    assert len({events.Closed(3), events.Closed(3), events.Closed(4)}) == 2


@pytest.mark.parametrize("call", Call)
def test_every_call_of_the_life_cycle_has_an_event_and_a_line(call: Call) -> None:
    line = TraceFormat(lambda pid: None, lambda uid: None).line(EVENT_OF_CALL[call])
    assert line is not None
    assert line.startswith(f"{call.value}(")


def test_a_listener_is_ours_and_an_end_without_losses_unless_it_is_said() -> None:
    assert not events.Listening(3, PATH, 5).inherited
    assert events.Closed(3) == events.Closed(3, connection=0, bytes_received=0, bytes_sent=0)
