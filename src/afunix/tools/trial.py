"""A real connect(2) to an address, closed at once: what it said, who answered, and whether a datagram would be taken.

Stream and seqpacket servers see a client; a datagram server gets nothing to read, but the kernel's table calls it
connected from then on. So this is for who asks for it, or where the table already calls it so.
"""

from __future__ import annotations

import errno
import select
import time
from dataclasses import replace

from ..kernel import dial, names
from ..kernel.peercred import peer_credentials
from ..model.address import Address
from ..model.surroundings import Answer

_TRIED_IN_TURN = ("stream", "seqpacket", "dgram")


def connect_really(address: Address, wanted_type: str | None) -> Answer:
    """What connect(2) says, of the type that is wanted or of the one that fits."""
    answer = Answer(errno.EPROTOTYPE, wanted_type or "stream", 0.0)
    for word in (wanted_type,) if wanted_type is not None else _TRIED_IN_TURN:
        answer = _connect(address, word)
        if answer.errno != errno.EPROTOTYPE:
            break
    return answer


def datagram_probe(address: Address) -> int:
    """The errno of connecting a datagram socket to `address`; 0 if it connects."""
    return _connect(address, "dgram").errno


def queue_is_full(address: Address) -> bool | None:
    """Does the datagram socket at `address` take no more for now? None if it cannot be connected to."""
    answer = _connect(address, "dgram")
    return answer.is_full if answer.errno == 0 else None


def _connect(address: Address, word: str) -> Answer:
    sock = dial.open_socket(word)
    try:
        began = time.monotonic()
        number = dial.try_connect(sock, address)
        answer = Answer(number, word, time.monotonic() - began)
        if number == 0 and word == "dgram":
            return replace(answer, is_full=not _is_writable(sock.fileno()))
        if number == 0:
            peer = peer_credentials(sock)
            comm = names.comm_of(peer.pid) if peer.pid else None
            return replace(answer, pid=peer.pid, uid=peer.uid, gid=peer.gid, comm=comm)
        return answer
    finally:
        sock.close()


def _is_writable(fd: int) -> bool:
    """Of a connected datagram socket: has its peer's queue room (unix_dgram_poll)?"""
    poller = select.poll()
    poller.register(fd, select.POLLOUT)
    return bool(poller.poll(0))
