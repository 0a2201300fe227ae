"""`relay()` in this process, between clients and a server in threads: what goes through, and how a run ends.

What a process of its own is needed for (its limits, its death, inherited sockets) has one.
"""

from __future__ import annotations

import hashlib
import os
import random
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace

import pytest
from tests.program import PATIENCE_S, start
from tests.relaying import relaying
from tests.servers import echo, read_all, serving
from tests.services import run_service

from afunix.model.address import Address
from afunix.model.errors import AddressError, NoSuchSocketError
from afunix.model.events import Accepted, Closed, Event, Stopping, WentIdle
from afunix.tools import stop
from afunix.tools.relay import RelayResult, RelaySettings, relay
from afunix.tools.settings import Cause

SETTINGS = RelaySettings((), Address.pathname("unset"))
BULK = random.Random(1).randbytes(1 << 20)


@pytest.fixture(autouse=True)
def own_process() -> Iterator[None]:
    """What `relay` changes of the process is put back."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def connect(path: str) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(PATIENCE_S)
    client.connect(path)
    return client


def wait_until(is_met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_met():
        assert time.monotonic() < deadline, "what was waited for does not happen"
        time.sleep(0.002)


class Ran:
    """A run: where clients connect (`path`), where the server is to be (`up`), and what came of it."""

    result: RelayResult

    def __init__(self, directory: str) -> None:
        self.path = f"{directory}/s"
        self.up = f"{directory}/u"
        self.events: list[Event] = []
        self.unreachable: list[Exception] = []
        self._is_stopped = False

    def stop(self) -> None:
        """SIGTERM, once: a second one would end everything, and one that is late the tests."""
        if not self._is_stopped:
            self._is_stopped = True
            os.kill(os.getpid(), signal.SIGTERM)

    def types(self) -> list[type[Event]]:
        return [type(event) for event in self.events]


def run(directory: str, script: Callable[[Ran], None], settings: RelaySettings = SETTINGS) -> Ran:
    """`relay` from `directory`/s to `directory`/u; `script` in a thread once clients can connect, then SIGTERM."""
    ran = Ran(directory)
    faults: list[BaseException] = []

    def act() -> None:
        try:
            script(ran)
        except BaseException as fault:
            faults.append(fault)
        ran.stop()

    thread = threading.Thread(target=act)
    settings = replace(
        settings,
        listen=settings.listen or (Address.pathname(ran.path),),
        connect=Address.pathname(ran.up),
        timeout_s=settings.timeout_s or PATIENCE_S,
    )
    ran.result = relay(
        settings,
        observer=ran.events.append,
        on_unreachable=lambda channel, error: ran.unreachable.append(error),
        on_ready=lambda listeners, relay: thread.start(),
    )
    thread.join(PATIENCE_S)
    assert not faults, (faults, ran.result)
    assert ran.result.fault is None, ran.result
    return ran


# What goes through


def test_every_client_has_its_own_conversation(sock_dir: str) -> None:
    def ask(ran: Ran) -> None:
        for word in (b"one", b"two"):
            with connect(ran.path) as client:
                client.sendall(word)
                client.shutdown(socket.SHUT_WR)
                assert read_all(client) == word

    with serving(f"{sock_dir}/u", echo) as server:
        ran = run(sock_dir, ask)
        assert [server.result(), server.result()] == [b"one", b"two"]
    result = ran.result
    assert (result.cause, result.served, result.bytes_lost, result.moved) == (Cause.SIGNAL, 2, 0, (6, 6))
    assert os.listdir(sock_dir) == ["u"]
    assert [kind for kind in ran.types() if kind in (Accepted, Closed, Stopping)][:2] == [Accepted, Closed]


def pour(sock: socket.socket, pieces: int) -> str:
    """Send so many pieces and half-close; the hash of what was sent."""
    digest = hashlib.blake2b()
    for number in range(pieces):
        piece = bytes([number % 256]) + BULK
        digest.update(piece)
        sock.sendall(piece)
    sock.shutdown(socket.SHUT_WR)
    return digest.hexdigest()


def swallow(sock: socket.socket) -> str:
    digest = hashlib.blake2b()
    while piece := sock.recv(1 << 18):
        digest.update(piece)
    return digest.hexdigest()


def pour_and_swallow(sock: socket.socket) -> tuple[str, str]:
    poured: list[str] = []
    thread = threading.Thread(target=lambda: poured.append(pour(sock, 32)))
    thread.start()
    swallowed = swallow(sock)
    thread.join(PATIENCE_S)
    return poured[0], swallowed


@pytest.mark.parametrize("env", ["", "splice"])
def test_bulk_both_ways_at_once_has_equal_hashes(
    sock_dir: str, env: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFUNIX_FORCE_FALLBACK", env)
    sums: list[tuple[str, str]] = []

    def exchange(ran: Ran) -> None:
        with connect(ran.path) as client:
            sums.append(pour_and_swallow(client))

    with serving(f"{sock_dir}/u", pour_and_swallow) as server:
        ran = run(sock_dir, exchange)
        assert server.result() == sums[0][::-1]
    assert ran.result.moved == (32 * (len(BULK) + 1),) * 2


def test_answer_comes_late_after_the_clients_half_close(sock_dir: str) -> None:
    asked = threading.Event()

    def answer_late(connection: socket.socket) -> None:
        read_all(connection)
        asked.set()
        assert may_answer.wait(PATIENCE_S)
        connection.sendall(b"late")

    def ask(ran: Ran) -> None:
        with connect(ran.path) as client:
            client.shutdown(socket.SHUT_WR)
            assert asked.wait(PATIENCE_S)
            may_answer.set()
            assert read_all(client) == b"late"

    may_answer = threading.Event()
    with serving(f"{sock_dir}/u", answer_late):
        run(sock_dir, ask)


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


# The server


def test_client_of_a_server_that_is_not_there_is_closed_and_the_next_one_served(sock_dir: str) -> None:
    def ask_twice(ran: Ran) -> None:
        with connect(ran.path) as client:
            assert client.recv(1) == b""
        with serving(ran.up, echo), connect(ran.path) as client:
            client.sendall(b"hi")
            assert client.recv(9) == b"hi"

    ran = run(sock_dir, ask_twice)
    assert [type(error) for error in ran.unreachable] == [NoSuchSocketError]
    assert ran.result.unreachable == 1


def test_server_that_is_waited_for_gets_what_was_said_before_it_came(sock_dir: str) -> None:
    def come_early(ran: Ran) -> None:
        with connect(ran.path) as client:
            client.sendall(b"early")
            with serving(ran.up, echo):
                assert client.recv(9) == b"early"
                client.close()

    assert run(sock_dir, come_early, replace(SETTINGS, wait=PATIENCE_S)).unreachable == []


def test_server_that_is_killed_ends_its_clients_and_its_successor_serves_the_next(sock_dir: str) -> None:
    def outlive(ran: Ran) -> None:
        for _ in range(2):
            with start("serve", "--echo", ran.up) as server:
                wait_until(lambda: is_live(ran.up))
                with connect(ran.path) as client:
                    client.sendall(BULK[:1000])
                    assert client.recv(1000, socket.MSG_WAITALL) == BULK[:1000]
                    server.kill()
                    server.wait(PATIENCE_S)
                    assert client.recv(1) == b""
                server.communicate(timeout=PATIENCE_S)

    ran = run(sock_dir, outlive)
    assert (ran.result.bytes_lost, ran.result.served) == (0, 2)


def is_live(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


# Itself


@pytest.mark.parametrize("written", ["{0}/s", "./s", "@{0}"])
def test_relay_to_its_own_address_is_refused_before_anything_is_bound(
    sock_dir: str, written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sock_dir)
    address = Address.parse(written.format(sock_dir))
    with pytest.raises(AddressError, match="connect to itself"):
        relay(RelaySettings((address,), address))
    assert os.listdir(sock_dir) == []


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


def test_two_relays_in_a_circle_come_to_rest_within_their_limits(sock_dir: str) -> None:
    one, other = f"{sock_dir}/1", f"{sock_dir}/2"
    with relaying(one, other, max_clients=20) as a, relaying(other, one, max_clients=20) as b:
        client = connect(one)
        client.sendall(b"round and round")
        wait_until(lambda: min(descriptors(a.pid), descriptors(b.pid)) >= 40)
        ticks = cpu_ticks(a.pid) + cpu_ticks(b.pid)
        time.sleep(0.2)  # in which nothing is to happen
        assert cpu_ticks(a.pid) + cpu_ticks(b.pid) - ticks <= 2
        assert max(descriptors(a.pid), descriptors(b.pid)) < 70
        for each in (a, b):
            each.stop()
        client.close()


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
