"""`afunix relay` as a process: which ends go together, the words, `-` as one side, and the statuses."""

from __future__ import annotations

import errno
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import pytest
from tests.faults.users import IS_ROOT
from tests.program import (
    PATIENCE_S,
    Ended,
    command,
    end_for_good,
    ended,
    environment,
    ready,
    run,
    start,
    stop,
)
from tests.servers import echo, read_all, serving
from tests.tcp_servers import LOOPBACK, dialled, free_port

from afunix.cli.relay import _LOST_HINT, _status_after
from afunix.tools.relay import RelayResult
from afunix.tools.settings import Cause, TurnedAway

ROOT_SEES = "sees root for everybody"


def relaying(*args: str, **options: Any) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """`afunix relay ARGS`, from the moment on in which clients can connect."""
    return ready("relay", *args, **options)


def ask(path: str, data: bytes) -> bytes:
    """All that comes back for `data` and its end; a reset ends it too."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE_S)
        client.connect(path)
        try:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            return read_all(client)
        except (ConnectionResetError, BrokenPipeError):
            return b""


def said(process: subprocess.Popen[bytes], until: str) -> str:
    """STDERR up to and with a line that has `until` in it."""
    assert process.stderr is not None
    words = b""
    while until.encode() not in words or not words.endswith(b"\n"):
        assert select.select([process.stderr], [], [], PATIENCE_S)[0], f"only {words!r} came"
        piece = os.read(process.stderr.fileno(), 1)
        assert piece, f"the end came after {words!r}"
        words += piece
    return words.decode()


# What goes through


def test_what_both_say_is_passed_on_with_each_end(sock_dir: str) -> None:
    with serving(f"{sock_dir}/up", echo) as server, relaying(f"{sock_dir}/l", f"{sock_dir}/up") as process:
        assert ask(f"{sock_dir}/l", b"hello" * 10_000) == b"hello" * 10_000
        assert server.result() == b"hello" * 10_000
        end = stop(process)
        assert (end.status, end.out) == (0, b"")
        assert not os.path.lexists(f"{sock_dir}/l")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_that_a_signal_stops_is_status_0(sock_dir: str, number: int) -> None:
    with relaying("-q", f"{sock_dir}/l", f"{sock_dir}/up") as process:
        assert stop(process, number) == Ended(0, b"", "")


def test_several_listeners_lead_to_one_server(sock_dir: str) -> None:
    with (
        serving(f"{sock_dir}/up", echo),
        relaying("-q", f"{sock_dir}/a", f"{sock_dir}/b", f"{sock_dir}/up") as process,
    ):
        assert [ask(f"{sock_dir}/{name}", b"x") for name in "ab"] == [b"x", b"x"]
        assert stop(process).status == 0


def test_mode_is_that_of_the_new_socket(sock_dir: str) -> None:
    with relaying("-q", "--mode", "660", f"{sock_dir}/l", f"{sock_dir}/up") as process:
        assert os.stat(f"{sock_dir}/l").st_mode & 0o777 == 0o660
        stop(process)


def test_client_that_a_rule_is_against_is_refused_with_a_line(sock_dir: str) -> None:
    with (
        serving(f"{sock_dir}/up", echo),
        relaying("--deny", "me", f"{sock_dir}/l", f"{sock_dir}/up") as process,
    ):
        assert ask(f"{sock_dir}/l", b"x") == b""
        assert "denied by 'me'" in stop(process).err


def test_clients_over_the_limit_wait(sock_dir: str) -> None:
    with (
        serving(f"{sock_dir}/up", echo),
        relaying("-q", "--max-clients", "1", f"{sock_dir}/l", f"{sock_dir}/up") as process,
        socket.socket(socket.AF_UNIX) as first,
    ):
        first.connect(f"{sock_dir}/l")
        with socket.socket(socket.AF_UNIX) as second:
            second.settimeout(PATIENCE_S)
            second.connect(f"{sock_dir}/l")
            second.send(b"second")
            first.close()
            assert second.recv(10) == b"second"
        assert stop(process).status == 0


def test_client_that_has_not_taken_its_answer_is_one_of_those_that_the_limit_counts(sock_dir: str) -> None:
    port, answer = free_port(), bytes(150_000)
    ends = f"tcp:{LOOPBACK}:{port}", f"{sock_dir}/up"
    with (
        serving(ends[1], lambda server: server.sendall(answer)),
        relaying("-v", "--max-clients", "1", *ends) as process,
        socket.socket() as first,
    ):
        assert process.stderr is not None
        first.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        first.settimeout(PATIENCE_S)
        first.connect((LOOPBACK, port))
        while b"client 1 left" not in (line := process.stderr.readline()):
            assert line
        with dialled(port) as second:
            assert b"the limit" in process.stderr.readline()
            assert read_all(first) == read_all(second) == answer
        assert stop(process).status == 0


_ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES="web")
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.mark.parametrize("listen", [[], ["fd:3"], ["fd:web"], ["{path}"]])
def test_inherited_listener_is_used_and_left(sock_dir: str, listen: list[str]) -> None:
    path = f"{sock_dir}/l"
    with serving(f"{sock_dir}/up", echo), socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        number = str(listener.fileno())
        ends = [*(each.format(path=path) for each in listen), f"{sock_dir}/up"]
        prefix = (sys.executable, "-c", _ACTIVATE, number)
        with relaying("-q", *ends, prefix=prefix, pass_fds=(listener.fileno(),)) as process:
            assert ask(path, b"x") == b"x"
            assert stop(process) == Ended(0, b"", "")
        assert os.path.exists(path)


def hand_over_port(listener: socket.socket, *args: str) -> AbstractContextManager[Any]:
    prefix = (sys.executable, "-c", _ACTIVATE, str(listener.fileno()))
    return relaying("-q", *args, prefix=prefix, pass_fds=(listener.fileno(),))


@pytest.mark.parametrize("listen", [[], ["fd:3"], ["fd:web"], ["tcp:127.0.0.1:{port}"]])
def test_inherited_port_is_used_and_left(sock_dir: str, listen: list[str]) -> None:
    with serving(f"{sock_dir}/up", echo), socket.create_server((LOOPBACK, 0)) as listener:
        port = listener.getsockname()[1]
        ends = [*(each.format(port=port) for each in listen), f"{sock_dir}/up"]
        with hand_over_port(listener, *ends) as process:
            with dialled(port) as client:
                client.sendall(b"x")
                client.shutdown(socket.SHUT_WR)
                assert read_all(client) == b"x"
            assert stop(process) == Ended(0, b"", "")
        with dialled(port):
            listener.accept()[0].close()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--pass-fds", "up"], "--pass-fds is between two Unix sockets"),
        (["--allow", "root", "up"], "--allow or --deny is about users"),
        (["tcp:127.0.0.1:9"], "is a socket of this machine's own kind"),
    ],
)
def test_inherited_port_is_refused_what_a_port_is_refused(sock_dir: str, args: list[str], words: str) -> None:
    with socket.create_server((LOOPBACK, 0)) as listener:
        activate = (sys.executable, "-c", _ACTIVATE, str(listener.fileno()))
        process = subprocess.Popen(
            [*activate, *command("relay", *args)],
            cwd=sock_dir,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            pass_fds=(listener.fileno(),),
        )
        end = ended(process)
    assert (end.status, words in end.err) == (2, True), end.err


# A server that is not there


def test_missing_server_is_told_with_what_check_finds(sock_dir: str) -> None:
    with relaying(f"{sock_dir}/l", f"{sock_dir}/up") as process:
        assert ask(f"{sock_dir}/l", b"") == b""
        end = stop(process)
        assert end.status == 0
        assert re.search(
            r"warning: client 1, pid \d+ .* gets no connection: '\S+/up' does not exist \(ENOENT\)\n", end.err
        )
        assert (
            f"hint: start its server; this waits for it: afunix check --wait 10s {sock_dir}/up\n" in end.err
        )


def test_stale_socket_is_told_as_one(sock_dir: str) -> None:
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(f"{sock_dir}/up")
    with relaying(f"{sock_dir}/l", f"{sock_dir}/up") as process:
        ask(f"{sock_dir}/l", b"")
        err = stop(process).err
        assert "stale socket file, ECONNREFUSED" in err
        assert f"rm {sock_dir}/up\n" in err


def test_server_of_another_type_is_told(sock_dir: str) -> None:
    with (
        serving(f"{sock_dir}/up", echo, socket.SOCK_SEQPACKET),
        relaying(f"{sock_dir}/l", f"{sock_dir}/up") as process,
    ):
        ask(f"{sock_dir}/l", b"")
        assert "EPROTOTYPE" in stop(process).err


def test_many_clients_in_vain_are_one_line_and_a_count(sock_dir: str) -> None:
    with relaying("--wait", "1ms", f"{sock_dir}/l", f"{sock_dir}/up") as process:
        for _ in range(30):
            ask(f"{sock_dir}/l", b"")
        err = stop(process).err
        lines = [line for line in err.splitlines() if "no connection" in line]
        assert 2 <= len(lines) < 20
        assert "more clients got no connection" in lines[-1] or "others before" in lines[-1]


def test_bytes_of_a_client_without_connection_are_lost_and_said(sock_dir: str) -> None:
    with relaying("-q", "--wait", "1h", f"{sock_dir}/l", f"{sock_dir}/up") as process:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"{sock_dir}/l")
            client.send(b"hello")
            end = stop(process)
        assert end.status == 8
        assert end.err.startswith("afunix: error: 5 bytes could not be handed on before the end\n")


def test_client_waits_for_the_server_as_long_as_it_is_asked_to(sock_dir: str) -> None:
    with (
        relaying("-q", "--wait", "20s", f"{sock_dir}/l", f"{sock_dir}/up") as process,
        socket.socket(socket.AF_UNIX) as client,
    ):
        client.settimeout(PATIENCE_S)
        client.connect(f"{sock_dir}/l")
        client.send(b"hello")
        with serving(f"{sock_dir}/up", echo):
            assert client.recv(10) == b"hello"
            client.close()
        assert stop(process).status == 0


# Who the server sees


@pytest.mark.skipif(not IS_ROOT, reason="only root can open to others what is closed to them")
def test_first_line_warns_that_the_server_sees_root_for_everybody(sock_dir: str) -> None:
    with relaying("-v", f"{sock_dir}/l", f"{sock_dir}/up") as process:
        lines = stop(process).err.splitlines()
        assert lines[0] == f"afunix: warning: '{sock_dir}/up' {ROOT_SEES}, whoever the client is"
        assert lines[1].startswith("afunix: hint: --as-client ")


@pytest.mark.skipif(not IS_ROOT, reason="only root can connect as somebody else")
def test_no_warning_where_each_client_is_itself(sock_dir: str) -> None:
    with relaying("-v", "--as-client", f"{sock_dir}/l", f"{sock_dir}/up") as process:
        assert ROOT_SEES not in stop(process).err


def test_run_that_does_not_begin_says_only_why(sock_dir: str) -> None:
    end = run("relay", f"{sock_dir}/no/l", f"{sock_dir}/up")
    assert end.status == 3
    assert ROOT_SEES not in end.err


# What is said


def test_verbose_tells_who_comes_and_what_went_each_way(sock_dir: str) -> None:
    with serving(f"{sock_dir}/up", echo), relaying("-v", f"{sock_dir}/l", f"{sock_dir}/up") as process:
        ask(f"{sock_dir}/l", b"hello")
        assert "client 1 left: 5 bytes up, 5 down" in said(process, "left")
        err = stop(process).err
        assert "stopping: SIGTERM" in err
        assert err.endswith("afunix: 1 client: 5 B up, 5 B down\n")


def test_trace_shows_the_calls_on_both_sides(sock_dir: str) -> None:
    with serving(f"{sock_dir}/up", echo), relaying("--trace", f"{sock_dir}/l", f"{sock_dir}/up") as process:
        ask(f"{sock_dir}/l", b"hello")
        err = said(process, "close(") + stop(process).err
        for call in (
            r"accept\(3\)",
            rf'connect\(\d+, "{sock_dir}/up"\)',
            r"read\(\d+\) = 5",
            r"write\(\d+\) = 5",
        ):
            assert re.search(call, err), err


def test_trace_shows_the_life_of_both_sockets_of_a_pair(sock_dir: str) -> None:
    with serving(f"{sock_dir}/up", echo), relaying("--trace", f"{sock_dir}/l", f"{sock_dir}/up") as process:
        ask(f"{sock_dir}/l", b"hello")
        told = said(process, "close(") + stop(process).err
    near, far = re.findall(r"accept\(3\) = (\d+)|connect\((\d+)", told)
    for number in (near[0], far[1]):
        calls = re.findall(rf"(\w+)\({number}\b", told)
        assert (calls[-1], calls.count("shutdown"), calls.count("close")) == ("close", 1, 1), told
    assert re.search(rf"socket\(.*\) = {far[1]}\n", told)


def test_trace_shows_that_what_a_stop_cuts_off_is_closed(sock_dir: str) -> None:
    with (
        serving(f"{sock_dir}/up", lambda connection: connection.recv(1) and over.wait(PATIENCE_S)),
        relaying("--trace", f"{sock_dir}/l", f"{sock_dir}/up") as process,
        socket.socket(socket.AF_UNIX) as client,
    ):
        over = threading.Event()
        client.connect(f"{sock_dir}/l")
        client.sendall(b"x")
        told = said(process, "write(")
        process.terminate()
        told += said(process, "unlink(")
        told += stop(process).err
        over.set()
    near, far = re.findall(r"accept\(3\) = (\d+)|connect\((\d+)", told)
    assert told.count(f"close({near[0]})") == told.count(f"close({far[1]})") == 1, told


def test_terminal_shows_rates_and_totals_in_one_line(sock_dir: str) -> None:
    ours, theirs = pty.openpty()
    with ExitStack() as stack:
        stack.callback(os.close, ours)
        stack.enter_context(serving(f"{sock_dir}/up", echo))
        process = start(
            "relay",
            f"{sock_dir}/l",
            f"{sock_dir}/up",
            stderr=theirs,
            env=environment(TERM="xterm", NO_COLOR="1"),
        )
        stack.callback(end_for_good, process)
        os.close(theirs)
        shown(ours, "\r\x1b[J0 connected   up 0 B/s (0 B)   down 0 B/s (0 B)")
        assert ask(f"{sock_dir}/l", b"x" * 2000) == b"x" * 2000
        assert "\r\x1b[Jafunix: client 1 came" in shown(ours, "/s (2.0 KiB)   down")
        process.send_signal(signal.SIGINT)
        assert "\r\x1b[Jafunix: 1 client: 2.0 KiB up, 2.0 KiB down\r\n" in shown(ours, "2.0 KiB down\r\n")
        assert ended(process).status == 0


def shown(terminal: int, until: str) -> str:
    """What the terminal gets, up to and with `until`."""
    words = b""
    while until.encode() not in words:
        assert select.select([terminal], [], [], PATIENCE_S)[0], f"only {words!r} came"
        words += os.read(terminal, 10_000)
    return words.decode()


# A host that says nothing


@contextmanager
def logging_in(ends: str, sock_dir: str) -> Iterator[subprocess.Popen[bytes]]:
    """`afunix relay ENDS`, with {far} for a path on a host whose sshd says nothing, while it waits for the login."""
    pytest.importorskip("asyncssh")
    with socket.create_server((LOOPBACK, 0)) as silent:
        far = f"ssh:{LOOPBACK}:{silent.getsockname()[1]}:/s"
        silent.settimeout(PATIENCE_S)
        words = ends.format(far=far).split()
        process = start("relay", "-q", *words, cwd=sock_dir, env=environment(HOME=sock_dir))
        try:
            with silent.accept()[0]:
                yield process
        finally:
            end_for_good(process)


@pytest.mark.parametrize("ends", ["l {far}", "{far} up"])
def test_relay_that_is_stopped_while_it_logs_in_has_ended_whole(sock_dir: str, ends: str) -> None:
    with logging_in(ends, sock_dir) as process:
        assert stop(process) == Ended(0, b"", "")
    assert os.listdir(sock_dir) == []


def test_what_clients_sent_while_it_logged_in_is_lost_and_said(sock_dir: str) -> None:
    with logging_in("l {far}", sock_dir) as process, socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{sock_dir}/l")
        client.send(b"hello")
        end = stop(process)
    assert (end.status, "error: 5 bytes could not be handed on" in end.err) == (8, True), end.err


# STDIN and STDOUT as one side


def test_dash_as_the_client_is_connect(sock_dir: str) -> None:
    with serving(f"{sock_dir}/up", echo):
        assert run("relay", "-", f"{sock_dir}/up", stdin=b"hello") == Ended(0, b"hello", "")
    assert run("relay", "-", f"{sock_dir}/nope").status == 3


def test_dash_as_the_client_reaches_a_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = start("relay", "-", f"tcp:127.0.0.1:{listener.getsockname()[1]}")
        assert process.stdin is not None
        process.stdin.write(b"hello")
        process.stdin.close()
        process.stdin = None
        listener.settimeout(PATIENCE_S)
        with listener.accept()[0] as peer:
            peer.settimeout(PATIENCE_S)
            assert read_all(peer) == b"hello"
            peer.sendall(b"late answer")
        assert ended(process) == Ended(0, b"late answer", "")


def left_by_the_port(*typed: bytes) -> Ended:
    """A server says something and is gone for good; only then this is typed, piece by piece."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        process = start("relay", "-", f"tcp:{LOOPBACK}:{listener.getsockname()[1]}")
        listener.settimeout(PATIENCE_S)
        with listener.accept()[0] as peer:
            peer.sendall(b"bye")
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.read(3) == b"bye"
        for piece in typed:
            process.stdin.write(piece)
        if not typed:
            process.stdin.close()
            process.stdin = None
        process.wait(PATIENCE_S)
        return ended(process)


