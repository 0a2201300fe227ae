"""What a service is made of, by the type of its sockets and by what is to be done with clients. How it runs and ends
is in test_serve and test_stop.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from afunix.kernel.channel import Channel
from afunix.kernel.listener import Listener
from afunix.model import events
from afunix.model.address import Address
from afunix.sinks.collector import Collector
from afunix.sinks.datagrams import DatagramCollector
from afunix.sinks.echo import Echo
from afunix.sinks.records import RecordCollector
from afunix.sinks.talk import Talk
from afunix.tools.service import Service
from afunix.tools.settings import Cause, ServeSettings, TurnedAway, Use

EXPECTED = [
    ("stream", Use.COLLECT, Collector),
    ("stream", Use.ECHO, Echo),
    ("stream", Use.TALK, Talk),
    ("seqpacket", Use.COLLECT, RecordCollector),
    ("seqpacket", Use.ECHO, Echo),
    ("seqpacket", Use.TALK, Talk),
    ("dgram", Use.COLLECT, DatagramCollector),
    ("dgram", Use.ECHO, DatagramCollector),
]


@pytest.mark.parametrize(("type_word", "use", "kind"), EXPECTED)
def test_the_sink_fits_the_sockets_and_the_use(
    sock_dir: str, type_word: str, use: Use, kind: type[object]
) -> None:
    listener = Listener.open(Address.parse(f"{sock_dir}/s"), type_word)
    loop = asyncio.new_event_loop()
    try:
        service = Service(ServeSettings((), use=use), [listener], loop, 10, None, None, None)
        assert type(service._sink) is kind
        service._close()
    finally:
        loop.close()
        listener.close()


def test_a_service_that_is_stopped_before_its_first_turn_ends_cleanly(sock_dir: str) -> None:
    listener = Listener.open(Address.parse(f"{sock_dir}/s"))
    loop = asyncio.new_event_loop()
    try:
        service = Service(ServeSettings(()), [listener], loop, 10, None, None, None)
        result = service.run(lambda listeners: service._begin_stop(Cause.TIMEOUT, "--timeout"), lambda: None)
        assert (result.cause, result.bytes_lost, result.connected) == (Cause.TIMEOUT, 0, 0)
    finally:
        loop.close()
        listener.close()


class Quiet:
    """A client as the idle watch sees it."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.touched = 0.0


@contextmanager
def service_on(sock_dir: str, **options: Any) -> Iterator[tuple[Service, asyncio.AbstractEventLoop]]:
    listener = Listener.open(Address.parse(f"{sock_dir}/s"))
    loop = asyncio.new_event_loop()
    service = Service(ServeSettings((), **options), [listener], loop, 10, None, None, None)
    try:
        yield service, loop
    finally:
        service._close()
        loop.close()
        listener.close()


def test_a_client_whose_bytes_we_have_not_read_is_not_idle(sock_dir: str) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    theirs.send(b"line\n")
    quiet = Quiet(Channel(ours))
    with service_on(sock_dir, idle_timeout_s=1.0) as (service, _loop), theirs:
        service._on_idle(quiet)
        assert quiet.touched > 0
        assert not quiet.channel.is_closed
    quiet.channel.close()


def test_what_no_callback_expected_ends_the_run_and_is_told(sock_dir: str) -> None:
    with service_on(sock_dir) as (service, loop):
        loop.call_soon(lambda: 1 // 0)
        result = service.run(lambda listeners: None, lambda: None)
        assert (result.cause, type(result.fault)) == (Cause.FAULT, ZeroDivisionError)


def test_a_signal_ends_the_drain_of_a_stop_that_something_else_began(sock_dir: str) -> None:
    with service_on(sock_dir, drain_s=600.0) as (service, _loop):
        service._acceptor.live = 1
        service._begin_stop(Cause.ACCEPT_FAILED, "accept")
        assert not service._stop.is_ending
        service._on_signal(signal.SIGTERM)
        assert service._stop.is_ending
        assert not service._result.is_forced
        service._on_signal(signal.SIGTERM)
        assert service._result.is_forced


def test_a_timeout_leaves_no_time_to_drain(sock_dir: str) -> None:
    with service_on(sock_dir, drain_s=600.0) as (service, _loop):
        service._acceptor.live = 1
        service._on_timeout()
        assert service._stop.is_ending


def test_accept_that_fails_during_a_stop_is_its_cause(sock_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits in the queue is not heard, so it is no good end."""

    def fail() -> None:
        raise OSError(errno.EBADF, "")

    with service_on(sock_dir) as (service, _loop):
        monkeypatch.setattr(service._listeners[0], "accept_named", fail)
        service._begin_stop(Cause.SIGNAL, "SIGTERM")
        assert service._result.cause is Cause.ACCEPT_FAILED
        assert service._result.error is not None


def test_what_an_observer_is_told_of_who_was_turned_away_is_a_whole_life(sock_dir: str) -> None:
    seen: list[events.Event] = []
    are_open: list[bool] = []

    def observe(event: events.Event) -> None:
        seen.append(event)
        are_open.append(os.path.exists(f"/proc/self/fd/{event.fd}"))

    listener = Listener.open(Address.parse(f"{sock_dir}/s"))
    loop = asyncio.new_event_loop()
    with socket.socket(socket.AF_UNIX) as client, closing(loop), closing(listener):
        service = Service(ServeSettings(()), [listener], loop, 10, None, observe, None)
        client.connect(f"{sock_dir}/s")
        client.send(b"unheard")
        assert service._stop._turn_away_queued() == TurnedAway(0, clients=1, is_certain=True, sent=7)
        service._close()
    assert [type(event) for event in seen] == [events.Accepted, events.Closed]
    assert are_open == [True, False]
    assert service._acceptor.live == 0
