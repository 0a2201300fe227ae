"""The sink of a relay: a connection for each client, those who wait for one, those who get none, and what is lost."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from tests.collecting import Guest, roomy_pair
from tests.loops import HandTurned
from tests.pairing import copying, drain, has_ended
from tests.program import PATIENCE_S
from tests.tcp_servers import LOOPBACK

from afunix.kernel.channel import Channel
from afunix.kernel.pipes import PipePool
from afunix.model.acceptance import LONGEST_PAUSE_S
from afunix.model.errors import AddressError, NobodyListensError
from afunix.model.framing import PieceEnd
from afunix.sinks.relay import Relay
from afunix.streams.duplex import Duplex
from afunix.streams.farewell import PATIENCE_S as FAREWELL_S

ANSWER = bytes(200_000)
REFUSED = NobodyListensError("nobody listens")
SHORT = OSError(errno.EMFILE, "Too many open files")


class FarEnd:
    """An endpoint that does what it is told: `now` and `later` give a connection, None (wait), or raise."""

    refuses_fds = True
    bytes_lost = 0

    def __init__(self) -> None:
        self.now: Exception | None = None
        self.must_wait = False
        self.later: Exception | None = None
        self.opens = asyncio.Event()
        self.servers: list[socket.socket] = []
        self.is_closed = False
        self.cancelled = 0

    def connect_now(self, near: Channel) -> Channel | None:
        if self.now is not None:
            raise self.now
        return None if self.must_wait else self._open(near)

    async def connect(self, near: Channel) -> Channel:
        try:
            await self.opens.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.later is not None:
            raise self.later
        return self._open(near)

    def _open(self, near: Channel) -> Channel:
        ours, theirs = roomy_pair()
        self.servers.append(theirs)
        return Channel(ours, near.connection)

    def close(self) -> None:
        self.is_closed = True


class Scene:
    """A Relay on a hand-turned loop, its clients, and what it told."""

    def __init__(self, stack: ExitStack) -> None:
        self.loop = HandTurned()
        stack.callback(self.loop.close)
        self.far = FarEnd()
        self.finished: list[tuple[int, PieceEnd]] = []
        self.freed: list[int] = []
        self.unreachable: list[tuple[int, Exception]] = []
        self.over: list[Duplex] = []
        self.shortages: list[Exception] = []
        self.reliefs = 0
        self.check: Callable[[Channel, Channel], None] = lambda near, far: None
        self._stack = stack
        pool = PipePool()
        self.relay = Relay(
            self.far,
            lambda near, far: (copying(near, far, pool), copying(far, near, pool)),
            self.loop,
            on_finished=lambda channel, end: self.finished.append((channel.connection, end)),
            on_unreachable=lambda channel, error: self.unreachable.append((channel.connection, error)),
            on_freed=lambda channel: self.freed.append(channel.connection),
            check=lambda near, far: self.check(near, far),
            on_over=self.over.append,
            on_shortage=self.shortages.append,
            on_relief=self._note_relief,
        )
        stack.callback(self.close)
        self._count = 0

    def _note_relief(self) -> None:
        self.reliefs += 1

    @property
    def pairs(self) -> list[Duplex]:
        """All that there were."""
        return [*self.over, *self.relay.connected()]

    def close(self) -> None:
        self.relay.close()
        self.loop.run_until_complete(self.relay.wait_closed())
        for server in self.far.servers:
            server.close()

    def join(self, first_words: bytes = b"") -> Guest:
        ours, theirs = roomy_pair()
        self._stack.callback(theirs.close)
        self._count += 1
        guest = Guest(theirs, Channel(ours, self._count))
        if first_words:
            guest.say(first_words)
        self.relay.on_channel(guest.channel)
        return guest


@pytest.fixture
def scene() -> Iterator[Scene]:
    with ExitStack() as stack:
        yield Scene(stack)


def test_client_gets_a_connection_of_its_own_and_its_first_words_go_at_once(scene: Scene) -> None:
    scene.join(b"ana")
    scene.join(b"bo")
    assert [server.recv(9) for server in scene.far.servers] == [b"ana", b"bo"]
    assert len(list(scene.relay.connected())) == 2
    assert scene.relay.bytes_written() == 5


def test_end_of_a_pair_is_told(scene: Scene) -> None:
    ana = scene.join()
    ana.sock.close()
    scene.loop.turn(3)
    assert [duplex.near for duplex in scene.over] == [ana.channel]
    assert scene.finished == [(1, PieceEnd.EOF)]
    assert scene.relay.drain()


def test_pair_that_broke_is_told_as_a_reset(scene: Scene) -> None:
    ana = scene.join()
    scene.far.servers[0].send(b"unread")
    scene.loop.turn(2)
    ana.sock.close()
    scene.loop.turn(3)
    assert scene.finished == [(1, PieceEnd.RESET)]
    assert scene.relay.bytes_unwritten() == 0


def test_client_waits_for_its_connection_unread_and_loses_nothing(scene: Scene) -> None:
    scene.far.must_wait = True
    scene.join(b"patient")
    scene.loop.turn(3)
    assert (scene.pairs, scene.relay.drain(), scene.relay.bytes_unwritten()) == ([], False, 7)
    scene.far.opens.set()
    scene.loop.turn(4)
    assert scene.far.servers[0].recv(9) == b"patient"
    assert scene.relay.bytes_unwritten() == 0


def test_client_without_a_connection_is_closed_with_the_reason_and_sees_that_nobody_read_it(
    scene: Scene,
) -> None:
    scene.far.now = REFUSED
    ana = scene.join(b"hello")
    assert (scene.unreachable, scene.finished) == ([(1, REFUSED)], [(1, PieceEnd.EOF)])
    assert (ana.channel.is_closed, scene.relay.bytes_unwritten(), scene.relay.drain()) == (True, 0, True)
    with pytest.raises(ConnectionResetError):
        ana.sock.recv(1)


def test_bytes_of_one_who_has_left_before_it_was_refused_are_lost(scene: Scene) -> None:
    scene.far.must_wait, scene.far.later = True, REFUSED
    ana = scene.join(b"hello")
    ana.sock.close()
    scene.loop.turn(2)
    scene.far.opens.set()
    scene.loop.turn(4)
    assert (scene.unreachable, scene.relay.bytes_unwritten()) == ([(1, REFUSED)], 5)


def test_so_is_one_whose_connection_fails_after_a_wait_and_nobody_else_notices(scene: Scene) -> None:
    bo = scene.join()
    scene.far.must_wait, scene.far.later = True, REFUSED
    ana = scene.join()
    scene.far.opens.set()
    scene.loop.turn(4)
    assert (scene.unreachable, ana.channel.is_closed) == ([(2, REFUSED)], True)
    bo.say(b"still")
    scene.loop.turn(2)
    assert drain(scene.far.servers[0]) == b"still"


@pytest.mark.parametrize("waits", [False, True])
def test_connection_that_must_not_be_used_is_closed_with_its_client(scene: Scene, waits: bool) -> None:
    error = AddressError("leads back")

    def refuse(near: Channel, far: Channel) -> None:
        raise error

    scene.check = refuse
    scene.far.must_wait = waits
    scene.far.opens.set()
    ana = scene.join()
    scene.loop.turn(4)
    assert (scene.unreachable, scene.pairs, ana.channel.is_closed) == ([(1, error)], [], True)
    assert has_ended(scene.far.servers[0])


def test_client_that_leaves_without_a_word_while_it_waits_is_let_go(scene: Scene) -> None:
    scene.far.must_wait = True
    ana = scene.join()
    scene.loop.turn(2)
    ana.sock.close()
    scene.loop.turn(4)
    assert (scene.finished, scene.far.cancelled, scene.relay.drain()) == ([(1, PieceEnd.EOF)], 1, True)


def test_what_a_client_said_before_it_left_still_goes_on_and_nobody_spins(scene: Scene) -> None:
    scene.far.must_wait = True
    scene.join(b"will").sock.close()
    scene.loop.turn(3)
    served: list[object] = []
    scene.relay._leaving._on_ready = lambda channel, events: served.append(channel)
    scene.loop.turn(20)
    assert (served, scene.finished) == ([], [])
    scene.far.opens.set()
    scene.loop.turn(4)
    assert drain(scene.far.servers[0]) == b"will"
    assert scene.finished == [(1, PieceEnd.EOF)]


# Short of descriptors


def test_shortage_makes_a_client_wait_until_a_pair_is_over(scene: Scene) -> None:
    ana = scene.join()
    scene.far.now = scene.far.later = SHORT
    scene.far.opens.set()
    scene.join(b"bo")
    scene.loop.turn(4)
    assert (scene.unreachable, scene.reliefs, len(scene.pairs)) == ([], 0, 1)
    assert set(map(type, scene.shortages)) == {OSError}
    scene.far.now = scene.far.later = None
    ana.sock.close()
    scene.loop.turn(8)
    assert drain(scene.far.servers[1]) == b"bo"
    assert scene.reliefs == 1


def test_shortage_that_somebody_else_ends_is_seen_by_a_timer(scene: Scene) -> None:
    scene.far.now = scene.far.later = SHORT
    scene.far.opens.set()
    scene.join(b"ana")
    scene.loop.turn(4)
    tried = len(scene.shortages)
    scene.loop.turn(20)
    assert len(scene.shortages) == tried
    scene.far.later = None
    scene.loop.advance(LONGEST_PAUSE_S)
    scene.loop.turn(4)
    assert drain(scene.far.servers[0]) == b"ana"


def test_client_that_leaves_in_a_shortage_ends_it(scene: Scene) -> None:
    scene.far.now = scene.far.later = SHORT
    scene.far.opens.set()
    ana = scene.join()
    scene.loop.turn(4)
    ana.sock.close()
    scene.loop.turn(4)
    assert (scene.reliefs, scene.finished) == (1, [(1, PieceEnd.EOF)])


# The end


def test_dropped_pair_loses_what_is_under_way(scene: Scene) -> None:
    ana = scene.join()
    ana.say(b"unread")
    scene.relay.drop(scene.pairs[0], PieceEnd.EOF)
    assert (scene.relay.bytes_unwritten(), ana.channel.is_closed) == (6, True)


def test_end_of_conversations_holds_for_those_who_wait_too(scene: Scene) -> None:
    scene.join()
    scene.far.must_wait = True
    bo = scene.join(b"before")
    scene.relay.end_conversations()
    with pytest.raises(BrokenPipeError):
        bo.sock.send(b"after")
    scene.far.opens.set()
    scene.loop.turn(6)
    assert drain(scene.far.servers[1]) == b"before"
    assert (scene.relay.drain(), scene.relay.bytes_unwritten()) == (True, 0)


@pytest.mark.parametrize("is_reset", [False, True])
def test_place_of_a_client_is_free_when_it_is_waited_for_no_more(scene: Scene, is_reset: bool) -> None:
    with socket.create_server((LOOPBACK, 0)) as listener, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(PATIENCE_S)
        client.connect(listener.getsockname())
        near, _ = listener.accept()
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        near.setblocking(False)
        scene.relay.on_channel(Channel(near, 1))
        (server,) = scene.far.servers
        if is_reset:
            client.sendall(b"unread")
        scene.loop.turn(4)
        if not is_reset:
            drain(server)
        server.send(ANSWER)
        server.close()
        scene.loop.turn(20)
        assert (len(scene.finished), scene.freed) == (1, [])
        scene.loop.advance(FAREWELL_S)
        assert scene.freed == [1]


def test_places_of_the_others_are_free_at_once(scene: Scene) -> None:
    scene.join().sock.close()
    scene.far.now = REFUSED
    scene.join()
    scene.loop.turn(4)
    assert sorted(scene.freed) == sorted(number for number, _ in scene.finished) == [1, 2]


def test_close_leaves_nothing_open_and_no_task_behind(scene: Scene) -> None:
    scene.far.must_wait = True
    ana = scene.join()
    scene.loop.turn(2)
    scene.close()
    scene.close()
    assert (ana.channel.is_closed, scene.far.is_closed, scene.far.cancelled) == (True, True, 1)
    assert not asyncio.all_tasks(scene.loop)
