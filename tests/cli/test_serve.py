"""`afunix serve` as a process: what goes to STDOUT, how it stops, its statuses, and the words on STDERR."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import resource
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from tests.peers import require
from tests.program import PATIENCE_S, Ended, command, ended, environment, run, start
from tests.strace import STRACED, calls_of_strace, calls_of_trace

from afunix.cli.serve import _STATUS_AFTER
from afunix.tools.settings import Cause, ServeResult, TurnedAway

HUNDRED = b"".join(b"%099d\n" % number for number in range(20_000))
"""2 MB of 100-byte lines: more than any buffer on the way."""


def wait_until(is_met: Callable[[], Any]) -> Any:
    """What `is_met()` returns once that is true; for what another process does and tells nobody."""
    deadline = time.monotonic() + PATIENCE_S
    while not (answer := is_met()):
        assert time.monotonic() < deadline, "what was waited for does not happen"
        time.sleep(0.002)
    return answer


class Service:
    """`afunix serve ARGS PATH`, from the moment on in which clients can connect."""

    def __init__(
        self, path: str, process: subprocess.Popen[bytes], stack: ExitStack, manager: socket.socket
    ) -> None:
        self.path = path
        self.process = process
        self.manager = manager
        self._stack = stack

    def connect(self, kind: int = socket.SOCK_STREAM) -> socket.socket:
        client = self._stack.enter_context(socket.socket(socket.AF_UNIX, kind))
        client.settimeout(PATIENCE_S)
        client.connect(self.path)
        return client

    def send(self, data: bytes) -> None:
        """A client that says `data` and leaves."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE_S)
            client.connect(self.path)
            client.sendall(data)

    def read(self, count: int) -> bytes:
        """The next `count` bytes of STDOUT."""
        assert self.process.stdout is not None
        return read_exactly(self.process.stdout.fileno(), count)

    def read_words(self, until: str) -> str:
        """STDERR up to and with a line that has `until` in it."""
        assert self.process.stderr is not None
        said = b""
        while until.encode() not in said or not said.endswith(b"\n"):
            said += read_exactly(self.process.stderr.fileno(), 1)
        return said.decode()

    def stop(self, number: int = signal.SIGTERM) -> Ended:
        self.process.send_signal(number)
        return ended(self.process)

    def wait_gone(self) -> None:
        """Until the path leads nowhere any more."""
        wait_until(lambda: not os.path.lexists(self.path))


def read_exactly(fd: int, count: int) -> bytes:
    data = b""
    while len(data) < count:
        assert select.select([fd], [], [], PATIENCE_S)[0], f"only {data!r} came"
        piece = os.read(fd, count - len(data))
        assert piece, f"the end came after {data!r}"
        data += piece
    return data


@contextmanager
def serving(directory: str, *args: str, address: str | None = None, **options: Any) -> Iterator[Service]:
    """A Service on `directory`/s; killed at the end if the test has not stopped it. It reports like to systemd."""
    path = f"{directory}/s"
    with ExitStack() as stack:
        manager, name = service_manager(stack)
        options.setdefault("env", environment(NOTIFY_SOCKET=name))
        process = start("serve", *args, path if address is None else address, **options)
        stack.callback(end_for_good, process)
        try:
            told = manager.recv(100)
        except TimeoutError:
            process.kill()
            pytest.fail(f"it does not serve: {ended(process)}")
        assert told == b"READY=1"
        yield Service(path, process, stack, manager)


def service_manager(stack: ExitStack) -> tuple[socket.socket, str]:
    """Where READY=1 arrives, and what NOTIFY_SOCKET says then."""
    manager = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    manager.bind("")  # the kernel finds an abstract name
    manager.settimeout(PATIENCE_S)
    return manager, f"@{manager.getsockname()[1:].decode()}"


