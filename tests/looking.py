"""Is somebody listening? Asked of the kernel's table, without being a client, and whatever names others have chosen."""

from __future__ import annotations

from afunix.kernel.socket_table import read_table
from afunix.model.address import Address
from afunix.model.socket_table import TableState


def is_listened_on(path: str) -> bool:
    """Is there a listener that was bound to exactly this path?"""
    wanted = Address.pathname(path)
    return any(
        entry.address == wanted and entry.state is TableState.LISTENING
        for entry in read_table().sockets.values()
    )
