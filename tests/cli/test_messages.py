"""What a person is told: one form, one table of statuses, nothing that a terminal would obey."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
from collections.abc import Callable
from contextlib import suppress

import click
import pytest

from afunix.cli import messages
from afunix.model import errors, events
from afunix.model.address import Address

Told = Callable[[], str]


@pytest.fixture
def told(capfd: pytest.CaptureFixture[str]) -> Told:
    return lambda: capfd.readouterr().err


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.AfunixError("x"), 1),
        (errors.OutputError("x"), 1),
        (errors.LineTooLongError("x"), 1),
        (errors.AddressError("x"), 2),
        (click.UsageError("x"), 2),
        (click.BadParameter("x"), 2),
        (errors.NoSuchSocketError("x"), 3),
        (errors.NobodyListensError("x"), 4),
        (errors.DeniedError("x"), 5),
        (errors.NotASocketError("x"), 6),
        (errors.WrongTypeError("x"), 6),
        (errors.TimedOutError("x"), 7),
        (errors.BrokenStreamError("x"), 8),
        (errors.PeerMismatchError("x"), 9),
        (errors.AddressInUseError("x"), 10),
        (PermissionError("x"), 1),
        (ValueError("x"), 1),
    ],
)
def test_every_error_has_its_status(error: Exception, status: int, told: Told) -> None:
    assert messages.explain(error) == status
    assert told().startswith("afunix: error: ")


def test_error_is_one_line_and_its_hint_another(told: Told) -> None:
    messages.explain(errors.NoSuchSocketError("'/x' does not exist (ENOENT)", hint="start its server"))
    assert told() == "afunix: error: '/x' does not exist (ENOENT)\nafunix: hint: start its server\n"


def test_what_came_from_outside_is_escaped_and_stays_on_its_line(told: Told) -> None:
    messages.explain(errors.AfunixError("a\nafunix: error: forged \x1b[2J\u202e\x9b"))
    assert told() == "afunix: error: a^Jafunix: error: forged ^[[2J\\u202e\\u009b\n"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENFILE, "Too many open files in system"), "too many open files in system (ENFILE)"),
        (OSError(errno.EIO, "I/O error", b"/x"), "'/x': I/O error (EIO)"),
        (
            ZeroDivisionError("division by zero"),
            "this should not have happened: ZeroDivisionError: division by zero",
        ),
    ],
)
def test_unexpected_errors_are_one_line_too(error: Exception, line: str, told: Told) -> None:
    messages.explain(error)
    assert told().splitlines()[0] == f"afunix: error: {line}"


def test_want_of_descriptors_is_told_with_what_sets_their_number(told: Told) -> None:
    messages.explain(OSError(errno.EMFILE, "Too many open files", "/a/module.py"))
    assert told() == (
        "afunix: error: more descriptors are needed than this process may have: too many open files (EMFILE)\n"
        "afunix: hint: 'ulimit -n' sets how many descriptors a process may have\n"
    )


def test_traceback_is_for_those_who_ask(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFUNIX_DEBUG", "1")
    try:
        raise ZeroDivisionError("\x1b")
    except ZeroDivisionError as error:
        messages.explain(error)
    text = told()
    assert "Traceback" in text
    assert "\x1b" not in text


def test_usage_errors_lose_their_full_stop_and_keep_their_names(told: Told) -> None:
    messages.explain(click.UsageError("Got unexpected extra argument (b)."))
    assert told() == "afunix: error: got unexpected extra argument (b)\n"


def test_quiet_leaves_errors_only(told: Told) -> None:
    quiet = messages.Messages(quiet=True)
    quiet.warn("w")
    quiet.note("n")
    messages.say_error("e")
    assert told() == "afunix: error: e\n"


def test_notes_are_for_terminals_and_for_those_who_ask(told: Told) -> None:
    messages.Messages().note("not on a pipe")
    messages.Messages(verbose=True).note("asked for")
    messages.Messages().warn("always", "what to do")
    assert told() == "afunix: asked for\nafunix: warning: always\nafunix: hint: what to do\n"


def on_a_terminal(say: Callable[[], None]) -> bytes:
    master, slave = pty.openpty()
    before = os.dup(2)
    os.dup2(slave, 2)
    try:
        say()
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(slave)
    said = b""
    with open(master, "rb", buffering=0) as terminal, suppress(OSError):  # EIO: that was all
        while piece := terminal.read(1000):
            said += piece
    return said


def test_colour_is_for_terminals_and_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert on_a_terminal(lambda: messages.say_error("x")) == b"afunix: \x1b[1;31merror:\x1b[0m x\r\n"
    monkeypatch.setenv("NO_COLOR", "1")
    assert on_a_terminal(lambda: messages.say_error("x")) == b"afunix: error: x\r\n"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert on_a_terminal(lambda: messages.say_error("x")) == b"afunix: error: x\r\n"


def test_stderr_that_is_gone_or_full_is_no_error() -> None:
    before = os.dup(2)
    reader, writer = os.pipe()
    os.close(reader)
    os.dup2(writer, 2)
    try:
        messages.say_error("nobody reads this")
        with open("/dev/full", "wb") as full:
            os.dup2(full.fileno(), 2)
            messages.say_error("nor this")
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(writer)


def waiting_in(fd: int) -> bytes:
    os.set_blocking(fd, False)
    return os.read(fd, 1 << 20)


def test_stderr_that_nobody_reads_is_waited_for_once_and_takes_words_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(messages, "_STDERR_PATIENCE_MS", 1)
    monkeypatch.setattr(messages, "_write", messages._Stderr().write)
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    before = os.dup(2)
    os.dup2(writer, 2)
    try:
        for _ in range(100):
            messages.say_error("x" * 1000)
        assert 0 < len(waiting_in(reader)) <= 4096
        messages.say_error("heard again")
        assert waiting_in(reader) == b"afunix: error: heard again\n"
    finally:
        os.dup2(before, 2)
        for fd in (before, reader, writer):
            os.close(fd)


def test_terminal_that_nobody_reads_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "_STDERR_PATIENCE_MS", 1)
    monkeypatch.setattr(messages, "_write", messages._Stderr().write)

    def say() -> None:
        for _ in range(1000):
            messages.say_error("x" * 1000)

    assert on_a_terminal(say).startswith(b"afunix: ")


def test_trace_shows_calls_and_nothing_else(told: Told) -> None:
    observe = messages.Messages(quiet=True).tracer()
    observe(events.Created(3, "SOCK_STREAM"))
    observe(events.Stopping(-1, "SIGTERM"))
    observe(events.Connected(3, Address.pathname("/run/\x1b")))
    assert told() == 'socket(AF_UNIX, SOCK_STREAM) = 3\nconnect(3, "/run/^[")\n'


def test_status_line_stays_below_what_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    messages.show_status("one\x1b")
    messages.say_error("oh")
    messages.show_status("two")
    messages.show_status("")
    messages.show_status("")
    messages.say_error("no")
    erase = "\r\x1b[J"
    assert capfd.readouterr().err == (
        f"{erase}one^[\r{erase}afunix: error: oh\none^[\r{erase}two\r{erase}afunix: error: no\n"
    )


def test_status_line_is_never_longer_than_the_terminal_is_wide_now(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "get_terminal_size", lambda fd: os.terminal_size((20, 5)))
    messages.show_status("x" * 30)
    monkeypatch.setattr(os, "get_terminal_size", lambda fd: os.terminal_size((10, 5)))
    messages.say_error("oh")
    messages.show_status("")
    shown = [part.strip("\r\x1b") for part in capfd.readouterr().err.split("\x1b[J")]
    assert [len(part.rpartition("\n")[2]) for part in shown] == [0, 19, 9, 0]


def test_status_line_that_a_narrower_terminal_has_wrapped_is_erased_whole() -> None:
    """The cursor waits in its first cell, where a terminal that wraps it anew keeps it; what is below goes, too."""

    def show_and_erase() -> None:
        messages.show_status("one")
        messages.show_status("")

    assert on_a_terminal(show_and_erase) == b"\r\x1b[Jone\r\r\x1b[J"
