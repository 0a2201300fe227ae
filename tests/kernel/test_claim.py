"""Getting a path: stale and live, starters at once, other kinds of file, mode and owner, taking over."""

from __future__ import annotations

import errno
import os
import signal
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from afunix.kernel import claim as claim_module
from afunix.kernel import socket_file
from afunix.kernel.pathname import Place, hold
from afunix.kernel.peercred import peer_credentials
from afunix.model.address import Address
from afunix.model.errors import AddressError, AddressInUseError, DeniedError, NotASocketError
from afunix.model.events import Event, LiveReplaced, StaleRemoved
from afunix.model.ownership import judge

TYPES = [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET]

Claim = Callable[..., tuple[socket.socket, socket_file.SocketFile]]
NewSocket = Callable[..., socket.socket]
InChild = Callable[..., Any]


@pytest.mark.parametrize("kind", TYPES)
def test_a_free_path_is_bound(sock_dir: str, claim: Claim, kind: int) -> None:
    sock, file = claim(f"{sock_dir}/s", kind)
    assert sock.getsockname() == f"{sock_dir}/s"
    assert os.lstat(f"{sock_dir}/s").st_ino == file.inode
    assert os.listdir(sock_dir) == ["s"]


@pytest.mark.parametrize("kind", TYPES)
def test_a_stale_socket_file_is_replaced(stale_path: str, claim: Claim, kind: int) -> None:
    seen: list[Event] = []
    sock, file = claim(stale_path, kind, observer=seen.append)
    assert seen == [StaleRemoved(sock.fileno(), Address.pathname(stale_path))]
    assert file.is_ours()
    assert os.listdir(os.path.dirname(stale_path)) == ["s"]


def test_a_start_after_kill_9_needs_no_help(sock_dir: str, claim: Claim) -> None:
    path = f"{sock_dir}/s"
    with _started(path, signal.SIGKILL):
        pass
    assert os.path.exists(path)
    sock, _ = claim(path)
    sock.listen()
    _assert_reachable(path)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("mine", TYPES)
def test_a_bound_socket_that_does_not_listen_is_live(
    sock_dir: str, claim: Claim, kind: int, mine: int
) -> None:
    _, file = claim(f"{sock_dir}/s", kind)
    with pytest.raises(AddressInUseError, match=rf"in use: pid {os.getpid()} \(.+\) holds it"):
        claim(f"{sock_dir}/s", mine)
    assert file.is_ours()
    assert os.listdir(sock_dir) == ["s"]


def test_a_live_listener_is_refused_and_goes_on(sock_dir: str, claim: Claim) -> None:
    sock, _ = claim(f"{sock_dir}/s")
    sock.listen()
    with pytest.raises(AddressInUseError):
        claim(f"{sock_dir}/s")
    _assert_reachable(f"{sock_dir}/s")


def test_a_listener_with_a_full_backlog_is_live(sock_dir: str, claim: Claim, new_socket: NewSocket) -> None:
    sock, _ = claim(f"{sock_dir}/s")
    sock.listen(0)
    client = new_socket()
    client.setblocking(False)
    client.connect(f"{sock_dir}/s")
    with pytest.raises(AddressInUseError):
        claim(f"{sock_dir}/s")


def test_a_draining_listener_is_live_while_its_path_is_there(sock_dir: str, claim: Claim) -> None:
    sock, file = claim(f"{sock_dir}/s")
    sock.listen()
    sock.shutdown(socket.SHUT_RD)
    with pytest.raises(AddressInUseError):
        claim(f"{sock_dir}/s")
    assert file.remove()
    claim(f"{sock_dir}/s")


def test_a_datagram_server_that_is_connected_to_one_peer_is_live(
    sock_dir: str, claim: Claim, new_socket: NewSocket
) -> None:
    sock, _ = claim(f"{sock_dir}/s", socket.SOCK_DGRAM)
    peer = new_socket(socket.SOCK_DGRAM)
    peer.bind(f"{sock_dir}/peer")
    sock.connect(f"{sock_dir}/peer")
    with pytest.raises(AddressInUseError):
        claim(f"{sock_dir}/s")


def test_the_probe_makes_no_connection(sock_dir: str, claim: Claim) -> None:
    sock, _ = claim(f"{sock_dir}/s", socket.SOCK_SEQPACKET)
    sock.listen()
    with pytest.raises(AddressInUseError):
        claim(f"{sock_dir}/s")
    sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        sock.accept()


