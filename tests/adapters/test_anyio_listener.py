"""An anyio listener keeps what anyio documents of its own; it steals no address, leaves no path, outlives a shortage."""

from __future__ import annotations

import errno
import gc
import logging
import os
import socket
import sys
from contextlib import AsyncExitStack, closing
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio import wait_all_tasks_blocked
from anyio.abc import SocketAttribute, SocketListener
from tests.sharing import can_refuse, shared

import afunix
from afunix.adapters.anyio import Listener, Stream, connect, listen
from afunix.events import AcceptPaused, AcceptResumed, Event, Refused
from afunix.kernel.listener import Listener as BoundListener

pytestmark = pytest.mark.anyio


def dial(path: str) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    return client


async def echo(stream: Stream) -> None:
    async for chunk in stream:
        await stream.send(chunk)


# What anyio documents


async def test_a_client_is_accepted(sock_dir: str) -> None:
    path = f"{sock_dir}/s"
    async with listen(path) as listener:
        assert isinstance(listener, SocketListener)
        with dial(path) as client:
            async with await listener.accept() as stream:
                client.send(b"hello")
                assert await stream.receive() == b"hello"
                assert stream.peer.pid == os.getpid()


async def test_the_extra_attributes_are_those_of_a_listener(sock_dir: str) -> None:
    path = f"{sock_dir}/s"
    async with listen(path) as listener:
        assert listener.extra(SocketAttribute.family) == socket.AF_UNIX
        assert listener.extra(SocketAttribute.local_address) == path
        assert listener.extra(SocketAttribute.raw_socket).getsockname() == path
        assert listener.extra(SocketAttribute.remote_address, None) is None


async def test_each_client_is_served_in_a_task_of_its_own(sock_dir: str) -> None:
    path = f"{sock_dir}/s"
    async with listen(path) as listener, anyio.create_task_group() as group, AsyncExitStack() as stack:
        group.start_soon(listener.serve, echo)
        clients = [await stack.enter_async_context(await connect(path)) for _ in range(5)]
        for number, client in enumerate(clients):
            await client.send(b"%d" % number)
        assert [await client.receive() for client in clients] == [b"0", b"1", b"2", b"3", b"4"]
        group.cancel_scope.cancel()


async def test_a_stream_is_closed_for_the_handler(sock_dir: str) -> None:
    path = f"{sock_dir}/s"
    streams: list[Stream] = []

    async def forget(stream: Stream) -> None:
        streams.append(stream)

    async with listen(path) as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, forget, group)
        async with await connect(path) as client:
            with pytest.raises(anyio.EndOfStream):
                await client.receive()
        assert streams[0].state is afunix.State.CLOSED
        group.cancel_scope.cancel()


async def test_a_handler_that_fails_ends_the_group_and_nothing_is_left_open(sock_dir: str) -> None:
    path = f"{sock_dir}/s"

    async def fail(stream: Stream) -> None:
        raise LookupError("this handler")

    async with listen(path) as listener, await connect(path) as client:
        with pytest.raises(ExceptionGroup) as raised:
            await listener.serve(fail)
        assert raised.group_contains(LookupError)
        with pytest.raises(anyio.EndOfStream):
            await client.receive()


async def test_a_client_whose_task_cannot_be_started_is_not_left_open(sock_dir: str) -> None:
    path = f"{sock_dir}/s"
    async with anyio.create_task_group() as over:
        pass
    async with listen(path) as listener, await connect(path) as client:
        with pytest.raises(RuntimeError):
            await listener.serve(echo, over)
        with pytest.raises(anyio.EndOfStream):
            await client.receive()


async def test_closing_ends_whoever_accepts(sock_dir: str) -> None:
    listener = listen(f"{sock_dir}/s")
    told = []

    async def accept() -> None:
        with pytest.raises(anyio.ClosedResourceError, match="is closed"):
            await listener.accept()
        told.append(True)

    async with anyio.create_task_group() as group:
        group.start_soon(accept)
        await wait_all_tasks_blocked()
        await listener.aclose()
    assert told


async def test_a_closed_listener_accepts_nobody(sock_dir: str) -> None:
    listener = listen(f"{sock_dir}/s")
    await listener.aclose()
    await listener.aclose()
    with pytest.raises(anyio.ClosedResourceError):
        await listener.accept()


