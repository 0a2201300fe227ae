"""A client of a server that listens and does not accept yet: connect and write are done at once."""

from __future__ import annotations

from ..experiment import Experiment
from ..stage import Stage


def _run(stage: Stage) -> None:
    with stage.scene("connect before accept"):
        server, client = stage.actor("server"), stage.actor("client")
        listener = server.socket()
        listener.bind("hello.sock")
        listener.listen(8)
        sock = client.socket()
        sock.connect("hello.sock")
        sock.write(b"hello\n")
        sock.close()
        conversation = listener.accept()
        conversation.read(b"hello\n")
        conversation.read(b"")


EXPERIMENT = Experiment(
    name="connect-before-accept",
    question="Does connect wait until the server accepts?",
    plan="A server listens and does not accept. A client connects, writes, and leaves; only then the server accepts.",
    explanation=(
        "connect(2) is done as soon as the connection is in the listener's queue, and accept(2) only takes it out."
        " What is written meanwhile waits in the receive queue of the server's end."
        " So neither a connect nor a write that succeeded says that anybody serves, only an answer does."
    ),
    manual_pages=("accept(2)", "listen(2)"),
    run=_run,
)
