"""What a server is given to listen on: whose it is, until when, and what is refused."""

from __future__ import annotations

import asyncio
import os
import select
import socket
from collections.abc import Callable, Coroutine
from contextlib import ExitStack, closing
from typing import Any

import pytest
from tests.program import PATIENCE_S
from tests.sharing import Shared, can_refuse, shared
from tests.streams.event_loops import LOOPS, run_in, turns
from tests.streams.visitors import Visitor, echo, until

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


# A listener that blocks and is shared, and what a start that fails leaves alone


def test_client_that_another_process_took_does_not_stop_the_loop(
    run: Run, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(listener: Shared) -> None:
        async with afunix.serve(echo, f"fd:{listener.copy()}"):
            listener.let_the_other_win(monkeypatch)
            listener.connect()
            await until(lambda: bool(listener.lost))
            await asyncio.to_thread(listener.until_thread_waits)
            with Visitor(path) as visitor:
                assert await visitor.ask(b"x") == b"x"
        assert os.get_blocking(listener.socket.fileno())

    with shared(path) as listener:
        run(main(listener))


def test_a_stop_does_not_wait_for_a_client_that_another_process_took(
    run: Run, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(listener: Shared) -> None:
        async with afunix.serve(echo, f"fd:{listener.copy()}") as server:
            listener.let_the_other_win(monkeypatch)
            listener.connect()
            await until(lambda: bool(listener.lost))
            await asyncio.to_thread(listener.until_thread_waits)
            assert await server.drain(PATIENCE_S)
        client = listener.connect()
        assert client.recv(1) == b""  # the window that there is
        assert server.stats.accepted == 0

    with shared(path) as listener:
        run(main(listener))


def test_a_paused_server_leaves_a_shared_listener_alone(run: Run, path: str) -> None:
    async def main(listener: Shared) -> None:
        async with afunix.serve(echo, f"fd:{listener.copy()}") as server:
            server.pause()
            with Visitor(path) as visitor:
                await turns(5)
                assert server.stats.accepted == 0
                server.resume()
                assert await visitor.ask(b"x") == b"x"

    with shared(path) as listener:
        run(main(listener))


def test_a_client_that_was_taken_when_the_stop_began_is_served(
    run: Run, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(listener: Shared) -> None:
        async with afunix.serve(echo, f"fd:{listener.copy()}") as server:
            (core,) = server.listeners
            client = listener.connect()
            client.send(b"x")
            client.shutdown(socket.SHUT_WR)
            with pytest.raises(BlockingIOError):
                core.accept_named()  # asks the thread
            select.select([core.ready_fd], [], [], PATIENCE_S)
            assert await server.drain(PATIENCE_S)
            assert server.stats.accepted == 1
        assert client.recv(9) == b"x"

    with shared(path) as listener:
        run(main(listener))


@pytest.mark.parametrize("give", ["number", "socket", "listener"])
def test_what_was_given_is_still_its_owners_when_the_start_fails(run: Run, path: str, give: str) -> None:
    async def main(listener: Shared) -> None:
        with closing(
            BoundListener.take(Address.pathname(path), socket.socket(fileno=listener.copy()))
        ) as core:
            given: dict[str, Any] = {
                "number": f"fd:{listener.socket.fileno()}",
                "socket": listener.socket,
                "listener": core,
            }
            for _ in range(2):
                with pytest.raises(afunix.NoSuchSocketError):
                    await afunix.serve(echo, given[give], f"{path}/no/s").start()
        assert listener.socket.getsockname() == path

    with shared(path) as listener:
        run(main(listener))


def test_an_inherited_datagram_socket_is_refused_and_stays_its_owners(run: Run) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.bind("")
            name = sock.getsockname()
            with pytest.raises(afunix.WrongTypeError, match="is a dgram socket") as caught:
                await afunix.serve(echo, f"fd:{sock.fileno()}").start()
            assert "open_datagrams" in (caught.value.hint or "")
            assert sock.getsockname() == name

    run(main())


@pytest.mark.skipif(not can_refuse(), reason="SO_PASSRIGHTS needs Linux 6.16")
@pytest.mark.parametrize("give", ["inherited", "bind_socket", "listen"])
def test_descriptors_come_in_through_a_given_listener_that_refused_them(
    run: Run, path: str, give: str
) -> None:
    async def count(stream: afunix.Stream) -> None:
        with await stream.receive_fds() as received:
            await stream.send(b"%d" % len(received.fds))

    async def main() -> None:
        with ExitStack() as stack:
            given: Any = afunix.listen(path) if give == "listen" else afunix.bind_socket(path)
            stack.callback(given.close)
            early = stack.enter_context(socket.socket(socket.AF_UNIX))
            early.connect(path)
            wanted = f"fd:{os.dup(given.fileno())}" if give == "inherited" else given
            async with afunix.serve(count, wanted, accept_fds=2) as server:
                async with await afunix.connect(path) as client:
                    await client.send_fds(b"x", [0, 1])
                    assert await client.receive() == b"2"
                assert server.stats.accepted == 2
                socket.send_fds(early, [b"x"], [0])

    run(main())
