"""A name that is no file: an abstract address, which goes with the last descriptor of its socket."""

from __future__ import annotations

from errno import EADDRINUSE, ECONNREFUSED

from ..experiment import Experiment
from ..shown import RANDOM
from ..stage import Stage

NAME = f"@afunix-demo-{RANDOM}"


def _run(stage: Stage) -> None:
    with stage.scene("an abstract name"):
        server, client = stage.actor("server"), stage.actor("client")
        listener = server.socket()
        listener.bind(NAME)
        listener.listen(8)
        stage.check("what is in the directory", server.list_names(), [])
        sock = client.socket()
        sock.connect(NAME)
        rival = client.socket()
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
        "An abstract name (its first byte is NUL, written '@') is no file: nothing appears in a directory, and it is free"
        " again as soon as its socket is closed, so that nothing stale is ever left."
        " But there is no mode and no owner either: whoever is in the same network namespace may connect, or take the"
        " name first, so that a server has to look at credentials, and so has a careful client."
    ),
    manual_pages=("unix(7)",),
    run=_run,
)
