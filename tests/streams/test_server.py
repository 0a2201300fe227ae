"""A server as a whole: where it listens, who comes in, what it costs to be short of descriptors, and signals."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
from tests.program import PATIENCE_S, environment
from tests.streams.event_loops import LOOPS, run_in
from tests.streams.visitors import Reports, Visitor, echo, until, visitors

import afunix
from afunix.events import AcceptPaused, AcceptResumed, Event, Refused, Stopping
from afunix.kernel.listener import Listener as BoundListener
from afunix.streams import hub
from afunix.streams.acceptor import Acceptor

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    yield lambda main: run_in(request.param, main)
    assert not hub._HUBS  # nobody stayed in one


@pytest.fixture
def path(sock_dir: str) -> str:
    return f"{sock_dir}/s"


async def name_me(stream: afunix.Stream) -> None:
    """Tell every client through which door it came."""
    await stream.send(str(stream.local_address).encode())


# Where


def test_several_listeners_of_several_kinds_are_served_at_once(run: Run, sock_dir: str) -> None:
    async def main() -> None:
        packets = afunix.listen_packets(f"{sock_dir}/p")
        streams = afunix.listen(f"{sock_dir}/l")
        abstract = f"@{sock_dir}/abstract"
        async with afunix.serve(
            name_me, f"{sock_dir}/s", os.fsencode(f"{sock_dir}/b"), abstract, packets, streams
        ) as server:
            assert [str(address) for address in server.addresses] == [
                *(f"{sock_dir}/s", f"{sock_dir}/b", abstract, f"{sock_dir}/p", f"{sock_dir}/l")
            ]
            for name in ("s", "b", "l"):
                with Visitor(f"{sock_dir}/{name}") as visitor:
                    assert await visitor.receive_all() == f"{sock_dir}/{name}".encode()
            with Visitor(f"{sock_dir}/p", socket.SOCK_SEQPACKET) as visitor:
                assert await visitor.receive() == f"{sock_dir}/p".encode()
            with Visitor(f"\0{abstract[1:]}") as visitor:
                assert await visitor.receive_all() == abstract.encode()
            assert (packets.is_closed, streams.is_closed) == (True, True)
        assert os.listdir(sock_dir) == []

    run(main())


def test_mode_is_there_from_the_first_instant_whatever_the_umask(run: Run, path: str) -> None:
    seen: list[int] = []

    def observe(event: Event) -> None:
        seen.append(stat.S_IMODE(os.stat(path).st_mode)) if os.path.exists(path) else None

    async def main() -> None:
        before = os.umask(0o022)
        try:
            async with afunix.serve(echo, path, mode=0o666, observer=observe):
                assert set(seen) == {0o666}
                assert os.umask(0o022) == 0o022
        finally:
            os.umask(before)

    run(main())


def test_a_live_server_is_unharmed_by_one_that_wants_its_path(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.serve(echo, path):
            with pytest.raises(afunix.AddressInUseError, match=f"pid {os.getpid()}"):
                await afunix.serve(echo, path).start()
            with Visitor(path) as visitor:
                assert await visitor.ask(b"x") == b"x"

    run(main())


def test_a_stale_path_is_replaced_and_a_file_is_not(run: Run, path: str) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(path)
        async with afunix.serve(echo, path):
            pass
        with open(path, "w"):
            pass
        with pytest.raises(afunix.NotASocketError):
            await afunix.serve(echo, path).start()
        assert os.path.isfile(path)

    run(main())


def test_a_start_that_fails_leaves_nothing_behind_and_can_be_tried_again(run: Run, sock_dir: str) -> None:
    async def main() -> None:
        with afunix.listen(f"{sock_dir}/given") as given:
            server = afunix.serve(echo, f"{sock_dir}/first", given, f"{sock_dir}/missing/second")
            with pytest.raises(FileNotFoundError):
                await server.start()
            assert os.listdir(sock_dir) == ["given"]
            assert not given.is_closed
            assert (server.listeners, server.stats.accepted) == ((), 0)
            os.mkdir(f"{sock_dir}/missing")
            async with server:
                assert len(server.listeners) == 3

    run(main())


def test_a_start_without_descriptors_leaves_nothing_behind(run: Run, path: str) -> None:
    async def main() -> None:
        server = afunix.serve(echo, path)
        with no_descriptors_left(), pytest.raises(OSError) as error:
            await server.start()
        assert error.value.errno == errno.EMFILE
        assert not os.path.exists(path)
        async with server:
            pass

    run(main())


@pytest.mark.parametrize("kind", ["the same path", "the same listener"])
def test_one_place_cannot_be_given_twice(run: Run, path: str, kind: str) -> None:
    async def main() -> None:
        if kind == "the same path":
            with pytest.raises(afunix.AddressInUseError):
                await afunix.serve(echo, path, path).start()
        else:
            with afunix.listen(path) as listener:
                with pytest.raises(ValueError, match="was given twice, expected once"):
                    await afunix.serve(echo, listener, listener).start()
                assert not listener.is_closed
        assert not os.path.exists(path)

    run(main())


# Life


def test_a_server_starts_once(run: Run, path: str) -> None:
    async def main() -> None:
        server = afunix.serve(echo, path)
        async with server:
            with pytest.raises(afunix.ClosedError, match="starts once"):
                await server.start()
        with pytest.raises(afunix.ClosedError, match="starts once"):
            await server.start()

    run(main())


@pytest.mark.parametrize("ask", ["pause", "resume", "drain", "run_until_signal"])
def test_what_cannot_be_asked_before_the_start_and_after_the_end(run: Run, path: str, ask: str) -> None:
    async def main() -> None:
        server = afunix.serve(echo, path)
        for words in ("has not been started", "has ended"):
            with pytest.raises(afunix.ClosedError, match=words):
                answer = getattr(server, ask)()
                if answer is not None:
                    await answer
            if words == "has not been started":
                async with server:
                    pass

    run(main())


def test_the_end_of_a_server_that_never_started_is_harmless(run: Run, path: str) -> None:
    async def main() -> None:
        server = afunix.serve(echo, path)
        await server.aclose()
        server.abort()
        assert (server.listeners, server.addresses, server.stats.live) == ((), (), 0)

    run(main())


def test_twice_in_a_row_in_one_process(run: Run, path: str) -> None:
    async def main() -> None:
        for _ in range(3):
            async with afunix.serve(echo, path):
                with Visitor(path) as visitor:
                    assert await visitor.ask(b"x") == b"x"

    run(main())


def test_two_servers_in_one_loop_end_apart(run: Run, sock_dir: str) -> None:
    async def main() -> None:
        async with afunix.serve(echo, f"{sock_dir}/a"):
            async with afunix.serve(echo, f"{sock_dir}/b"):
                pass
            with Visitor(f"{sock_dir}/a") as visitor:
                assert await visitor.ask(b"x") == b"x"

    run(main())


def test_statistics_count_clients_and_bytes_and_stay_readable(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.serve(echo, path) as server:
            with Visitor(path) as one, Visitor(path) as other:
                await one.ask(b"12345")
                await other.ask(b"123")
                stats = server.stats
                assert (stats.accepted, stats.live, stats.bytes_received, stats.bytes_sent) == (2, 2, 8, 8)
                one.close()
                await until(lambda: server.stats.live == 1)
                assert server.stats.bytes_received == 8
        stats = server.stats
        assert (stats.accepted, stats.live, stats.bytes_received, stats.failed) == (2, 0, 8, 0)

    run(main())


def test_another_thread_is_told_that_it_is_one(run: Run, path: str) -> None:
    raised: list[Exception] = []

    def meddle(server: afunix.Server) -> None:
        for call in (server.pause, server.abort, server.resume):
            try:
                call()
            except afunix.WrongLoopError as error:
                raised.append(error)

    async def main() -> None:
        async with afunix.serve(echo, path) as server:
            await asyncio.to_thread(meddle, server)
            assert len(raised) == 3
            with Visitor(path) as visitor:
                assert await visitor.ask(b"x") == b"x"

    run(main())


def test_an_observer_that_fails_is_told_of_and_hurts_nobody(run: Run, path: str) -> None:
    def fail(event: Event) -> None:
        raise ZeroDivisionError

    async def main() -> None:
        reports = Reports()
        async with afunix.serve(echo, path, observer=fail):
            with Visitor(path) as visitor:
                assert await visitor.ask(b"x") == b"x"
        assert {type(error) for error in reports.errors} == {ZeroDivisionError}

    run(main())


def test_an_observer_may_be_an_empty_collection(run: Run, path: str) -> None:
    class Recorder(list[Event]):
        def __call__(self, event: Event) -> None:
            self.append(event)

    async def main() -> None:
        recorder = Recorder()
        async with afunix.serve(echo, path, observer=recorder):
            assert recorder

    run(main())


# Who


def test_rules_decide_who_comes_in(run: Run, path: str) -> None:
    told: list[Event] = []

    async def main() -> None:
        rules = afunix.Rules("allow user:4294967294")
        async with afunix.serve(echo, path, rules=rules, observer=told.append) as server:
            with Visitor(path) as visitor:
                visitor.send(b"let me in")
                assert await visitor.is_turned_away()
            assert (server.stats.refused, server.stats.accepted) == (1, 0)
        (refused,) = [event for event in told if isinstance(event, Refused)]
        assert (refused.peer.uid, refused.reason) == (os.getuid(), "no rule allows it")

    run(main())


def test_who_is_allowed_is_served(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.serve(echo, path, rules=afunix.Rules("allow me", "deny user:4294967294")):
            with Visitor(path) as visitor:
                assert await visitor.ask(b"x") == b"x"

    run(main())


def test_above_max_per_user_a_client_is_closed_unread_until_one_has_left(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.serve(echo, path, max_per_user=1) as server:
            with Visitor(path) as first:
                assert await first.ask(b"x") == b"x"
                with Visitor(path) as second:
                    assert await second.is_turned_away()
            await until(lambda: not server.stats.live)
            with Visitor(path) as third:
                assert await third.ask(b"x") == b"x"

    run(main())


def test_above_max_clients_they_wait_in_the_backlog_and_come_in_order(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.serve(echo, path, max_clients=2) as server:
            with ExitStack() as stack:
                row = visitors(path, 6, stack)
                for number, visitor in enumerate(row):
                    visitor.send(b"%d" % number)
                for number, visitor in enumerate(row):
                    assert await visitor.receive() == b"%d" % number
                    assert server.stats.accepted <= number + 2
                    visitor.close()

    run(main())


def test_while_paused_clients_queue_in_the_kernel_and_are_served_in_order(run: Run, path: str) -> None:
    order: list[bytes] = []

    async def note(stream: afunix.Stream) -> None:
        order.append(await stream.receive())

    async def main() -> None:
        async with afunix.serve(note, path) as server:
            server.pause()
            server.pause()
            with ExitStack() as stack:
                for number, visitor in enumerate(visitors(path, 5, stack)):
                    visitor.send(b"%d" % number)
                await asyncio.sleep(0.02)
                assert server.stats.accepted == 0
                server.resume()
                await until(lambda: len(order) == 5)
        assert order == [b"0", b"1", b"2", b"3", b"4"]

    run(main())


def test_pause_lets_those_who_are_there_go_on(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.serve(echo, path, max_clients=1) as server:
            with Visitor(path) as visitor, Visitor(path) as waiting:
                assert await visitor.ask(b"x") == b"x"
                server.pause()
                assert await visitor.ask(b"y") == b"y"
                visitor.close()
                await until(lambda: not server.stats.live)
                waiting.send(b"z")
                await asyncio.sleep(0.02)
                assert server.stats.accepted == 1  # that a place is free ends no pause
                server.resume()
                assert await waiting.receive() == b"z"

    run(main())


def test_clients_that_leave_at_once_are_nothing(run: Run, path: str) -> None:
    async def main() -> None:
        reports = Reports()
        async with afunix.serve(echo, path) as server:
            for _ in range(50):
                Visitor(path).close()
            await until(lambda: server.stats.accepted == 50 and not server.stats.live)
            with Visitor(path) as visitor:
                assert await visitor.ask(b"x") == b"x"
        assert reports.contexts == []

    run(main())


def test_a_thousand_clients_at_once(run: Run, path: str) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 3000:
        if hard != resource.RLIM_INFINITY and hard < 3000:
            pytest.skip("needs 3000 descriptors")
        resource.setrlimit(resource.RLIMIT_NOFILE, (3000, hard))

    async def main() -> None:
        async with afunix.serve(echo, path) as server:
            with ExitStack() as stack:
                crowd = visitors(path, 1000, stack)
                for number, visitor in enumerate(crowd):
                    visitor.send(b"%d" % number)
                for number, visitor in enumerate(crowd):
                    assert await visitor.receive() == b"%d" % number
                assert server.stats.live == 1000

    try:
        run(main())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# Shortage


@contextmanager
def no_descriptors_left() -> Iterator[None]:
    """Nothing can be opened in this process for a while."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = next(fd for fd in range(1 << 20) if not os.path.exists(f"/proc/self/fd/{fd}"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("observer", [None, lambda event: None])
