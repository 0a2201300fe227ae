"""An open file goes over a socket: the receiver gets a number of its own for the same open file."""

from __future__ import annotations

from ..experiment import Experiment
from ..stage import Stage


def _run(stage: Stage) -> None:
    with stage.scene("pass a descriptor"):
        server, client = stage.actor("server"), stage.actor("client")
        listener = server.socket()
        listener.bind("hello.sock")
        listener.listen(8)
        sock = client.socket()
        sock.connect("hello.sock")
        conversation = listener.accept()
        file = server.open_new("notes.txt")
        file.write(b"first\nsecond\n")
        file.rewind()
        file.read(6, b"first\n")
        server.unlink("notes.txt")
        conversation.send_descriptor(b"F", file)
        file.close()
        received = sock.receive_descriptor(b"F")
        received.read(100, b"second\n")


EXPERIMENT = Experiment(
    name="pass-a-descriptor",
    question="Can an open file be handed to another process?",
    plan="A server opens a file, reads its first line, unlinks it, sends the descriptor, and closes it; a client reads on.",
    explanation=(
        "A control message (SCM_RIGHTS) carries the open file, not its number and not its name: the receiver gets a"
        " descriptor of its own for the same open file, goes on where the sender stopped reading, and needs neither the"
        " name nor permission to open it."
        " While it is on its way the kernel keeps the file open, so the sender may close its own at once."
    ),
    manual_pages=("unix(7)", "cmsg(3)", "sendmsg(2)"),
    run=_run,
)
