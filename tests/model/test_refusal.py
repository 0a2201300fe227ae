"""Facts about an address become the error that a person reads: its class, its words, and the next step."""

from __future__ import annotations

import errno
import re

import pytest

from afunix.model.address import Address
from afunix.model.errors import (
    AddressError,
    AfunixError,
    DeniedError,
    NobodyListensError,
    NoSuchSocketError,
    NotASocketError,
    TimedOutError,
    WrongTypeError,
)
from afunix.model.ownership import FileKind
from afunix.model.refusal import WORTH_WAITING_FOR, Obstacle, describe_user, gave_up, refusal

PATH = Address.pathname("/run/app.sock")
SOCKET = {"kind": FileKind.SOCKET, "mode": 0o600, "owner": "root", "person": "uid 1000 (ana)"}


def at(number: int, **facts: object) -> Obstacle:
    return Obstacle(PATH, number, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("obstacle", "kind", "message"),
    [
        (at(errno.ENOENT), NoSuchSocketError, "'/run/app.sock' does not exist (ENOENT)"),
        (
            at(errno.ENOENT, obstructed=b"/run/a\x1b"),
            NoSuchSocketError,
            "'/run/app.sock' does not exist: there is no directory '/run/a^[' (ENOENT)",
        ),
        (
            at(errno.ENOENT, link_target=b"gone"),
            NoSuchSocketError,
            "'/run/app.sock' is a symbolic link to 'gone', which does not exist (ENOENT)",
        ),
        (
            at(errno.ECONNREFUSED, kind=FileKind.REGULAR),
            NotASocketError,
            "'/run/app.sock' is a regular file, and a socket was expected (ECONNREFUSED)",
        ),
        (
            at(errno.ECONNREFUSED, **SOCKET),
            NobodyListensError,
            "'/run/app.sock' exists but nobody listens (stale socket file, ECONNREFUSED)",
        ),
        (
            at(errno.ECONNREFUSED, is_bound=True, **SOCKET),
            NobodyListensError,
            "'/run/app.sock' is bound, but its process does not listen (ECONNREFUSED)",
        ),
        (
            Obstacle(Address.abstract("app"), errno.ECONNREFUSED),
            NobodyListensError,
            "nobody listens on the abstract name '@app' (ECONNREFUSED)",
        ),
        (
            at(errno.EACCES, **SOCKET),
            DeniedError,
            "connecting needs write permission on '/run/app.sock' (mode 0600, owner root);"
            " you are uid 1000 (ana) (EACCES)",
        ),
        (
            at(errno.EACCES, **{**SOCKET, "obstructed": b"/run/private", "mode": 0o700}),
            DeniedError,
            "connecting to '/run/app.sock' needs search permission on '/run/private' (mode 0700, owner root);"
            " you are uid 1000 (ana) (EACCES)",
        ),
        (
            at(errno.EACCES, person="uid 1000"),
            DeniedError,
            "'/run/app.sock' may not be connected to (EACCES); you are uid 1000",
        ),
        (
            at(errno.EPERM),
            DeniedError,
            "'/run/app.sock' is a dgram socket that takes datagrams from its own peer only (EPERM)",
        ),
        (
            at(errno.EPROTOTYPE, wanted_type="dgram", found_type="stream"),
            WrongTypeError,
            "'/run/app.sock' is a stream socket, and dgram was asked for (EPROTOTYPE)",
        ),
        (
            at(errno.EPROTOTYPE),
            WrongTypeError,
            "'/run/app.sock' is a socket of another type, and stream was asked for (EPROTOTYPE)",
        ),
        (at(errno.ELOOP), NoSuchSocketError, "'/run/app.sock': too many symbolic links on the way (ELOOP)"),
        (
            at(errno.ENOTDIR, obstructed=b"/run"),
            NoSuchSocketError,
            "'/run/app.sock' does not exist: '/run' is not a directory (ENOTDIR)",
        ),
        (
            at(errno.ENAMETOOLONG),
            AddressError,
            "a part of '/run/app.sock' is longer than the file system allows (ENAMETOOLONG)",
        ),
        (
            at(errno.EAGAIN),
            TimedOutError,
            "the backlog of '/run/app.sock' is full: its process is there, but does not accept (EAGAIN)",
        ),
        (at(errno.EIO), AfunixError, "'/run/app.sock' cannot be connected to (EIO)"),
    ],
)
def test_error_says_what_was_found(obstacle: Obstacle, kind: type[AfunixError], message: str) -> None:
    error = refusal(obstacle)
    assert (type(error), error.message) == (kind, message)


@pytest.mark.parametrize("number", [n for n in errno.errorcode if n not in (errno.EIO, errno.ENAMETOOLONG)])
def test_error_keeps_the_errno_that_programs_look_at(number: int) -> None:
    error = refusal(at(number, **SOCKET))
    assert error.errno == number


@pytest.mark.parametrize("number", sorted(WORTH_WAITING_FOR))
def test_what_is_worth_waiting_for_has_a_hint(number: int) -> None:
    assert refusal(at(number, **SOCKET)).hint


def test_giving_up_names_the_time_and_the_last_obstacle() -> None:
    error = gave_up(0.25, refusal(at(errno.ENOENT)))
    assert error.message == "no connection within 0.25 s: '/run/app.sock' does not exist (ENOENT)"
    assert error.errno == errno.ETIMEDOUT


@pytest.mark.parametrize(
    ("obstacle", "hint"),
    [
        (at(errno.ENOENT), "start its server"),
        (at(errno.ECONNREFUSED, **SOCKET, is_bound=True), "it may be starting or stopping"),
        (at(errno.EAGAIN, **SOCKET), "it is busy, or stopped"),
    ],
)
@pytest.mark.parametrize("in_program", [True, False])
def test_who_has_waited_is_not_told_to_wait(obstacle: Obstacle, hint: str, in_program: bool) -> None:
    assert gave_up(0.25, refusal(obstacle, in_program=in_program)).hint == hint


@pytest.mark.parametrize("number", errno.errorcode)
def test_no_hint_for_a_program_is_about_the_command_line(number: int) -> None:
    hint = refusal(at(number, **SOCKET), in_program=True).hint or ""
    assert not re.search("afunix |--|'connect", hint)


def test_program_is_told_the_arguments_and_functions_that_help() -> None:
    hints = [refusal(at(n, **SOCKET), in_program=True).hint for n in (errno.ENOENT, errno.ECONNREFUSED)]
    assert hints == [
        "start its server; wait=10 waits for it",
        "start its server; serve() and listen() replace stale socket files",
    ]


@pytest.mark.parametrize(
    ("name", "shown"), [("ana", "uid 7 (ana)"), (None, "uid 7"), ("a\nb", "uid 7 (a^Jb)")]
)
def test_a_user_is_described_by_number_and_name(name: str | None, shown: str) -> None:
    assert describe_user(7, name) == shown


@pytest.mark.parametrize(("number", "name"), [(errno.EROFS, "EROFS"), (errno.EPERM, "EPERM")])
def test_what_is_no_socket_and_takes_no_writing_is_no_socket(number: int, name: str) -> None:
    error = refusal(Obstacle(Address.pathname("/run/d"), number, kind=FileKind.DIRECTORY))
    assert isinstance(error, NotASocketError)
    assert str(error) == f"'/run/d' is a directory, and a socket was expected ({name})"
    assert error.errno == number