async def test_a_second_task_that_accepts_is_refused(sock_dir: str) -> None:
    async with listen(f"{sock_dir}/s") as listener, anyio.create_task_group() as group:
        group.start_soon(listener.accept)
        await wait_all_tasks_blocked()
        with pytest.raises(anyio.BusyResourceError, match="already accepting connections from"):
            await listener.accept()
        group.cancel_scope.cancel()


async def test_closing_in_a_cancelled_scope_closes(sock_dir: str) -> None:
    path = f"{sock_dir}/s"
    listener = listen(path)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await listener.aclose()
    assert scope.cancelled_caught
    assert not os.path.exists(path)


async def test_a_cancelled_accept_takes_no_client(sock_dir: str) -> None:
    path = f"{sock_dir}/s"
    async with listen(path) as listener:
        with dial(path) as client:
            with anyio.CancelScope() as scope:
                scope.cancel()
                await listener.accept()
            client.send(b"x")
            async with await listener.accept() as stream:
                assert await stream.receive() == b"x"


# What anyio's own does not do


async def test_the_path_goes_with_the_listener(sock_dir: str) -> None:
    path = f"{sock_dir}/s"
    async with listen(path):
        assert os.path.exists(path)
    assert os.listdir(sock_dir) == []


async def test_a_live_listener_keeps_its_address(sock_dir: str) -> None:
    path = f"{sock_dir}/s"
    async with listen(path) as listener:
        with pytest.raises(afunix.AddressInUseError):
            listen(path)
        with dial(path):
            await (await listener.accept()).aclose()


async def test_a_stale_path_is_replaced_with_the_mode_that_is_asked_for(sock_dir: str) -> None:
    path = f"{sock_dir}/s"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    async with listen(path, mode=0o640):
        assert os.stat(path).st_mode & 0o777 == 0o640


