"""A run of `relay` as a whole: how it ends, itself at its far end, and the limits of its process.

What a process of its own is needed for (its limits, its death, inherited sockets) has one.
"""

from __future__ import annotations

import os
import random
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace

import pytest
from tests.program import PATIENCE_S
from tests.relay_runs import SETTINGS, Ran, connect, run, wait_until
from tests.relaying import relaying
from tests.servers import echo, read_all, serving
from tests.services import run_service

from afunix.model.events import WentIdle
from afunix.tools import stop
from afunix.tools.settings import Cause

BULK = random.Random(1).randbytes(1 << 20)


@pytest.fixture(autouse=True)
def own_process() -> Iterator[None]:
    """What `relay` changes of the process is put back."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


# Stopping


def test_stop_passes_on_what_both_have_sent(sock_dir: str) -> None:
    def stay(ran: Ran) -> None:
        with connect(ran.path) as client:
            client.sendall(b"question")
            assert client.recv(9) == b"question"
            client.sendall(b"last")
            ran.stop()
            assert read_all(client) in (b"last", b"")  # the server may answer too late

    with serving(f"{sock_dir}/u", echo) as server:
        ran = run(sock_dir, stay)
        with suppress(BrokenPipeError):
            assert server.result() == b"questionlast"
    assert (ran.result.cause, ran.result.bytes_lost, ran.result.connected) == (Cause.SIGNAL, 0, 1)


def test_drain_lets_conversations_go_on_and_nobody_new_come(sock_dir: str) -> None:
    def talk_on(ran: Ran) -> None:
        with connect(ran.path) as client:
            ran.stop()
            wait_until(lambda: not os.path.exists(ran.path))
            client.sendall(b"still")
            assert client.recv(9) == b"still"

    with serving(f"{sock_dir}/u", echo):
        ran = run(sock_dir, talk_on, replace(SETTINGS, drain_s=PATIENCE_S))
    assert (ran.result.bytes_lost, ran.result.is_forced) == (0, False)


def test_stop_gives_up_a_server_that_reads_nothing_and_counts_what_is_lost(
    sock_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop, "STOP_PATIENCE_S", 0.05)
    over = threading.Event()
    sent: list[int] = []
    got: list[int] = []

    def read_nothing(connection: socket.socket) -> None:
        assert over.wait(PATIENCE_S)
        with suppress(ConnectionResetError):
            got.append(len(read_all(connection)))

    def flood(ran: Ran) -> None:
        with connect(ran.path) as client:
            client.settimeout(0.2)
            with pytest.raises(TimeoutError):
                while True:
                    sent.append(client.send(BULK))
            ran.stop()
            client.settimeout(PATIENCE_S)
            with suppress(ConnectionResetError):
                assert client.recv(1) == b""

    with serving(f"{sock_dir}/u", read_nothing) as server:
        ran = run(sock_dir, flood)
        over.set()
        server.result()
    assert ran.result.bytes_lost == sum(sent) - sum(got) > 0


def test_stop_while_a_connection_is_waited_for_loses_what_its_client_said(
    sock_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop, "STOP_PATIENCE_S", 0.05)

    def wait(ran: Ran) -> None:
        with connect(ran.path) as client:
            client.sendall(b"hello")
            ran.stop()
            with suppress(ConnectionResetError):
                assert client.recv(1) == b""

    ran = run(sock_dir, wait, replace(SETTINGS, wait=PATIENCE_S))
    assert (ran.result.bytes_lost, ran.result.cause, ran.unreachable) == (5, Cause.SIGNAL, [])


def test_idle_pair_is_dropped(sock_dir: str) -> None:
    def stay(ran: Ran) -> None:
        with connect(ran.path) as client:
            assert client.recv(1) == b""

    with serving(f"{sock_dir}/u", read_all):
        ran = run(sock_dir, stay, replace(SETTINGS, idle_timeout_s=0.05))
    assert WentIdle in ran.types()
    assert ran.result.bytes_lost == 0


# Itself


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_relay_to_a_link_that_leads_to_itself_is_seen_when_a_client_comes(
    sock_dir: str, link: Callable[[str, str], None]
) -> None:
    def come(ran: Ran) -> None:
        link(ran.path, ran.up)
        with connect(ran.path) as client:
            assert client.recv(1) == b""

    ran = run(sock_dir, come)
    (error,) = ran.unreachable
    assert "leads back to this relay" in str(error)
    assert ran.result.served == 2


INHERITED = """
import os, signal, socket, threading
from afunix.model.address import Address
from afunix.tools.relay import RelaySettings, relay

