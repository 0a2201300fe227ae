"""What a command is told of the descriptors it gets, and messages that are not what was asked for."""

from __future__ import annotations

from afunix.model.client_environment import Caller, Host
from afunix.model.credentials import PeerCredentials
from afunix.model.errors import BrokenStreamError, TruncatedError
from afunix.model.handover import environment, misfit

CALLER = Caller(1, "./x.sock", "", PeerCredentials(7, 1000, 100), "ana")


def told(own: dict[bytes, bytes] | None = None, data: bytes = b"a:b\n") -> dict[bytes, bytes]:
    return environment(own or {}, CALLER, Host(42, 0, 0), ["a", "b"], data)


def test_the_command_is_told_how_many_and_their_names_and_who_sent_them() -> None:
    found = told()
    assert (found[b"AFUNIX_FDS"], found[b"AFUNIX_FDNAMES"]) == (b"2", b"a:b")
    assert (found[b"AFUNIX_PEER_UID"], found[b"AFUNIX_PEER_USER"]) == (b"1000", b"ana")


def test_a_service_that_can_be_activated_finds_what_it_looks_for() -> None:
    found = told()
    assert [found[name] for name in (b"LISTEN_FDS", b"LISTEN_FDNAMES", b"LISTEN_PID")] == [
        b"2",
        b"a:b",
        b"42",
    ]


def test_what_came_along_is_escaped() -> None:
    assert told(data=b"\0\x1b\n")[b"AFUNIX_FD_DATA"] == b"^@^[^J"


def test_data_that_no_variable_can_hold_is_left_out() -> None:
    assert b"AFUNIX_FD_DATA" not in told(data=b"\0" * 40000)


def test_sockets_of_our_own_are_not_passed_on_but_the_service_manager_is() -> None:
    own = {b"LISTEN_FDS": b"9", b"LISTEN_FDNAMES": b"x", b"NOTIFY_SOCKET": b"/n", b"HOME": b"/h"}
    found = told(own)
    assert (found[b"LISTEN_FDS"], found[b"NOTIFY_SOCKET"], found[b"HOME"]) == (b"2", b"/n", b"/h")


def test_as_many_as_are_taken_are_no_misfit() -> None:
    assert misfit("pid 7", b"x", 2, 2) is None


def test_one_more_is_told_with_both_numbers() -> None:
    error = misfit("pid 7", b"x", 3, 2)
    assert isinstance(error, TruncatedError)
    assert error.message == "pid 7 sent 3 descriptors, more than the 2 that are taken (--max): all are closed"
    assert error.hint == "'--max 3' takes them"


def test_a_message_without_any_is_shown() -> None:
    error = misfit("pid 7", b"hello\x1b" + b"x" * 60, 0, 2)
    assert error is not None
    assert error.message == f"pid 7 sent 66 bytes, 'hello^[{'x' * 54}'…, and no descriptor with it"


def test_an_end_without_a_message_is_a_broken_stream() -> None:
    assert isinstance(misfit("pid 7", None, 0, 2), BrokenStreamError)
