"""`afunix fd receive` as a process: the list, the command in its place, and the words and statuses of failures."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.program import Ended, command, end_for_good, ended, environment, run, start, stop
from tests.threads import until


@pytest.fixture
def path(sock_dir: str) -> Iterator[str]:
    yield os.path.join(sock_dir, "x.sock")
    assert os.listdir(sock_dir) == []


@contextmanager
def receiver(path: str, *args: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """From the moment on in which clients can connect."""
    process = start("fd", "receive", path, *args, **options)
    try:
        until(lambda: os.path.exists(path) or process.poll() is not None)
        yield process
    finally:
        end_for_good(process)


def handed(path: str, what: tuple[str, ...], *args: str, **options: Any) -> Ended:
    """What the receiver says of what it was sent."""
    with receiver(path, *args, **options) as process:
        assert run("fd", "send", "--wait", "20s", path, *what).status == 0
        return ended(process)


def client(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    until(lambda: sock.connect_ex(path) == 0)  # bound is not yet listening
    return sock


@pytest.mark.parametrize("kind", ["stream", "seqpacket", "dgram"])
def test_a_line_tells_what_each_is(path: str, kind: str) -> None:
    done = handed(path, ("null=/dev/null", "/dev/null"), "--type", kind)
    assert (done.status, done.out) == (
        0,
        b"1  null     read  device  /dev/null\n2  unknown  read  device  /dev/null\n",
    )


def test_json_has_an_object_for_each(path: str) -> None:
    found = json.loads(handed(path, ("null=/dev/null",), "--json").out)
    assert (found["name"], found["kind"], found["uid"], found["data"]) == (
        "null",
        "device",
        os.getuid(),
        "null\n",
    )


def test_a_command_has_them_from_3_on_and_nothing_else(path: str) -> None:
    with open(os.devnull) as null:
        done = handed(
            path, ("/dev/null",) * 2, "--", "sh", "-c", "exec ls /proc/self/fd", pass_fds=[null.fileno()]
        )
    assert sorted(map(int, done.out.split())) == [0, 1, 2, 3, 4, 5]  # 5 is the directory that ls reads


def test_a_command_is_told_how_many_and_who_sent_them(path: str) -> None:
    script = 'echo "$AFUNIX_FDS $AFUNIX_FDNAMES $AFUNIX_FD_DATA $AFUNIX_PEER_UID $LISTEN_FDS $LISTEN_FDNAMES"'
    done = handed(path, ("a=/dev/null", "b=/dev/null"), "--", "sh", "-c", script)
    assert done.out == f"2 a:b a:b^J {os.getuid()} 2 a:b\n".encode()


def test_a_command_goes_on_as_the_same_process(path: str) -> None:
    with receiver(path, "--", "sh", "-c", 'echo "$$ $LISTEN_PID"; exit 7') as process:
        run("fd", "send", path, "--wait", "20s", "/dev/null")
        done = ended(process)
    assert (done.out, done.status) == (f"{process.pid} {process.pid}\n".encode(), 7)


def test_a_command_inherits_no_sockets_of_ours_but_the_service_manager(path: str) -> None:
    env = environment(LISTEN_FDS="1", LISTEN_PID="1", LISTEN_FDNAMES="mine", NOTIFY_SOCKET="@nobody")
    done = handed(path, ("/dev/null",), "--", "sh", "-c", "echo $LISTEN_FDNAMES $NOTIFY_SOCKET", env=env)
    assert done.out == b"unknown @nobody\n"


def test_all_that_a_message_carries_are_taken(path: str) -> None:
    done = handed(path, ("/dev/null",) * 253, "--", "sh", "-c", "echo $AFUNIX_FDS; readlink /proc/$$/fd/255")
    assert done.out == b"253\n/dev/null\n"


def test_a_service_that_can_be_activated_is_handed_its_listener(path: str, sock_dir: str) -> None:
    served = os.path.join(sock_dir, "s.sock")
    with (
        socket.socket(socket.AF_UNIX) as listener,
        receiver(path, "--", *command("serve", "--echo")) as process,
    ):
        listener.bind(served)
        listener.listen()
        done = run(
            "fd",
            "send",
            "--wait",
            "20s",
            path,
            f"s={listener.fileno()}",
            stdin=b"",
            pass_fds=[listener.fileno()],
        )
        assert done.status == 0
        listener.close()
        assert run("connect", served, stdin=b"hello").out == b"hello"
        assert stop(process).status == 0
    os.unlink(served)


def test_a_command_that_is_not_there_is_told_before_anybody_can_connect(path: str) -> None:
    done = run("fd", "receive", path, "--", "./no/such")
    assert (done.status, "is no command that can be found" in done.err) == (1, True)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--json", "--", "true"), "--json and a command exclude each other"),
        (("--",), "'--' needs a command"),
        (("--max", "254"), "--max: 254 is not in the range 1<=x<=253"),
        (("./other",), "got unexpected extra argument"),
    ],
)
def test_wrong_use_is_2(path: str, args: tuple[str, ...], words: str) -> None:
    done = run("fd", "receive", path, *args)
    assert done.status == 2
    assert words in done.err


def test_more_than_are_taken_is_1(path: str) -> None:
    with receiver(path, "--max", "1", "--", "echo", "started") as process:
        run("fd", "send", "--wait", "20s", path, "0", "0")
        done = ended(process)
    assert (done.status, done.out) == (1, b"")
    assert "sent 2 descriptors, more than the 1 that are taken (--max): all are closed" in done.err


def test_a_message_without_any_is_1_and_shown(path: str) -> None:
    with receiver(path) as process, client(path) as sender:
        sender.sendall(b"\x1b[2J")
        done = ended(process)
    assert done.status == 1
    assert "sent 4 bytes, '^[[2J', and no descriptor with it" in done.err


def test_a_client_that_leaves_is_8(path: str) -> None:
    with receiver(path) as process:
        client(path).close()
        assert ended(process).status == 8


def test_nobody_within_the_time_is_7(path: str) -> None:
    done = run("fd", "receive", "--timeout", "50ms", path)
    assert (done.status, "nobody has connected to" in done.err) == (7, True)


def test_a_name_that_is_in_use_is_10(path: str) -> None:
    with receiver(path):
        assert run("fd", "receive", path).status == 10
        os.unlink(path)


def test_a_server_that_is_not_there_is_3(path: str) -> None:
    assert run("fd", "receive", "--connect", path).status == 3


def test_who_may_not_send_is_closed_and_told_of(path: str) -> None:
    with receiver(path, "--deny", "me", "--", "echo", "started") as process:
        with client(path) as sender:
            assert sender.recv(1) == b""
        done = stop(process)
    assert (done.status, done.out) == (-signal.SIGTERM, b"")
    assert "denied by 'me'" in done.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_and_removes_the_path(path: str, number: signal.Signals) -> None:
    with receiver(path) as process:
        assert stop(process, number).status == -number


def test_a_table_that_is_full_is_told(path: str) -> None:
    with receiver(path, shell_prefix='ulimit -n 40; exec "$@"') as process:
        run("fd", "send", "--wait", "20s", path, *["0"] * 60)
        done = ended(process)
    assert done.status == 1
    assert "not all of the descriptors" in done.err
    assert "ulimit -n" in done.err


def test_the_list_needs_stdout(path: str) -> None:
    done = run("fd", "receive", path, shell_prefix='"$@" >&-')
    assert (done.status, "STDOUT is closed" in done.err) == (2, True)
