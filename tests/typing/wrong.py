"""What type checkers must object to: each line here is an error for mypy and for pyright, as its comments say.

Both checkers are told to complain of a comment that hides nothing, so that a mistake that is not seen fails. Never run.
"""

from __future__ import annotations

import afunix


def not_async(stream: afunix.Stream) -> None:
    stream.close()


async def mistakes(stream: afunix.Stream, address: afunix.Address) -> None:
    await stream.send("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await stream.receive("10")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    stream.receive_exactly(4).strip()  # type: ignore[attr-defined]  # pyright: ignore
    for _line in stream.lines():  # type: ignore[attr-defined]  # pyright: ignore
        pass
    with stream:  # type: ignore[attr-defined]  # pyright: ignore
        pass
    stream.recieve()  # type: ignore[attr-defined]  # pyright: ignore
    stream.peer.uid = 0  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    address.name = b""  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    await afunix.connect(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await afunix.connect("/run/app.sock", 3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    afunix.serve("/run/app.sock")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    afunix.serve(not_async, "/run/app.sock")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    afunix.Rules(["allow me"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    afunix.blocking.connect("/run/app.sock").receive().decode(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    afunix.conect("/run/app.sock")  # type: ignore[attr-defined]  # pyright: ignore
