"""Says a line to a server and prints its answer. Run it as `python3 echo_client.py WORDS [PATH]`."""

import asyncio
import sys

import afunix


async def main(words: str, path: str) -> None:
    async with asyncio.timeout(10), await afunix.connect(path) as stream:
        await stream.send(f"{words}\n".encode())
        print((await stream.receive_until(b"\n")).decode(), end="")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python3 echo_client.py WORDS [PATH]")
    try:
        asyncio.run(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "echo.sock"))
    except (afunix.AfunixError, TimeoutError) as error:
        sys.exit(str(error) or "no answer within 10 seconds")
