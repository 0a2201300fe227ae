"""/proc/net/unix, read as far as it can be trusted: the text that tells less than sock_diag. See proc_net(5).

    Num               RefCount Protocol Flags    Type St Inode Path
    0000000000000000: 00000002 00000000 00010000 0001 01 24910 /run/app.sock

It has no peers and no queues. A name is printed raw: one with a newline in it looks like two rows. So an inode which
comes twice is believed neither time about its name, and a row is to be believed only if a process has such a socket,
or if its name `answers`. An abstract name begins with `@` and has `@` for
each NUL, exactly like a file of that name, and is taken for abstract. `/proc/PID/net/unix` is that of another
network namespace.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

from ..model.address import Address
from ..model.errors import AfunixError
from ..model.ownership import FileKind, Sighting, Verdict, judge
from ..model.socket_table import SocketEntry, TableState
from .pathname import kernel_name

_ROW = re.compile(
    rb"[0-9a-fA-F]+: [0-9A-F]{8} [0-9A-F]{8} ([0-9A-F]{8}) ([0-9A-F]{4}) ([0-9A-F]{2}) +([0-9]+)(?: (.+))?"
)
_ACCEPTS = 0x10000  # __SO_ACCEPTCON
_CONNECTED = b"03"
_TYPES = {1: "stream", 2: "dgram", 5: "seqpacket"}


def parse(table: bytes) -> list[SocketEntry]:
    """The sockets in `table`, each inode once; those that were never accepted (inode 0) are left out."""
    found: dict[int, SocketEntry] = {}
    for entry in _rows(table):
        known = found.get(entry.inode)
        found[entry.inode] = entry if known is None else known._replace(address=Address.from_kernel(b""))
    return list(found.values())


def _rows(table: bytes) -> Iterator[SocketEntry]:
    for row in map(_ROW.fullmatch, table.split(b"\n")):
        if row is not None and (inode := int(row[4])):
            yield SocketEntry(
                inode, _TYPES.get(int(row[2], 16), str(int(row[2], 16))), _state(row), _address(row[5])
            )


def _state(row: re.Match[bytes]) -> TableState:
    if int(row[1], 16) & _ACCEPTS:
        return TableState.LISTENING
    return TableState.CONNECTED if row[3] == _CONNECTED else TableState.UNCONNECTED


def _address(shown: bytes | None) -> Address:
    if shown is None:
        return Address.from_kernel(b"")
    return Address.from_kernel(b"\0" + shown[1:] if shown.startswith(b"@") else shown)


def answers(address: Address) -> bool:
    """Is a socket behind that name? Asked by connecting a datagram socket, of which a datagram server keeps a trace."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        try:
            with kernel_name(address) as name:
                answer = sock.connect_ex(name)
        except (AfunixError, OSError):
            return False
    return judge(Sighting(FileKind.SOCKET, answer)) is Verdict.LIVE
