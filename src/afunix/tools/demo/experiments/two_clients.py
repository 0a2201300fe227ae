"""The server of every tutorial, one conversation after another: with two clients in turn, and with two at once."""

from __future__ import annotations

from ..experiment import Experiment
from ..stage import Actor, Stage
from ..staged_socket import StagedSocket


def _run(stage: Stage) -> None:
    with stage.scene("one after another"):
        server, first, second = (stage.actor(name) for name in ("server", "client 1", "client 2"))
        listener = _listen(server)
        for client in (first, second):
            sock = _ask(client)
            _serve(listener)
            sock.read(b"hello\n")
            sock.close()
    with stage.scene("at once"):
        server, first, second = (stage.actor(name) for name in ("server", "client 1", "client 2"))
        listener = _listen(server)
        chatty = first.socket()
        chatty.connect("hello.sock")
        conversation = listener.accept()
        sock = _ask(second)
        answer = sock.begin_read()
        chatty.write(b"still here\n")
        conversation.read(b"still here\n")
        chatty.close()
        conversation.read(b"")
        conversation.close()
        conversation = listener.accept()
        conversation.read(b"hello\n")
        conversation.write(b"hello\n", wakes=answer)
        stage.check("the answer to client 2", answer.end(), b"hello\n")
        conversation.read(b"")
        conversation.close()


def _listen(server: Actor) -> StagedSocket:
    listener = server.socket()
    listener.bind("hello.sock")
    listener.listen(8)
    return listener


def _ask(client: Actor) -> StagedSocket:
    sock = client.socket()
    sock.connect("hello.sock")
    sock.write(b"hello\n")
    sock.shut_down_sending()
    return sock


def _serve(listener: StagedSocket) -> None:
    """One conversation, whole: the bytes go back until the client sends no more."""
    conversation = listener.accept()
    conversation.read(b"hello\n")
    conversation.write(b"hello\n")
    conversation.read(b"")
    conversation.close()


EXPERIMENT = Experiment(
    name="two-clients",
    question="What happens to the second client of a server that serves one at a time?",
    plan="A server accepts, answers until its client is done, and accepts again. Two clients come in turn, then at once.",
    explanation=(
        "The second client connects and writes like the first, for the kernel does that without the server."
        " Its read waits until the first conversation is over, since an iterative server leaves everybody else in the queue."
        " A server for many uses a process or thread for each, or one loop with epoll(7) like 'afunix serve'."
    ),
    manual_pages=("accept(2)", "epoll(7)"),
    run=_run,
)
