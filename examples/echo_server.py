"""Says everything back, to everybody at once. Run it as `python3 echo_server.py [PATH]`; Ctrl-C ends it.

Talk to it with `python3 echo_client.py WORDS` or `afunix connect PATH`.
"""

import asyncio
import sys

import afunix


async def echo(stream: afunix.Stream) -> None:  # one task per client; the stream is closed for you
    async for chunk in stream:
        await stream.send(chunk)


async def main(path: str) -> None:
    async with afunix.serve(echo, path) as server:
        await server.run_until_signal()


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "echo.sock"))
    except afunix.AfunixError as error:
        sys.exit(f"{error}\nhint: {error.hint}" if error.hint else str(error))
