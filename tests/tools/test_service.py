"""What a service is made of, by the type of its sockets and by what is to be done with clients. How it runs and ends
is in test_serve and test_stop.
"""

from __future__ import annotations

import asyncio

import pytest

from afunix.kernel.listener import Listener
from afunix.model.address import Address
from afunix.sinks.collector import Collector
from afunix.sinks.echo import Echo
from afunix.sinks.records import DatagramCollector, RecordCollector
from afunix.sinks.talk import Talk
from afunix.tools.service import Service
from afunix.tools.settings import Cause, ServeSettings, Use

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
        service = Service(ServeSettings((), use=use), [listener], loop, 10, None, None)
        assert type(service._sink) is kind
        service._close()
    finally:
        loop.close()
        listener.close()


def test_a_service_that_is_stopped_before_its_first_turn_ends_cleanly(sock_dir: str) -> None:
    listener = Listener.open(Address.parse(f"{sock_dir}/s"))
    loop = asyncio.new_event_loop()
    try:
        service = Service(ServeSettings(()), [listener], loop, 10, None, None)
        result = service.run(lambda listeners: service._begin_stop(Cause.TIMEOUT, "--timeout"), lambda: None)
        assert (result.cause, result.bytes_lost, result.connected) == (Cause.TIMEOUT, 0, 0)
    finally:
        loop.close()
        listener.close()