def end_for_good(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


# What clients send comes out


def test_lines_of_several_clients_come_out_whole(sock_dir: str) -> None:
    with serving(sock_dir) as service:
        ana, bo = service.connect(), service.connect()
        ana.send(b"an")
        bo.send(b"bo\n")
        assert service.read(3) == b"bo\n"
        ana.send(b"a\n")
        assert service.read(4) == b"ana\n"
        end = service.stop()
        assert (end.status, end.out, end.err) == (0, b"", "")


def test_bulk_from_several_at_once_loses_and_tears_nothing(sock_dir: str) -> None:
    with serving(sock_dir, stdout=subprocess.PIPE) as service:
        sender = "import socket,sys; s=socket.socket(1); s.connect(sys.argv[1]); s.sendall(open(sys.argv[2],'rb').read())"
        sent = {name: HUNDRED.replace(b"0" * 50, name * 50) for name in (b"a", b"b", b"c")}
        senders = []
        for name, data in sent.items():
            with open(f"{sock_dir}/{name.decode()}", "wb") as file:
                file.write(data)
            senders.append(subprocess.Popen([sys.executable, "-c", sender, service.path, file.name]))
        out = service.read(sum(map(len, sent.values())))
        assert [sender.wait(PATIENCE_S) for sender in senders] == [0, 0, 0]
        for name, data in sent.items():
            assert b"".join(line for line in out.splitlines(True) if line.startswith(name)) == data
        assert service.stop().out == b""


@pytest.mark.parametrize("peer", ["socat", "nc", "ncat"])
def test_other_programs_can_be_clients(sock_dir: str, peer: str) -> None:
    program = require(peer)
    arguments = {"socat": ["-u", "-", f"UNIX-CONNECT:{sock_dir}/s"], "nc": ["-NU", f"{sock_dir}/s"]}
    with serving(sock_dir) as service:
        argv = [program, *arguments.get(peer, ["--send-only", "-U", f"{sock_dir}/s"])]
        subprocess.run(argv, input=HUNDRED[:50_000] + b"end", check=True, timeout=PATIENCE_S)
        assert service.stop().out == HUNDRED[:50_000] + b"end"


def test_connect_is_a_client(sock_dir: str) -> None:
    with serving(sock_dir) as service:
        assert run("connect", service.path, stdin=b"hello\n") == Ended(0, b"", "")
        assert service.read(6) == b"hello\n"


@pytest.mark.parametrize(
    ("options", "out"),
    [
        (["--raw"], b"a\x1b\0b"),
        (["--label-format", "{connection}|{uid}|"], b"1|%d|a\x1b\0b\n" % os.getuid()),
        (["--escape", "always"], b"a^[^@b"),
        (["--raw", "--escape", "always"], b"a^[^@b"),
        (["--max-line", "2"], b"a\x1b\0b"),
        (["--label-format", "", "--max-line", "2"], b"a\x1b\n\0b\n"),
    ],
)
def test_options_shape_what_comes_out(sock_dir: str, options: list[str], out: bytes) -> None:
    with serving(sock_dir, *options) as service:
        service.send(b"a\x1b\0b")
        assert service.read(len(out)) == out
        assert service.stop().out == b""


def test_json_is_one_object_a_line_with_its_sender(sock_dir: str) -> None:
    with serving(sock_dir, "--json") as service:
        service.send(b"hi\n\xff")
        end = service.stop()
        shape = (
            r'\{"time": "[-0-9]+T[:0-9]+\.\d{6}Z", "connection": 1, "pid": \d+, "uid": \d+, "gid": \d+,'
            r' "user": "?\w+"?, "comm": "[^"]+", "data%s}\n'
        )
        assert re.fullmatch(
            shape % '": "hi", "end": "newline"' + shape % '_base64": "/w==", "end": "eof"', end.out.decode()
        )


def test_label_says_who_by_default(sock_dir: str) -> None:
    with serving(sock_dir, "--label") as service:
        service.send(b"hi")
        assert re.fullmatch(rb"1 \S+ .+\[\d+\]: hi\n", service.stop().out)


@pytest.mark.parametrize("kind", ["dgram", "seqpacket"])
@pytest.mark.parametrize(
    ("options", "out"), [([], b"one\n\ntwo\n"), (["--null"], b"one\0\0two\n\0"), (["--raw"], b"onetwo\n")]
)
def test_records_come_out_each_whole(sock_dir: str, kind: str, options: list[str], out: bytes) -> None:
    number = {"dgram": socket.SOCK_DGRAM, "seqpacket": socket.SOCK_SEQPACKET}[kind]
    with serving(sock_dir, "--type", kind, *options) as service:
        client = service.connect(number)
        for record in (b"one", b"", b"two\n"):
            client.send(record)
        assert service.read(len(out)) == out
        assert service.stop() == Ended(0, b"", "")


def test_abstract_name_works(sock_dir: str) -> None:
    name = f"afunix-test-{os.getpid()}"
    with serving(sock_dir, address=f"@{name}") as service:
        service.path = f"\0{name}"
        service.send(b"hi\n")
        assert service.stop() == Ended(0, b"hi\n", "")


def test_long_path_works(sock_dir: str) -> None:
    directory = f"{sock_dir}/{'d' * 120}"
    os.mkdir(directory)
    with serving(sock_dir, address=f"{directory}/s") as service:
        assert run("connect", f"{directory}/s", stdin=b"hi\n").status == 0
        assert service.stop().out == b"hi\n"
        assert os.listdir(directory) == []


def test_several_addresses_are_served_at_once(sock_dir: str) -> None:
    with serving(sock_dir, f"{sock_dir}/t") as service:
        service.send(b"one\n")
        assert service.read(4) == b"one\n"
        service.path = f"{sock_dir}/t"
        service.send(b"two\n")
        assert service.stop().out == b"two\n"
    assert os.listdir(sock_dir) == []


def test_out_of_band_byte_is_not_lost(sock_dir: str) -> None:
    with serving(sock_dir) as service:
        client = service.connect()
        client.send(b"a")
        client.send(b"!", socket.MSG_OOB)
        client.send(b"b\n")
        assert service.read(4) == b"a!b\n"


# Echo and talk


def test_echo_sends_back_and_leaves_stdout_alone(sock_dir: str) -> None:
    with serving(sock_dir, "--echo", shell_prefix='exec "$@" >&-') as service:
        end = run("connect", service.path, stdin=HUNDRED)
        assert (end.status, end.out, end.err) == (0, HUNDRED, "")
        assert service.stop().status == 0


@pytest.mark.parametrize("kind", ["dgram", "seqpacket"])
def test_echo_of_records(sock_dir: str, kind: str) -> None:
    number = {"dgram": socket.SOCK_DGRAM, "seqpacket": socket.SOCK_SEQPACKET}[kind]
    with serving(sock_dir, "--echo", "--type", kind) as service:
        client = service.connect(number)
        if kind == "dgram":
            client.bind("")  # a name to answer to
        for record in (b"one", b"", b"two\n"):
            client.send(record)
            assert client.recv(100) == record
        assert service.stop() == Ended(0, b"", "")


@pytest.mark.parametrize("kind", ["dgram", "seqpacket"])
def test_record_that_is_too_long_to_go_back_is_no_harm_to_others(sock_dir: str, kind: str) -> None:
    number = {"dgram": socket.SOCK_DGRAM, "seqpacket": socket.SOCK_SEQPACKET}[kind]
    with serving(sock_dir, "--echo", "--type", kind) as service:
        big = service.connect(number)
        big.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        small = service.connect(number)
        for client in (big, small):
            client.bind("") if kind == "dgram" else None
        big.send(b"x" * 300_000)
        small.send(b"hi")
        assert small.recv(100) == b"hi"
        assert service.stop() == Ended(0, b"", "")


def test_talk_carries_stdin_there_and_answers_back(sock_dir: str) -> None:
    with serving(sock_dir, "--talk") as service:
        assert service.process.stdin is not None
        client = service.connect()
        service.process.stdin.write(b"hello\n")
        assert client.recv(100) == b"hello\n"
        client.send(b"hi")
        assert service.read(2) == b"hi"
        service.process.stdin.close()
        assert client.recv(100) == b""
        client.send(b"bye")
        assert service.read(3) == b"bye"


def test_talk_has_one_client_at_a_time(sock_dir: str) -> None:
    with serving(sock_dir, "--talk") as service:
        ana, bo = service.connect(), service.connect()
        bo.send(b"bo")
        ana.send(b"ana")
        assert service.read(3) == b"ana"
        ana.close()
        assert service.read(2) == b"bo"


def test_talk_stops_at_once(sock_dir: str) -> None:
    with serving(sock_dir, "--talk") as service:
        client = service.connect()
        client.send(b"hi")
        assert service.read(2) == b"hi"
        began = time.monotonic()
        assert service.stop() == Ended(0, b"", "")
        assert time.monotonic() - began < 4  # less than the patience of a stop
        assert client.recv(9) == b""


# Who may come


def test_sequential_serves_one_after_the_other(sock_dir: str) -> None:
    with serving(sock_dir, "--sequential") as service:
        ana, bo = service.connect(), service.connect()
        bo.send(b"bo\n")
        ana.send(b"ana\n")
        assert service.read(4) == b"ana\n"
        ana.close()
        assert service.read(3) == b"bo\n"


def test_once_removes_the_path_with_the_first_client_and_ends_with_it(sock_dir: str) -> None:
    with serving(sock_dir, "--once") as service:
        client = service.connect()
        service.wait_gone()
        client.send(b"hi")
        client.close()
        assert ended(service.process) == Ended(0, b"hi", "")


def test_once_waits_for_the_first_who_is_admitted(sock_dir: str) -> None:
    with serving(sock_dir, "--once", "--deny", "any") as service:
        client = service.connect()
        assert client.recv(1) == b""
        assert "refused" in service.read_words("denied by 'any'")
        service.connect()
        assert os.path.exists(service.path)
        assert service.stop().status == 0


def test_refused_client_is_closed_unread_and_one_line_says_why(sock_dir: str) -> None:
    with serving(sock_dir, "--deny", "me") as service:
        for _ in range(20):
            client = service.connect()
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                client.send(b"unread")
                while client.recv(1):
                    pass
                raise BrokenPipeError
        end = service.stop()
        first, *rest = end.err.splitlines()
        assert re.fullmatch(
            rf"afunix: warning: refused pid {os.getpid()} \(.+\) uid {os.getuid()} \(\w+\): denied by 'me'",
            first,
        )
        assert len(rest) <= 2
        assert (end.status, end.out) == (0, b"")


def test_max_per_user_refuses_the_next(sock_dir: str) -> None:
    with serving(sock_dir, "--max-per-user", "1") as service:
        first, second = service.connect(), service.connect()
        assert second.recv(1) == b""
        first.send(b"hi\n")
        assert service.read(3) == b"hi\n"
        assert "has 1 connections, the limit is 1" in service.stop().err


def test_out_of_descriptors_waits_without_spinning_and_says_so_once(sock_dir: str) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    prefix = 'ulimit -n 32; exec "$@"'
    with serving(sock_dir, "--max-clients", "1000", "--timeout", "1500ms", shell_prefix=prefix) as service:
        for _ in range(60):
            service.connect()
        end = ended(service.process)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    warnings = [line for line in end.err.splitlines() if line.startswith("afunix: warning")]
    (warning,) = warnings
    assert "accepting no clients for now: too many open files (EMFILE)" in warning
    # With the start of Python and all; whoever spins needs more than the 1.5 seconds themselves.
    assert (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime) < 1.2


def test_service_resumes_when_descriptors_are_given_back(sock_dir: str) -> None:
    with serving(sock_dir, "--max-clients", "1000", shell_prefix='ulimit -n 32; exec "$@"') as service:
        crowd = [service.connect() for _ in range(40)]
        service.read_words("EMFILE")
        for client in crowd:
            client.close()
        service.send(b"hi\n")
        assert service.read(3) == b"hi\n"


def lower_descriptors(service: Service, below: int) -> socket.socket:
    """Set the limit of a running `serve` to `below` fewer than it has open; its one client, who has said `hi`."""
    client = service.connect()
    client.send(b"hi\n")
    assert service.read(3) == b"hi\n"  # whatever was open only for its start is closed by now
    _, hard = resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE)
    used = len(os.listdir(f"/proc/{service.process.pid}/fd"))
    resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE, (used - below, hard))
    return client


