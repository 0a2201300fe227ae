"""`tap()` in this process: its result, and what it is asked. What takes a kill is in tests/interop."""

from __future__ import annotations

import os
import resource
import signal
import socket
from collections.abc import Iterator

import pytest
from tests.program import PATIENCE_S
from tests.relay_runs import connect, wait_until
from tests.servers import echo, serving
from tests.tap_runs import Ran, ask, run

from afunix.model.address import Address
from afunix.model.errors import AddressError, NoSuchSocketError
from afunix.model.standing import Standing
from afunix.model.tap_notices import (
    SteppedBack,
)
from afunix.model.tapped import Said
from afunix.tools.settings import Cause


@pytest.fixture(autouse=True)
def own_process() -> Iterator[None]:
    """What `tap` changes of the process is put back."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_signal_ends_it_after_the_last_conversation(sock_dir: str) -> None:
    def talk_on(ran: Ran) -> None:
        with connect(ran.path) as client:
            client.sendall(b"one")
            assert client.recv(9) == b"one"
            os.kill(os.getpid(), signal.SIGTERM)
            wait_until(lambda: bool(ran.told(SteppedBack)))
            client.sendall(b"two")
            assert client.recv(9) == b"two"

    with serving(f"{sock_dir}/s", echo):
        ran = run(f"{sock_dir}/s", talk_on)
    assert ran.told(SteppedBack) == [SteppedBack(ran.path, Standing.BACK, 1)]
    assert (ran.result.cause, ran.result.bytes_lost) == (Cause.SIGNAL, 0)


def test_another_name_that_is_the_path_itself_is_refused(sock_dir: str) -> None:
    with serving(f"{sock_dir}/s", echo), pytest.raises(AddressError, match="itself") as raised:
        run(f"{sock_dir}/s", lambda ran: None, listen=Address.parse(f"{sock_dir}/s"))
    assert raised.value.hint == "without --listen the tap stands in front of it"


def test_under_another_name_the_path_stays_the_server_s(sock_dir: str) -> None:
    with serving(f"{sock_dir}/s", echo):
        before = os.lstat(f"{sock_dir}/s")

        def look(ran: Ran) -> None:
            assert os.path.samestat(os.lstat(ran.path), before)
            ask(f"{sock_dir}/new")

        ran = run(f"{sock_dir}/s", look, listen=Address.parse(f"{sock_dir}/new"))
        assert os.listdir(sock_dir) == ["s"]
    assert ran.notices == []
    assert any(isinstance(event, Said) for event in ran.events)


def test_under_another_name_records_are_records(sock_dir: str) -> None:
    def send_two(ran: Ran) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.settimeout(PATIENCE_S)
            client.connect(f"{sock_dir}/new")
            client.send(b"one")
            assert client.recv(9) == b"one"

    with serving(f"{sock_dir}/s", echo, socket.SOCK_SEQPACKET):
        run(f"{sock_dir}/s", send_two, listen=Address.parse(f"{sock_dir}/new"))


def test_one_that_does_not_exist_is_an_error(sock_dir: str) -> None:
    with pytest.raises(NoSuchSocketError):
        run(f"{sock_dir}/s", lambda ran: None)
