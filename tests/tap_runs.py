"""A run of `tap()` in this process, with a script beside it in a thread, and what it told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

from tests.program import PATIENCE_S
from tests.relay_runs import connect
from tests.servers import read_all

from afunix.model.address import Address
from afunix.model.tap_notices import (
    TapNotice,
)
from afunix.model.tapped import Beginning, TapEvent
from afunix.tools.relay_settings import RelayResult
from afunix.tools.tap import TapSettings, tap


class Ran:
    """A run: what it told, and its result."""

    result: RelayResult

    def __init__(self, path: str) -> None:
        self.path = path
        self.beginnings: list[Beginning] = []
        self.events: list[TapEvent] = []
        self.notices: list[TapNotice] = []
        self.stop: Callable[[str], None] = lambda words: None

    def begin(self, beginning: Beginning) -> Callable[[TapEvent], None]:
        self.beginnings.append(beginning)
        return self.events.append

    def told(self, kind: type) -> list[TapNotice]:
        return [notice for notice in self.notices if isinstance(notice, kind)]


def run(path: str, script: Callable[[Ran], None], **settings: object) -> Ran:
    """Tap `path`; `script` in a thread once it is in front. A script that returns "on" lets it end by itself."""
    ran = Ran(path)
    threads: list[threading.Thread] = []
    faults: list[BaseException] = []

    def act() -> None:
        try:
            script(ran)
        except BaseException as fault:
            faults.append(fault)
        ran.stop("the script is over")

    def on_ready(stop: Callable[[str], None]) -> None:
        ran.stop = stop
        threads.append(threading.Thread(target=act))
        threads[0].start()

    try:
        ran.result = tap(
            TapSettings(Address.parse(path), **settings),  # type: ignore[arg-type]
            on_beginning=ran.begin,
            alerts=ran.notices.append,
            on_ready=on_ready,
        )
    finally:
        for thread in threads:
            thread.join(PATIENCE_S)
    if faults:
        raise faults[0]
    if ran.result.fault is not None:
        raise ran.result.fault
    return ran


def ask(path: str) -> None:
    with connect(path) as client:
        client.sendall(b"hello")
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b"hello"
