"""The same words through a stream and through datagrams: one flow of bytes against messages with borders."""

from __future__ import annotations

from errno import EPROTOTYPE

from ..experiment import Experiment
from ..stage import Stage


def _run(stage: Stage) -> None:
    with stage.scene("stream"):
        server, client = stage.actor("server"), stage.actor("client")
        listener = server.socket()
        listener.bind("hello.sock")
        listener.listen(8)
        sock = client.socket()
        sock.connect("hello.sock")
        conversation = listener.accept()
        sock.write(b"one")
        sock.write(b"two")
        sock.write(b"three")
        conversation.read(b"onet", max_bytes=4)
        conversation.read(b"wothree")
    with stage.scene("datagrams"):
        server, client = stage.actor("server"), stage.actor("client")
        mailbox = server.socket("dgram")
        mailbox.bind("log.sock")
        client.socket().connect("log.sock", expect=EPROTOTYPE)
        sock = client.socket("dgram")
        sock.send_to("log.sock", b"one")
        sock.send_to("log.sock", b"two")
        sock.send_to("log.sock", b"three")
        mailbox.receive(4, b"one")
        mailbox.receive(4, b"two")
        mailbox.receive(4, b"thre", is_cut=True)


EXPERIMENT = Experiment(
    name="stream-vs-datagram",
    question="What is the difference between a stream and a datagram socket?",
    plan="A client sends 'one', 'two', 'three'; a server reads at most 4 bytes at a time. First a stream, then datagrams.",
    explanation=(
        "A stream is one flow of bytes: how they were cut into writes is not kept, so a read gets what is there, up to"
        " its size, across the borders; whoever needs borders must send them."
        " Datagrams need no listen, no accept and no connection, each receive gets exactly one of them, and of one that"
        " is longer than the buffer the rest is lost (MSG_TRUNC); a socket of the one type cannot connect to the other"
        " (EPROTOTYPE)."
    ),
    manual_pages=("unix(7)", "socket(2)", "recv(2)"),
    run=_run,
)
