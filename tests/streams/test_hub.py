"""One epoll for all of a loop's streams: who is woken by what, and what is asked of the kernel meanwhile."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Iterator

import pytest
from tests.loops import HandTurned

from afunix.streams import hub as hub_module
from afunix.streams.hub import HUNG_UP, READABLE, WRITABLE, Hub, Watch
from afunix.streams.waiter import Waiter, is_waiting

Pairs = Callable[..., tuple[socket.socket, socket.socket]]


@pytest.fixture
def hub(loop: HandTurned) -> Iterator[Hub]:
    hub = Hub.of(loop)
    hub.join()
    yield hub
    hub.leave()


class Waits:
    """A socket that tasks wait for; `log` says who was woken, in order."""

    def __init__(self, hub: Hub, loop: HandTurned, sock: socket.socket, log: list[str] | None = None) -> None:
        self.hub = hub
        self.loop = loop
        self.watch = Watch(sock.fileno(), loop)
        self.log: list[str] = [] if log is None else log

    def start(self, name: str, events: int) -> asyncio.Task[None]:
        waiter = getattr(self.watch, name) or Waiter(self.loop)
        setattr(self.watch, name, waiter)
        task = self.loop.create_task(self._wait(name, waiter))
        self.hub.arm(self.watch, events)
        self.loop.turn()
        return task

    async def _wait(self, name: str, waiter: Waiter) -> None:
        await waiter
        self.log.append(name)


@pytest.fixture
def waits(hub: Hub, loop: HandTurned, new_pair: Pairs) -> Iterator[tuple[Waits, socket.socket]]:
    near, far = new_pair()
    waits = Waits(hub, loop, near)
    yield waits, far
    hub.forget(waits.watch)


def polls(hub: Hub, loop: HandTurned) -> int:
    """How many descriptors are still reported after ten turns: then the loop would spin."""
    loop.turn(10)
    return len(hub._epoll.poll(0))


def test_a_loop_has_one_hub_and_the_last_who_leaves_closes_it(loop: HandTurned) -> None:
    hub = Hub.of(loop)
    assert Hub.of(loop) is hub
    hub.join()
    hub.join()
    hub.leave()
    assert Hub.of(loop) is hub
    hub.leave()
    hub.close()
    again = Hub.of(loop)
    assert again is not hub
    again.close()


def test_bytes_wake_the_reader_and_nobody_else(waits: tuple[Waits, socket.socket], loop: HandTurned) -> None:
    here, far = waits
    here.start("reader", READABLE)
    here.start("hangup", 0)
    far.send(b"x")
    loop.turn(2)
    assert here.log == ["reader"]
    hangup = here.watch.hangup
    assert hangup is not None
    assert is_waiting(hangup)
    hangup.cancel()
    loop.turn(2)


def test_room_wakes_the_writer_once(waits: tuple[Waits, socket.socket], loop: HandTurned) -> None:
    here, _ = waits
    here.start("writer", WRITABLE)
    loop.turn(3)
    assert here.log == ["writer"]


def test_a_hangup_wakes_everybody(waits: tuple[Waits, socket.socket], loop: HandTurned) -> None:
    here, far = waits
    far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    for name, events in (("reader", READABLE), ("hangup", 0), ("writer", 0)):
        here.start(name, events)
    far.close()
    loop.turn(3)
    assert sorted(here.log) == ["hangup", "reader", "writer"]


def test_what_nobody_reads_is_not_reported_again(
    waits: tuple[Waits, socket.socket], loop: HandTurned, hub: Hub
) -> None:
    here, far = waits
    here.start("reader", READABLE)
    far.send(b"xx")
    loop.turn(4)
    assert not here.watch.mask & READABLE
    assert polls(hub, loop) == 0


def test_room_that_nobody_needs_is_not_reported_again(
    waits: tuple[Waits, socket.socket], loop: HandTurned, hub: Hub
) -> None:
    here, _ = waits
    here.start("writer", WRITABLE)
    loop.turn(4)
    assert not here.watch.mask & WRITABLE
    assert polls(hub, loop) == 0


def test_a_hangup_that_nobody_waits_for_is_not_reported_again(
    waits: tuple[Waits, socket.socket], loop: HandTurned, hub: Hub
) -> None:
    here, far = waits
    here.start("reader", READABLE)
    far.close()
    loop.turn(4)
    assert here.watch.mask == 0
    assert polls(hub, loop) == 0


def test_after_that_a_wait_is_registered_anew(waits: tuple[Waits, socket.socket], loop: HandTurned) -> None:
    here, far = waits
    here.start("reader", READABLE)
    far.close()
    loop.turn(4)
    here.start("reader", READABLE)
    loop.turn(2)
    assert here.log == ["reader", "reader"]


def test_a_writer_who_is_woken_and_then_reads_is_told_of_the_bytes_that_came_meanwhile(
    waits: tuple[Waits, socket.socket], hub: Hub, loop: HandTurned
) -> None:
    here, far = waits
    here.watch.writer = writer = Waiter(loop)

    async def write_then_read() -> None:
        await writer
        await here.watch.reader  # its event is asked for already

    hub.arm(here.watch, READABLE | WRITABLE)
    task = loop.create_task(write_then_read())
    loop.call_soon(far.send, b"x")  # room and bytes in one event
    for _ in range(3):
        loop.turn()
    assert task.done()


def test_a_reader_who_closes_another_in_the_same_turn_keeps_it_from_being_served(
    hub: Hub, loop: HandTurned, new_pair: Pairs
) -> None:
    pairs = [new_pair(), new_pair()]
    both = [Waits(hub, loop, near) for near, _ in pairs]

    async def close_the_other(waiter: Waiter, other: Watch) -> None:
        await waiter
        hub.forget(other)

    for mine, other in (both, both[::-1]):
        loop.create_task(close_the_other(mine.watch.reader, other.watch))
        hub.arm(mine.watch, READABLE)
    loop.turn()
    for _, far in pairs:
        far.send(b"x")
    loop.turn(2)
    assert sorted(is_waiting(here.watch.reader) for here in both) == [False, True]
    for here in both:
        here.watch.reader.wake_soon()
        hub.forget(here.watch)
    loop.turn(2)


def test_forgetting_twice_is_harmless(waits: tuple[Waits, socket.socket], hub: Hub) -> None:
    here, _ = waits
    hub.arm(here.watch, READABLE)
    hub.forget(here.watch)
    hub.forget(here.watch)
    assert not hub._watches


def test_a_descriptor_that_somebody_else_closed_can_be_forgotten(
    hub: Hub, loop: HandTurned, new_pair: Pairs
) -> None:
    near, _ = new_pair()
    watch = Watch(near.fileno(), loop)
    hub.arm(watch, READABLE)
    near.close()
    hub.forget(watch)
    assert not hub._watches


def test_a_wait_that_cannot_be_registered_changes_nothing(
    hub: Hub, loop: HandTurned, new_pair: Pairs
) -> None:
    near, _ = new_pair()
    first, second = Watch(near.fileno(), loop), Watch(near.fileno(), loop)
    hub.arm(first, READABLE)
    with pytest.raises(FileExistsError):
        hub.arm(second, READABLE)
    assert second.mask == 0
    hub.forget(second)
    assert hub._watches == {near.fileno(): first}
    hub.forget(first)


def test_a_hub_without_a_loop_that_takes_it_leaves_no_descriptor(loop: HandTurned) -> None:
    def refuse(*args: object) -> None:
        raise NotImplementedError

    loop.add_reader = refuse  # type: ignore[assignment,method-assign]
    with pytest.raises(NotImplementedError):
        Hub.of(loop)
    assert loop not in hub_module._HUBS


def test_a_hub_outlives_its_loop_without_harm() -> None:
    loop = HandTurned()
    hub = Hub.of(loop)
    hub.join()
    loop.close()
    hub.leave()
    assert loop not in hub_module._HUBS


def test_a_forked_child_takes_nothing_from_its_parents_hub(
    waits: tuple[Waits, socket.socket], loop: HandTurned, hub: Hub
) -> None:
    here, far = waits
    here.start("reader", READABLE)
    pid = os.fork()
    if pid == 0:
        os._exit(forget_in_child(hub, here.watch, loop))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    far.send(b"x")
    loop.turn(2)
    assert here.log == ["reader"]


def forget_in_child(hub: Hub, watch: Watch, loop: HandTurned) -> int:
    try:
        assert not hub.is_ours
        assert not hub_module._HUBS
        hub.forget(watch)
        hub.leave()
    except BaseException:
        return 1
    return 0


def test_events_have_names_that_do_not_overlap() -> None:
    assert READABLE & WRITABLE == READABLE & HUNG_UP == WRITABLE & HUNG_UP == 0


# Closed without asking us


def test_a_number_that_is_another_watchs_by_now_stays_watched(
    hub: Hub, loop: HandTurned, new_pair: Pairs
) -> None:
    near, far = new_pair()
    old, new = Watch(near.fileno(), loop), Waits(hub, loop, near)
    hub.arm(old, READABLE)
    hub._epoll.unregister(near.fileno())  # what a close and a reuse of the number come to
    new.start("reader", READABLE)
    hub.forget(old)
    far.send(b"x")
    loop.turn(2)
    assert new.log == ["reader"]
    hub.forget(new.watch)


def test_a_descriptor_closed_beneath_us_while_a_copy_lives_is_neither_an_error_nor_a_spin(
    hub: Hub, loop: HandTurned, new_pair: Pairs
) -> None:
    near, far = new_pair()
    other, other_far = new_pair()
    here, bystander = Waits(hub, loop, near), Waits(hub, loop, other)
    bystander.start("reader", READABLE)
    here.start("reader", READABLE).cancel()
    here.start("hangup", 0)
    copy = near.dup()
    near.close()
    far.send(b"x")
    loop.turn(3)
    assert here.log == ["hangup"]
    assert (here.watch.mask, polls(hub, loop)) == (0, 0)
    other_far.send(b"x")
    loop.turn(2)
    assert bystander.log == ["reader"]
    hub.forget(bystander.watch)
    copy.close()


def test_without_descriptors_a_stray_is_shed_later(
    hub: Hub, loop: HandTurned, new_pair: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    near, far = new_pair()
    here = Waits(hub, loop, near)
    hub.arm(here.watch, READABLE)
    copy = near.dup()
    near.close()
    far.send(b"x")
    with monkeypatch.context() as patch:
        patch.setattr("afunix.streams.hub.select.epoll", refuse)
        loop.turn(3)
        assert len(hub._epoll.poll(0)) == 1
    assert polls(hub, loop) == 0
    copy.close()