@contextmanager
def serving_without_file(directory: str) -> Iterator[Service]:
    """On an abstract name: there is no file, whose descriptor would be given back at the start of a stop."""
    name = f"afunix-{os.path.basename(directory)}"
    with serving(directory, address=f"@{name}") as service:
        service.path = f"\0{name}"
        yield service


def test_clients_that_a_stop_cannot_accept_are_status_8_with_their_number(sock_dir: str) -> None:
    with serving_without_file(sock_dir) as service:
        lower_descriptors(service, 1)
        service.connect().send(b"unheard\n")
        service.connect()
        end = service.stop()
    assert (end.status, end.out) == (8, b"")
    assert end.err.endswith(
        "afunix: error: 2 clients were left in the backlog unaccepted, and 8 bytes that they had sent are lost:"
        " too many open files (EMFILE)\n"
        "afunix: hint: 'ulimit -n' sets how many descriptors a process may have\n"
    )


def test_a_stop_without_descriptors_and_without_clients_loses_nothing(sock_dir: str) -> None:
    with serving_without_file(sock_dir) as service:
        lower_descriptors(service, 1)
        assert service.stop().status == 0


def test_descriptors_that_come_back_during_a_stop_are_used(sock_dir: str) -> None:
    with serving_without_file(sock_dir) as service:
        before = resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE)
        client = lower_descriptors(service, 1)
        service.connect().send(b"heard\n")
        service.process.send_signal(signal.SIGTERM)
        assert client.recv(1) == b""
        resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE, before)
        end = ended(service.process)
    assert (end.status, end.out) == (0, b"heard\n")


