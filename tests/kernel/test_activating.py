"""A child is handed sockets as systemd does it: by asking real ones."""

from __future__ import annotations

import errno
import os
import resource
import signal
import socket
import threading
import warnings
from collections.abc import Sequence

import pytest
from tests.program import PATIENCE_S

from afunix.kernel.activating import ActivatedCommand, is_shut_down
from afunix.kernel.spawning import keep_descriptors_from_children
from afunix.model.errors import AfunixError

ENVIRONMENT = {b"PATH": os.environb[b"PATH"], b"LISTEN_PID": b"1"}


def said_by(script: str, *more: socket.socket, names: Sequence[str] = ("a",), soft: int | None = None) -> str:
    """What a shell writes to its descriptor 3."""
    near, far = socket.socketpair()
    far.settimeout(PATIENCE_S)
    with near, far:
        command = ActivatedCommand(["sh", "-c", script], soft, names=names)
        pid = command.start_with([near.fileno(), *(each.fileno() for each in more)], ENVIRONMENT)
        near.close()
        said = b"".join(iter(lambda: far.recv(4096), b""))
        assert os.waitpid(pid, 0)[1] == 0
    return said.decode()


def test_it_is_told_what_it_has_and_that_it_is_meant() -> None:
    said = said_by("echo $$ $LISTEN_PID $LISTEN_FDS $LISTEN_FDNAMES >&3", names=["web-no"])
    pid, *told = said.split()
    assert told == [pid, "1", "web-no"]


def test_sockets_are_in_their_order_whatever_their_numbers() -> None:
    one, two = socket.socketpair()
    with one, two:
        script = "readlink /proc/$$/fd/4 /proc/$$/fd/5 >&3; echo $LISTEN_FDNAMES >&3"
        said = said_by(script, two, one, names=["x", "y", "z"]).split()
        assert said == [
            *(f"socket:[{os.fstat(each.fileno()).st_ino}]" for each in (two, one)),
            "x:y:z",
        ]


def test_sockets_whose_numbers_are_each_other_s_change_places() -> None:
    """Between 3 and 4 they are swapped, without a third number at hand."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            one, two = socket.socketpair()
            os.dup2(one.fileno(), 4)
            os.dup2(two.fileno(), 3)
            want = " ".join(os.readlink(f"/proc/self/fd/{fd}") for fd in (4, 3))
            script = f'[ "$(readlink /proc/$$/fd/3) $(readlink /proc/$$/fd/4)" = "{want}" ]'
            child = ActivatedCommand(["sh", "-c", script], names=("a", "b")).start_with((4, 3), ENVIRONMENT)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0


def test_nothing_else_is_open_in_it_and_stdin_is_empty() -> None:
    with open(os.devnull) as null:
        os.set_inheritable(null.fileno(), True)
        keep_descriptors_from_children()
        ours, reader = os.dup(0), os.open(os.curdir, os.O_RDONLY)
        os.dup2(reader, 0)
        try:
            said = said_by("readlink /proc/$$/fd/0 >&3; exec ls /proc/self/fd >&3").split()
        finally:
            os.dup2(ours, 0)
            os.close(ours)
            os.close(reader)
    assert said == [os.devnull, "0", "1", "2", "3", "4"]  # 4 is the directory that ls reads


def test_signals_limit_and_group_are_as_in_a_new_process() -> None:
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        status = said_by(
            "exec cat /proc/self/status >&3"
        ).splitlines()  # a shell that forks blocks signals meanwhile
        limit, stat = said_by(
            "ulimit -Sn >&3; exec cut -d' ' -f1,5 /proc/self/stat >&3", soft=99
        ).splitlines()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGUSR1, before)
    lines = dict(line.split(":\t") for line in status)
    the_c_library_s_own = 0b11 << 31
    assert (int(lines["SigBlk"], 16), int(lines["SigIgn"], 16) & ~the_c_library_s_own) == (0, 0)
    assert limit == "99"
    assert len(set(stat.split())) == 1
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == soft


def test_our_mask_is_as_it_was() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    said_by("exit 0")
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_a_single_connection_is_started_with_as_a_sink_does_it() -> None:
    near, far = socket.socketpair()
    near.setblocking(False)
    with near, far:
        pid = ActivatedCommand(["sh", "-c", "head -n1 <&3 >&3"], names=("connection",)).start(
            near.fileno(), ENVIRONMENT
        )
        near.close()
        far.settimeout(PATIENCE_S)
        far.sendall(b"hello\n")  # waited for, so it blocks
        assert far.recv(99) == b"hello\n"
        assert os.waitpid(pid, 0)[1] == 0


def test_a_command_that_has_gone_meanwhile_is_told_and_leaves_no_zombie(sock_dir: str) -> None:
    path = f"{sock_dir}/command"
    os.symlink("/bin/true", path)
    command = ActivatedCommand([path], names=("a",))
    os.unlink(path)
    with socket.socket(socket.AF_UNIX) as sock, pytest.raises(OSError) as caught:
        command.start_with([sock.fileno()], {})
    assert caught.value.errno == errno.ENOENT
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_child_that_never_begins_is_no_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    def pause(*args: object) -> None:
        while True:
            signal.pause()

    monkeypatch.setattr("afunix.kernel.activating._BEGINS_WITHIN_S", 0.05)
    monkeypatch.setattr("afunix.kernel.activating.put_in_order", pause)
    with socket.socket(socket.AF_UNIX) as sock, pytest.raises(BlockingIOError):
        ActivatedCommand(["true"], names=("a",)).start(sock.fileno(), {})
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_thread_that_waits_elsewhere_is_no_obstacle() -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            assert said_by("echo hello >&3") == "hello\n"
    finally:
        done.set()
        thread.join()
    assert [str(each.message) for each in told] == []


def test_what_cannot_be_a_process_leaves_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> int:
        raise OSError(errno.EAGAIN, "")

    monkeypatch.setattr(os, "fork", fail)
    with socket.socket(socket.AF_UNIX) as sock, pytest.raises(BlockingIOError):
        ActivatedCommand(["true"], names=("a",)).start(sock.fileno(), {})


def test_a_command_that_is_none_is_told_before_it_is_needed() -> None:
    with pytest.raises(AfunixError, match="no command that can be found"):
        ActivatedCommand(["no-such-command"], names=())


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_listener_that_was_shut_down_is_seen(sock_dir: str, kind: int) -> None:
    with socket.socket(socket.AF_UNIX, kind) as sock:
        sock.bind(f"{sock_dir}/s")
        if kind == socket.SOCK_STREAM:
            sock.listen()
        with socket.socket(socket.AF_UNIX, kind) as client:
            client.connect(f"{sock_dir}/s")
            client.send(b"x")
            assert not is_shut_down(sock.fileno())
        sock.shutdown(socket.SHUT_RD)
        assert is_shut_down(sock.fileno())
