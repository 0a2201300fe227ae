"""A connection without a name: two ends at once, one of them for a child process."""

from __future__ import annotations

from errno import EPIPE

from ..experiment import Experiment
from ..stage import Stage


def _run(stage: Stage) -> None:
    with stage.scene("a socketpair"):
        parent = stage.actor("parent", has_pid=True)
        ours, theirs = parent.socketpair()
        stage.check("the name of one end", ours.peer_name(), '""')
        child = stage.child(parent, "child", theirs).inherited
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
        "socketpair(2) gives two connected ends without any name that others could connect to, for bytes both ways."
        " The parent closes its copy of the child's end, since end of file comes only with the last descriptor."
        " A write after that fails with EPIPE, and SIGPIPE comes with it,"
        " which ends a program that does not ignore it."
    ),
    manual_pages=("socketpair(2)", "unix(7)"),
    run=_run,
)