def test_dash_ends_when_a_port_that_has_gone_resets_what_is_sent() -> None:
    end = left_by_the_port(b"nobody takes this\n")
    assert (end.status, end.out) == (8, b"")
    assert "stopped reading (EPIPE); 18 bytes sent" in end.err


def test_dash_to_a_port_that_has_gone_loses_nothing_where_nothing_is_sent() -> None:
    assert left_by_the_port() == Ended(0, b"", "")


def test_dash_and_a_port_where_nobody_listens_is_status_4() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        end = run("relay", "-", f"tcp:127.0.0.1:{bound.getsockname()[1]}")
    assert end.status == 4
    assert "ECONNREFUSED" in end.err


def test_dash_that_waits_for_a_port_dies_by_its_signal() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        process = start("relay", "--wait", "1h", "--trace", "-", f"tcp:127.0.0.1:{bound.getsockname()[1]}")
        said(process, "ECONNREFUSED")
        assert stop(process).status == -signal.SIGTERM


def test_dash_as_the_server_talks_with_one_client(sock_dir: str) -> None:
    with relaying("-q", f"{sock_dir}/l", "-") as process:
        assert process.stdin is not None
        process.stdin.write(b"welcome")
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE_S)
            client.connect(f"{sock_dir}/l")
            assert client.recv(100) == b"welcome"
            client.sendall(b"hello")
        assert process.stdout is not None
        assert os.read(process.stdout.fileno(), 100) == b"hello"
        assert stop(process).status == 0


