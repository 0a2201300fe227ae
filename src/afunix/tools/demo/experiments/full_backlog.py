"""One client more than the backlog admits: EAGAIN where connect must not block, else it waits for an accept."""

from __future__ import annotations

from errno import EAGAIN

from ..experiment import Experiment
from ..stage import Stage


def _run(stage: Stage) -> None:
    with stage.scene("a full backlog"):
        server, first, second = (stage.actor(name) for name in ("server", "client 1", "client 2"))
        listener = server.socket()
        listener.bind("hello.sock")
        listener.listen(0)
        first.socket().connect("hello.sock")
        impatient = second.socket(non_blocking=True)
        impatient.connect("hello.sock", expect=EAGAIN)
        impatient.close()
        waiting = second.socket().begin_connect("hello.sock")
        accepted = listener.accept(wakes=waiting)
        stage.script.caused(accepted.made_by, waiting.end(), "a place is free")
        listener.accept()


EXPERIMENT = Experiment(
    name="full-backlog",
    question="What does a client get when the accept queue is full?",
    plan="A server listens with a backlog of 0 and does not accept. One client connects, then a second, in two ways.",
    explanation=(
        "On Linux listen(fd, n) lets min(n, somaxconn) + 1 connections wait."
        " When the queue is full a connect that may block waits until accept(2) takes somebody out."
        " One that must not block fails with EAGAIN, and since nothing was begun the client must try again later."
    ),
    manual_pages=("connect(2)", "listen(2)"),
    run=_run,
)
