"""STDIN and STDOUT as one side of a relay, in this very process: any descriptors can take their place."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import ExitStack

import pytest
from tests.program import PATIENCE_S
from tests.servers import echo, serving
from tests.tcp_servers import serving_tcp

from afunix.endpoints.tcp import TcpEndpoint
from afunix.model.address import Address
from afunix.model.errors import BrokenStreamError, NobodyListensError
from afunix.tools.connect import ConnectSettings
from afunix.tools.relay_stdio import run


def settings(stack: ExitStack, address: str, data: bytes) -> tuple[ConnectSettings, int]:
    """A conversation with `address` that says `data`, and where the answer can be read."""
    stdin, say = os.pipe()
    answer, stdout = os.pipe()
    os.write(say, data)
    os.close(say)
    for fd in (stdin, answer, stdout):
        stack.callback(os.close, fd)
    return ConnectSettings(Address.parse(address), stdin=stdin, stdout=stdout), answer


def test_unix_socket_is_connected_to_as_by_connect(sock_dir: str) -> None:
    with ExitStack() as stack, serving(f"{sock_dir}/s", echo):
        given, answer = settings(stack, f"{sock_dir}/s", b"hello")
        result = run(given)
        assert os.read(answer, 100) == b"hello"
        assert (result.bytes_sent, result.bytes_received) == (5, 5)


def test_what_an_endpoint_has_lost_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TcpEndpoint, "bytes_lost", 2)
    with ExitStack() as stack, serving_tcp(echo) as (_, port):
        given, _ = settings(stack, f"tcp:127.0.0.1:{port}", b"hello")
        with pytest.raises(BrokenStreamError, match="2 bytes may be lost") as lost:
            run(given)
    assert lost.value.bytes_sent == 3


def test_port_is_reached_and_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    with ExitStack() as stack, socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)
        given, answer = settings(stack, f"tcp:127.0.0.1:{listener.getsockname()[1]}", b"hello")

        def answer_late() -> None:
            with listener.accept()[0] as peer:
                peer.settimeout(PATIENCE_S)
                while peer.recv(100):
                    pass
                peer.sendall(b"late")

        thread = threading.Thread(target=answer_late)
        thread.start()
        result = run(given)
        thread.join()
        assert os.read(answer, 100) == b"late"
        assert (result.bytes_sent, result.bytes_received) == (5, 4)
    assert threading.active_count() == before


def test_port_where_nobody_listens_is_the_endpoints_error() -> None:
    before = threading.active_count()
    with ExitStack() as stack, socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        given, _ = settings(stack, f"tcp:127.0.0.1:{bound.getsockname()[1]}", b"")
        with pytest.raises(NobodyListensError):
            run(given)
    assert threading.active_count() == before
