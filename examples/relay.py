"""Stands in front of another server, on a path of its own. Run it as `python3 relay.py PATH SERVER`; Ctrl-C ends it.

SERVER need not be there yet: a client waits ten seconds for it.
"""

import asyncio
import sys

import afunix


async def main(path: str, server: str) -> None:
    rules = afunix.Rules("allow me", "allow root")
    async with afunix.relay(path, server, mode=0o666, rules=rules, wait=10) as relay:
        await relay.run_until_signal(drain=5)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python3 relay.py PATH SERVER")
    try:
        asyncio.run(main(*sys.argv[1:3]))
    except afunix.AfunixError as error:
        sys.exit(f"{error}\nhint: {error.hint}" if error.hint else str(error))