def test_dash_as_the_server_of_a_port() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with relaying("-q", f"tcp:127.0.0.1:{port}", "-") as process:
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as client:
            client.sendall(b"hello")
        assert process.stdout is not None
        assert os.read(process.stdout.fileno(), 100) == b"hello"
        assert stop(process).status == 0


@pytest.mark.parametrize("ends", [("-", "{dir}/up"), ("{dir}/l", "-")])
def test_dash_needs_stdout(sock_dir: str, ends: tuple[str, str]) -> None:
    end = run("relay", *(each.format(dir=sock_dir) for each in ends), shell_prefix='"$@" >&-')
    assert end.status == 2
    assert "STDOUT is closed" in end.err


# What makes no sense

_NO_SENSE = {
    "- -": "STDIN and STDOUT cannot be both ends",
    "a": "a relay has two ends",
    "-": "a relay has two ends",
    "a fd:3": "CONNECT is a server to connect to",
    "- a b": "'-' is one client",
    "tcp:127.0.0.1:4 tcp:127.0.0.1:5": "neither 'tcp:127.0.0.1:4' nor 'tcp:127.0.0.1:5' is a socket of",
    "--pass-fds a tcp:127.0.0.1:5": "--pass-fds is between two Unix sockets, and 'tcp:127.0.0.1:5' is none",
    "--as-client - a": "--as-client is between two Unix sockets, and '-' is none",
    "--type dgram a tcp:127.0.0.1:5": "--type dgram keeps records",
    "--allow me tcp:127.0.0.1:4 a": "--allow or --deny is about users",
    "--max-per-user 2 tcp:127.0.0.1:4 a": "--max-per-user is about users",
    "--mode 600 tcp:127.0.0.1:4 a": "--mode is about a socket file",
    "--mode 600 @l a": "--mode is about a socket file",
    "--max-clients 2 - a": "--max-clients means nothing where '-' is the client",
    "--wait 1s a -": "--wait means nothing where '-' is the server",
    "--type dgram --wait 1s a b": "--wait means nothing for a dgram socket",
    "--max-clients 0 a b": "0 is too few",
    "--backlog -1 a b": "--backlog -1 is out of range",
    "--allow user:nobody-here a b": "there is no user 'nobody-here'",
    "-q -v a b": "--quiet and --verbose exclude each other",
    "a a": "it would connect to itself",
    "a http:x": "is no kind of address",
    "": "is missing",
}


