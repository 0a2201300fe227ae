"""Under a service manager: a real socket that notifications come to, services started with real descriptors."""

from __future__ import annotations

import array
import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest
from tests.loops import HandTurned
from tests.peers import require
from tests.program import PATIENCE_S, environment
from tests.services import PREAMBLE, run_service

import afunix
from afunix import systemd
from afunix.model.errors import AddressError, TimedOutError
from afunix.systemd import NotifyError


class Manager:
    """What NOTIFY_SOCKET leads to; `read` is one message with the descriptors that came, which are closed at once."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.settimeout(PATIENCE_S)

    def read(self) -> tuple[str, list[os.stat_result]]:
        data, ancillary, flags, _ = self.socket.recvmsg(65536, 4096)
        assert not flags & (socket.MSG_CTRUNC | socket.MSG_TRUNC)
        fds = array.array("i", b"".join(raw for *_, raw in ancillary))
        files = [os.fstat(fd) for fd in fds]
        for fd in fds:
            os.close(fd)
        return data.decode(), files

    def messages(self) -> list[str]:
        """All that are here by now."""
        self.socket.setblocking(False)
        found = []
        try:
            while True:
                found.append(self.read()[0])
        except BlockingIOError:
            return found
        finally:
            self.socket.settimeout(PATIENCE_S)


@pytest.fixture
def manager(sock_dir: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    monkeypatch.setenv("NOTIFY_SOCKET", f"{sock_dir}/notify")
    found = Manager(f"{sock_dir}/notify")
    with closing(found.socket):
        yield found


@pytest.fixture
def no_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def opened(sock_dir: str) -> Iterator[Callable[..., list[socket.socket]]]:
    """Sockets as a manager opens them, at `0`, `1` … in the short directory."""
    with ExitStack() as stack:

        def make(*kinds: int) -> list[socket.socket]:
            made = []
            for number, kind in enumerate(kinds):
                sock = stack.enter_context(socket.socket(socket.AF_UNIX, kind))
                sock.bind(f"{sock_dir}/{number}")
                if kind != socket.SOCK_DGRAM:
                    sock.listen()
                made.append(sock)
            return made

        yield make


STREAM, DGRAM, SEQPACKET = socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET
Opened = Callable[..., list[socket.socket]]

SHOW = "def show(*names): print([each.fd for each in systemd.listeners(*names)])\n"
TELL = """
def tell(*names):
    try:
        print([each.fd for each in systemd.listeners(*names)])
    except AfunixError as error:
        print(error)
