"""Who is measured: afunix and its peers as small programs in servers/ and passing/, and what `import` takes.

This file knows nothing of how they are measured, nor under which Pythons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Contender:
    """A program of this folder and the loop that it runs on; for `import`, the statement.

    `share` is the part of the connected crowd that it is given; memory is told for one stream.
    """

    name: str
    program: str
    loop: str = "asyncio"
    share: float = 1.0

    @property
    def is_ours(self) -> bool:
        return self.name.startswith(AFUNIX)


AFUNIX, AFUNIX_UVLOOP = "afunix", "afunix on uvloop"
ASYNCIO_STREAMS, ASYNCIO_PROTOCOL = "asyncio streams", "asyncio Protocol"
UVLOOP_STREAMS, UVLOOP_PROTOCOL = "uvloop streams", "uvloop Protocol"
ANYIO = "anyio (asyncio)"
SEND_FDS, SENDMSG = "socket.send_fds, recv_fds", "sendmsg, recvmsg by hand"

SERVERS = (
    Contender(AFUNIX, "servers/afunix_streams.py"),
    Contender(AFUNIX_UVLOOP, "servers/afunix_streams.py", "uvloop"),
    Contender(ASYNCIO_STREAMS, "servers/asyncio_streams.py"),
    Contender(ASYNCIO_PROTOCOL, "servers/asyncio_protocol.py"),
    Contender("asyncio BufferedProtocol", "servers/asyncio_buffered.py"),
    Contender(UVLOOP_STREAMS, "servers/asyncio_streams.py", "uvloop"),
    Contender(UVLOOP_PROTOCOL, "servers/asyncio_protocol.py", "uvloop"),
    Contender(ANYIO, "servers/anyio_streams.py"),
    Contender("trio", "servers/trio_streams.py", "trio"),
    Contender("threads", "servers/threads.py", "threads", share=1 / 10),
)

PASSERS = (
    Contender(AFUNIX, "passing/afunix_streams.py"),
    Contender(AFUNIX_UVLOOP, "passing/afunix_streams.py", "uvloop"),
    Contender(SEND_FDS, "passing/bare.py", "send_fds"),
    Contender(SENDMSG, "passing/bare.py", "sendmsg"),
    Contender(ANYIO, "passing/anyio_streams.py"),
)

IMPORTS: Sequence[Contender] = (
    Contender(AFUNIX, "import afunix"),
    Contender("afunix, with serve used", "import afunix; afunix.serve"),
    *(Contender(name, f"import {name}") for name in ("socket", "asyncio", "uvloop", "anyio", "trio")),
)
