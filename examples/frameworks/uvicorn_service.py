"""An ASGI application served by uvicorn on a Unix socket: for its owner and group only, one server at a time.

Run it as `python3 uvicorn_service.py [PATH]` and ask it with `curl --unix-socket PATH http://localhost/`.
uvicorn's own `--uds` lets everybody connect (mode 0666), and takes the path from a server that is running.
"""

import sys
from typing import Any

import uvicorn

import afunix

path = sys.argv[1] if len(sys.argv) > 1 else "web.sock"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Any ASGI application, such as FastAPI's, stands here."""
    if scope["type"] == "http":
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
        )
        await send({"type": "http.response.body", "body": b"hello from uvicorn\n"})


if __name__ == "__main__":
    try:
        listening = afunix.bind_socket(path, mode=0o660)
    except afunix.AfunixError as error:
        sys.exit(f"{error}\nhint: {error.hint}" if error.hint else str(error))
    with (
        listening
    ):  # its end removes the path; on SIGTERM uvicorn itself closes the socket, which does the same
        afunix.systemd.notify("READY=1")  # who connects from here on waits until the application is up
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listening])
