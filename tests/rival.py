"""A socket from which somebody else receives, too: always in the worst moment, after a look at what is queued."""

from __future__ import annotations

import socket
from typing import Any


class Rival(socket.socket):
    """Takes one message away after each call with MSG_PEEK that has seen one, as another process may."""

    @classmethod
    def of(cls, sock: socket.SocketType) -> Rival:
        """`sock`, with a rival. The result owns the descriptor; `sock` is empty, as after its `detach`."""
        return cls(sock.family, sock.type, sock.proto, sock.detach())

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        count = super().recv_into(buffer, nbytes, flags)
        self._take_after_look(flags)
        return count

    def recvmsg_into(self, buffers: Any, ancbufsize: int = 0, flags: int = 0, /) -> Any:
        received = super().recvmsg_into(buffers, ancbufsize, flags)
        self._take_after_look(flags)
        return received

    def _take_after_look(self, flags: int) -> None:
        if flags & socket.MSG_PEEK:
            super().recv(1, socket.MSG_DONTWAIT)  # without room for descriptors: the kernel drops them
