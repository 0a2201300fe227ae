"""In front, looked after, guarded, and back; in this process. What takes a kill is in tests/interop."""

from __future__ import annotations

import errno
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext

import pytest
from tests.program import PATIENCE_S
from tests.relay_runs import connect, wait_until
from tests.servers import echo, serving
from tests.tap_runs import Ran, ask, run

from afunix.kernel import front
from afunix.kernel.exchange import exchange
from afunix.kernel.pathname import Place
from afunix.model.address import Address
from afunix.model.errors import AfunixError, DeniedError
from afunix.model.standing import Standing
from afunix.model.tap_notices import (
    GuardianReplaced,
    NotBack,
    PathChanged,
    ServerGone,
    SteppedBack,
    SteppedIn,
    TapNotice,
)
from afunix.tools import tap_guardian as module
from afunix.tools import tap_keeper
from afunix.tools.relay_service import RelayService
from afunix.tools.settings import Cause
from afunix.tools.tap import TapSettings, tap


@pytest.fixture(autouse=True)
def own_process() -> Iterator[None]:
    """What `tap` changes of the process is put back."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_where_it_stands_is_told_and_all_is_as_before(sock_dir: str) -> None:
    with serving(f"{sock_dir}/s", echo):
        before = os.lstat(f"{sock_dir}/s")
        ran = run(f"{sock_dir}/s", lambda ran: ask(ran.path))
        assert os.path.samestat(os.lstat(f"{sock_dir}/s"), before)
        assert os.listdir(sock_dir) == ["s"]
    path = f"{sock_dir}/s"
    assert ran.notices == [SteppedIn(path, f"{path}.tapped"), SteppedBack(path, Standing.BACK, 0)]
    assert [(beginning.path, beginning.socket_type) for beginning in ran.beginnings] == [(path, "stream")]
    assert (ran.result.cause, ran.result.served) == (Cause.OWN_REASON, 1)
    assert ran.result.left_behind == []


def test_what_others_do_to_the_path_ends_it(sock_dir: str) -> None:
    def remove(ran: Ran) -> None:
        os.unlink(ran.path)
        wait_until(lambda: bool(ran.told(SteppedBack)))

    with serving(f"{sock_dir}/s", echo):
        ran = run(f"{sock_dir}/s", remove)
        assert os.listdir(sock_dir) == []
    assert ran.told(PathChanged) == [PathChanged(ran.path, Standing.REMOVED)]


def test_a_server_that_has_gone_ends_it(sock_dir: str) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{sock_dir}/s")
        server.listen()

        def close(ran: Ran) -> None:
            server.close()
            wait_until(lambda: bool(ran.told(SteppedBack)))

        ran = run(f"{sock_dir}/s", close)
    assert ran.told(ServerGone) == [ServerGone(ran.path)]


def test_a_guardian_that_has_gone_is_replaced(sock_dir: str) -> None:
    def kill_it(ran: Ran) -> None:
        with open(f"/proc/{os.getpid()}/task/{os.getpid()}/children") as file:
            guardian = int(file.read().split()[-1])
        os.kill(guardian, signal.SIGKILL)
        wait_until(lambda: bool(ran.told(GuardianReplaced)))

    with serving(f"{sock_dir}/s", echo):
        ran = run(f"{sock_dir}/s", kill_it)
    assert len(ran.told(GuardianReplaced)) == 1


def test_guardians_that_do_not_live_end_it(sock_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        module,
        "_START",
        "import os; os.write(__import__('json').loads(__import__('sys').argv[1])['fds'][-1], b'!')",
    )
    with serving(f"{sock_dir}/s", echo):
        ran = run(f"{sock_dir}/s", lambda ran: wait_until(lambda: bool(ran.told(SteppedBack))))
        assert os.listdir(sock_dir) == ["s"]
    assert len(ran.told(GuardianReplaced)) == 1


def test_without_a_guardian_it_does_not_step_in(sock_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AfunixError("no guardian")

    monkeypatch.setattr(module.Guardian, "__init__", fail)
    with serving(f"{sock_dir}/s", echo):
        before = os.lstat(f"{sock_dir}/s")
        with pytest.raises(AfunixError, match="no guardian"):
            run(f"{sock_dir}/s", lambda ran: None)
        assert os.path.samestat(os.lstat(f"{sock_dir}/s"), before)
        assert os.listdir(sock_dir) == ["s"]


def refuse(*_: object) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


def test_a_swap_that_never_was_is_not_to_be_undone(sock_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an append-only directory: names come, and neither go nor change."""
    notices: list[TapNotice] = []
    left: list[int] = []
    monkeypatch.setattr(front, "exchange", refuse)
    monkeypatch.setattr(Place, "unlink", refuse)
    monkeypatch.setattr(module.Guardian, "leave", lambda guardian: left.append(guardian.pid))
    with serving(f"{sock_dir}/s", echo), pytest.raises(DeniedError, match="may not be swapped"):
        tap(
            TapSettings(Address.parse(f"{sock_dir}/s")),
            on_beginning=lambda beginning: lambda event: None,
            alerts=notices.append,
        )
    assert (notices, left) == ([], [])


