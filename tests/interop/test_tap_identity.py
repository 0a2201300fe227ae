"""Whose client it is: the server sees the client's uid through a tap, and nobody gains a right by one.

And who may tap at all: rights on the directory, and on both files in a sticky one.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import closing

import pytest
from tests.faults.users import IS_ROOT, ORDINARY, STRANGER, User
from tests.interop.test_relay_descriptors import Bus, bus
from tests.interop.test_relay_identity import OTHER, OWNER, Cluster, open_dir, postgres, run
from tests.peers import require
from tests.program import PATIENCE_S
from tests.tapping import refusal, tapping, wait_until

from afunix.kernel.peercred import peer_credentials, peer_groups

__all__ = ["bus", "open_dir", "postgres"]

as_root = pytest.mark.skipif(not IS_ROOT, reason="only root can connect as its clients")

ORDINARY_USER = User("ordinary", ORDINARY if IS_ROOT else os.geteuid())


def listen(path: str, mode: int = 0o666, uid: int = -1) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, mode)
    os.chown(path, uid, uid)
    listener.listen()
    listener.settimeout(PATIENCE_S)
    return listener


@pytest.fixture
def sticky_dir() -> Iterator[str]:
    path = tempfile.mkdtemp(prefix="af-")
    os.chmod(path, 0o1777)
    yield path
    shutil.rmtree(path)


@as_root
def test_each_client_is_itself_to_the_server(open_dir: str) -> None:
    with listen(f"{open_dir}/s") as server, tapping(f"{open_dir}/s") as tap:
        for user in (OWNER, OTHER, OWNER):
            run([require("socat"), "-u", "OPEN:/dev/null", f"UNIX-CONNECT:{open_dir}/s"], user, 65500, 65501)
            with server.accept()[0] as accepted:
                peer = peer_credentials(accepted)
                assert (peer.pid, peer.uid, peer.gid) == (tap.process.pid, user.pw_uid, user.pw_gid)
                assert sorted(peer_groups(accepted)) == [65500, 65501]
        tap.wait_for("Opened", f"uid={OTHER.pw_uid}", f"user='{OTHER.pw_name}'")


@as_root
def test_clients_of_a_killed_tap_are_themselves_too(open_dir: str) -> None:
    with listen(f"{open_dir}/s") as server, tapping(f"{open_dir}/s") as tap:
        tap.process.send_signal(signal.SIGSTOP)
        run([require("socat"), "-u", "OPEN:/dev/null", f"UNIX-CONNECT:{open_dir}/s"], OTHER)
        tap.kill()
        with server.accept()[0] as accepted:
            assert peer_credentials(accepted).uid == OTHER.pw_uid


@as_root
def test_who_may_not_connect_to_the_server_may_not_connect_to_the_tap(open_dir: str) -> None:
    with listen(f"{open_dir}/s", 0o600, OWNER.pw_uid), tapping(f"{open_dir}/s"):
        refused = run([require("socat"), "-u", "OPEN:/dev/null", f"UNIX-CONNECT:{open_dir}/s"], OTHER)
        assert "Permission denied" in refused.stderr


@as_root
def test_postgresql_knows_its_peers_through_a_tap(postgres: Cluster) -> None:
    with tapping(f"{postgres.directory}/.s.PGSQL.5432"):
        for user in (OWNER, OTHER):
            asked = postgres.ask(postgres.directory, user, user.pw_name)
            assert asked.stdout == f"{user.pw_name} true\n", asked.stderr
        liar = postgres.ask(postgres.directory, OTHER, OWNER.pw_name)
        assert f'Peer authentication failed for user "{OWNER.pw_name}"' in liar.stderr


@as_root
def test_a_client_that_an_ordinary_user_cannot_be_is_refused(sticky_dir: str) -> None:
    with listen(f"{sticky_dir}/s", 0o666, ORDINARY) as server:
        with tapping(f"{sticky_dir}/s", user=ORDINARY_USER) as tap:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(f"{sticky_dir}/s")
                client.settimeout(PATIENCE_S)
                assert client.recv(1) == b""
            assert "may not connect as" in tap.wait_for("Over(", "refused")
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


@as_root
def test_as_me_everybody_is_who_taps(sticky_dir: str) -> None:
    with (
        listen(f"{sticky_dir}/s", 0o666, ORDINARY) as server,
        tapping(f"{sticky_dir}/s", user=ORDINARY_USER, as_me=True),
        socket.socket(socket.AF_UNIX) as client,
    ):
        client.connect(f"{sticky_dir}/s")
        with server.accept()[0] as accepted:
            assert peer_credentials(accepted).uid == ORDINARY


@as_root
def test_in_a_sticky_directory_another_s_socket_cannot_be_tapped(sticky_dir: str) -> None:
    with listen(f"{sticky_dir}/s", 0o666, STRANGER) as server:
        before = os.lstat(f"{sticky_dir}/s")
        assert "DeniedError" in refusal(f"{sticky_dir}/s", user=ORDINARY_USER)
        assert os.listdir(sticky_dir) == ["s"]
        assert os.path.samestat(os.lstat(f"{sticky_dir}/s"), before)
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


@as_root
def test_root_can_even_there(sticky_dir: str) -> None:
    with listen(f"{sticky_dir}/s", 0o666, STRANGER), tapping(f"{sticky_dir}/s"):
        assert os.lstat(f"{sticky_dir}/s").st_uid == STRANGER
    assert os.listdir(sticky_dir) == ["s"]


@as_root
def test_a_directory_that_cannot_be_written(open_dir: str) -> None:
    with listen(f"{open_dir}/s", 0o666, ORDINARY):
        assert "DeniedError" in refusal(f"{open_dir}/s", user=ORDINARY_USER)
    assert os.listdir(open_dir) == ["s"]


@as_root
def test_if_the_way_back_is_barred_it_goes_on_until_it_is_open(sticky_dir: str) -> None:
    with listen(f"{sticky_dir}/s", 0o666, ORDINARY) as server:
        before = os.lstat(f"{sticky_dir}/s")
        with tapping(f"{sticky_dir}/s", user=ORDINARY_USER, as_me=True) as tap:
            os.chmod(sticky_dir, 0o755)
            tap.process.terminate()
            tap.wait_for("NotBack", "Permission denied")
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(f"{sticky_dir}/s")
                server.accept()[0].close()
            os.chmod(sticky_dir, 0o1777)
            tap.wait()
            tap.wait_for("SteppedBack", "BACK")
        assert os.path.samestat(os.lstat(f"{sticky_dir}/s"), before)


@as_root
def test_killed_while_the_way_back_is_barred_the_guardian_goes_on_too(sticky_dir: str) -> None:
    with listen(f"{sticky_dir}/s", 0o666, ORDINARY) as server:
        before = os.lstat(f"{sticky_dir}/s")
        with tapping(f"{sticky_dir}/s", user=ORDINARY_USER, as_me=True) as tap:
            os.chmod(sticky_dir, 0o755)
            tap.kill()
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(f"{sticky_dir}/s")
                server.accept()[0].close()
            os.chmod(sticky_dir, 0o1777)
            wait_until(lambda: os.path.samestat(os.lstat(f"{sticky_dir}/s"), before))
            wait_until(lambda: os.listdir(sticky_dir) == ["s"])


def test_dbus_passes_a_descriptor_between_two_clients_behind_a_tap(bus: str) -> None:
    with tapping(bus) as tap:
        reading, writing = os.pipe()
        with closing(Bus(bus, os.geteuid())) as giver, closing(Bus(bus, os.geteuid())) as taker:
            for _ in range(20):
                giver.call("org.freedesktop.DBus", "/org/freedesktop/DBus", "GetId")
                giver.call(taker.name, "/", "Take", reading)
                _, fds = taker.receive(kind=1)
                assert [os.fstat(fd).st_ino for fd in fds] == [os.fstat(reading).st_ino]
                os.close(fds[0])
        os.close(reading)
        os.close(writing)
        tap.wait_for("Said", "('pipe',)")
