"""A socket file that its server left behind: what a client gets, what the next server gets, and the way out."""

from __future__ import annotations

from errno import EADDRINUSE, ECONNREFUSED, ENOENT

from ..experiment import Experiment
from ..stage import Stage


def _run(stage: Stage) -> None:
    with stage.scene("a stale socket file"):
        server, client = stage.actor("server"), stage.actor("client")
        first = server.socket()
        first.bind("hello.sock")
        first.listen(8)
        first.close()
        stage.check("what is left in the directory", server.list_names(), ["hello.sock"])
        sock = client.socket()
        sock.connect("hello.sock", expect=ECONNREFUSED)
        second = server.socket()
        second.bind("hello.sock", expect=EADDRINUSE)
        server.unlink("hello.sock")
        sock.connect("hello.sock", expect=ENOENT)
        second.bind("hello.sock")
        second.listen(8)
        sock.connect("hello.sock")


EXPERIMENT = Experiment(
    name="stale-file",
    question="Why does a server not start again: 'address already in use'?",
    plan="A server listens and closes its socket. A client connects to what is left, and a second server binds to it.",
    explanation=(
        "When a listening socket is closed its file stays, and nobody listens there any more (ECONNREFUSED)."
        " bind(2) never replaces a file, whatever it is (EADDRINUSE), until somebody unlinks it."
        " Who does that must be sure that it is stale, as 'afunix serve' makes sure, since unlinking hides a living server."
    ),
    manual_pages=("unix(7)", "bind(2)", "unlink(2)"),
    run=_run,
)
