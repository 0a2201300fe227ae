"""Waiting for room: an event tells where there is one, a timer where there is none, and nothing spins."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from tests.loops import HandTurned

from afunix.kernel.datagram_channel import open_probe
from afunix.model.address import Address
from afunix.streams.hub import Hub
from afunix.streams.room import Room


class Scene:
    """A sender whose receiver is full, and a Room that waits for it."""

    def __init__(self, loop: HandTurned, directory: str, stack: ExitStack) -> None:
        self.path = f"{directory}/r"
        self.receiver = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self.sender = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        for sock in (self.receiver, self.sender):
            sock.setblocking(False)
        self.receiver.bind(self.path)
        self.queued = 0
        while self.send():
            self.queued += 1
        self.loop = loop
        self.hub = Hub.of(loop)
        self.hub.join()
        stack.callback(self.hub.leave)

    def send(self) -> bool:
        try:
            self.sender.sendto(b"x", self.path)
        except BlockingIOError:
            return False
        return True

    def room(self, *, has_probe: bool = True) -> Room:
        probe = open_probe(Address.parse(self.path)) if has_probe else None
        return Room(self.hub, self.loop, self.sender.fileno(), probe)

    def waiting(self, room: Room, seconds: float | None = None) -> asyncio.Task[None]:
        task = self.loop.create_task(room.wait(seconds))
        self.loop.turn(2)
        return task


@pytest.fixture
def scene(loop: HandTurned, sock_dir: str) -> Iterator[Scene]:
    with ExitStack() as stack:
        yield Scene(loop, sock_dir, stack)


def test_a_receiver_that_reads_wakes_who_waits_for_it(scene: Scene) -> None:
    room = scene.room()
    room.prepare()
    task = scene.waiting(room)
    assert not task.done()
    scene.receiver.recv(1)
    scene.loop.turn(2)
    assert task.done()
    assert scene.send()
    room.close()


def test_without_an_event_the_clock_wakes_less_and_less_often(scene: Scene) -> None:
    room = scene.room(has_probe=False)
    for pause in (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.1, 0.1):
        room.prepare()
        task = scene.waiting(room)
        scene.loop.advance(pause * 0.9)
        assert not task.done()
        scene.loop.advance(pause * 0.11)
        assert task.done()
    room.close()


def test_what_is_writable_is_not_watched_so_nothing_spins(scene: Scene) -> None:
    room = scene.room()
    scene.receiver.recv(1)  # somebody has made room meanwhile: prepare, then send
    room.prepare()
    task = scene.waiting(room)
    scene.loop.turn(5)
    assert not task.done()
    room.close()
    scene.loop.turn(2)
    assert task.done()


def test_the_caller_may_wait_shorter(scene: Scene) -> None:
    room = scene.room(has_probe=False)
    task = scene.waiting(room, 0.0005)
    scene.loop.advance(0.0006)
    assert task.done()
    room.close()


def test_closed_it_wakes_and_leaves_no_descriptor(scene: Scene) -> None:
    before = len(os.listdir("/proc/self/fd"))
    room = scene.room()
    assert len(os.listdir("/proc/self/fd")) == before + 2
    room.prepare()
    task = scene.waiting(room)
    room.close()
    room.close()
    room.prepare()
    scene.loop.turn(2)
    assert task.done()
    assert len(os.listdir("/proc/self/fd")) == before


def test_cancelled_it_can_wait_again(scene: Scene) -> None:
    room = scene.room()
    room.prepare()
    task = scene.waiting(room)
    task.cancel()
    scene.loop.turn(2)
    assert task.cancelled()
    room.prepare()
    task = scene.waiting(room)
    scene.receiver.recv(1)
    scene.loop.turn(2)
    assert task.done()
    room.close()


def test_many_wait_for_the_same_receiver(scene: Scene) -> None:
    rooms = [scene.room() for _ in range(5)]
    for room in rooms:
        room.prepare()
    tasks = [scene.waiting(room) for room in rooms]
    while scene.queued:
        scene.receiver.recv(1)
        scene.queued -= 1
    scene.loop.turn(3)
    assert all(task.done() for task in tasks)
    for room in rooms:
        room.close()