def test_a_socket_that_may_not_be_probed_is_refused(
    stale_path: str, as_ordinary_user: InChild, new_socket: NewSocket
) -> None:
    os.chmod(stale_path, 0)

    def start() -> str:
        with pytest.raises(AddressInUseError) as caught:
            socket_file.bind(new_socket(), Address.pathname(stale_path))
        return str(caught.value)

    said = as_ordinary_user(start)
    assert "may be in use: connecting to it, to find out, failed (EACCES)" in said
    assert f"it belongs to uid {os.getuid()}" in said
    assert os.listdir(os.path.dirname(stale_path)) == ["s"]


@pytest.mark.parametrize("kind", ["file", "empty file", "directory", "fifo", "link to file", "dangling link"])
@pytest.mark.parametrize("replace", [False, True])
def test_what_is_no_socket_is_left_untouched(sock_dir: str, claim: Claim, kind: str, replace: bool) -> None:
    path, words = _make(sock_dir, kind)
    before = _identity(path)
    with pytest.raises(NotASocketError, match=words) as caught:
        claim(path, replace=replace)
    assert caught.value.hint
    assert _identity(path) == before
    assert sorted(os.listdir(sock_dir)) == sorted({"target", "x"} if kind == "link to file" else {"x"})


def test_a_link_to_a_live_socket_is_not_followed(sock_dir: str, claim: Claim) -> None:
    _, file = claim(f"{sock_dir}/s")
    os.symlink("s", f"{sock_dir}/link")
    with pytest.raises(NotASocketError, match="is a symbolic link"):
        claim(f"{sock_dir}/link", replace=True)
    assert file.is_ours()
    assert os.readlink(f"{sock_dir}/link") == "s"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a device")