def test_descriptors_nobody_takes_are_counted_whoever_observes(
    run: Run, path: str, observer: Callable[[Event], None] | None
) -> None:
    async def count(stream: afunix.Stream) -> None:
        await stream.receive()
        await stream.send(b"%d" % stream.stats.descriptors_closed)

    async def main() -> None:
        async with afunix.serve(count, path, accept_fds=1, observer=observer):
            with Visitor(path) as visitor:
                socket.send_fds(visitor.sock, [b"abc"], [0])
                assert await visitor.receive() == b"1"

    run(main())


def test_out_of_descriptors_is_one_report_no_spin_and_passes_by_itself(run: Run, path: str) -> None:
    told: list[Event] = []

    async def main() -> None:
        async with afunix.serve(echo, path, observer=told.append) as server:
            with Visitor(path) as visitor:
                visitor.send(b"x")
                told.clear()
                with no_descriptors_left():
                    before = time.process_time()
                    await asyncio.sleep(0.5)
                    assert time.process_time() - before < 0.1
                    assert server.stats.accepted == 0
                assert await visitor.receive() == b"x"
        alerts = [event for event in told if isinstance(event, (AcceptPaused, AcceptResumed))]
        assert [type(alert) for alert in alerts] == [AcceptPaused, AcceptResumed]

    run(main())


