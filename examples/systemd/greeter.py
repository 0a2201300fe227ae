"""A service for systemd: greets whoever connects, by the name of his user.

    python3 greeter.py                  by hand, on ./greeter.sock
    systemctl start greeter.socket      with greeter.socket and greeter.service in /etc/systemd/system

Under systemd the socket is there before us and outlives us; READY=1, STATUS= and WATCHDOG=1 go to systemd, and a stop
lets those who are connected finish.
"""

from __future__ import annotations

import asyncio
import pwd
from contextlib import suppress

import afunix
from afunix import systemd


async def greet(stream: afunix.Stream) -> None:
    name = str(stream.peer.uid)
    with suppress(KeyError):
        name = pwd.getpwuid(stream.peer.uid).pw_name
    await stream.send(f"hello {name}\n".encode())


async def main() -> None:
    inherited = systemd.listeners("greeter")
    own = [] if inherited else ["./greeter.sock"]
    async with afunix.serve(greet, *inherited, *own, max_clients=100) as server:
        systemd.notify("READY=1", "STATUS=greeting")
        with systemd.keep_alive():
            await server.run_until_signal(drain=15.0)


if __name__ == "__main__":
    asyncio.run(main())
