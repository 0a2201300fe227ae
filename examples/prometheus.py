"""An echo server that Prometheus can watch: its metrics are served over HTTP on a second Unix socket.

Run it as `python3 prometheus.py [PATH]`; Ctrl-C ends it. `curl --unix-socket PATH.metrics http://localhost/metrics`
shows what happened so far.
"""

import asyncio
import sys
from collections import Counter

import afunix
from afunix import events


class Metrics:
    """An observer: it is told of every event in the step in which it happens, and only counts."""

    def __init__(self) -> None:
        self.happened: Counter[str] = Counter()

    def __call__(self, event: events.Event) -> None:
        self.happened[type(event).__name__] += 1

    def render(self, stats: afunix.ServerStats) -> str:
        """In Prometheus' text format."""
        lines = ["# TYPE afunix_events_total counter"]
        for name, count in sorted(self.happened.items()):
            lines.append(f'afunix_events_total{{event="{name}"}} {count}')
        for name, kind, value in (
            ("afunix_clients", "gauge", stats.live),
            ("afunix_accepted_total", "counter", stats.accepted),
            ("afunix_refused_total", "counter", stats.refused),
            ("afunix_received_bytes_total", "counter", stats.bytes_received),
            ("afunix_sent_bytes_total", "counter", stats.bytes_sent),
        ):
            lines += [f"# TYPE {name} {kind}", f"{name} {value}"]
        return "\n".join(lines) + "\n"


async def echo(stream: afunix.Stream) -> None:
    async for chunk in stream:
        await stream.send(chunk)


def response(status: str, text: str) -> bytes:
    head = (
        f"HTTP/1.0 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {len(text)}\r\n\r\n"
    )
    return (head + text).encode()


async def main(path: str) -> None:
    metrics = Metrics()

    async def answer(stream: afunix.Stream) -> None:
        request = await stream.receive_until(b"\r\n\r\n", max_bytes=16 * 1024)
        if request.startswith(b"GET /metrics "):
            await stream.send(response("200 OK", metrics.render(server.stats)))
        else:
            await stream.send(response("404 Not Found", "there is only /metrics\n"))

    async with (
        afunix.serve(echo, path, observer=metrics) as server,
        afunix.serve(answer, f"{path}.metrics", idle_timeout=10),
    ):
        await server.run_until_signal()


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "echo.sock"))
    except afunix.AfunixError as error:
        sys.exit(f"{error}\nhint: {error.hint}" if error.hint else str(error))
