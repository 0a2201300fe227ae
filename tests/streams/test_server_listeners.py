"""What a server is given to listen on: whose it is, until when, and what is refused."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from contextlib import closing
from typing import Any

import pytest
from tests.streams.event_loops import LOOPS, run_in, turns
from tests.streams.visitors import Visitor, echo

import afunix
from afunix.kernel import activation
from afunix.kernel.listener import Listener as BoundListener
from afunix.model.address import Address

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    return lambda main: run_in(request.param, main)


@pytest.fixture
def path(sock_dir: str) -> str:
    return f"{sock_dir}/s"


def test_a_listener_that_was_given_is_the_servers_and_its_path_goes(run: Run, path: str) -> None:
    async def main() -> None:
        listener = afunix.listen(path)
        with Visitor(path):
            (await listener.accept()).close()
        async with afunix.serve(echo, listener):
            assert listener.is_closed
            with pytest.raises(afunix.ClosedError, match="or was given to a server"):
                listener.fileno()
            listener.close()  # harmless: it is no longer its own
            with Visitor(path) as visitor:
                assert await visitor.ask(b"x") == b"x"
        assert not os.path.exists(path)

    run(main())


@pytest.mark.parametrize("how", ["a socket", "taken", "a socket with a timeout"])
def test_a_listening_socket_is_used_and_closed_and_its_path_stays(run: Run, path: str, how: str) -> None:
    async def main() -> None:
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(path)
        sock.listen()
        if how == "a socket with a timeout":
            sock.settimeout(30)  # longer than this test may take
        flags = os.get_blocking(sock.fileno())
        given = BoundListener.take(Address.pathname(path), sock) if how == "taken" else sock
        async with afunix.serve(echo, given):
            assert os.get_blocking(sock.fileno()) is flags
            assert not sock.gettimeout()  # else it would wait for a client that has left
            for _ in range(2):
                with Visitor(path) as visitor:
                    assert await visitor.ask(b"x") == b"x"
        assert sock.fileno() == -1
        assert os.path.exists(path)

    run(main())


def test_a_bound_socket_of_ours_removes_its_path(run: Run, path: str) -> None:
    async def main() -> None:
        async with afunix.serve(echo, afunix.bind_socket(path)):
            with Visitor(path) as visitor:
                assert await visitor.ask(b"x") == b"x"
        assert not os.path.exists(path)

    run(main())


def test_an_inherited_listener_is_named_by_its_address(
    run: Run, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(path)
            sock.listen()
            inherited = os.dup(sock.fileno())
            monkeypatch.setattr(
                activation, "take", lambda address, listening=True: socket.socket(fileno=inherited)
            )
            async with afunix.serve(echo, "fd:web") as server:
                assert server.addresses == (Address.pathname(path),)
                with Visitor(path) as visitor:
                    assert await visitor.ask(b"x") == b"x"
            assert os.path.exists(path)
            with Visitor(path):
                sock.accept()[0].close()  # it was not shut down

    run(main())


def refused(kind: str, path: str) -> Any:
    """Something to close that no server can listen on."""
    if kind == "internet":
        return socket.socket(socket.AF_INET)
    if kind == "datagram":
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sock.bind(path)
        return sock
    sock = socket.socket(socket.AF_UNIX)
    if kind == "closed":
        sock.close()
    return sock


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("internet", ValueError, "is a socket of family 2, expected AF_UNIX"),
        ("datagram", afunix.WrongTypeError, "is of type dgram, expected stream or seqpacket"),
        ("not listening", ValueError, "does not listen, expected a listening Unix socket"),
        ("closed", afunix.ClosedError, "this socket is closed"),
    ],
)
def test_a_socket_that_does_not_fit_is_refused_and_still_its_owners(
    run: Run, path: str, kind: str, error: type[Exception], words: str
) -> None:
    async def main() -> None:
        with closing(refused(kind, path)) as sock:
            before = sock.fileno()
            with pytest.raises(error, match=words):
                await afunix.serve(echo, f"{path}2", sock).start()
            assert sock.fileno() == before
            assert not os.path.exists(f"{path}2")

    run(main())


def test_a_listener_that_is_closed_or_in_use_elsewhere_is_refused(run: Run, path: str) -> None:
    async def main() -> None:
        listener = afunix.listen(path)
        core = listener._core
        accepting = asyncio.create_task(listener.accept())
        await turns()
        with pytest.raises(afunix.BusyError):
            await afunix.serve(echo, listener).start()
        accepting.cancel()
        await asyncio.wait([accepting])
        listener.close()
        for closed in (listener, core):
            with pytest.raises(afunix.ClosedError):
                await afunix.serve(echo, closed).start()

    run(main())


def test_who_waits_in_the_backlog_of_what_was_given_is_served(run: Run, path: str) -> None:
    async def main() -> None:
        listener = afunix.listen(path)
        with Visitor(path) as visitor:
            visitor.send(b"early")
            async with afunix.serve(echo, listener):
                assert await visitor.receive() == b"early"

    run(main())
