"""A connection without a name: two ends at once, one of them for a child process."""

from __future__ import annotations

from errno import EPIPE

from ..experiment import Experiment
from ..stage import Stage


def _run(stage: Stage) -> None:
    with stage.scene("a socketpair"):
        parent = stage.actor("parent", detail="")
        ours, theirs = parent.socketpair()
        stage.check("the name of one end", ours.peer_name(), '""')
        child = stage.child("child", theirs)
        theirs.close()
        ours.write(b"2 + 2\n")
        child.read(b"2 + 2\n")
        child.write(b"4\n")
        child.close()
        ours.read(b"4\n")
        ours.read(b"")
        ours.write(b"more\n", expect=EPIPE)


EXPERIMENT = Experiment(
    name="socketpair",
    question="How do a process and its child talk without any name?",
    plan="A process makes a pair of sockets, starts a child that inherits one, closes its own copy of it, and talks.",
    explanation=(
        "socketpair(2) gives two ends that are connected already: no bind, no listen, no accept, and no name that"
        " anybody else could connect to; unlike a pipe it carries bytes both ways."
        " The parent closes its copy of the child's end, for the end of file comes only when the last descriptor of that"
        " end is closed, and a write to a connection whose other end is gone fails with EPIPE."
    ),
    manual_pages=("socketpair(2)", "unix(7)"),
    run=_run,
)
