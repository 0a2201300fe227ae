"""A Stream as asyncio's own StreamReader and StreamWriter, for libraries that take a pair of those.

There is no way back: a StreamReader does not give away what it has read ahead, so bytes could be lost. Who may need
the socket again keeps the Stream, or goes the way by `detach` himself.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from ..model.credentials import PeerCredentials
from ..model.errors import BrokenStreamError
from ..model.stream_state import State
from .stream import Stream

_LIMIT_BYTES = 64 * 1024
"""As asyncio.open_unix_connection has it."""

_WITHOUT_SENDING = (State.SEND_ENDED, State.ENDED)


async def as_asyncio(
    stream: Stream, *, limit: int = _LIMIT_BYTES
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """What `asyncio.open_unix_connection` returns, for this stream, which is detached: they own its socket now.

    What is unread is read first; a stream that had sent its end has a writer that has, too. `limit` is the reader's,
    in bytes: of its `readline`, and for what it reads ahead. `writer.get_extra_info("peer")` is the stream's
    PeerCredentials, beside what asyncio has there. Descriptors that are sent to it are discarded by the kernel.

    The socket becomes non-blocking, as asyncio needs it, for everybody who holds it: not for one that was inherited
    and that others go on using.

    A call that is refused changes nothing. One that fails or is cancelled later has closed the socket.

    Raises:
        BrokenStreamError: bytes were lost already, which asyncio's pair could not tell.
        BusyError: a task is using the stream. ClosedError: it is closed. WrongLoopError: it is another loop's.
        ValueError: `limit` is not positive.
    """
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=limit, loop=loop)
    state, peer = stream.state, stream.peer
    if state is State.BROKEN:
        raise BrokenStreamError("this stream is broken, and asyncio's would not tell", hint="use it as it is")
    sock, unread = stream.detach()
    reader.feed_data(unread)
    writer = await _writer_on(sock, reader, peer, loop)
    if state in _WITHOUT_SENDING:
        _end_sending(writer)
    return reader, writer


async def _writer_on(
    sock: socket.socket,
    reader: asyncio.StreamReader,
    peer: PeerCredentials,
    loop: asyncio.AbstractEventLoop,
) -> asyncio.StreamWriter:
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    try:
        transport, _ = await loop.create_unix_connection(lambda: protocol, sock=sock)
    except BaseException:
        sock.close()
        raise
    return _Writer(transport, protocol, reader, loop, peer)


def _end_sending(writer: asyncio.StreamWriter) -> None:
    try:
        writer.write_eof()
    except OSError:
        pass  # ENOTCONN: the peer is gone; the writer has noted it all the same


class _Writer(asyncio.StreamWriter):
    """A StreamWriter that knows who is at the other end."""

    def __init__(
        self,
        transport: asyncio.WriteTransport,
        protocol: asyncio.StreamReaderProtocol,
        reader: asyncio.StreamReader,
        loop: asyncio.AbstractEventLoop,
        peer: PeerCredentials,
    ) -> None:
        super().__init__(transport, protocol, reader, loop)
        self._peer = peer

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._peer if name == "peer" else super().get_extra_info(name, default)
