"""`tap()` in this process: its events and notices, in order, and how it ends. What takes a kill is in tests/interop."""

from __future__ import annotations

import os
import resource
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from tests.program import PATIENCE_S
from tests.relay_runs import connect, wait_until
from tests.servers import echo, read_all, serving

from afunix.model.address import Address
from afunix.model.errors import AfunixError, NoSuchSocketError
from afunix.model.standing import Standing
from afunix.model.tap_notices import (
    GuardianReplaced,
    PathChanged,
    ServerGone,
    SteppedBack,
    SteppedIn,
    TapNotice,
)
from afunix.model.tapped import Beginning, Opened, Over, Said, SaidAll, Side, TapEvent
from afunix.tools import tap_guardian as module
from afunix.tools.relay_settings import RelayResult
from afunix.tools.settings import Cause
from afunix.tools.tap import TapSettings, tap


@pytest.fixture(autouse=True)
def own_process() -> Iterator[None]:
    """What `tap` changes of the process is put back."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


class Ran:
    """A run: what it told, and its result."""

    result: RelayResult

    def __init__(self, path: str) -> None:
        self.path = path
        self.beginnings: list[Beginning] = []
        self.events: list[TapEvent] = []
        self.notices: list[TapNotice] = []
        self.stop: Callable[[str], None] = lambda words: None

    def begin(self, beginning: Beginning) -> Callable[[TapEvent], None]:
        self.beginnings.append(beginning)
        return self.events.append

    def told(self, kind: type) -> list[TapNotice]:
        return [notice for notice in self.notices if isinstance(notice, kind)]


def run(path: str, script: Callable[[Ran], None], **settings: object) -> Ran:
    """Tap `path`; `script` in a thread once it is in front. A script that returns "on" lets it end by itself."""
    ran = Ran(path)
    threads: list[threading.Thread] = []
    faults: list[BaseException] = []

    def act() -> None:
        try:
            script(ran)
        except BaseException as fault:
            faults.append(fault)
        ran.stop("the script is over")

    def on_ready(stop: Callable[[str], None]) -> None:
        ran.stop = stop
        threads.append(threading.Thread(target=act))
        threads[0].start()

    try:
        ran.result = tap(
            TapSettings(Address.parse(path), **settings),  # type: ignore[arg-type]
            on_beginning=ran.begin,
            alerts=ran.notices.append,
            on_ready=on_ready,
        )
    finally:
        for thread in threads:
            thread.join(PATIENCE_S)
    if faults:
        raise faults[0]
    if ran.result.fault is not None:
        raise ran.result.fault
    return ran


def ask(path: str) -> None:
    with connect(path) as client:
        client.sendall(b"hello")
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b"hello"


def test_a_conversation_is_told_from_its_beginning_to_its_end(sock_dir: str) -> None:
    with serving(f"{sock_dir}/s", echo):
        ran = run(f"{sock_dir}/s", lambda ran: ask(ran.path))
    opened = ran.events[0]
    assert isinstance(opened, Opened)
    assert (opened.connection, opened.peer.pid, opened.peer.uid) == (1, os.getpid(), os.geteuid())
    said = [(event.side, event.data) for event in ran.events if isinstance(event, Said)]
    assert said == [(Side.CLIENT, b"hello"), (Side.SERVER, b"hello")]
    ends = [event.side for event in ran.events if isinstance(event, SaidAll)]
    assert ends == [Side.CLIENT, Side.SERVER]
    assert isinstance(ran.events[-1], Over) and ran.events[-1].reason == ""
    times = [event.at_s for event in ran.events]
    assert times == sorted(times) and times[0] >= 0


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