def test_a_device_is_left_untouched(sock_dir: str, claim: Claim) -> None:
    try:
        os.mknod(f"{sock_dir}/x", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("this container may not make devices")
    with pytest.raises(NotASocketError, match="is a character device"):
        claim(f"{sock_dir}/x")


def test_of_many_starters_on_a_stale_path_exactly_one_wins(sock_dir: str) -> None:
    path = f"{sock_dir}/s"
    for _ in range(20):  # the winner of each round is killed, and so leaves a stale path to the next
        with _contest(path, starters=6) as outcomes:
            owners = [pid for pid, outcome in outcomes.items() if outcome == "owner"]
            assert len(owners) == 1, outcomes
            assert sorted(outcomes.values()) == ["AddressInUseError"] * 5 + ["owner"]
            assert _who_listens(path) == owners[0]
        assert os.listdir(sock_dir) == ["s"]


def test_a_rival_who_comes_while_the_stale_file_is_removed_is_seen(
    stale_path: str, claim: Claim, new_socket: NewSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    rival = new_socket()
    unlink = claim_module._unlink_if_same

    def slow_unlink(*arguments: Any) -> bool:
        removed = unlink(*arguments)
        rival.bind(stale_path)
        return removed

    monkeypatch.setattr(claim_module, "_unlink_if_same", slow_unlink)
    with pytest.raises(AddressInUseError):
        claim(stale_path)
    assert rival.getsockname() == stale_path
    assert os.path.exists(stale_path)


def test_a_file_that_takes_the_place_of_the_stale_one_is_not_removed(
    stale_path: str, claim: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []

    def judge_slowly(seen: Any) -> Any:
        looks.append(seen)
        if len(looks) == 2:  # the look under the lock
            os.unlink(stale_path)
            os.mkdir(stale_path)
        return judge(seen)

    monkeypatch.setattr(claim_module, "judge", judge_slowly)
    with pytest.raises(NotASocketError):
        claim(stale_path)
    assert os.path.isdir(stale_path)


def test_a_directory_that_is_exchanged_meanwhile_is_told(
    stale_path: str, sock_dir: str, new_socket: NewSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hold_and_exchange(address: Address) -> Place:
        place = hold(address)
        os.rename(sock_dir, f"{sock_dir}.moved")
        os.mkdir(sock_dir)
        os.rename(f"{sock_dir}.moved/s", stale_path)
        os.rename(f"{sock_dir}.moved", f"{sock_dir}/moved")
        return place

    monkeypatch.setattr(socket_file, "hold", hold_and_exchange)
    with pytest.raises(AddressInUseError, match="its directory was exchanged"):
        socket_file.bind(new_socket(), Address.pathname(stale_path))
    assert sorted(os.listdir(sock_dir)) == ["moved", "s"]
    assert os.listdir(f"{sock_dir}/moved") == []


@pytest.mark.parametrize("umask", [0, 0o022, 0o077, 0o777])
@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666, 0o777, 0o622])
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_the_mode_is_never_wider_and_right_in_the_end(
    sock_dir: str, umask: int, mode: int, kind: int
) -> None:
    path = f"{sock_dir}/s"
    with _umask(umask), _Watching(socket.AF_UNIX, kind) as sock:
        file = socket_file.bind(sock, Address.pathname(path), mode=mode)
        assert file is not None
        file.close()
    assert sock.first.st_mode & 0o777 & ~mode == 0
    assert stat.S_IMODE(os.lstat(path).st_mode) == mode


def test_the_umask_is_left_alone(sock_dir: str, claim: Claim, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(mask: int) -> int:
        raise AssertionError("the umask belongs to every thread")

    monkeypatch.setattr(os, "umask", refuse)
    claim(f"{sock_dir}/s", mode=0o666)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_file_that_is_given_away_is_narrow_until_it_is(
    sock_dir: str, kind: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"{sock_dir}/s"
    steps = _record_changes(path, monkeypatch)
    with _umask(0), _Watching(socket.AF_UNIX, kind) as sock:
        file = socket_file.bind(sock, Address.pathname(path), mode=0o666, uid=1234, gid=4321)
        assert file is not None
        file.close()
    assert stat.S_IMODE(sock.first.st_mode) == 0o600
    assert steps == [(0o600, 1234, 4321), (0o666, 1234, 4321)]


def test_a_group_that_is_not_ours_is_refused_and_nothing_stays(
    sock_dir: str, as_ordinary_user: InChild, new_socket: NewSocket
) -> None:
    def start() -> tuple[str, list[str]]:
        with pytest.raises(DeniedError, match=r"cannot be given mode 0660, gid 1 by uid") as caught:
            socket_file.bind(new_socket(), Address.pathname(f"{sock_dir}/s"), mode=0o660, gid=1)
        return str(caught.value.errno), os.listdir(sock_dir)

    assert as_ordinary_user(start) == (str(errno.EPERM), [])


def test_a_link_that_is_slipped_under_us_gets_neither_owner_nor_mode(
    sock_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other = f"{sock_dir}/s", f"{sock_dir}/other"
    with socket.socket(socket.AF_UNIX) as victim, _Watching(socket.AF_UNIX) as sock:
        os.fchmod(victim.fileno(), 0o600)
        victim.bind(other)

        def swap() -> None:
            os.unlink(path)
            os.link(other, path)

        sock.after_bind = swap
        with pytest.raises(AddressInUseError, match="was exchanged by another program"):
            socket_file.bind(sock, Address.pathname(path), mode=0o666, gid=os.getgid())
    assert stat.S_IMODE(os.lstat(other).st_mode) == 0o600


def test_a_mode_that_is_none_is_refused(sock_dir: str, claim: Claim) -> None:
    with pytest.raises(AddressError, match="0o1777 is no mode for a socket file"):
        claim(f"{sock_dir}/s", mode=0o1777)
    assert os.listdir(sock_dir) == []


def test_a_live_path_is_taken_over_when_asked(sock_dir: str, claim: Claim) -> None:
    path = f"{sock_dir}/s"
    old, old_file = claim(path)
    old.listen()
    seen: list[Event] = []
    new, new_file = claim(path, mode=0o640, replace=True, observer=seen.append)
    new.listen()
    assert seen == [LiveReplaced(new.fileno(), Address.pathname(path))]
    assert new_file.is_ours() and not old_file.is_ours()
    assert stat.S_IMODE(os.lstat(path).st_mode) == 0o640
    assert os.listdir(sock_dir) == ["s"]
    assert _is_reached_by_connecting(new, path)


def test_while_a_path_is_taken_over_no_client_is_refused(sock_dir: str, new_socket: NewSocket) -> None:
    path = f"{sock_dir}/s"
    stop, answers = threading.Event(), set()

    def knock() -> None:
        while not stop.is_set():
            with socket.socket(socket.AF_UNIX) as client:
                answers.add(client.connect_ex(path))

    _serve(new_socket(), path)
    knocker = threading.Thread(target=knock)
    knocker.start()
    try:
        for _ in range(50):
            _serve(new_socket(), path)
    finally:
        stop.set()
        knocker.join()
    assert answers == {0}


def test_a_stale_or_free_path_needs_no_take_over(stale_path: str, claim: Claim) -> None:
    sock, _ = claim(stale_path, replace=True)
    assert sock.getsockname() == stale_path


def test_ready_is_called_when_the_file_is_complete(stale_path: str, new_socket: NewSocket) -> None:
    seen = []
    with new_socket() as sock:
        file = socket_file.bind(
            sock,
            Address.pathname(stale_path),
            mode=0o640,
            ready=lambda: seen.append(stat.S_IMODE(os.lstat(stale_path).st_mode)),
        )
        assert file is not None
        file.close()
    assert seen == [0o640]


@pytest.mark.parametrize("replace", [False, True])
def test_when_ready_fails_the_path_is_as_it_was(sock_dir: str, claim: Claim, replace: bool) -> None:
    def fail() -> None:
        raise OSError(errno.EOPNOTSUPP, "no listen")

    if replace:
        claim(f"{sock_dir}/s")
    before = [os.lstat(f"{sock_dir}/{name}").st_ino for name in os.listdir(sock_dir)]
    with pytest.raises(OSError, match="no listen"):
        claim(f"{sock_dir}/s", replace=replace, ready=fail)
    assert [os.lstat(f"{sock_dir}/{name}").st_ino for name in os.listdir(sock_dir)] == before


class _Watching(socket.socket):
    """A socket that looks at its file in the first moment in which anybody could."""

    first: os.stat_result
    after_bind: Callable[[], None] | None = None

    def bind(self, address: Any) -> None:
        super().bind(address)
        self.first = os.lstat(address)
        if self.after_bind is not None:
            self.after_bind()


def _record_changes(path: str, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int]]:
    """Mode, uid and gid of `path` after each chown and chmod from now on."""
    steps = []

    def recording(change: Callable[..., None]) -> Callable[..., None]:
        def changed(*arguments: Any) -> None:
            change(*arguments)
            file = os.lstat(path)
            steps.append((stat.S_IMODE(file.st_mode), file.st_uid, file.st_gid))

        return changed

    monkeypatch.setattr(os, "chown", recording(os.chown))
    monkeypatch.setattr(os, "chmod", recording(os.chmod))
    return steps


@contextmanager
def _umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def _make(sock_dir: str, kind: str) -> tuple[str, str]:
    path = f"{sock_dir}/x"
    if kind.endswith("file") and "link" not in kind:
        with open(path, "w") as file:
            file.write("" if kind.startswith("empty") else "precious")
        return path, "is a regular file"
    if kind == "directory":
        os.mkdir(path)
        return path, "is a directory"
    if kind == "fifo":
        os.mkfifo(path)
        return path, "is a FIFO"
    if kind == "link to file":
        with open(f"{sock_dir}/target", "w") as file:
            file.write("precious")
    os.symlink("target", path)
    return path, "is a symbolic link"


def _identity(path: str) -> tuple[Any, ...]:
    file = os.lstat(path)
    content = b""
    if os.path.isfile(path):
        with open(path, "rb") as opened:
            content = opened.read()
    return file.st_ino, file.st_mode, file.st_mtime_ns, file.st_ctime_ns, file.st_nlink, content


def _assert_reachable(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)


def _is_reached_by_connecting(listener: socket.socket, path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.sendall(b"hello")
        connection, _ = listener.accept()
        with connection:
            return connection.recv(5) == b"hello"


def _serve(sock: socket.socket, path: str) -> None:
    address = Address.pathname(path)
    file = socket_file.bind(sock, address, replace=True, ready=lambda: sock.listen(4096))
    assert file is not None
    file.close()


def _who_listens(path: str) -> int:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        return peer_credentials(client).pid or 0


@contextmanager
def _started(path: str, end: int) -> Iterator[int]:
    """A process that serves `path`, ended by the signal `end`."""
    with _contest(path, starters=1, end=end) as outcomes:
        yield next(iter(outcomes))


@contextmanager
def _contest(path: str, starters: int, end: int = signal.SIGKILL) -> Iterator[dict[int, str]]:
    """Processes that all start to serve `path` at one moment: pid to "owner" or to the name of the error."""
    start_reader, start_writer = os.pipe()
    pipes = {}
    for _ in range(starters):
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(start_writer)
            _start(path, start_reader, writer)
        os.close(writer)
        pipes[pid] = reader
    os.close(start_reader)
    os.close(start_writer)  # everybody was waiting for this end of file
    try:
        yield {pid: os.read(reader, 100).decode() for pid, reader in pipes.items()}
    finally:
        for pid, reader in pipes.items():
            os.kill(pid, end)
            os.waitpid(pid, 0)
            os.close(reader)


def _start(path: str, start: int, report: int) -> None:
    os.read(start, 1)
    try:
        sock = socket.socket(socket.AF_UNIX)
        socket_file.bind(sock, Address.pathname(path))
        sock.listen()
        os.write(report, b"owner")
    except BaseException as error:
        os.write(report, type(error).__name__.encode())
    while True:
        signal.pause()