def come(listeners, relay):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect({path!r})
        client.settimeout({patience})
        print(client.recv(1))
    os.kill(os.getpid(), signal.SIGTERM)

result = relay(
    RelaySettings((), Address.pathname({path!r}), timeout_s={patience}),
    on_unreachable=lambda channel, error: print(error),
    on_ready=lambda *given: threading.Thread(target=come, args=given).start(),
)
print(result.cause.value, result.served <= 2)
"""


def test_inherited_listener_is_known_as_ours_too(sock_dir: str) -> None:
    path = f"{sock_dir}/s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        out = run_service(INHERITED.format(path=path, patience=PATIENCE_S), [listener])
    assert out.splitlines() == [f"'{path}' leads back to this relay", "b''", "signal True"]


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def cpu_ticks(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


# Limits


def test_client_waits_while_there_is_no_descriptor_for_its_server(sock_dir: str) -> None:
    path, up = f"{sock_dir}/s", f"{sock_dir}/u"
    with threaded_echo(up), relaying(path, up) as running, ExitStack() as stack:
        ana = stack.enter_context(connect(path))
        ana.sendall(b"ana")
        assert ana.recv(9) == b"ana"
        limit = descriptors(running.pid) + 1
        resource.prlimit(running.pid, resource.RLIMIT_NOFILE, (limit, limit))
        others = [stack.enter_context(connect(path)) for _ in range(5)]
        for other in others:
            other.sendall(b"bo")
        ticks = cpu_ticks(running.pid)
        time.sleep(0.3)
        assert cpu_ticks(running.pid) - ticks <= 5
        ana.sendall(b"ana still")
        assert ana.recv(9) == b"ana still"
        ana.close()
        for other in others:
            assert other.recv(9) == b"bo"
            other.close()
        running.stop()
    assert "unreachable" not in running.told
    assert "AcceptPaused" in running.told


@contextmanager
def threaded_echo(path: str) -> Iterator[None]:
    """An echo for any number of clients at once."""

    def serve(connection: socket.socket) -> None:
        copy = connection.dup()  # the server closes its own
        threads.append(threading.Thread(target=_echo_and_close, args=(copy,)))
        threads[-1].start()

    threads: list[threading.Thread] = []
    with serving(path, serve):
        yield
        for thread in threads:
            thread.join(PATIENCE_S)


def _echo_and_close(connection: socket.socket) -> None:
    with connection:
        connection.settimeout(PATIENCE_S)
        with suppress(BrokenPipeError):
            echo(connection)


def test_one_stalled_client_among_many_slows_nobody(sock_dir: str) -> None:
    path, up = f"{sock_dir}/s", f"{sock_dir}/u"
    with threaded_echo(up), relaying(path, up) as running, ExitStack() as stack:
        deaf = stack.enter_context(connect(path))
        deaf.settimeout(0.2)
        with pytest.raises(TimeoutError):
            while True:
                deaf.sendall(BULK)
        before = descriptors(running.pid)
        for number in range(50):
            with connect(path) as client:
                client.sendall(b"%d" % number)
                assert client.recv(9) == b"%d" % number
        wait_until(lambda: descriptors(running.pid) <= before)
        deaf.close()
