"""In front, looked after, guarded, and back; in this process. What takes a kill is in tests/interop."""

from __future__ import annotations

import os
import resource
import signal
import socket
from collections.abc import Iterator

import pytest
from tests.relay_runs import wait_until
from tests.servers import echo, serving
from tests.tap_runs import Ran, ask, run

from afunix.model.errors import AfunixError
from afunix.model.standing import Standing
from afunix.model.tap_notices import (
    GuardianReplaced,
    PathChanged,
    ServerGone,
    SteppedBack,
    SteppedIn,
)
from afunix.tools import tap_guardian as module
from afunix.tools.settings import Cause


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
