"""One direction of a connection ends and the other goes on: shutdown(SHUT_WR) against close."""

from __future__ import annotations

from errno import EPIPE

from ..experiment import Experiment
from ..stage import Stage


def _run(stage: Stage) -> None:
    with stage.scene("half-close"):
        server, client = stage.actor("server"), stage.actor("client")
        listener = server.socket()
        listener.bind("hello.sock")
        listener.listen(8)
        sock = client.socket()
        sock.connect("hello.sock")
        conversation = listener.accept()
        sock.write(b"3 1 2\n")
        sock.shut_down_sending()
        conversation.read(b"3 1 2\n")
        conversation.read(b"")
        conversation.write(b"1 2 3\n")
        sock.read(b"1 2 3\n")
        sock.write(b"more\n", expect=EPIPE)
        conversation.close()
        sock.read(b"")


EXPERIMENT = Experiment(
    name="half-close",
    question="How does a client say 'that was all' and still get its answer?",
    plan="A client sends its question, shuts down its sending side, and reads; the server answers what it has read whole.",
    explanation=(
        "shutdown(fd, SHUT_WR) ends one direction only, so the server reads everything, then 0, and can still answer."
        " A later write of the client fails with EPIPE, and SIGPIPE comes with it,"
        " which ends a program that does not ignore it."
        " close(2) would have ended both directions, and nobody could read the answer."
    ),
    manual_pages=("shutdown(2)", "close(2)"),
    run=_run,
)
