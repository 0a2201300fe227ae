"""A start with any of the descriptors 0 to 2 closed: none of them becomes a socket, no word goes to a peer."""

from __future__ import annotations

import os
import socket
import subprocess

import pytest
from tests.faults.running import Serve, connected, litter
from tests.faults.users import User
from tests.program import ended
from tests.servers import echo, serving


def shell(redirections: str) -> list[str]:
    return ["/bin/sh", "-c", f'exec "$@" {redirections}', "sh"]


@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- 2>&-"])
def test_serve_without_stdin_or_stderr_works_and_puts_no_socket_there(
    user: User, place: str, closed: str
) -> None:
    with Serve(user, "-v", f"{place}/s", prefix=shell(closed)) as serve, connected(f"{place}/s") as client:
        client.sendall(b"hello\n")
        serve.wait_for_out(lambda out: out == b"hello\n")
        for fd in (0, 2):
            assert not os.readlink(f"/proc/{serve.pid}/fd/{fd}").startswith("socket:")
        assert serve.stop().status == 0


@pytest.mark.parametrize("closed", [">&-", "<&- >&-"])
def test_serve_without_stdout_is_wrong_use_and_makes_nothing(user: User, place: str, closed: str) -> None:
    with Serve(user, f"{place}/s", prefix=shell(closed), must_start=False) as serve:
        end = serve.end()
    assert (end.status, litter(place)) == (2, [])
    assert end.err.startswith("afunix: error: STDOUT is closed")


def test_serve_without_any_of_them_makes_nothing(user: User, place: str) -> None:
    with Serve(user, f"{place}/s", prefix=shell("<&- >&- 2>&-"), must_start=False) as serve:
        assert (serve.end().status, litter(place)) == (2, [])


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_echo_needs_none_of_them_and_its_words_go_to_no_client(user: User, place: str, closed: str) -> None:
    with (
        Serve(user, "--echo", "-v", f"{place}/s", prefix=shell(closed)) as serve,
        connected(f"{place}/s") as client,
    ):
        client.sendall(b"hello\n")
        client.shutdown(socket.SHUT_WR)
        with client.makefile("rb") as answer:
            assert answer.read() == b"hello\n"
        assert serve.stop().status == 0


@pytest.mark.parametrize(
    ("closed", "options", "status", "sent"),
    [
        ("<&-", (), 0, b""),
        ("2>&-", ("-v",), 0, b"hello\n"),
        ("<&- 2>&-", ("-v",), 0, b""),
        (">&-", ("--send-only",), 0, b"hello\n"),
        (">&- 2>&-", ("--send-only", "-v"), 0, b"hello\n"),
        ("<&- >&- 2>&-", ("--send-only", "--trace"), 0, b""),
        (">&-", (), 2, None),
        ("<&- >&- 2>&-", (), 2, None),
    ],
)
def test_connect_sends_what_stdin_has_and_not_a_word_more(
    user: User, place: str, closed: str, options: tuple[str, ...], status: int, sent: bytes | None
) -> None:
    with serving(f"{place}/s", echo) as server:
        os.chmod(f"{place}/s", 0o666)
        process = user.start(
            *("connect", *options, f"{place}/s"),
            prefix=shell(closed),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        end = ended(process, b"hello\n" if "<&-" not in closed else None)
        assert end.status == status
        assert end.out == (sent if sent is not None and ">&-" not in closed.replace("2>&-", "") else b"")
        if sent is not None:
            assert server.result() == sent
