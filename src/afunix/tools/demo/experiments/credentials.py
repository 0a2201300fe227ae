"""Who is at the other end: the process that connected (SO_PEERCRED), and the one that sent (SCM_CREDENTIALS)."""

from __future__ import annotations

import os

from ..experiment import Experiment
from ..stage import Stage


def _run(stage: Stage) -> None:
    with stage.scene("credentials"):
        server, client = stage.actor("server"), stage.actor("client")
        listener = server.socket()
        listener.bind("hello.sock")
        listener.listen(8)
        sock = client.socket()
        sock.connect("hello.sock")
        conversation = listener.accept()
        connected = conversation.peer_credentials()
        conversation.ask_for_credentials()
        child = stage.child("child", sock)
        child.write(b"hello\n")
        sent = conversation.receive_credentials(b"hello\n")
        later = conversation.peer_credentials()
        stage.check("SO_PEERCRED's pid is the client's", connected.pid == os.getpid(), True)
        stage.check("SO_PEERCRED's uid is the client's", connected.uid == os.geteuid(), True)
        stage.check("SO_PEERCRED after the child wrote is the same", later == connected, True)
        stage.check("the sender's pid is the child's", sent is not None and sent.pid == child.pid, True)


EXPERIMENT = Experiment(
    name="credentials",
    question="How does a server know who its client is?",
    plan="A client connects and lets a child of its own do the writing. The server asks the kernel who is there, twice.",
    explanation=(
        "SO_PEERCRED says which process connected, with its user and group at that moment, vouched for by the kernel: it"
        " does not change when a child uses the connection, nor when the client ends."
        " With SO_PASSCRED each message carries who sent it; decide by user and group, for a pid may be another process"
        " by the time that it is looked up."
    ),
    manual_pages=("unix(7)", "socket(7)"),
    run=_run,
)
