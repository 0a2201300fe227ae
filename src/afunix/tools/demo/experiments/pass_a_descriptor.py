"""An open file goes over a socket: the receiver gets a number of its own for the same open file."""

from __future__ import annotations

from errno import ENOENT

from ..experiment import Experiment
from ..stage import Stage


def _run(stage: Stage) -> None:
    with stage.scene("pass a descriptor"):
        server = stage.actor("server", has_pid=True)
        client = stage.process("client")
        listener = server.socket()
        listener.bind("hello.sock")
        listener.listen(8)
        sock = client.socket()
        sock.connect("hello.sock")
        conversation = listener.accept()
        file = server.open_new("notes.txt")
        number = file.shown
        file.write(b"first\nsecond\n")
        file.rewind()
        file.read(6, b"first\n")
        server.unlink("notes.txt")
        client.fail_to_open("notes.txt", ENOENT)
        conversation.send_descriptor(b"F", file)
        file.close()
        received = sock.receive_descriptor(b"F")
        received.read(b"second\n", is_shown=True)
        stage.check("whether the client's number is another", received.shown != number, True)


EXPERIMENT = Experiment(
    name="pass-a-descriptor",
    question="Can an open file be handed to another process?",
    plan=(
        "A server reads a line of a file, unlinks it, and sends the descriptor to another process,"
        " which cannot open the file."
    ),
    explanation=(
        "A control message (SCM_RIGHTS) carries the open file itself, not its name, so the client needs no way to open it."
        " It gets a number of its own, and reads on where the server stopped, for both share one position."
        " On its way the kernel keeps the file open, so the sender may close its own at once."
    ),
    manual_pages=("unix(7)", "cmsg(3)", "sendmsg(2)"),
    run=_run,
)
