"""A relay in a program: bytes and ends both ways, who comes in, and what cannot be asked for."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import socket
import struct
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from tests.streams.event_loops import LOOPS, run_in
from tests.streams.relays import MANY_BYTES, between, hash_of, send_all
from tests.streams.visitors import Reports, Visitor, echo, until, visitors

import afunix
from afunix.events import (
    Connected,
    Event,
    HandlerFailed,
    Refused,
    ResetPassedOn,
    WentIdle,
)
from afunix.kernel import fallbacks
from afunix.streams import hub

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    yield lambda main: run_in(request.param, main)
    assert not hub._HUBS


@pytest.fixture
def path(sock_dir: str) -> str:
    return f"{sock_dir}/front"


@pytest.fixture
def upstream(sock_dir: str) -> str:
    return f"{sock_dir}/s"


# What passes


@pytest.mark.parametrize("options", [{}, {"pass_fds": True}, {"observer": lambda event: None}])
def test_bytes_go_both_ways_whole(run: Run, path: str, upstream: str, options: dict[str, Any]) -> None:
    up, down = os.urandom(MANY_BYTES), os.urandom(MANY_BYTES)
    found: list[tuple[int, str]] = []

    async def exchange(stream: afunix.Stream, data: bytes) -> None:
        _, came = await asyncio.gather(send_all(stream, data), hash_of(stream))
        found.append(came)

    async def main() -> None:
        async with between(path, upstream, lambda stream: exchange(stream, down), **options) as relay:
            async with await afunix.connect(path) as client:
                await exchange(client, up)
            await until(lambda: not relay.stats.live)
            assert relay.stats.bytes_received == relay.stats.bytes_sent == MANY_BYTES

    run(main())
    assert sorted(found) == sorted((len(data), hashlib.sha256(data).hexdigest()) for data in (up, down))


def test_descriptors_that_the_kernel_lets_in_end_their_pair(
    run: Run, path: str, upstream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fallbacks, "_forced", lambda: frozenset({"passrights"}))

    async def main() -> None:
        reports = Reports()
        async with between(path, upstream) as relay, await afunix.connect(path) as client:
            with Visitor(path) as visitor:
                assert await visitor.ask(b"x") == b"x"
                socket.send_fds(visitor.sock, [b"x"], [0])
                assert await visitor.is_turned_away()
            await until(lambda: relay.stats.failed)
            await client.send(b"hello")
            assert await client.receive_exactly(5) == b"hello"
        (error,) = reports.errors
        assert isinstance(error, OSError) and error.errno == errno.EOPNOTSUPP

    run(main())


def test_descriptors_are_refused_at_the_senders(run: Run, path: str, upstream: str) -> None:
    async def main() -> None:
        async with between(path, upstream), await afunix.connect(path) as client:
            try:
                await client.send_fds(b"x", [0])
            except afunix.DescriptorsNotAcceptedError:
                return
            pytest.skip("before Linux 6.16 they are refused where they arrive")

    run(main())


def test_descriptors_go_on_if_they_are_asked_for(run: Run, path: str, upstream: str) -> None:
    async def give_back(stream: afunix.Stream) -> None:
        with await stream.receive_fds() as received:
            await stream.send_fds(b"back", [*received])

    async def main() -> None:
        async with (
            afunix.serve(give_back, upstream, accept_fds=1),
            afunix.relay(path, upstream, pass_fds=True),
            await afunix.connect(path, accept_fds=1) as client,
        ):
            with open(upstream + ".file", "wb") as file:
                await client.send_fds(b"x", [file])
                with await client.receive_fds() as received:
                    (fd,) = received
                    assert os.path.sameopenfile(fd.fileno(), file.fileno())

    run(main())


def test_packets_keep_their_boundaries(run: Run, path: str, upstream: str) -> None:
    async def swap(stream: afunix.PacketStream) -> None:
        async for packet in stream:
            await stream.send(packet[::-1])

    async def main() -> None:
        server = afunix.serve(swap, afunix.listen_packets(upstream))
        relay = afunix.relay(path, upstream, socket_type="seqpacket")
        async with server, relay, await afunix.connect_packets(path) as client:
            for packet in (b"abc", b"", b"de", b"x" * 100_000):
                await client.send(packet)
            assert [await client.receive() for _ in range(4)] == [b"cba", b"", b"ed", b"x" * 100_000]

    run(main())


def test_a_given_listener_says_of_what_type_it_is(run: Run, path: str, upstream: str) -> None:
    async def main() -> None:
        server = afunix.serve(echo, afunix.listen_packets(upstream))
        relay = afunix.relay(afunix.listen_packets(path), upstream)
        async with server, relay, await afunix.connect_packets(path) as client:
            await client.send(b"abc")
            assert await client.receive() == b"abc"

    run(main())


def test_a_given_listener_of_another_type_stays_its_owners(run: Run, path: str, upstream: str) -> None:
    async def main() -> None:
        async with afunix.listen_packets(path) as listener:
            with pytest.raises(afunix.WrongTypeError, match="is of type seqpacket, expected stream"):
                await afunix.relay(listener, upstream, socket_type="stream").start()
            assert listener.fileno() >= 0

    run(main())


# Ends


@pytest.mark.parametrize("is_client_first", [True, False])
def test_a_half_close_is_passed_on_alone(run: Run, path: str, upstream: str, is_client_first: bool) -> None:
    servers: asyncio.Queue[afunix.Stream] = asyncio.Queue()

    async def stay(stream: afunix.Stream) -> None:
        servers.put_nowait(stream)
        await stream.wait_hangup()

    async def main() -> None:
        async with between(path, upstream, stay) as relay, await afunix.connect(path) as client:
            server = await servers.get()
            first, second = (client, server) if is_client_first else (server, client)
            await send_all(first, b"question")
            assert await second.receive_exactly(8) == b"question"
            with pytest.raises(afunix.EndOfStream):
                await second.receive()
            await send_all(second, b"answer")
            assert await first.receive_exactly(6) == b"answer"
            with pytest.raises(afunix.EndOfStream):
                await first.receive()
            await until(lambda: not relay.stats.live)

    run(main())


def test_a_reset_comes_after_the_bytes_before_it(run: Run, path: str, upstream: str) -> None:
    told: list[Event] = []

    async def answer_unread(stream: afunix.Stream) -> None:
        await until(lambda: stream.stats.bytes_queued == 8)
        await stream.send(b"answer")  # and close with the question unread: a reset

    async def main() -> None:
        async with between(path, upstream, answer_unread, observer=told.append):
            with Visitor(path) as visitor:
                visitor.send(b"question")
                assert await visitor.receive_all() == b"answer"

    run(main())
    (reset,) = (event for event in told if isinstance(event, ResetPassedOn))
    assert (reset.errno, reset.is_reset) == (errno.ECONNRESET, False)
    assert not any(isinstance(event, HandlerFailed) for event in told)


def test_many_at_once_each_get_what_is_theirs(run: Run, path: str, upstream: str) -> None:
    async def client(number: int) -> None:
        async with await afunix.connect(path) as stream:
            data = bytes([number]) * 100_000
            _, came = await asyncio.gather(send_all(stream, data), hash_of(stream))
            assert came == (len(data), hashlib.sha256(data).hexdigest())

    async def main() -> None:
        async with between(path, upstream) as relay:
            await asyncio.gather(*map(client, range(50)))
            assert relay.stats.accepted == 50

    run(main())


def test_a_pair_that_stalls_holds_up_itself_alone(run: Run, path: str, upstream: str) -> None:
    async def main() -> None:
        async with between(path, upstream) as relay, await afunix.connect(path) as stalled:
            sending = asyncio.create_task(stalled.send(bytes(MANY_BYTES)))
            await until(lambda: relay.stats.bytes_received > 100_000)
            with Visitor(path) as visitor:
                assert await visitor.ask(b"hello") == b"hello"
            assert not sending.done()
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    run(main())


def test_a_reset_by_the_client_ends_the_servers_side(run: Run, path: str, upstream: str) -> None:
    ended = asyncio.Event()

    async def talk(stream: afunix.Stream) -> None:
        await stream.send(b"unread")
        with contextlib.suppress(afunix.EndOfStream):
            await stream.receive()
        ended.set()

    async def main() -> None:
        async with between(path, upstream, talk) as relay:
            with Visitor(path) as visitor:
                await until(visitor.has_answer)
                visitor.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await ended.wait()
            await until(lambda: not relay.stats.live)

    run(main())


# Who comes in


def test_rules_hold(run: Run, path: str, upstream: str) -> None:
    told: list[Event] = []

    async def main() -> None:
        async with between(path, upstream, rules=afunix.Rules("deny any"), observer=told.append) as relay:
            with Visitor(path) as visitor:
                assert await visitor.is_turned_away()
            assert relay.stats.refused == 1

    run(main())
    assert any(isinstance(event, Refused) for event in told)
    assert not any(isinstance(event, Connected) for event in told)


def test_above_max_clients_they_wait_for_one_to_leave(run: Run, path: str, upstream: str) -> None:
    async def main() -> None:
        async with between(path, upstream, max_clients=1):
            with ExitStack() as stack:
                first, second = visitors(path, 2, stack)
                assert await first.ask(b"x") == b"x"
                second.send(b"y")
                await asyncio.sleep(0.02)
                assert not second.has_answer()
                first.close()
                assert await second.receive() == b"y"

    run(main())


def test_one_that_is_silent_is_closed(run: Run, path: str, upstream: str) -> None:
    told: list[Event] = []

    async def main() -> None:
        async with between(path, upstream, idle_timeout=0.05, observer=told.append) as relay:
            with Visitor(path) as visitor:
                assert await visitor.ask(b"x") == b"x"
                assert await visitor.receive() == b""
            await until(lambda: not relay.stats.live)

    run(main())
    assert sum(isinstance(event, WentIdle) for event in told) == 1


def test_the_mode_is_the_sockets(run: Run, path: str, upstream: str) -> None:
    async def main() -> None:
        async with afunix.relay(path, upstream, mode=0o620):
            assert os.stat(path).st_mode & 0o777 == 0o620

    run(main())


def test_who_comes_by_any_of_several_addresses_is_relayed(run: Run, path: str, upstream: str) -> None:
    async def main() -> None:
        server = afunix.serve(echo, upstream)
        names = [path, path + "2"]
        relay = afunix.relay([*names, afunix.listen(path + "3")], upstream)
        async with server, relay:
            assert [str(address) for address in relay.addresses] == [*names, path + "3"]
            for each in relay.addresses:
                with Visitor(str(each)) as visitor:
                    assert await visitor.ask(b"hello") == b"hello"
            await until(lambda: not relay.stats.live)
            assert relay.stats.accepted == 3

    run(main())


def test_a_server_that_is_who_it_must_be_is_relayed_to(run: Run, path: str, upstream: str) -> None:
    async def main() -> None:
        async with between(path, upstream, require="me"):
            with Visitor(path) as visitor:
                assert await visitor.ask(b"hello") == b"hello"

    run(main())


def test_a_server_that_is_somebody_else_gets_nothing(run: Run, path: str, upstream: str) -> None:
    told: list[Event] = []
    received: list[bytes] = []

    async def listen(stream: afunix.Stream) -> None:
        received.extend([chunk async for chunk in stream])

    async def main() -> None:
        async with between(path, upstream, listen, require=afunix.Rules("deny any"), observer=told.append):
            with Visitor(path) as visitor:
                visitor.send(b"secret")
                assert await visitor.is_turned_away()

    run(main())
    (failed,) = (event for event in told if isinstance(event, HandlerFailed))
    assert isinstance(failed.error, afunix.PeerMismatchError)
    assert received == []


# What cannot be meant


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"connect": "tcp:localhost:80"}, afunix.AddressError, "expected a path or @name"),
        ({"connect": "fd:3"}, afunix.AddressError, "expected a path or @name"),
        ({"connect": "/run/front"}, afunix.AddressError, "leads back to this relay"),
        ({"socket_type": "dgram"}, ValueError, "socket_type is 'dgram', expected"),
        ({"listen": []}, ValueError, "was given no address"),
        ({"listen": ["@a", 5]}, TypeError, "an address is int, expected a path"),
        ({"listen": ["@a", "/run/app.sock"]}, afunix.AddressError, "leads back to this relay"),
        ({"require": 5}, TypeError, "require is int, expected a string"),
        ({"require": "nonsense"}, afunix.RuleError, "nonsense"),
        ({"wait": -1}, ValueError, "wait is -1"),
        ({"wait": "1"}, TypeError, "wait is str, expected seconds or a Retry"),
        ({"timeout": "1"}, TypeError, "timeout is str, expected seconds"),
        ({"idle_timeout": 0}, ValueError, "idle_timeout is 0"),
        ({"max_clients": 0}, ValueError, "max_clients is 0"),
        ({"rules": "allow any"}, TypeError, "rules is str"),
        ({"observer": []}, TypeError, "observer is list"),
    ],
)
def test_argument_that_cannot_be_meant(options: dict[str, Any], error: type[Exception], words: str) -> None:
    given = {"listen": "/run/front", "connect": "/run/app.sock", **options}
    with pytest.raises(error, match=words):
        afunix.relay(**given)
