"""A call made as the client has the client's ids and nothing else, and leaves no trace in the process."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from tests.peers import require
from tests.program import PATIENCE_S, environment

from afunix.kernel import as_client
from afunix.kernel.as_client import Identity, identity_of, is_our_own, must_be_able, run_as
from afunix.kernel.peercred import peer_credentials, peer_groups
from afunix.model.credentials import PeerCredentials
from afunix.model.errors import AfunixError, DeniedError

SOMEBODY = Identity(65531, 65532, (65530, 65529))

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can connect as its clients")


@pytest.fixture
def listener(sock_dir: str) -> Iterator[socket.socket]:
    os.chmod(sock_dir, 0o755)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{sock_dir}/s")
        os.chmod(f"{sock_dir}/s", 0o666)
        sock.listen()
        yield sock


def status() -> dict[str, list[str]]:
    """The credentials of the thread that asks, as the kernel has them."""
    with open("/proc/thread-self/status") as file:
        lines = [line.split(":") for line in file]
    return {
        name: value.split() for name, value in lines if name in ("Uid", "Gid", "Groups", "CapPrm", "CapEff")
    }


def connect_as(identity: Identity, listener: socket.socket) -> int:
    with socket.socket(socket.AF_UNIX) as client:
        return run_as(identity, lambda: client.connect_ex(listener.getsockname()))


@as_root
def test_the_server_sees_the_client_s_uid_gid_and_groups(listener: socket.socket) -> None:
    assert connect_as(SOMEBODY, listener) == 0
    with listener.accept()[0] as accepted:
        assert peer_credentials(accepted) == PeerCredentials(os.getpid(), SOMEBODY.uid, SOMEBODY.gid)
        assert sorted(peer_groups(accepted)) == sorted(SOMEBODY.groups)


@as_root
def test_what_the_client_may_not_connect_to_is_denied(listener: socket.socket) -> None:
    os.chmod(listener.getsockname(), 0o600)
    assert connect_as(SOMEBODY, listener) == errno.EACCES
    assert connect_as(Identity(0, 0, ()), listener) == 0


@as_root
def test_a_group_of_the_client_lets_it_in(listener: socket.socket) -> None:
    os.chown(listener.getsockname(), 0, SOMEBODY.groups[0])
    os.chmod(listener.getsockname(), 0o660)
    assert connect_as(SOMEBODY._replace(groups=()), listener) == errno.EACCES
    assert connect_as(SOMEBODY, listener) == 0


@as_root
def test_the_thread_has_no_capability_and_cannot_be_signalled_by_the_client() -> None:
    found = run_as(SOMEBODY, status)
    assert found["CapEff"] == found["CapPrm"] == ["0" * 16]
    # A user may signal a thread whose real or saved uid is its own (kill(2)).
    real, effective, saved, for_files = map(int, found["Uid"])
    assert (real, effective, saved, for_files) == (0, SOMEBODY.uid, 0, SOMEBODY.uid)
    assert run_as(SOMEBODY, lambda: os.path.exists("/proc/1/cwd")) is False


@as_root
def test_no_other_thread_changes_and_none_stays() -> None:
    before, threads = status(), threading.active_count()
    assert run_as(SOMEBODY, status) != before
    assert (status(), threading.active_count()) == (before, threads)


@as_root
def test_what_the_call_raises_is_raised_and_the_thread_is_gone() -> None:
    threads = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        run_as(SOMEBODY, lambda: 1 // 0)
    assert threading.active_count() == threads


@as_root
def test_a_thread_that_could_not_become_the_client_calls_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[int] = []
    groups, gid, uid, capset = as_client._numbers()
    impossible = 100_000  # ENOSYS
    for numbers in (
        (impossible, gid, uid, capset),
        (groups, impossible, uid, capset),
        (groups, gid, impossible, capset),
    ):
        monkeypatch.setattr(as_client, "_numbers", lambda numbers=numbers: numbers)
        with pytest.raises(DeniedError, match=r"uid 65531: set.*ENOSYS"):
            run_as(SOMEBODY, lambda: called.append(1))
    assert not called and os.geteuid() == 0


def test_a_machine_whose_calls_are_not_known_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(as_client, "_NUMBERS", {})
    with pytest.raises(AfunixError, match="not known on this kind of machine") as caught:
        must_be_able()
    assert caught.value.hint == "leave --as-client out"


def test_without_a_thread_to_be_had_it_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    with pytest.raises(AfunixError, match="no thread to be had") as caught:
        run_as(SOMEBODY, lambda: None)
    assert caught.value.errno == errno.EAGAIN


def test_who_a_client_is_comes_from_the_kernel(listener: socket.socket) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(listener.getsockname())
        with listener.accept()[0] as accepted:
            found = identity_of(accepted)
    assert found == (os.geteuid(), os.getegid(), tuple(os.getgroups()))


def test_a_client_of_whom_the_kernel_says_nothing_is_refused(sock_dir: str) -> None:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nobody,
        pytest.raises(DeniedError, match="does not say who"),
    ):
        identity_of(nobody)


_ASK = """
from afunix.kernel.as_client import must_be_able
from afunix.model.credentials import PeerCredentials
from afunix.model.errors import DeniedError
try:
    must_be_able()
    print("able")
except DeniedError as error:
    print(error, "|", error.hint)
"""


@as_root
@pytest.mark.parametrize(
    ("bounds", "found"),
    [
        ("", "able"),
        ("-setuid", "setresuid (EPERM)"),
        ("-setgid", "setgroups (EPERM)"),
    ],
)
def test_who_cannot_is_told_before_anybody_comes(bounds: str, found: str) -> None:
    argv = [sys.executable, "-c", _ASK]
    if bounds:
        argv = [require("setpriv"), "--bounding-set", bounds, "--inh-caps", bounds, *argv]
    done = subprocess.run(argv, env=environment(), capture_output=True, text=True, timeout=PATIENCE_S)
    assert found in done.stdout, done.stderr
    assert bounds == "" or "run it as root" in done.stdout


def test_who_we_are_already_needs_no_thread() -> None:
    ours = Identity(os.geteuid(), os.getegid(), tuple(os.getgroups()))
    assert is_our_own(ours)
    assert run_as(ours, threading.get_ident) == threading.get_ident()


@pytest.mark.parametrize("change", [(1, 0, ()), (0, 1, ()), (0, 0, (65500,))])
def test_another_uid_gid_or_group_is_somebody_else(change: tuple[int, int, tuple[int, ...]]) -> None:
    uid, gid, groups = change
    other = Identity(os.geteuid() + uid, os.getegid() + gid, (*os.getgroups(), *groups))
    assert not is_our_own(other)


def test_fewer_groups_than_ours_are_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getgroups", lambda: [os.getegid(), 65500])
    assert not is_our_own(Identity(os.geteuid(), os.getegid(), ()))


def test_nobody_himself_cannot_be_others_because_he_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Identity] = []
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    monkeypatch.setattr(as_client, "run_as", lambda identity, call: asked.append(identity))
    must_be_able()
    assert asked[0].uid != 65534
