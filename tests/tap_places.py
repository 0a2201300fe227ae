"""A live socket, a socket of ours beside it, and what a tap leaves that was killed with its guardian."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

from afunix.kernel.front import Front
from afunix.model.address import Address
from afunix.model.tap_notices import TapNotice
from afunix.tools.tap_beside import open_beside
from afunix.tools.tap_place import find


def no_alerts(notice: TapNotice) -> None:
    raise AssertionError(notice)


@contextmanager
def listening(path: str | bytes, kind: int = socket.SOCK_STREAM) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, kind) as sock:
        sock.bind(path)
        sock.listen()
        yield sock


@contextmanager
def beside(path: str) -> Iterator[Front]:
    with closing(find(Address.parse(path), no_alerts)) as target:
        listener, front = open_beside(target, None)
        try:
            yield front
        finally:
            os.close(front.our_pin)
            listener.close()


def leave(path: str) -> None:
    """As a tap and its guardian leave it that are killed together."""
    with listening(f"{path}.tapped") as ours:
        del ours
        os.rename(path, f"{path}.x")
        os.rename(f"{path}.tapped", path)
        os.rename(f"{path}.x", f"{path}.tapped")
