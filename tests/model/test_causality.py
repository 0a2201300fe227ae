"""What caused what, from reports: by pid, by order, by the place of bytes in a connection, and by its end."""

from __future__ import annotations

from afunix.model import events
from afunix.model.address import Address
from afunix.model.causality import (
    Cause,
    Process,
    Report,
    ReportedCall,
    bytes_moved,
    count_of_bytes,
    find_causes,
    follow,
)
from afunix.model.credentials import PeerCredentials
from afunix.model.lifecycle import Call

PLACE = Address.parse("x.sock")
PROCESSES = [Process("server", 10), Process("client 1", 11), Process("client 2", 12)]


def calls_of(*reports: Report) -> list[ReportedCall]:
    return [call for call in follow(reports, lambda event: type(event).__name__) if call is not None]


def causes_of(*reports: Report) -> list[Cause]:
    return find_causes(calls_of(*reports), PROCESSES)


def accepted(fd: int, at: float, pid: int | None = 11) -> Report:
    return Report(0, at, events.Accepted(fd, 3, 1, PeerCredentials(pid, 0, 0)))


def connected(line: int, at: float) -> Report:
    return Report(line, at, events.Connected(3, PLACE))


def wrote(count: int) -> Report:
    return Report(1, 2.0, events.BytesWritten(3, count))


def read(count: int) -> Report:
    return Report(0, 3.0, events.BytesRead(7, count))


def connection(*reports: Report) -> list[tuple[int, int, str]]:
    """What of `reports` caused what, by places among them, in one connection."""
    calls = calls_of(connected(1, 0.0), accepted(7, 1.0), *reports)
    of, *others = find_causes(calls, PROCESSES)
    assert (of.of, of.to) == (calls[0], calls[1])
    return [(calls.index(c.of) - 2, calls.index(c.to) - 2, c.label) for c in others]


def test_accept_takes_the_connect_of_the_process_that_it_names() -> None:
    causes = causes_of(
        connected(1, 1.0), connected(2, 2.0), accepted(7, 3.0, pid=12), accepted(8, 4.0, pid=11)
    )
    assert [(cause.of.line, cause.to.event.fd) for cause in causes] == [(2, 7), (1, 8)]


def test_accept_of_somebody_unknown_takes_the_earliest_connect() -> None:
    causes = causes_of(
        connected(2, 1.5), connected(1, 1.0), accepted(7, 3.0, pid=None), accepted(8, 4.0, pid=None)
    )
    assert [(cause.of.line, cause.to.event.fd) for cause in causes] == [(1, 7), (2, 8)]


def test_accept_of_a_stranger_has_no_cause_here() -> None:
    assert causes_of(connected(1, 1.0), accepted(7, 3.0, pid=99)) == []


def test_a_second_connection_of_the_same_process_is_another_one() -> None:
    one = [
        connected(1, 1.0),
        Report(1, 2.0, events.Closed(3)),
        Report(1, 3.0, events.Created(3, "SOCK_STREAM")),
    ]
    causes = causes_of(*one, connected(1, 4.0), accepted(7, 5.0), accepted(8, 6.0))
    assert [(cause.of.at, cause.to.event.fd) for cause in causes] == [(1.0, 7), (4.0, 8)]


def test_write_causes_the_read_that_got_its_first_byte() -> None:
    assert connection(wrote(4), wrote(4), wrote(2), read(6), read(4)) == [
        (0, 3, "4 bytes"),
        (1, 3, "4 bytes"),
        (2, 4, "2 bytes"),
    ]


def test_write_that_nobody_read_causes_nothing() -> None:
    assert connection(wrote(4), wrote(1), read(4)) == [(0, 2, "4 bytes")]


def test_answer_goes_the_other_way() -> None:
    answer = Report(0, 4.0, events.BytesWritten(7, 1))
    assert connection(answer, Report(1, 5.0, events.BytesRead(3, 1))) == [(0, 1, "1 byte")]


def test_shutdown_causes_the_end_of_file_and_close_then_does_not() -> None:
    shut = Report(1, 4.0, events.HalfClosed(3, events.Direction.SENDING))
    assert connection(shut, read(0), Report(1, 5.0, events.Closed(3))) == [(0, 1, "end of file")]


def test_close_causes_the_end_of_file() -> None:
    assert connection(Report(1, 5.0, events.Closed(3)), read(0)) == [(0, 1, "end of file")]


def test_end_after_ones_own_shutdown_has_no_cause_elsewhere() -> None:
    own = Report(0, 4.0, events.HalfClosed(7, events.Direction.RECEIVING))
    assert connection(own, read(0), Report(1, 5.0, events.Closed(3))) == []


def test_what_is_no_call_has_a_place_and_no_call() -> None:
    assert list(follow([Report(0, 1.0, events.Stopping(-1, "SIGTERM"))], lambda event: None)) == [None]


def test_call_that_the_life_of_a_socket_does_not_have_is_marked() -> None:
    call = calls_of(
        Report(0, 1.0, events.Created(3, "SOCK_STREAM")), Report(0, 2.0, events.Listening(3, PLACE, 5))
    )[1]
    assert call.is_out_of_order
    assert call.text == (
        "Listening  (out of order: listen on a socket that is created: possible are bind, connect, close)"
    )


def test_call_on_a_descriptor_after_its_close_is_out_of_order_until_it_comes_again() -> None:
    closed = Report(1, 2.0, events.Closed(3))
    created = Report(1, 3.0, events.Created(3, "SOCK_STREAM"))
    calls = calls_of(created, connected(1, 1.0), closed, wrote(1), created, connected(1, 4.0))
    assert [call.is_out_of_order for call in calls] == [False, False, False, True, False, False]


def test_inherited_listener_is_in_order() -> None:
    calls = calls_of(Report(0, 1.0, events.Listening(3, PLACE, 5, inherited=True)), accepted(7, 2.0))
    assert [call.is_out_of_order for call in calls] == [False, False]


def test_failed_call_leaves_the_socket_where_it_is() -> None:
    failed = events.CallFailed(3, Call.CONNECT, 111, PLACE)
    calls = calls_of(
        Report(1, 1.0, events.Created(3, "SOCK_STREAM")), Report(1, 2.0, failed), connected(1, 3.0)
    )
    assert [call.is_out_of_order for call in calls] == [False, False, False]


def test_bytes_are_counted_as_people_read_them() -> None:
    assert [count_of_bytes(count) for count in (0, 1, 6, 1234567)] == [
        "0 bytes",
        "1 byte",
        "6 bytes",
        "1,234,567 bytes",
    ]
    assert bytes_moved(calls_of(wrote(6))[0]) == 6