def test_a_shortage_that_nobody_observes_is_one_warning(
    run: Run, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with afunix.serve(echo, path):
            with Visitor(path) as visitor:
                visitor.send(b"x")
                with no_descriptors_left():
                    await asyncio.sleep(0.3)
                assert await visitor.receive() == b"x"

    run(main())
    words = [record.getMessage() for record in caplog.records if record.name == "afunix"]
    assert len(words) == 1
    assert words[0].endswith("Too many open files (EMFILE)")


@contextmanager
def accept_fails(monkeypatch: pytest.MonkeyPatch, number: int) -> Iterator[None]:
    """A stop gives descriptors back, so that a real shortage would pass by itself."""

    def fail(self: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(BoundListener, "accept_named", fail)
        yield


@pytest.mark.parametrize("stop", ["drain", "aclose"])
def test_a_stop_waits_for_descriptors_to_serve_those_in_the_backlog(
    run: Run, path: str, monkeypatch: pytest.MonkeyPatch, stop: str
) -> None:
    async def main() -> None:
        async with afunix.serve(echo, path) as server:
            with Visitor(path) as visitor:
                visitor.send(b"x")
                if stop == "drain":  # which lets it talk as long as it likes
                    visitor.sock.shutdown(socket.SHUT_WR)
                with accept_fails(monkeypatch, errno.ENFILE):
                    ending = asyncio.create_task(getattr(server, stop)())
                    await asyncio.sleep(0.15)
                    assert not ending.done()
                    assert not os.path.exists(path)
                async with asyncio.timeout(3):  # less than its patience
                    assert await visitor.receive_all() == b"x"
                    await ending

    run(main())


def test_a_stop_gives_up_on_descriptors_when_patience_ends(
    run: Run, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with afunix.serve(echo, path) as server:
            with Visitor(path) as visitor, accept_fails(monkeypatch, errno.ENFILE):
                await server.aclose(patience=0.1)
                assert await visitor.is_turned_away()

    run(main())


def test_an_accept_that_fails_for_good_is_told(run: Run, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        reports = Reports()
        async with afunix.serve(echo, path):
            with accept_fails(monkeypatch, errno.EIO), Visitor(path):
                await until(lambda: reports.contexts)
        assert reports.messages == ["a server accepts no more: accept(2) failed"]

    run(main())


# Signals


async def signalled(server: afunix.Server, *numbers: signal.Signals, **options: Any) -> signal.Signals:
    """run_until_signal, with the signals sent as soon as it listens."""
    waiting = asyncio.create_task(server.run_until_signal(**options))
    await asyncio.sleep(0.01)
    for number in numbers:
        os.kill(os.getpid(), number)
        await asyncio.sleep(0.02)
    return await waiting


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_is_returned(run: Run, path: str, number: signal.Signals) -> None:
    told: list[Event] = []
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}

    async def main() -> None:
        inside = {each: signal.getsignal(each) for each in before}
        async with afunix.serve(echo, path, observer=told.append) as server:
            assert await signalled(server, number) is number
            assert not os.path.exists(path)
            assert {each: signal.getsignal(each) for each in before} == inside
        assert [event.cause for event in told if isinstance(event, Stopping)] == [number.name]

    run(main())
    assert {each: signal.getsignal(each) for each in before} == before


def test_a_drain_ends_when_the_last_has_left(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.serve(echo, path) as server:
            with Visitor(path) as visitor:
                assert await visitor.ask(b"x") == b"x"
                waiting = asyncio.create_task(signalled(server, signal.SIGTERM, drain=60.0))
                await until(lambda: not os.path.exists(path))
                assert await visitor.ask(b"y") == b"y"
            await waiting

    run(main())


def test_a_second_signal_ends_the_drain(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.serve(echo, path) as server:
            with Visitor(path) as visitor:
                assert await visitor.ask(b"x") == b"x"
                assert await signalled(server, signal.SIGTERM, signal.SIGINT, drain=None) is signal.SIGTERM
                assert server.stats.live == 1

    run(main())


def test_other_signals_can_be_named(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.serve(echo, path) as server:
            waiting = asyncio.create_task(server.run_until_signal(signal.SIGUSR1))
            await asyncio.sleep(0.01)
            os.kill(os.getpid(), signal.SIGUSR1)
            assert await waiting is signal.SIGUSR1

    run(main())


@pytest.mark.parametrize(
    ("signals", "error", "words"),
    [
        ((15.0,), TypeError, "a signal is float, expected one such as signal.SIGTERM"),
        ((0,), ValueError, "0 is not a valid Signals"),
        ((signal.SIGKILL,), (RuntimeError, OSError), "9|nvalid"),
    ],
)
def test_what_is_no_signal_to_wait_for(
    run: Run, path: str, signals: tuple[Any, ...], error: type[Exception], words: str
) -> None:
    async def main() -> None:
        async with afunix.serve(echo, path) as server:
            before = signal.getsignal(signal.SIGTERM)
            with pytest.raises(error, match=words):
                await server.run_until_signal(signal.SIGTERM, *signals)
            assert signal.getsignal(signal.SIGTERM) is before

    run(main())


def test_drain_of_no_length_is_refused(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.serve(echo, path) as server:
            for ask in (server.drain(-1), server.run_until_signal(drain=-1), server.aclose(-1)):
                with pytest.raises(ValueError, match="is -1, expected 0 seconds or more"):
                    await ask

    run(main())


def test_signals_are_for_the_main_thread(run: Run, path: str) -> None:
    raised: list[Exception] = []

    async def serve_here() -> None:
        async with afunix.serve(echo, path) as server:
            try:
                await server.run_until_signal()
            except afunix.WrongLoopError as error:
                raised.append(error)

    thread = threading.Thread(target=lambda: run(serve_here()), name="worker")
    thread.start()
    thread.join(PATIENCE_S)
    assert [str(error) for error in raised] == [
        "this event loop runs in the thread 'worker', expected the main thread: no other one learns of signals"
    ]


@pytest.mark.parametrize("how", ["abort", "aclose"])
def test_waiting_for_a_signal_ends_with_the_server(run: Run, path: str, how: str) -> None:
    async def main() -> None:
        async with afunix.serve(echo, path) as server:
            waiting = asyncio.create_task(server.run_until_signal())
            await asyncio.sleep(0.01)
            with pytest.raises(afunix.BusyError):
                await server.run_until_signal()
            server.abort() if how == "abort" else await server.aclose()
            with pytest.raises(afunix.ClosedError, match="has ended"):
                await waiting

    run(main())


def test_the_service_manager_is_told_that_we_stop(
    run: Run, path: str, sock_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(f"{sock_dir}/notify")
            monkeypatch.setenv("NOTIFY_SOCKET", f"{sock_dir}/notify")
            async with afunix.serve(echo, path) as server:
                await signalled(server, signal.SIGTERM)
            assert manager.recv(99) == b"STOPPING=1"

    run(main())


SERVICE = """
import asyncio, sys, afunix
async def flood_back(stream):
    async for chunk in stream:
        await stream.send(chunk)
async def main():
    async with afunix.serve(flood_back, sys.argv[1]) as server:
        print("ready", flush=True)
        await server.run_until_signal()
    print("stopped", server.stats.live, flush=True)
asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_flooding_client_holds_up_neither_a_neighbour_nor_a_signal(
    sock_dir: str, number: signal.Signals
) -> None:
    path = f"{sock_dir}/s"
    process = subprocess.Popen(
        [sys.executable, "-c", SERVICE, path], stdout=subprocess.PIPE, env=environment(), bufsize=0
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        with socket.socket(socket.AF_UNIX) as client, socket.socket(socket.AF_UNIX) as neighbour:
            client.connect(path)
            neighbour.settimeout(PATIENCE_S)
            neighbour.connect(path)
            flood = [
                threading.Thread(target=send_for_ever, args=(client,)),
                threading.Thread(target=read_for_ever, args=(client,)),
            ]
            for thread in flood:
                thread.start()
            for _ in range(20):
                neighbour.send(b"x")
                assert neighbour.recv(9) == b"x"
            process.send_signal(number)
            try:
                out, _ = process.communicate(timeout=PATIENCE_S)
            finally:
                process.kill()
            for thread in flood:
                thread.join(PATIENCE_S)
        assert (process.returncode, out) == (0, b"stopped 0\n")
        assert not os.path.exists(path)


def send_for_ever(client: socket.socket) -> None:
    with suppress(OSError):
        while True:
            client.sendall(bytes(4096))


def read_for_ever(client: socket.socket) -> None:
    with suppress(OSError):
        while client.recv(65536):
            pass


def test_a_start_without_descriptors_for_an_inherited_listener_leaves_nothing_behind(
    run: Run, sock_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(f"{sock_dir}/i")
            sock.listen()
            os.set_blocking(sock.fileno(), False)
            server = afunix.serve(echo, f"{sock_dir}/own", f"fd:{os.dup(sock.fileno())}")
            with monkeypatch.context() as patch, pytest.raises(OSError, match="Too many open files"):
                patch.setattr(Acceptor, "_watched_fd", out_of_descriptors)
                await server.start()
            assert os.listdir(sock_dir) == ["i"]
            assert not hub._HUBS
            async with server:
                pass

    def out_of_descriptors(acceptor: Acceptor, listener: BoundListener) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    run(main())
