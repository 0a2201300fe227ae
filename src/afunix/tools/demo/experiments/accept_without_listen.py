"""Calls in the wrong order on the server's side: EINVAL, until there is a name and then a queue."""

from __future__ import annotations

from errno import EAGAIN, EINVAL

from ..experiment import Experiment
from ..stage import Stage


def _run(stage: Stage) -> None:
    with stage.scene("accept without listen"):
        server, client = stage.actor("server"), stage.actor("client")
        listener = server.socket(non_blocking=True)
        listener.listen(8, expect=EINVAL)
        listener.bind("hello.sock")
        listener.fail_to_accept(EINVAL)
        listener.listen(8)
        listener.fail_to_accept(EAGAIN)
        client.socket().connect("hello.sock")
        listener.accept()


EXPERIMENT = Experiment(
    name="accept-without-listen",
    question="What if the server forgets bind, or listen?",
    plan="A server listens without a name, then accepts without listening; then it does both in order.",
    explanation=(
        "A Unix socket needs a name to listen, and has to listen to accept, else the calls fail with EINVAL."
        " Once it listens an empty queue is no mistake, and accept(2) waits for a client."
        " Here it says EAGAIN instead, for this socket must not block."
    ),
    manual_pages=("accept(2)", "unix(7)"),
    run=_run,
)