def test_a_second_signal_while_the_path_cannot_go_back_refuses_nobody(
    sock_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guardian goes on serving, and puts it back as soon as that can be: it is another process, and so may."""
    real = exchange

    def signal_twice(ran: Ran) -> None:
        monkeypatch.setattr(front, "exchange", refuse)
        with connect(ran.path) as talking:
            talking.sendall(b"hello")
            assert talking.recv(9) == b"hello"
            os.kill(os.getpid(), signal.SIGTERM)
            wait_until(lambda: bool(ran.told(NotBack)))
            os.kill(os.getpid(), signal.SIGTERM)
            assert talking.recv(9) == b""

    monkeypatch.setattr(RelayService, "stop", lambda service, words: None)
    with serving(f"{sock_dir}/s", echo) as server:
        del server
        before = os.lstat(f"{sock_dir}/s")
        ran = run(f"{sock_dir}/s", signal_twice)
        monkeypatch.setattr(front, "exchange", real)
        ask(ran.path)
        wait_until(lambda: os.listdir(sock_dir) == ["s"])
        assert os.path.samestat(os.lstat(f"{sock_dir}/s"), before)
    assert [type(error) for error in ran.result.left_behind] == [DeniedError]
    assert not ran.told(SteppedBack)


SERVER = """
import socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
print(flush=True)
server.accept()[0].recv(1)
sys.stdin.read()
"""


@pytest.mark.parametrize("has_client", [False, True])
def test_killed_server_has_its_path_back_without_waiting_for_the_next_look(
    sock_dir: str, monkeypatch: pytest.MonkeyPatch, has_client: bool
) -> None:
    monkeypatch.setattr(tap_keeper, "_LOOK_EVERY_S", 10 * PATIENCE_S)
    argv = [sys.executable, "-c", SERVER, f"{sock_dir}/s"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        server.stdout.readline()

        def kill_it(ran: Ran) -> None:
            with connect(ran.path) if has_client else nullcontext():
                server.kill()
                wait_until(lambda: bool(ran.told(SteppedBack)))

        ran = run(f"{sock_dir}/s", kill_it)
    assert ran.told(ServerGone) == [ServerGone(ran.path)]


def test_connection_that_is_reset_is_a_reason_to_look(sock_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the server's process is not seen, as another user's."""
    monkeypatch.setattr(tap_keeper, "_LOOK_EVERY_S", 10 * PATIENCE_S)
    monkeypatch.setattr(tap_keeper, "holders_of_path", lambda path: [])
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{sock_dir}/s")
        server.listen()

        def go(ran: Ran) -> None:
            with connect(ran.path) as client:
                client.send(b"unread")
                connection = server.accept()[0]
                connection.recv(6, socket.MSG_PEEK)
                server.close()
                connection.close()
                wait_until(lambda: bool(ran.told(SteppedBack)))

        ran = run(f"{sock_dir}/s", go)
    assert ran.told(ServerGone) == [ServerGone(ran.path)]
