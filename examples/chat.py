"""A chat: what one says, all the others hear. Run it as `python3 chat.py [PATH]`; Ctrl-C ends it.

Join with `afunix connect PATH`, from as many terminals as you like. Whoever does not read misses something, and
holds up nobody.
"""

import asyncio
import sys

import afunix

inboxes: set[asyncio.Queue[str]] = set()  # one for each who is here


def tell(words: str, *, but: asyncio.Queue[str] | None = None) -> None:
    for inbox in inboxes:
        if inbox is not but and not inbox.full():
            inbox.put_nowait(words)


async def deliver(inbox: asyncio.Queue[str], stream: afunix.Stream) -> None:
    while True:
        await stream.send(f"{await inbox.get()}\n".encode())


async def listen(inbox: asyncio.Queue[str], stream: afunix.Stream) -> None:
    async for line in stream.lines(max_bytes=4096):
        words = line.decode(errors="replace").strip()
        if words.isprintable():  # or it would move the cursor on somebody else's terminal
            tell(f"{stream.peer.pid}: {words}", but=inbox)


async def attend(stream: afunix.Stream) -> None:
    inbox = asyncio.Queue[str](maxsize=100)
    inboxes.add(inbox)
    tell(f"* {stream.peer.pid} is here, so we are {len(inboxes)}")
    try:
        async with asyncio.TaskGroup() as both:
            delivering = both.create_task(deliver(inbox, stream))
            await listen(inbox, stream)
            delivering.cancel()
    except* (afunix.BrokenStreamError, afunix.LineTooLongError):
        pass  # went away in the middle of something, or does not talk in lines
    finally:
        inboxes.remove(inbox)
        tell(f"* {stream.peer.pid} has left")


async def main(path: str) -> None:
    async with afunix.serve(attend, path, max_per_user=50) as server:
        await server.run_until_signal()


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "chat.sock"))
    except afunix.AfunixError as error:
        sys.exit(f"{error}\nhint: {error.hint}" if error.hint else str(error))
