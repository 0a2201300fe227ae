"""A web application served by aiohttp on a Unix socket: for its owner and group only, one server at a time.

Run it as `python3 aiohttp_service.py [PATH]` and ask it with `curl --unix-socket PATH http://localhost/`.
aiohttp's own `path=` leaves the mode to the umask, and the file to the next start.
"""

import sys

from aiohttp import web

import afunix

path = sys.argv[1] if len(sys.argv) > 1 else "web.sock"


async def say_hello(request: web.Request) -> web.Response:
    return web.Response(text="hello from aiohttp\n")


async def serve() -> web.Application:
    app = web.Application()
    app.router.add_get("/", say_hello)
    return app


if __name__ == "__main__":
    try:
        listening = afunix.bind_socket(path, mode=0o660)
    except afunix.AfunixError as error:
        sys.exit(f"{error}\nhint: {error.hint}" if error.hint else str(error))
    with listening:  # its end removes the path
        afunix.systemd.notify("READY=1")  # who connects from here on waits until the application is up
        web.run_app(serve(), sock=listening, print=None)  # a web.SockSite; returns after SIGINT and SIGTERM
