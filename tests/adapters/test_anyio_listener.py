"""An anyio listener keeps what anyio documents of its own; it steals no address, leaves no path, outlives a shortage."""

from __future__ import annotations

import errno
import logging
import os
import socket
from contextlib import AsyncExitStack
from typing import Any

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from anyio.abc import SocketAttribute, SocketListener

import afunix
from afunix.adapters.anyio import Listener, Stream, connect, listen
from afunix.events import AcceptPaused, AcceptResumed, Event
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
