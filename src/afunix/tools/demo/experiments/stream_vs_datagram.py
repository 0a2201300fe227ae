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
        conversation.read(b"onet", max_bytes=4, is_shown=True)
        conversation.read(b"woth", max_bytes=4, is_shown=True)
        conversation.read(b"ree", max_bytes=4, is_shown=True)
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
        "A stream does not keep how bytes were cut into writes, so a read takes what is there, up to its size."
        " Each receive of a datagram gets exactly one, and what is longer than the buffer is lost (MSG_TRUNC)."
        " Datagrams need neither listen nor accept, and a stream socket cannot connect to them (EPROTOTYPE)."
    ),
    manual_pages=("unix(7)", "socket(2)", "recv(2)"),
    run=_run,
)