@pytest.mark.parametrize(("args", "words"), _NO_SENSE.items())
def test_what_makes_no_sense_is_status_2_with_a_hint(sock_dir: str, args: str, words: str) -> None:
    end = run("relay", *args.split(), cwd=sock_dir)
    assert (end.status, end.out) == (2, b"")
    assert words in end.err
    assert "hint: " in end.err
    assert os.listdir(sock_dir) == []


def test_path_of_a_live_socket_is_status_10(sock_dir: str) -> None:
    with serving(f"{sock_dir}/l", echo):
        end = run("relay", f"{sock_dir}/l", f"{sock_dir}/up")
        assert end.status == 10
        assert "EADDRINUSE" in end.err


@pytest.mark.skipif(IS_ROOT, reason="root may connect as its clients")
def test_connecting_as_the_client_needs_root(sock_dir: str) -> None:
    end = run("relay", "--as-client", f"{sock_dir}/l", f"{sock_dir}/up")
    assert end.status == 5
    assert not os.path.exists(f"{sock_dir}/l")


# The status that an end has


def test_run_that_takes_too_long_is_status_7(sock_dir: str) -> None:
    end = run("relay", "-q", "--timeout", "100ms", f"{sock_dir}/l", f"{sock_dir}/up")
    assert end == Ended(7, b"", "afunix: error: timed out (--timeout): nobody was connected\n")


