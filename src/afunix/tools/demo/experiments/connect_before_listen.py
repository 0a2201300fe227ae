"""A client that comes after bind, before listen: ECONNREFUSED, and what it takes to get in."""

from __future__ import annotations

from errno import ECONNREFUSED

from ..experiment import Experiment
from ..stage import Stage


def _run(stage: Stage) -> None:
    with stage.scene("connect before listen"):
        server, client = stage.actor("server"), stage.actor("client")
        listener = server.socket()
        listener.bind("hello.sock")
        sock = client.socket()
        sock.connect("hello.sock", expect=ECONNREFUSED)
        listener.listen(8)
        sock.connect("hello.sock")
        listener.accept()


EXPERIMENT = Experiment(
    name="connect-before-listen",
    question="What does a client get that connects after bind, but before listen?",
    plan="A server makes a socket and binds it. A client connects; then the server listens, and the client tries again.",
    explanation=(
        "bind(2) makes the name, but only listen(2) makes the queue in which connections wait."
        " Until then connect fails with ECONNREFUSED, as it does for a file whose server is gone."
        " A client that starts together with its server has to try again, on Linux with the same socket if it likes."
    ),
    manual_pages=("listen(2)", "connect(2)"),
    run=_run,
)
