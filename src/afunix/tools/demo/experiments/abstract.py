"""A name that is no file: an abstract address, which goes with the last descriptor of its socket."""

from __future__ import annotations

from errno import EADDRINUSE, ECONNREFUSED

from ..experiment import Experiment
from ..shown import RANDOM
from ..stage import Stage

NAME = f"@afunix-demo-{RANDOM}"


def _run(stage: Stage) -> None:
    with stage.scene("an abstract name"):
        server, client, other = (stage.actor(name) for name in ("server", "client", "rival"))
        listener = server.socket()
        listener.bind(NAME)
        listener.listen(8)
        stage.check("what is in the directory", server.list_names(), [])
        sock = client.socket()
        sock.connect(NAME)
        rival = other.socket()
        rival.bind(NAME, expect=EADDRINUSE)
        sock.close()
        listener.close()
        rival.connect(NAME, expect=ECONNREFUSED)
        rival.bind(NAME)


EXPERIMENT = Experiment(
    name="abstract",
    question="What is an address that begins with '@'?",
    plan="A server binds an abstract name and listens; a client connects, and another program wants the same name.",
    explanation=(
        "An abstract name begins with a NUL byte, written '@', and is no file."
        " It is free again as soon as its socket is closed, so nothing stale is left."
        " It has no mode and no owner, so anybody in the same network namespace may connect, or take the name first."
    ),
    manual_pages=("unix(7)",),
    run=_run,
)