# The socket file


def test_mode_owner_and_group_are_as_asked(sock_dir: str) -> None:
    with serving(
        sock_dir, "--mode", "0640", "--owner", str(os.getuid()), "--group", str(os.getgid())
    ) as service:
        assert stat.S_IMODE(os.stat(service.path).st_mode) == 0o640


def test_mode_is_0600_if_not_asked(sock_dir: str) -> None:
    with serving(sock_dir) as service:
        assert stat.S_IMODE(os.stat(service.path).st_mode) == 0o600


def test_stale_file_is_replaced_and_a_live_one_is_refused_with_its_owner(sock_dir: str) -> None:
    with serving(sock_dir) as service:
        end = run("serve", service.path)
        assert (end.status, end.out) == (10, b"")
        assert f"pid {service.process.pid}" in end.err
        service.process.kill()
        service.process.wait()
        assert os.path.exists(service.path)
    with serving(sock_dir) as service:
        service.send(b"hi\n")
        assert service.stop() == Ended(0, b"hi\n", "")


def test_replace_takes_a_live_path_over_and_the_first_leaves_it_alone(sock_dir: str) -> None:
    with serving(sock_dir) as first, serving(sock_dir, "--replace") as second:
        assert first.stop().status == 0
        second.send(b"hi\n")
        assert second.stop().out == b"hi\n"
    assert os.listdir(sock_dir) == []


def test_keep_leaves_the_path(sock_dir: str) -> None:
    with serving(sock_dir, "--keep") as service:
        assert service.stop().status == 0
        assert os.path.exists(service.path)


def test_path_that_is_somebody_elses_by_now_is_left_alone(sock_dir: str) -> None:
    with serving(sock_dir) as service:
        os.unlink(service.path)
        with open(service.path, "wb"):
            pass
        assert service.stop().status == 0
        assert os.path.isfile(service.path)


# The stop


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_stops_it_whole_with_status_0(sock_dir: str, number: int) -> None:
    with serving(sock_dir) as service:
        client = service.connect()
        client.send(b"unfinished")
        assert service.stop(number) == Ended(0, b"unfinished", "")
        told = [service.manager.recv(100)]
        while told[-1] != b"STOPPING=1":
            assert told[-1].startswith(b"STATUS=listening on ")
            told.append(service.manager.recv(100))
    assert os.listdir(sock_dir) == []


def test_bytes_of_clients_that_wait_in_the_backlog_come_out(sock_dir: str) -> None:
    with serving(sock_dir, "--sequential") as service:
        first = service.connect()
        first.send(b"first\n")
        assert service.read(6) == b"first\n"
        for number in range(20):
            service.send(b"waits %02d\n" % number)
        end = service.stop()
        assert (end.status, end.err) == (0, "")
        assert end.out == b"".join(b"waits %02d\n" % number for number in range(20))
        assert first.recv(1) == b""


def test_bytes_that_stdout_has_not_taken_yet_come_out_after_the_signal(sock_dir: str) -> None:
    with serving(sock_dir) as service:
        client = service.connect()
        client.settimeout(0.0)
        sent = 0
        while sent < len(HUNDRED):
            if not select.select([], [client], [], 0.2)[1]:
                break
            sent += client.send(HUNDRED[sent : sent + 65536])
        service.process.send_signal(signal.SIGTERM)
        service.wait_gone()
        end = ended(service.process)
        assert (end.status, end.out, end.err) == (0, HUNDRED[:sent], "")


def test_successor_can_start_while_the_old_one_drains(sock_dir: str) -> None:
    with serving(sock_dir, "--drain", "1h") as old:
        client = old.connect()
        old.process.send_signal(signal.SIGTERM)
        old.wait_gone()
        with serving(sock_dir) as new:
            client.sendall(b"old\n")
            new.send(b"new\n")
            client.close()
            assert ended(old.process) == Ended(0, b"old\n", "")
            assert new.stop() == Ended(0, b"new\n", "")


def test_drain_ends_conversations_at_its_deadline_and_loses_nothing(sock_dir: str) -> None:
    with serving(sock_dir, "--drain", "50ms") as service:
        client = service.connect()
        client.send(b"hi")
        assert service.stop() == Ended(0, b"hi", "")
        assert client.recv(1) == b""


def test_second_signal_removes_the_path_and_kills(sock_dir: str) -> None:
    with serving(sock_dir, "--drain", "1h") as service:
        service.connect()
        service.process.send_signal(signal.SIGTERM)
        service.wait_gone()
        end = service.stop(signal.SIGINT)
        assert end.status == -signal.SIGINT


@pytest.mark.parametrize("options", [[], ["--drain", "1h"]])
def test_two_signals_at_once_kill_and_remove_the_path(sock_dir: str, options: list[str]) -> None:
    with serving(sock_dir, *options) as service:
        service.connect().send(b"hi")
        for number in (signal.SIGSTOP, signal.SIGINT, signal.SIGTERM, signal.SIGCONT):
            service.process.send_signal(number)
        end = ended(service.process)
        assert end.status in (-signal.SIGINT, -signal.SIGTERM)  # the kernel says in which order they come
        # Were they read already? Then they are lost, without the end of their line.
        assert end.err in ("", "afunix: error: 2 bytes could not be handed on before the end\n")
    assert os.listdir(sock_dir) == []


