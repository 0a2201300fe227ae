"""The words of `serve --exec`: what is wrong use, what is told, and what it is run with."""

from __future__ import annotations

import os
import re
import shutil

import pytest
from tests.faults.running import connected
from tests.program import ready, run, stop
from tests.servers import read_all


def refusal(*args: str) -> tuple[int, list[str]]:
    end = run("serve", *args)
    assert end.out == b""
    return end.status, end.err.splitlines()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--exec", "{s}"), "--exec needs a command: expected '-- CMD…' at the end"),
        (("--exec", "{s}", "--"), "--exec needs a command: expected '-- CMD…' at the end"),
        (("--exec", "--echo", "{s}", "--", "cat"), "--exec and --echo exclude each other"),
        (("--exec", "--talk", "{s}", "--", "cat"), "--exec and --talk exclude each other"),
        (("--exec", "--json", "{s}", "--", "cat"), "--exec and --json exclude each other"),
        (("--exec", "--label", "{s}", "--", "cat"), "--exec and --label exclude each other"),
        (("--exec", "--raw", "{s}", "--", "cat"), "--exec and --raw exclude each other"),
        (("--exec", "--null", "{s}", "--", "cat"), "--exec and --null exclude each other"),
        (
            ("--exec", "--idle-timeout", "3s", "{s}", "--", "cat"),
            "--exec and --idle-timeout exclude each other",
        ),
        (("--env", "s6", "{s}"), "--env is for --exec, and there is no command here"),
        (("{s}", "--", "true"), "what stands after '--' is a command's, and --exec is missing"),
    ],
)
def test_wrong_use_is_told_before_anything_is_bound(
    sock_dir: str, words: tuple[str, ...], message: str
) -> None:
    status, lines = refusal(*(word.format(s=f"{sock_dir}/s") for word in words))
    assert (status, lines[0]) == (2, f"afunix: error: {message}")
    assert os.listdir(sock_dir) == []


def test_datagrams_have_no_command_each(sock_dir: str) -> None:
    status, lines = refusal("--exec", "--type", "dgram", f"{sock_dir}/s", "--", "cat")
    assert status == 2
    assert lines[0] == (
        "afunix: error: --exec means nothing for a dgram socket: datagrams come without connections"
    )


def test_a_command_that_cannot_be_run_is_told_before_anything_is_bound(sock_dir: str) -> None:
    with open(f"{sock_dir}/plain file", "w"):
        pass
    for name, status, message in (
        ("nosuch", 1, "'nosuch' is no command that can be found (ENOENT)"),
        (f"{sock_dir}/", 1, f"'{sock_dir}/' is a directory (EISDIR)"),
        (f"{sock_dir}/plain file", 5, f"'{sock_dir}/plain file' may not be executed (EACCES)"),
    ):
        found, lines = refusal("--exec", f"{sock_dir}/s", "--", name)
        assert (found, lines[0].startswith(f"afunix: error: {message}")) == (status, True)
        assert len(lines) == 2 and lines[1].startswith("afunix: hint: ")
    assert lines[1] == f"afunix: hint: chmod +x '{sock_dir}/plain file'"
    assert os.listdir(sock_dir) == ["plain file"]


def test_words_after_the_separator_are_the_commands_own(sock_dir: str) -> None:
    command = ("printf", "%s|", "--json", "-h", "--", "--exec", "$HOME", "a b")
    with ready("serve", "--exec", f"{sock_dir}/s", "--", *command) as process:
        with connected(f"{sock_dir}/s") as client:
            assert read_all(client) == b"--json|-h|--|--exec|$HOME|a b|"
        assert stop(process).status == 0


def test_clients_and_their_commands_are_told_with_v(sock_dir: str) -> None:
    with ready("serve", "-v", "--exec", f"{sock_dir}/s", "--", "sh", "-c", "exit 3") as process:
        with connected(f"{sock_dir}/s") as client:
            assert client.recv(1) == b""
        err = stop(process).err
    assert re.search(r"(?m)^afunix: client 1 came: pid \d+ \(.*\) uid \d+", err)
    assert re.search(r"(?m)^afunix: client 1 left: its command \(pid \d+\), exit status 3$", err)


def test_without_v_nothing_is_told(sock_dir: str) -> None:
    with ready("serve", "--exec", f"{sock_dir}/s", "--", "false") as process:
        with connected(f"{sock_dir}/s") as client:
            assert client.recv(1) == b""
        end = stop(process)
    assert (end.status, end.out, end.err) == (0, b"", "")


def test_stdin_and_stdout_of_ours_stay_out_of_it(sock_dir: str) -> None:
    """Also where STDOUT is closed, which nothing is written to."""
    with ready(
        "serve", "--exec", f"{sock_dir}/s", "--", "cat", prefix=("sh", "-c", 'exec "$@" >&-', "sh")
    ) as process:
        with connected(f"{sock_dir}/s") as client:
            client.sendall(b"x")
            assert client.recv(9) == b"x"
        assert stop(process).status == 0


def test_the_trace_shows_what_is_started(sock_dir: str) -> None:
    with ready("serve", "--trace", "--exec", f"{sock_dir}/s", "--", "true") as process:
        with connected(f"{sock_dir}/s") as client:
            assert client.recv(1) == b""
        err = stop(process).err
    assert re.search(r"accept\(\d+\) = (\d+) ", err)
    assert "close(" in err


def test_the_deadline_of_the_whole_run_is_status_7(sock_dir: str) -> None:
    end = run("serve", "--timeout", "100ms", "--exec", f"{sock_dir}/s", "--", "cat")
    assert (end.status, end.err) == (7, "afunix: error: timed out (--timeout): nobody was connected\n")


@pytest.mark.parametrize("args", [("--", "-x"), ("-q", "--", "-x")])
def test_an_address_that_begins_with_a_dash_can_stand_after_the_separator(
    sock_dir: str, args: tuple[str, ...]
) -> None:
    with ready("serve", *args, cwd=sock_dir) as process:
        assert os.listdir(sock_dir) == ["-x"]
        assert stop(process).status == 0


@pytest.mark.parametrize("args", [("fd:0",), ("--exec", "fd:0", "--", "true")])
def test_a_number_that_nobody_announced_is_not_put_down_to_a_unit(args: tuple[str, ...]) -> None:
    status, lines = refusal(*args)
    assert (status, lines) == (2, [
        "afunix: error: descriptor 0 is a FIFO, expected a Unix socket",
        "afunix: hint: fd:N is a listening socket that we were started with; a path or @NAME is bound here",
    ])  # fmt: skip


def test_bytes_for_a_command_that_has_gone_are_not_put_down_to_stdout(sock_dir: str) -> None:
    program = f"{sock_dir}/t"
    shutil.copy("/bin/true", program)
    with ready("serve", "--exec", f"{sock_dir}/s", "--", program) as process:
        os.unlink(program)
        with connected(f"{sock_dir}/s") as client:
            client.sendall(b"hello\n")
            with pytest.raises(ConnectionResetError):  # it is closed with what it sent unread
                client.recv(1)
        end = stop(process)
    assert end.status == 8
    assert end.err.splitlines()[-2:] == [
        "afunix: error: 6 bytes could not be handed on before the end",
        "afunix: hint: no command was there to read what its client had sent: see whether it still can be run",
    ]
