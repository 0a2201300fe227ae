"""`serve()` in this process, its STDOUT a pipe: what comes out of it as a result and as events."""

from __future__ import annotations

import errno
import os
import resource
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest
from tests.program import PATIENCE_S

from afunix.kernel.listener import Listener
from afunix.model import lifecycle
from afunix.model.address import Address
from afunix.model.errors import AddressError, AddressInUseError
from afunix.model.events import (
    Accepted,
    BytesRead,
    BytesWritten,
    Closed,
    Created,
    Event,
    HalfClosed,
    LineOpened,
    Listening,
    PeerReset,
    Stopping,
    Unlinked,
    WentIdle,
)
from afunix.tools import stop
from afunix.tools.presentation import Presentation
from afunix.tools.serve import Cause, ServeResult, ServeSettings, Use, serve

Script = Callable[["Scene"], None]


@pytest.fixture(autouse=True)
def own_process() -> Iterator[None]:
    """What `serve` changes of the process is put back."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


class Scene:
    """What a script acts on: the path, and the end of the pipe that STDOUT leads to."""

    def __init__(self, path: str, reader: int) -> None:
        self.path = path
        self.reader = reader

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(PATIENCE_S)
        client.connect(self.path)
        return client


@contextmanager
def stdout_to(fd: int) -> Iterator[None]:
    """Descriptor 1 is `fd` for a while. Not in a fixture: pytest puts its own there for each phase of a test."""
    before = os.dup(1)
    os.dup2(fd, 1)
    try:
        yield
    finally:
        os.dup2(before, 1)
        os.close(before)


def _patient(settings: ServeSettings, path: str) -> ServeSettings:
    """`settings` for `path`, with an end that only a failure reaches."""
    timeout_s = PATIENCE_S if settings.timeout_s is None else settings.timeout_s
    return replace(settings, addresses=(Address.pathname(path),), timeout_s=timeout_s)


class Ran:
    """What is left of a run: its result, its events and alerts."""

    result: ServeResult
    out: bytes

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.alerts: list[Event] = []

    def types(self) -> list[type[Event]]:
        return [type(event) for event in self.events]


def run(directory: str, script: Script, settings: ServeSettings | None = None, out: str | None = None) -> Ran:
    """`serve` on `directory`/s, with `script` in a thread once clients can connect; STDOUT is a pipe, or `out`."""
    reader, writer = os.pipe()
    scene, ran = Scene(f"{directory}/s", reader), Ran()
    faults: list[BaseException] = []

    def act() -> None:
        try:
            script(scene)
        except BaseException as fault:
            faults.append(fault)
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=act)
    if out is not None:
        with open(out, "wb") as file:
            os.dup2(file.fileno(), writer)
    with stdout_to(writer):
        os.close(writer)
        ran.result = serve(
            _patient(settings or ServeSettings(()), scene.path),
            observer=ran.events.append,
            alerts=ran.alerts.append,
            on_ready=lambda listeners: thread.start(),
        )
    thread.join(PATIENCE_S)
    assert not faults, (faults, ran.result)
    os.set_blocking(reader, False)
    ran.out = os.read(reader, 8 << 20) if out is None else b""
    os.close(reader)
    return ran


def say(*said: bytes) -> Script:
    """A client that says this and leaves."""

    def script(scene: Scene) -> None:
        with scene.connect() as client:
            for data in said:
                client.sendall(data)

    return script


def say_and_stop(*said: bytes) -> Script:
    """A client that says this, and stays while the server is asked to stop."""

    def script(scene: Scene) -> None:
        with scene.connect() as client:
            for data in said:
                client.sendall(data)
            os.kill(os.getpid(), signal.SIGTERM)
            while client.recv(99):
                pass  # an echo

    return script


ONCE = ServeSettings((), once=True)


def test_once_ends_with_its_client(sock_dir: str) -> None:
    ran = run(sock_dir, say(b"hi"), ONCE)
    assert (ran.result.cause, ran.result.served, ran.result.bytes_lost) == (Cause.ONCE, 1, 0)
    assert ran.out == b"hi"
    assert os.listdir(sock_dir) == []


def test_signal_ends_it_after_what_was_said(sock_dir: str) -> None:
    ran = run(sock_dir, say_and_stop(b"hi"))
    assert (ran.result.cause, ran.result.signal_number) == (Cause.SIGNAL, signal.SIGTERM)
    assert (ran.result.is_forced, ran.result.bytes_lost) == (False, 0)
    assert ran.out == b"hi"
    assert os.listdir(sock_dir) == []


def test_signals_are_the_processes_own_again_afterwards(sock_dir: str) -> None:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers], signal.pthread_sigmask(signal.SIG_BLOCK, ())
    run(sock_dir, say(b"hi"), ONCE)
    assert ([signal.getsignal(n) for n in numbers], signal.pthread_sigmask(signal.SIG_BLOCK, ())) == before


def test_untraced_events_tell_a_client_from_beginning_to_end(sock_dir: str) -> None:
    ran = run(sock_dir, say(b"hi\n"), ONCE)
    assert [kind for kind in ran.types() if kind in (Listening, Accepted, Closed, Unlinked, Stopping)] == [
        Listening,
        Accepted,
        Unlinked,
        Closed,
        Closed,
        Stopping,
    ]
    closed = next(event for event in ran.events if isinstance(event, Closed) and event.connection)
    assert (closed.connection, closed.bytes_received, closed.bytes_sent) == (1, 3, 0)


CALLS: dict[type[Event], lifecycle.Call] = {
    Created: lifecycle.Call.SOCKET,
    Listening: lifecycle.Call.LISTEN,
    BytesRead: lifecycle.Call.READ,
    BytesWritten: lifecycle.Call.WRITE,
    HalfClosed: lifecycle.Call.SHUTDOWN,
    Closed: lifecycle.Call.CLOSE,
}


@pytest.mark.parametrize("use", [Use.COLLECT, Use.ECHO])
def test_every_socket_of_a_traced_run_goes_the_way_of_the_table(sock_dir: str, use: Use) -> None:
    ran = run(sock_dir, say_and_stop(b"one\n"), ServeSettings((), is_traced=True, use=use))
    states: dict[int, lifecycle.State] = {}
    for event in ran.events:
        state = states.get(event.fd, lifecycle.State.ABSENT)
        if isinstance(event, Accepted):
            states[event.listener] = lifecycle.advance(states[event.listener], lifecycle.Call.ACCEPT)
            states[event.fd] = lifecycle.advance(lifecycle.State.ABSENT, lifecycle.Call.ACCEPT)
        elif type(event) in CALLS:
            states[event.fd] = lifecycle.advance(state, CALLS[type(event)])
        elif type(event).__name__ == "Bound":
            states[event.fd] = lifecycle.advance(state, lifecycle.Call.BIND)
    assert len(states) == 2
    assert {*states.values()} == {lifecycle.State.CLOSED}


def test_timeout_tells_how_many_were_connected(sock_dir: str) -> None:
    def stay(scene: Scene) -> None:
        with scene.connect() as client:
            assert client.recv(1) == b""

    ran = run(sock_dir, stay, ServeSettings((), timeout_s=0.1))
    assert (ran.result.cause, ran.result.connected) == (Cause.TIMEOUT, 1)


def test_idle_client_of_a_single_run_is_told(sock_dir: str) -> None:
    def stay(scene: Scene) -> None:
        with scene.connect() as client:
            assert client.recv(1) == b""

    ran = run(sock_dir, stay, replace(ONCE, idle_timeout_s=0.05))
    assert (ran.result.cause, ran.result.idle_s) == (Cause.ONCE, 0.05)
    assert WentIdle in ran.types()


def test_client_that_resets_is_told(sock_dir: str) -> None:
    def leave_echo_unread(scene: Scene) -> None:
        with scene.connect() as client:
            client.sendall(b"hello")
            client.recv(1)
            client.sendall(b"again")

    ran = run(sock_dir, leave_echo_unread, replace(ONCE, use=Use.ECHO))
    assert PeerReset in ran.types()
    assert ran.result.cause is Cause.ONCE


def test_reader_that_is_gone_ends_it_also_when_idle(sock_dir: str) -> None:
    def stop_reading(scene: Scene) -> None:
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, scene.reader)
        os.close(null)

    ran = run(sock_dir, stop_reading)
    assert ran.result.cause is Cause.OUTPUT_GONE
    assert isinstance(ran.result.error, BrokenPipeError)
    assert os.listdir(sock_dir) == []


def test_full_output_ends_it_with_the_bytes_lost(sock_dir: str) -> None:
    ran = run(sock_dir, say(b"hello\n"), out="/dev/full")
    assert (ran.result.cause, ran.result.bytes_lost) == (Cause.OUTPUT_FAILED, 6)
    assert ran.result.error is not None
    assert ran.result.error.errno == errno.ENOSPC


def test_output_that_nobody_reads_is_given_up_with_the_bytes_lost(
    sock_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop, "STOP_PATIENCE_S", 0.05)
    sent: list[int] = []

    def flood(scene: Scene) -> None:
        with scene.connect() as client:
            client.settimeout(0.2)
            with pytest.raises(TimeoutError):
                for _ in range(200):
                    sent.append(client.send(b"x" * 65535 + b"\n"))
            os.kill(os.getpid(), signal.SIGTERM)
            client.settimeout(PATIENCE_S)
            with suppress(ConnectionResetError):
                assert client.recv(1) == b""

    ran = run(sock_dir, flood)
    assert ran.result.cause is Cause.SIGNAL
    assert ran.result.bytes_lost == sum(sent) - len(ran.out) > 0


def test_second_signal_forces_the_end(sock_dir: str) -> None:
    def insist(scene: Scene) -> None:
        with scene.connect() as client:
            os.kill(os.getpid(), signal.SIGTERM)
            while os.path.exists(scene.path):
                pass
            os.kill(os.getpid(), signal.SIGINT)
            assert client.recv(1) == b""

    ran = run(sock_dir, insist, ServeSettings((), drain_s=3600.0))
    assert (ran.result.is_forced, ran.result.signal_number) == (True, signal.SIGINT)


def test_line_that_is_let_out_is_told_once_a_client(sock_dir: str) -> None:
    ran = run(sock_dir, say(b"12345", b"\n12345"), replace(ONCE, presentation=Presentation(max_line=4)))
    opened = [event for event in ran.alerts if isinstance(event, LineOpened)]
    assert len(opened) <= 1
    assert ran.out == b"12345\n12345"


def test_options_that_mean_nothing_to_datagrams_are_refused_before_anything_is_bound(sock_dir: str) -> None:
    address = Address.pathname(f"{sock_dir}/s")
    for settings in (
        ServeSettings((address,), socket_type="dgram", stream_only=("--once",)),
        ServeSettings((address,), socket_type="dgram", use=Use.TALK),
    ):
        events: list[Event] = []
        with pytest.raises(AddressError, match="means nothing for a dgram socket"):
            serve(settings, observer=events.append)
        assert events == []


def test_name_that_is_taken_leaves_everything_as_it_was(sock_dir: str) -> None:
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    address = Address.pathname(f"{sock_dir}/s")
    live = Listener.open(address)
    try:
        with pytest.raises(AddressInUseError):
            serve(ServeSettings((address,)))
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask
        assert os.listdir(sock_dir) == ["s"]
    finally:
        live.close()