"""


# --- inherited sockets


def test_module_is_there_after_importing_the_root() -> None:
    assert afunix.systemd is systemd


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ('"control"', "[4]"),
        ('"control", "web"', "[4, 3, 5]"),
        ('"web", "web"', "[3, 5]"),
        ("", "[3, 4, 5]"),
    ],
)
def test_inherited_sockets_are_found_by_name(opened: Opened, asked: str, found: str) -> None:
    sockets = opened(STREAM, SEQPACKET, DGRAM)
    assert run_service(f"{SHOW}show({asked})", sockets, LISTEN_FDNAMES="web:control:web") == f"{found}\n"


def test_each_is_taken_once(opened: Opened) -> None:
    program = f"{TELL}kept = systemd.listeners('a')\ntell('a')\ntell()\ntell()"
    said = run_service(program, opened(STREAM, STREAM), LISTEN_FDNAMES="a:b").splitlines()
    assert said == ["the inherited socket 'a' (descriptor 3) was taken already", "[4]", "[]"]


def test_unknown_name_is_told_with_those_that_there_are(opened: Opened) -> None:
    said = run_service(f"{TELL}tell('b', 'c')\ntell('b')", opened(STREAM, STREAM), LISTEN_FDNAMES="a:b")
    assert said.splitlines() == ["no inherited socket is called 'c'; LISTEN_FDNAMES names 'a', 'b'", "[4]"]


def test_where_nothing_is_inherited_there_are_no_listeners() -> None:
    assert systemd.listeners() == []
    assert systemd.listeners("web") == []
    assert systemd.is_activated() is False


def test_activation_can_be_asked_for(opened: Opened) -> None:
    assert run_service("print(systemd.is_activated())", opened(STREAM)) == "True\n"


def test_environment_that_makes_no_sense_is_an_error(opened: Opened) -> None:
    said = run_service(f"{TELL}tell()", opened(STREAM), LISTEN_FDNAMES="a:b")
    assert said == "LISTEN_FDS announces 1 descriptor, and LISTEN_FDNAMES has 2 names: 'a:b'\n"


def test_connected_socket_is_no_listener() -> None:
    one, other = socket.socketpair()
    with one, other:
        said = run_service(f"{TELL}tell('c')", [one], LISTEN_FDNAMES="c")
    assert said.startswith("descriptor 3 ('c'), a stream socket, does not listen")


def test_stored_descriptor_among_them_is_in_nobodys_way(opened: Opened) -> None:
    program = f"{TELL}tell()\ntell('web')\nprint(systemd.take_stored('state'), systemd.take_stored('state'))"
    with open(os.devnull) as stored:
        said = run_service(program, [stored, *opened(STREAM)], LISTEN_FDNAMES="state:web")
    refused = "descriptor 3 ('state') is a character device, expected a Unix socket"
    assert said.splitlines() == [refused, "[4]", "[3] []"]


def test_inherited_socket_outlives_its_user_with_its_path_and_flags(sock_dir: str, opened: Opened) -> None:
    (sock,) = opened(STREAM)
    program = (
        "import os; one, = systemd.listeners(); one.refuse_new(); one.close(); print(os.get_blocking(0))"
    )
    run_service(program, [sock])
    assert os.get_blocking(sock.fileno())
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{sock_dir}/0")
        sock.accept()[0].close()


def test_listeners_are_close_on_exec_and_accept(sock_dir: str, opened: Opened) -> None:
    (sock,) = opened(STREAM)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{sock_dir}/0")
        program = "import os; one, = systemd.listeners(); print(os.get_inheritable(one.fd), one.accept().send(b'hi'))"
        assert run_service(program, [sock]) == "False 2\n"
        assert client.recv(10) == b"hi"


def test_service_of_systemd_socket_activate_answers(sock_dir: str) -> None:
    activator = require("systemd-socket-activate")
    path = f"{sock_dir}/web"
    service = (
        f"{PREAMBLE}[web] = systemd.listeners('web')\n"
        "client = web.accept()\nclient.sendall(client.recv(100).upper())\nclient.close()\nweb.close()\n"
        "print(systemd.is_activated(), web.is_inherited, web.address)"
    )
    command = [activator, f"--listen={path}", "--fdname=web", "--setenv=PYTHONPATH"]
    with subprocess.Popen(
        [*command, sys.executable, "-W", "error", "-c", service],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert "Listening on" in process.stderr.readline()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            client.sendall(b"hello")
            client.settimeout(PATIENCE_S)
            assert client.recv(100) == b"HELLO"
        assert process.communicate(timeout=PATIENCE_S)[0] == f"True True {path}\n"
    assert os.path.lexists(path)


# --- telling how we are


def test_manager_is_told_all_at_once(manager: Manager) -> None:
    assert systemd.notify("READY=1", "STATUS=3 clients – fine") is True
    assert manager.read() == ("READY=1\nSTATUS=3 clients – fine", [])


def test_we_say_it_as_systemd_notify_does(manager: Manager) -> None:
    command = [require("systemd-notify"), "--no-block", "--ready", "--status=on = off", "X_OURS="]
    subprocess.run(command, check=True, timeout=PATIENCE_S)
    theirs = manager.read()
    systemd.notify("READY=1", "STATUS=on = off", "X_OURS=")
    assert manager.read() == theirs


def test_manager_at_an_abstract_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"afunix-test-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    with closing(Manager(f"\0{name}").socket) as receiver:
        assert systemd.notify("STOPPING=1") is True
        assert receiver.recv(100) == b"STOPPING=1"


@pytest.mark.parametrize("value", [None, "", "vsock:2:1234", "/nowhere/notify", "relative"])
def test_without_a_manager_every_call_says_so(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if value is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", value)
    told = [
        systemd.notify("READY=1"),
        systemd.store_fds("a", [0]),
        systemd.remove_stored("a"),
        systemd.barrier(1),
    ]
    assert told == [False] * 4


@pytest.mark.parametrize("kind", [STREAM, SEQPACKET])
def test_socket_of_another_type_is_no_manager(
    sock_dir: str, opened: Opened, monkeypatch: pytest.MonkeyPatch, kind: int
) -> None:
    opened(kind)
    monkeypatch.setenv("NOTIFY_SOCKET", f"{sock_dir}/0")
    assert systemd.notify("READY=1") is False


@pytest.mark.parametrize(
    "state",
    ["READY", "", "=1", "STATUS=a\nMAINPID=1", "STATUS=a\rMAINPID=1", "STATUS=\0", "two words=1", b"A=1"],
)
def test_what_would_be_taken_for_something_else_is_refused(no_manager: None, state: str) -> None:
    with pytest.raises(NotifyError, match="expected NAME=VALUE on one line"):
        systemd.notify("READY=1", state)


def test_length_that_systemd_ignores_is_refused(manager: Manager) -> None:
    longest = "STATUS=" + "x" * (4096 - 7)
    assert systemd.notify(longest) is True
    assert manager.read()[0] == longest
    with pytest.raises(NotifyError, match="a message of 4097 bytes cannot be told"):
        systemd.notify(longest + "x")
    with pytest.raises(NotifyError, match="a message of 0 bytes"):
        systemd.notify()


def test_bytes_are_counted_and_not_characters(no_manager: None) -> None:
    with pytest.raises(NotifyError, match="a message of 4098 bytes"):
        systemd.notify("STATUS=" + "ü" * 2045 + "x")


# --- the watchdog


@pytest.mark.parametrize(
    ("variables", "interval"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "1", "WATCHDOG_PID": str(os.getpid())}, 0.0000005),
        ({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}, None),
    ],
)
def test_interval_is_half_of_what_is_allowed_to_this_process(
    no_manager: None, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], interval: float | None
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert systemd.watchdog_interval() == interval


@pytest.mark.parametrize(
    "written", ["", "0", "-1", "1.5", "1e6", "infinity", "18446744073709551615", "9" * 30]
)
def test_watchdog_time_that_is_none_is_an_error(
    no_manager: None, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", written)
    with pytest.raises(
        AddressError, match=f"WATCHDOG_USEC is '{written}', expected a number of microseconds"
    ):
        systemd.watchdog_interval()


def test_watchdog_pid_that_is_none_is_an_error(no_manager: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "1000")
    monkeypatch.setenv("WATCHDOG_PID", "me")
    with pytest.raises(AddressError, match="WATCHDOG_PID is 'me'"):
        systemd.watchdog_interval()


@pytest.fixture
def watched(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> Manager:
    monkeypatch.setenv("WATCHDOG_USEC", "20000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    return manager


@pytest.fixture
def loop() -> Iterator[HandTurned]:
    with closing(HandTurned()) as loop:
        yield loop


async def live(end: asyncio.Event) -> float | None:
    with systemd.keep_alive() as interval:
        await end.wait()
    return interval


def test_loop_that_turns_says_that_it_lives(watched: Manager, loop: HandTurned) -> None:
    end = asyncio.Event()
    task = loop.create_task(live(end))
    loop.turn(2)
    assert watched.messages() == ["WATCHDOG=1"]
    loop.advance(9.9)
    assert watched.messages() == []
    loop.advance(0.2)
    loop.advance(10)
    assert watched.messages() == ["WATCHDOG=1"] * 2
    loop.call_soon(end.set)
    loop.until(task.done)
    assert task.result() == 10


def test_after_its_end_nothing_is_said(watched: Manager, loop: HandTurned) -> None:
    task = loop.create_task(live(asyncio.Event()))
    loop.turn(2)
    task.cancel()
    loop.until(task.done)
    watched.messages()
    loop.advance(100)
    assert watched.messages() == []


def test_keep_alive_that_does_not_get_through_comes_again_soon(watched: Manager, loop: HandTurned) -> None:
    while systemd.notify("X_FULL=1"):
        pass
    task = loop.create_task(live(asyncio.Event()))
    loop.turn(2)
    assert "WATCHDOG=1" not in watched.messages()
    loop.advance(1.1)
    assert watched.messages() == ["WATCHDOG=1"]
    task.cancel()
    loop.until(task.done)


def test_unwatched_service_says_nothing(
    manager: Manager, loop: HandTurned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    end = asyncio.Event()
    end.set()
    assert loop.run_until_complete(live(end)) is None
    assert manager.messages() == []


def test_keeping_alive_needs_a_loop(no_manager: None) -> None:
    with pytest.raises(RuntimeError, match="no running event loop"), systemd.keep_alive():
        pass


# --- what is kept over a restart


@pytest.mark.parametrize(
    ("options", "more"), [({}, ""), ({"poll": True}, ""), ({"poll": False}, "\nFDPOLL=0")]
)
def test_descriptors_are_stored_under_their_name(
    manager: Manager, options: dict[str, bool], more: str
) -> None:
    with socket.socket(socket.AF_UNIX) as one, open(os.devnull) as other:
        assert systemd.store_fds("state", [one, other.fileno()], **options) is True
        message, files = manager.read()
        assert message == f"FDSTORE=1\nFDNAME=state{more}"
        assert [file.st_ino for file in files] == [os.fstat(each.fileno()).st_ino for each in (one, other)]
        assert one.fileno() >= 0


def test_more_than_one_message_carries_are_stored_in_several(manager: Manager) -> None:
    with open(os.devnull) as file:
        assert systemd.store_fds("many", [file] * 300) is True
    assert [len(manager.read()[1]) for _ in range(2)] == [253, 47]


def test_nothing_to_store_is_nothing_said(manager: Manager) -> None:
    assert systemd.store_fds("state", []) is True
    assert manager.messages() == []


@pytest.mark.parametrize("name", ["", "a:b", "ü", "a\nb", "\x7f", "x" * 256, None])
def test_name_that_systemd_refuses_is_refused_here(no_manager: None, name: str) -> None:
    with pytest.raises(NotifyError, match="is no name for stored descriptors"):
        systemd.store_fds(name, [])
    with pytest.raises(NotifyError, match="is no name for stored descriptors"):
        systemd.remove_stored(name)


def test_longest_name_and_every_printable_character_are_taken(manager: Manager) -> None:
    for name in ("x" * 255, " !~/@="):
        systemd.remove_stored(name)
        assert manager.read()[0] == f"FDSTOREREMOVE=1\nFDNAME={name}"


@pytest.mark.parametrize("fd", [-1, 1 << 40, 999_999])
def test_descriptor_that_is_not_open_is_not_stored(manager: Manager, fd: int) -> None:
    with pytest.raises(NotifyError, match=f"descriptor {fd} is not open"), open(os.devnull) as file:
        systemd.store_fds("state", [file, fd])
    assert manager.messages() == []


def test_what_was_stored_comes_back_after_the_restart(sock_dir: str) -> None:
    with open(f"{sock_dir}/state", "w+") as stored:
        stored.write("42 clients")
        stored.flush()
        program = (
            "import os; [fd] = systemd.take_stored('state')\n"
            "print(os.get_inheritable(fd), os.pread(fd, 100, 0).decode(), systemd.take_stored('other'))"
        )
        assert run_service(program, [stored], LISTEN_FDNAMES="state") == "False 42 clients []\n"


# --- the barrier


def test_barrier_waits_until_all_is_read(manager: Manager) -> None:
    systemd.notify("READY=1")
    read: list[str] = []

    def read_two() -> None:
        read.extend(manager.read()[0] for _ in range(2))

    reader = threading.Thread(target=read_two)
    reader.start()
    assert systemd.barrier(PATIENCE_S) is True
    assert read[:1] == ["READY=1"]
    reader.join()
    assert read == ["READY=1", "BARRIER=1"]


def test_barrier_carries_one_descriptor_and_nothing_else(manager: Manager) -> None:
    reader = threading.Thread(target=systemd.barrier, args=(PATIENCE_S,))
    reader.start()
    message, files = manager.read()
    reader.join()
    assert (message, len(files)) == ("BARRIER=1", 1)


def test_manager_that_does_not_read_is_a_timeout(manager: Manager) -> None:
    with pytest.raises(TimedOutError, match=r"has not read our messages within 0.01 s \(BARRIER=1\)"):
        systemd.barrier(0.01)


@pytest.mark.parametrize("timeout", [-1, float("nan")])
def test_time_that_is_none_is_refused(no_manager: None, timeout: float) -> None:
    with pytest.raises(NotifyError, match="expected 0 or more"):
        systemd.barrier(timeout)
