"""Who is at the other end: who connected or listened (SO_PEERCRED), and who sent (SCM_CREDENTIALS)."""

from __future__ import annotations

import os

from ....model.credentials import PeerCredentials
from ..experiment import Experiment
from ..stage import Stage


def _run(stage: Stage) -> None:
    with stage.scene("credentials"):
        server = stage.actor("server", has_pid=True)
        client = stage.process("client")
        listener = server.socket()
        listener.bind("hello.sock")
        listener.listen(8)
        sock = client.socket()
        sock.connect("hello.sock")
        conversation = listener.accept()
        us = (os.geteuid(), os.getegid())
        connected = PeerCredentials(client.pid, *us)
        stage.check("SO_PEERCRED at the server", conversation.peer_credentials(), connected)
        stage.check("SO_PEERCRED at the client", sock.peer_credentials(), PeerCredentials(os.getpid(), *us))
        conversation.ask_for_credentials()
        child = client.fork("child")
        child.inherited.write(b"hello\n")
        sent = conversation.receive_credentials(b"hello\n")
        stage.check("the sender", sent, PeerCredentials(child.pid, *us))
        stage.check("SO_PEERCRED after the child wrote", conversation.peer_credentials(), connected)


EXPERIMENT = Experiment(
    name="credentials",
    question="How does a server know who its client is?",
    plan=(
        "A client process connects and leaves the writing to its child."
        " The client asks the kernel once who is there, the server three times."
    ),
    explanation=(
        "The kernel tells a server which process connected, and a client which one called listen(2), with effective ids."
        " SO_PEERCRED stays what it was, but with SO_PASSCRED each message carries who sent it."
        " Decide by user and group, for a pid may be another process's by the time you look."
    ),
    manual_pages=("unix(7)", "socket(7)"),
    run=_run,
)