def with_signals_where(function: str) -> str:
    """A program: `afunix serve`, which sends itself SIGINT right before and after `function` is called."""
    return f"""
import asyncio, os, signal, sys
from afunix.cli import main

loop = asyncio.SelectorEventLoop
true = {function}

def noisy(*args, **named):
    os.kill(os.getpid(), signal.SIGINT)
    answer = true(*args, **named)
    os.kill(os.getpid(), signal.SIGINT)
    return answer

{function} = noisy
main(sys.argv[1:])
"""


@pytest.mark.parametrize("function", ["loop.close", "loop.remove_signal_handler", "loop._close_self_pipe"])
def test_signal_while_the_loop_is_taken_apart_kills_without_a_word(sock_dir: str, function: str) -> None:
    program = with_signals_where(function)
    end = subprocess.run(
        [sys.executable, "-c", program, "serve", "--timeout", "10ms", f"{sock_dir}/s"],
        capture_output=True,
        env=environment(),
        check=False,
        timeout=PATIENCE_S,
    )
    assert (end.returncode, end.stdout, end.stderr) == (-signal.SIGINT, b"", b"")
    assert os.listdir(sock_dir) == []


def test_hang_up_that_was_ignored_at_start_stays_ignored(sock_dir: str) -> None:
    with serving(sock_dir, "-v", shell_prefix='trap "" HUP; exec "$@"') as service:
        service.process.send_signal(signal.SIGHUP)
        service.send(b"hi\n")
        assert service.read(3) == b"hi\n"
        end = service.stop()
        assert end.status == 0
        assert re.findall("stopping: .*", end.err) == ["stopping: SIGTERM"]


def test_reader_of_stdout_that_goes_away_is_noticed_also_when_idle(sock_dir: str) -> None:
    with serving(sock_dir, stdout=subprocess.PIPE) as service:
        service.connect()
        assert service.process.stdout is not None
        service.process.stdout.close()
        assert service.process.wait(PATIENCE_S) == -signal.SIGPIPE
        assert not os.path.lexists(service.path)


def test_reader_that_goes_away_amid_bytes_is_the_same(sock_dir: str) -> None:
    with serving(sock_dir) as service:
        client = service.connect()
        client.sendall(HUNDRED[:100_000])
        service.read(1000)
        assert service.process.stdout is not None
        service.process.stdout.close()
        assert service.process.wait(PATIENCE_S) == -signal.SIGPIPE
        assert not os.path.lexists(service.path)


def test_stdout_socket_whose_peer_goes_away_is_the_same(sock_dir: str) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, serving(sock_dir, stdout=theirs.fileno()) as service:
        theirs.close()
        service.send(b"hi\n")
        assert ours.recv(9) == b"hi\n"
        ours.close()
        assert service.process.wait(PATIENCE_S) == -signal.SIGPIPE
        assert not os.path.lexists(service.path)


# What STDOUT may be


@pytest.mark.parametrize("data", [b"hi\n", HUNDRED], ids=["little", "bulk"])
def test_full_stdout_is_status_1_with_the_bytes_lost(sock_dir: str, data: bytes) -> None:
    with open("/dev/full", "wb") as full, serving(sock_dir, stdout=full) as service:
        client = service.connect()
        try:
            client.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it is gone before it has read everything
        end = ended(service.process)
        found = re.fullmatch(
            r"afunix: error: cannot write to STDOUT: no space left on device \(ENOSPC\);"
            r" (\d+) bytes that clients had sent are lost\n",
            end.err,
        )
        assert end.status == 1
        assert found is not None
        assert 3 <= int(found[1]) <= len(data)
        assert not os.path.lexists(service.path)


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_WRONLY | os.O_APPEND])
def test_stdout_may_be_a_file(sock_dir: str, flags: int) -> None:
    out = os.open(f"{sock_dir}/out", flags | os.O_CREAT)
    with open(out, "wb") as file, serving(sock_dir, stdout=file) as service:
        service.send(HUNDRED)
        wait_until(
            lambda: os.path.getsize(f"{sock_dir}/out") == len(HUNDRED)
        )  # or the next one may overtake it
        service.send(b"end")
        assert service.stop().status == 0
        with open(f"{sock_dir}/out", "rb") as written:
            assert written.read() == HUNDRED + b"end"


def test_stdout_may_be_dev_null(sock_dir: str) -> None:
    with serving(sock_dir, stdout=subprocess.DEVNULL) as service:
        service.send(HUNDRED)
        assert service.stop().status == 0


def test_stdout_may_be_a_terminal_which_is_shown_control_characters(sock_dir: str) -> None:
    master, slave = pty.openpty()
    try:
        with serving(sock_dir, stdout=slave) as service:
            service.send(b"\x1b]0;x\x07\n")
            assert read_exactly(master, 10) == b"^[]0;x^G\r\n"
            assert service.stop().status == 0
    finally:
        os.close(master)
        os.close(slave)


def test_flags_of_stdout_stay_as_they_were(sock_dir: str) -> None:
    reader, writer = os.pipe()
    try:
        before = fcntl.fcntl(writer, fcntl.F_GETFL)
        with serving(sock_dir, stdout=writer) as service:
            service.send(b"hi\n")
            assert read_exactly(reader, 3) == b"hi\n"
            assert fcntl.fcntl(writer, fcntl.F_GETFL) == before
    finally:
        os.close(reader)
        os.close(writer)


def test_memory_does_not_grow_while_nobody_reads_stdout(sock_dir: str) -> None:
    with serving(sock_dir) as service:
        client = service.connect()
        client.settimeout(0.2)
        sent = 0
        with pytest.raises(TimeoutError):
            while True:
                sent += client.send(HUNDRED[:65536])
        assert sent < 8 << 20
        with open(f"/proc/{service.process.pid}/status") as status:
            peak = int(re.findall(r"VmHWM:\s+(\d+) kB", status.read())[0])
        assert peak < 64 << 10


# Times