class Shortage:
    """Of a listener's next accepts so many fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int, times: int) -> None:
        self.left = times
        self._number = number
        self._accept = BoundListener.accept_named
        monkeypatch.setattr(BoundListener, "accept_named", lambda listener: self.accept(listener))

    def accept(self, listener: BoundListener) -> Any:
        if self.left:
            self.left -= 1
            raise OSError(self._number, os.strerror(self._number))
        return self._accept(listener)


async def test_a_shortage_of_descriptors_is_outlived_and_told_once(
    sock_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"{sock_dir}/s"
    seen: list[Event] = []
    async with listen(path, observer=seen.append) as listener:
        shortage = Shortage(monkeypatch, errno.EMFILE, 2)
        with dial(path):
            await (await listener.accept()).aclose()
        assert shortage.left == 0
        told = [event for event in seen if isinstance(event, AcceptPaused | AcceptResumed)]
        fd = listener.extra(SocketAttribute.raw_socket).fileno()
        assert told == [AcceptPaused(fd, errno.EMFILE, "Too many open files (EMFILE)"), AcceptResumed(fd)]


async def test_a_shortage_that_nobody_observes_is_a_warning(
    sock_dir: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = f"{sock_dir}/s"
    async with listen(path) as listener:
        Shortage(monkeypatch, errno.ENFILE, 1)
        with dial(path):
            await (await listener.accept()).aclose()
    warnings = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert ["ENFILE" in each.getMessage() for each in warnings] == [True]


async def test_a_client_that_left_before_it_was_accepted_is_passed_over(
    sock_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"{sock_dir}/s"
    async with listen(path) as listener:
        Shortage(monkeypatch, errno.ECONNABORTED, 3)
        with dial(path):
            await (await listener.accept()).aclose()


async def test_a_fault_that_does_not_pass_is_told(sock_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with listen(f"{sock_dir}/s") as listener:
        Shortage(monkeypatch, errno.EINVAL, 1)
        with pytest.raises(anyio.BrokenResourceError, match="EINVAL") as raised:
            await listener.accept()
        assert isinstance(raised.value.__cause__, OSError)


async def test_descriptors_come_to_a_listener_that_asked_for_them(sock_dir: str) -> None:
    path = f"{sock_dir}/s"
    async with listen(path, accept_fds=1) as listener, await connect(path) as client:
        stream = await listener.accept()
        await client.send_fds(b"x", [0])
        data, (fd,) = await stream.receive_fds(10, 1)
        assert (data, os.path.sameopenfile(fd, 0)) == (b"x", True)
        os.close(fd)
        await stream.aclose()


# Sockets that somebody else bound


async def test_an_inherited_socket_is_served_on_and_its_path_stays(sock_dir: str) -> None:
    path = f"{sock_dir}/s"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path)
        bound.listen()
        async with await Listener.from_socket(bound) as listener:
            assert bound.fileno() == -1
            with dial(path):
                await (await listener.accept()).aclose()
    assert os.path.exists(path)


async def test_a_socket_that_does_not_listen_stays_its_owners() -> None:
    with socket.socket(socket.AF_UNIX) as unbound:
        with pytest.raises(afunix.AddressError, match="does not listen"):
            await Listener.from_socket(unbound)
        assert unbound.fileno() >= 0


async def test_a_listener_of_records_is_refused_and_stays_its_owners(sock_dir: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as records:
        records.bind(f"{sock_dir}/s")
        records.listen()
        with pytest.raises(afunix.WrongTypeError, match="seqpacket"):
            await Listener.from_socket(records)
        with pytest.raises(afunix.WrongTypeError, match="seqpacket"):
            listen(f"fd:{records.fileno()}")
        assert records.getsockname() == f"{sock_dir}/s"


# Rules, observers, and forgotten ones


async def test_whom_the_rules_refuse_is_closed_unread(sock_dir: str) -> None:
    path = f"{sock_dir}/s"
    seen: list[Event] = []
    async with listen(path, rules=afunix.Rules("deny me"), observer=seen.append) as listener:
        with dial(path) as client:
            client.settimeout(5)
            async with anyio.create_task_group() as group:
                group.start_soon(listener.accept)
                assert await anyio.to_thread.run_sync(client.recv, 1) == b""
                group.cancel_scope.cancel()
        assert listener.refused == 1
    assert [event.reason for event in seen if isinstance(event, Refused)]


async def test_an_observer_is_told_of_both_ends_and_may_fail(
    sock_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    failed: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda told: failed.append(told.exc_value.args[0]))

    def observe(event: Event) -> None:
        seen.append(type(event).__name__)
        raise LookupError(type(event).__name__)

    async with (
        listen(f"{sock_dir}/s", observer=observe) as listener,
        await connect(f"{sock_dir}/s", observer=observe) as client,
        await listener.accept() as served,
    ):
        await client.send(b"ping")
        assert await served.receive() == b"ping"
    assert failed == seen
    assert {"Created", "Bound", "Listening", "Connected", "Accepted", "BytesRead", "BytesWritten"} <= {*seen}
    assert seen.count("Closed") == 3


async def test_a_forgotten_listener_warns_where_it_was_opened_and_removes_its_path(sock_dir: str) -> None:
    listener = listen(f"{sock_dir}/s")
    with pytest.warns(ResourceWarning, match=rf"unclosed <afunix.*\.Listener .* opened at {__file__}:"):
        del listener
        gc.collect()
    assert os.listdir(sock_dir) == []


async def test_a_client_that_another_process_took_leaves_the_loop_running(
    sock_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with shared(f"{sock_dir}/s") as parents:
        async with listen(f"fd:{parents.copy()}") as listener:
            parents.let_the_other_win(monkeypatch)
            parents.connect()
            parents.connect().send(b"x")
            async with await listener.accept() as stream:
                assert (await stream.receive(), parents.lost) == (b"x", 1)
            assert os.get_blocking(listener.extra_attributes[SocketAttribute.raw_socket]().fileno())


async def test_a_close_ends_an_accept_whose_client_another_process_took(
    sock_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with shared(f"{sock_dir}/s") as parents:
        listener = listen(f"fd:{parents.copy()}")
        parents.let_the_other_win(monkeypatch)
        parents.connect()

        async def close() -> None:
            await anyio.to_thread.run_sync(parents.until_thread_waits)
            listener.close()

        async with anyio.create_task_group() as group:
            group.start_soon(close)
            with pytest.raises(anyio.ClosedResourceError):
                await listener.accept()


@pytest.mark.skipif(not can_refuse(), reason="SO_PASSRIGHTS needs Linux 6.16")
async def test_descriptors_come_in_through_an_inherited_listener_that_refused_them(sock_dir: str) -> None:
    with closing(afunix.bind_socket(f"{sock_dir}/s")) as parents:
        listener = listen(f"fd:{os.dup(parents.fileno())}", accept_fds=1)
        async with listener, await connect(f"{sock_dir}/s") as client, await listener.accept() as stream:
            await client.send_fds(b"x", [0])
            _, (fd,) = await stream.receive_fds(1, 1)
            os.close(fd)