@pytest.mark.parametrize(
    ("result", "status", "words"),
    [
        (RelayResult(Cause.SIGNAL, signal.SIGTERM), 0, ""),
        (RelayResult(Cause.SIGNAL, signal.SIGTERM, bytes_lost=5), 8, "5 bytes could not be handed on"),
        (RelayResult(Cause.SIGNAL, signal.SIGINT, is_forced=True), -signal.SIGINT, ""),
        (RelayResult(Cause.TIMEOUT, connected=2), 7, "2 clients were still connected"),
        (RelayResult(Cause.TIMEOUT, bytes_lost=5), 8, _LOST_HINT),
        (RelayResult(turned_away=TurnedAway(errno.EMFILE, 1, True, 0)), 8, "1 client was left"),
        (RelayResult(Cause.ACCEPT_FAILED, error=OSError(22, "Invalid argument")), 1, "(EINVAL)"),
        (RelayResult(Cause.FAULT, fault=RuntimeError("x")), 1, "RuntimeError: x"),
    ],
)
def test_status_says_how_it_ended_and_is_never_0_when_bytes_were_lost(
    capfd: pytest.CaptureFixture[str], result: RelayResult, status: int, words: str
) -> None:
    assert _status_after(result) == status
    err = capfd.readouterr().err
    assert words in err
    assert bool(words) == bool(err)