def test_timeout_is_status_7_and_names_what_was_waited_for(sock_dir: str) -> None:
    with serving(sock_dir, "--timeout", "200ms") as service:
        end = ended(service.process)
        assert (end.status, end.out) == (7, b"")
        assert end.err == "afunix: error: timed out (--timeout): nobody was connected\n"
        assert not os.path.lexists(service.path)


def test_timeout_writes_what_was_received(sock_dir: str) -> None:
    with serving(sock_dir, "--timeout", "300ms") as service:
        client = service.connect()
        client.send(b"hi")
        end = ended(service.process)
        assert (end.status, end.out) == (7, b"hi")
        assert end.err == "afunix: error: timed out (--timeout): 1 client was still connected\n"


def test_idle_client_is_closed_and_the_others_stay(sock_dir: str) -> None:
    with serving(sock_dir, "--idle-timeout", "100ms") as service:
        client = service.connect()
        client.send(b"hi")
        assert client.recv(1) == b""
        assert service.read(2) == b"hi"
        service.send(b"more\n")
        assert service.stop() == Ended(0, b"\nmore\n", "")


def test_idle_timeout_of_the_only_client_is_status_7(sock_dir: str) -> None:
    with serving(sock_dir, "--once", "--idle-timeout", "100ms") as service:
        client = service.connect()
        client.send(b"hi")
        end = ended(service.process)
        assert (end.status, end.out) == (7, b"hi")
        assert end.err == "afunix: error: timed out: the client moved no byte for 0.1 s (--idle-timeout)\n"


# The status that an end has


@pytest.mark.parametrize(
    ("result", "status", "words"),
    [
        (ServeResult(Cause.SIGNAL, signal.SIGTERM), 0, ""),
        (ServeResult(Cause.SIGNAL, signal.SIGTERM, bytes_lost=5), 8, "5 bytes could not be handed on"),
        (ServeResult(Cause.SIGNAL, signal.SIGINT, is_forced=True), -signal.SIGINT, ""),
        (ServeResult(Cause.ONCE), 0, ""),
        (ServeResult(Cause.ONCE, bytes_lost=5), 8, "5 bytes could not be handed on"),
        (ServeResult(Cause.ONCE, idle_s=2.0), 7, "the client moved no byte for 2 s"),
        (ServeResult(Cause.TIMEOUT), 7, "nobody was connected"),
        (ServeResult(Cause.TIMEOUT, bytes_lost=5), 8, "5 bytes could not be handed on"),
        (ServeResult(Cause.OUTPUT_GONE), -signal.SIGPIPE, ""),
        (ServeResult(Cause.OUTPUT_GONE, bytes_lost=5), -signal.SIGPIPE, ""),
        (ServeResult(Cause.OUTPUT_FAILED, error=OSError(28, "No space"), bytes_lost=5), 1, "5 bytes that"),
        (
            ServeResult(turned_away=TurnedAway(24, 1, True, 0)),
            8,
            "error: 1 client was left in the backlog unac",
        ),
        (
            ServeResult(Cause.TIMEOUT, turned_away=TurnedAway(23, 2, False, 9)),
            8,
            "at least 2 clients were left",
        ),
        (ServeResult(turned_away=TurnedAway(12, 0, False, 0)), 8, "clients may have been left"),
        (ServeResult(Cause.ACCEPT_FAILED, error=OSError(22, "Invalid argument")), 1, "(EINVAL)"),
    ],
)
def test_status_says_how_it_ended_and_is_never_0_when_bytes_were_lost(
    capfd: pytest.CaptureFixture[str], result: ServeResult, status: int, words: str
) -> None:
    assert _STATUS_AFTER[result.cause](result, "") == status
    said = capfd.readouterr().err
    assert words in said
    assert bool(words) == bool(said)


# Under a service manager

_ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES="web")
os.execv(sys.argv[2], sys.argv[2:])
"""


@contextmanager
def activated(directory: str, *args: str) -> Iterator[tuple[socket.socket, Service]]:
    """`afunix serve ARGS` that inherits a listener on `directory`/s, as from systemd, and that listener."""
    with ExitStack() as stack:
        manager, name = service_manager(stack)
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(f"{directory}/s")
        listener.listen()
        process = subprocess.Popen(
            [sys.executable, "-c", _ACTIVATE, str(listener.fileno()), *command("serve", *args)],
            bufsize=0,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(listener.fileno(),),
            env=environment(NOTIFY_SOCKET=name),
        )
        stack.callback(end_for_good, process)
        assert manager.recv(100) == b"READY=1"
        yield listener, Service(f"{directory}/s", process, stack, manager)


@pytest.mark.parametrize("address", [[], ["fd:3"], ["fd:web"], ["{path}"]])
def test_inherited_listener_is_used_and_neither_shut_down_nor_removed(
    sock_dir: str, address: list[str]
) -> None:
    args = [each.format(path=f"{sock_dir}/s") for each in address]
    with activated(sock_dir, *args) as (listener, service):
        before = fcntl.fcntl(listener, fcntl.F_GETFL)
        service.send(b"hi\n")
        assert service.read(3) == b"hi\n"
        assert fcntl.fcntl(listener, fcntl.F_GETFL) == before
        assert service.stop() == Ended(0, b"", "")
        service.connect()  # it waits for whoever serves next
        listener.settimeout(PATIENCE_S)
        listener.accept()[0].close()
        assert os.path.exists(service.path)


def test_inherited_listener_of_another_name_is_not_used_and_that_is_said(sock_dir: str) -> None:
    with activated(sock_dir, f"{sock_dir}/other") as (_, service):
        service.path = f"{sock_dir}/other"
        service.send(b"hi\n")
        end = service.stop()
        assert (end.status, end.out) == (0, b"hi\n")
        assert "none of the 1 inherited sockets is bound to" in end.err
        assert os.path.exists(f"{sock_dir}/s")
        assert not os.path.exists(f"{sock_dir}/other")


@pytest.mark.skipif(
    shutil.which("systemd-socket-activate") is None, reason="systemd-socket-activate is absent"
)
def test_systemd_socket_activate_starts_it(sock_dir: str) -> None:
    activate = ["systemd-socket-activate", "-E", "PYTHONPATH", "-l", f"{sock_dir}/s"]
    process = subprocess.Popen(
        [*activate, *command("serve", "--once")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    try:
        wait_until(lambda: os.path.exists(f"{sock_dir}/s"))
        assert run("connect", "--wait", "10s", f"{sock_dir}/s", stdin=b"hi\n").status == 0
        end = ended(process)
        assert (end.status, end.out) == (0, b"hi\n")
        assert "afunix" not in end.err.replace("-m afunix", "")
    finally:
        end_for_good(process)


# Descriptors at the start


@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- 2>&-"])
def test_closed_stdin_or_stderr_becomes_dev_null(sock_dir: str, closed: str) -> None:
    with serving(sock_dir, shell_prefix=f'exec "$@" {closed}') as service:
        service.send(b"hi\n")
        assert service.read(3) == b"hi\n"
        assert service.stop() == Ended(0, b"", "")


@pytest.mark.parametrize("closed", [">&-", "<&- >&-"])
def test_closed_stdout_is_wrong_use_and_nothing_is_created(sock_dir: str, closed: str) -> None:
    end = run("serve", f"{sock_dir}/s", shell_prefix=f'exec "$@" {closed}')
    assert end.status == 2
    assert end.err.startswith("afunix: error: STDOUT is closed")
    assert os.listdir(sock_dir) == []


def test_all_three_closed_is_wrong_use_without_a_word(sock_dir: str) -> None:
    assert run("serve", f"{sock_dir}/s", shell_prefix='exec "$@" <&- >&- 2>&-') == Ended(2, b"", "")
    assert os.listdir(sock_dir) == []


# Words


def test_trace_shows_a_servers_life(sock_dir: str) -> None:
    with serving(sock_dir, "--trace", "--once") as service:
        service.send(b"hello\n")
        end = ended(service.process)
    calls = re.sub(r"  pid \d+ \(.+\) uid \d+ \(\w+\)", "  WHO", end.err).splitlines()
    accepted = int(re.findall(r"accept\(3\) = (\d+)", end.err)[0])
    assert calls[:4] == [
        "socket(AF_UNIX, SOCK_STREAM) = 3",
        f'bind(3, "{sock_dir}/s")',
        "listen(3, 4096)",
        f"accept(3) = {accepted}  WHO",
    ]
    assert sorted(calls[4:]) == sorted(
        [
            f"read({accepted}) = 6",
            f"read({accepted}) = 0 (end of file)",
            f"close({accepted})",
            f'unlink("{sock_dir}/s")',
            "close(3)",
        ]
    )


@pytest.mark.parametrize("options", [[], ["--echo"]])
def test_trace_is_true(sock_dir: str, options: list[str]) -> None:
    log = f"{sock_dir}/strace"
    prefix = f'exec {require("strace")} -f -o {log} -e trace={STRACED} -e signal=none "$@"'
    env = environment()  # no notification: that would be one more socket
    process = start("serve", "--trace", *options, f"{sock_dir}/s", env=env, shell_prefix=prefix)
    try:
        wait_until(lambda: os.path.exists(f"{sock_dir}/s"))
        for data in (b"hello\n", HUNDRED[:150_000], b"unfinished"):
            assert run("connect", "--wait", "5s", f"{sock_dir}/s", stdin=data).status == 0
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"{sock_dir}/s")
            client.send(b"stays\n")
            with open(log) as lines:
                pid = int(lines.readline().split()[0])
            os.kill(pid, signal.SIGTERM)
            end = ended(process)
    finally:
        end_for_good(process)
    with open(log) as lines:
        truth = calls_of_strace(lines.readlines())
    assert calls_of_trace(end.err) == truth
    assert {name for name, _, _ in truth} >= {
        "socket",
        "bind",
        "listen",
        "accept",
        "read",
        "close",
        "shutdown",
        "unlink",
    }


def test_verbose_tells_who_comes_and_goes(sock_dir: str) -> None:
    with serving(sock_dir, "-v") as service:
        service.send(b"hello\n")
        assert service.read(6) == b"hello\n"
        said = service.read_words("left")
        said += service.stop().err
    me = rf"pid {os.getpid()} \(.+\) uid {os.getuid()} \(\w+\)"
    path = re.escape(service.path)
    assert re.fullmatch(
        rf"afunix: listening on '{path}' \(descriptor 3\)\n"
        rf"afunix: client 1 came: {me}\n"
        r"afunix: client 1 left: 6 bytes received\n"
        r"afunix: stopping: SIGTERM\n"
        rf"afunix: removed '{path}'\n",
        said,
    )


def test_without_a_terminal_nothing_is_said(sock_dir: str) -> None:
    with serving(sock_dir) as service:
        service.send(b"hi\n")
        assert service.stop() == Ended(0, b"hi\n", "")


def test_on_a_terminal_it_says_where_it_listens(sock_dir: str) -> None:
    master, slave = pty.openpty()
    try:
        with serving(sock_dir, stderr=slave) as service:
            words = f"afunix: listening on '{service.path}' (descriptor 3)\r\n".encode()
            assert read_exactly(master, len(words)) == words
    finally:
        os.close(master)
        os.close(slave)


def test_stderr_that_nobody_reads_stops_no_service(sock_dir: str) -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    try:
        with serving(sock_dir, "--trace", stderr=writer) as service:
            for _ in range(100):
                service.send(b"hi\n")
            assert service.read(300) == b"hi\n" * 100
            assert service.stop().status == 0
    finally:
        os.close(reader)
        os.close(writer)


def test_quiet_keeps_warnings_to_itself(sock_dir: str) -> None:
    with serving(sock_dir, "-q", "--deny", "any") as service:
        assert service.connect().recv(1) == b""
        assert service.stop() == Ended(0, b"", "")


def test_line_that_is_too_long_is_told_once_a_client(sock_dir: str) -> None:
    with serving(sock_dir, "--max-line", "4") as service:
        client = service.connect()
        for _ in range(3):
            client.send(b"12345\n")
            client.send(b"123")
            client.send(b"45\n")
        client.close()
        end = service.stop()
        assert end.out == b"12345\n" * 6
        assert end.err.count("sent a line longer than 4 bytes") <= 1


def test_directory_that_everybody_can_write_in_is_warned_of(sock_dir: str) -> None:
    os.chmod(sock_dir, 0o777)
    with serving(sock_dir) as service:
        assert "everybody can write in the directory of" in service.stop().err


# Wrong use

WRONG = [
    "",
    "s s",
    "--bogus s",
    "--raw --label s",
    "--raw --json s",
    "--label --json s",
    "--raw --label-format {pid} s",
    "--raw --max-line 5 s",
    "--raw --null s",
    "--json --null s",
    "--echo --talk s",
    "--sequential --max-clients 2 s",
    "-q -v s",
    "--echo --raw s",
    "--echo --label s",
    "--echo --json s",
    "--echo --max-line 9 s",
    "--talk --raw s",
    "--talk --label s",
    "--talk --json s",
    "--talk --max-clients 5 s",
    "--echo --type dgram --null s",
    "--echo --escape always s",
    "--echo --escape never s",
    "--mode 0600 @afunix-test-no-file",
    "--owner root @afunix-test-no-file",
    "--group root @afunix-test-no-file",
    "--replace @afunix-test-no-file",
    "--keep fd:3",
    "--keep",
    "--null s",
    "--null --type stream s",
    "--max-line 0 s",
    "--max-line x s",
    "--max-line s",
    "--backlog -1 s",
    "--backlog x s",
    "--backlog 99999999999 s",
    "--mode 8 s",
    "--mode 7777 s",
    "--mode rw s",
    "--owner no-such-user s",
    "--owner 4294967295 s",
    "--group no-such-group s",
    "--allow bogus s",
    "--allow user: s",
    "--allow user:no-such-user s",
    "--deny group:no-such-group s",
    "--max-clients 0 s",
    "--max-clients x s",
    "--max-per-user 0 s",
    "--idle-timeout 0 s",
    "--timeout 0 s",
    "--timeout -1 s",
    "--timeout x s",
    "--drain x s",
    "--type bogus s",
    "--escape sometimes s",
    "--label-format {nope} s",
    "--label-format {pid s",
    "--label-format {pid!r} s",
    "-",
    "tcp:host:1",
    "ssh:host:/s",
    "fd:99",
    "fd:nobody",
    "nosuch:word",
    "unix-abstract:%zz",
    "./",
    ".",
    "n" * 300,
    "--type dgram --once s",
    "--type dgram --sequential s",
    "--type dgram --max-clients 2 s",
    "--type dgram --max-per-user 2 s",
    "--type dgram --backlog 2 s",
    "--type dgram --idle-timeout 2 s",
    "--type dgram --talk s",
    "--type dgram --once --replace s",
]


@pytest.mark.parametrize("written", WRONG, ids=lambda written: written[:40] or "nothing")
def test_wrong_use_is_one_line_and_status_2_and_nothing_is_created(sock_dir: str, written: str) -> None:
    end = run("serve", *written.split(), cwd=sock_dir)
    assert (end.status, end.out) == (2, b"")
    assert re.fullmatch(r"afunix: error: [^\n]+[^.\n]\n(afunix: hint: [^\n]+[^.\n]\n)?", end.err)
    assert os.listdir(sock_dir) == []


def test_wrong_use_leaves_a_stale_file_and_a_live_one_as_they_are(sock_dir: str) -> None:
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(f"{sock_dir}/live")
        live.listen()
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(f"{sock_dir}/stale")
        before = {name: os.stat(f"{sock_dir}/{name}").st_ino for name in os.listdir(sock_dir)}
        for arguments in (["--replace", "live"], ["stale"]):
            assert run("serve", "--type", "dgram", "--once", *arguments, cwd=sock_dir).status == 2
        assert {name: os.stat(f"{sock_dir}/{name}").st_ino for name in os.listdir(sock_dir)} == before


@pytest.mark.parametrize(
    ("address", "status", "words"),
    [
        ("nodir/s", 3, "the directory 'nodir' does not exist (ENOENT)"),
        ("file", 6, "is a regular file"),
        ("file/s", 3, "'file' is not a directory (ENOTDIR)"),
        ("dir", 6, "is a directory"),
    ],
)
def test_what_is_in_the_way_is_named_and_left(sock_dir: str, address: str, status: int, words: str) -> None:
    os.mkdir(f"{sock_dir}/dir")
    with open(f"{sock_dir}/file", "wb"):
        pass
    end = run("serve", address, cwd=sock_dir)
    assert words in end.err
    assert end.status == status
    assert sorted(os.listdir(sock_dir)) == ["dir", "file"]


def test_directory_is_not_warned_of_if_nothing_is_made_there() -> None:
    end = run("serve", "/dev/null/s")
    assert end.status == 3
    assert end.err.startswith("afunix: error: ")


def test_type_that_an_inherited_socket_is_not_is_status_6(sock_dir: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{sock_dir}/s")
        listener.listen()
        fd = listener.fileno()
        end = run("serve", "--type", "seqpacket", f"fd:{fd}", pass_fds=[fd])
        assert end.status == 6
        assert "is a stream socket, and --type seqpacket was asked for" in end.err


def test_help_tells_examples_and_statuses() -> None:
    end = run("serve", "--help")
    assert (end.status, end.err) == (0, "")
    assert b"afunix serve ./hello.sock" in end.out
    assert b"address is in use" in end.out
