"""A tap among real clients and servers: nobody notices it come, go, or be killed, and others' doings are respected."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from tests.faults.scale import FULL
from tests.faults.users import User
from tests.peers import require
from tests.program import PATIENCE_S
from tests.tapping import refusal, start, tapping, wait_until

KILLS = 200 if FULL else 8

SERVER = """
import os, socket, sys, threading

def echo(sock):
    try:
        while data := sock.recv(65536):
            sock.sendall(data)
    except ConnectionError:
        pass
    sock.close()

path = sys.argv[1]
if "check" in sys.argv:  # as PostgreSQL, Docker and many others do: is there one already?
    try:
        socket.socket(socket.AF_UNIX).connect(path)
    except FileNotFoundError:
        pass
    except ConnectionRefusedError:
        os.unlink(path)
    else:
        sys.exit("there is a server already")
listener = socket.socket(socket.AF_UNIX)
if os.path.lexists(path):
    os.unlink(path)
listener.bind(path)
listener.listen(4096)
print("ready", flush=True)
while True:
    threading.Thread(target=echo, args=[listener.accept()[0]], daemon=True).start()
"""


class EchoServer:
    """A program of its own, so that it can be killed."""

    def __init__(self, path: str, *args: str) -> None:
        self.path = path
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, path, *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        assert self.process.stdout is not None
        self.has_started = self.process.stdout.readline() == b"ready\n"
        self.inode = os.lstat(path).st_ino

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextlib.contextmanager
def a_server(path: str, *args: str) -> Iterator[EchoServer]:
    server = EchoServer(path, *args)
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def server(sock_dir: str) -> Iterator[EchoServer]:
    with a_server(f"{sock_dir}/s") as server:
        yield server


def say(path: str, words: bytes = b"hello") -> bytes:
    """One round trip."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE_S)
        client.connect(path)
        client.sendall(words)
        return client.recv(100)


class Callers:
    """Two clients that come again and again: one only connects, one has a round trip. Both count what goes wrong."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._is_over = threading.Event()
        self.came = 0
        self.not_connected: list[OSError] = []
        self.not_answered = 0
        self._threads = [threading.Thread(target=self._call, args=[asks]) for asks in (False, True)]
        for thread in self._threads:
            thread.start()

    def _call(self, asks: bool) -> None:
        while not self._is_over.wait(0.001):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(PATIENCE_S)
                try:
                    client.connect(self._path)
                except OSError as error:
                    self.not_connected.append(error)
                    continue
                self.came += 1
                if asks:
                    self._ask(client)

    def _ask(self, client: socket.socket) -> None:
        try:
            client.sendall(b"hello")
            self.not_answered += client.recv(10) != b"hello"
        except ConnectionError:
            self.not_answered += 1

    def stop(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def callers(server: EchoServer) -> Iterator[Callers]:
    callers = Callers(server.path)
    yield callers
    callers.stop()


def is_untouched(server: EchoServer) -> bool:
    """Is the path the server's, and nothing beside it?"""
    with contextlib.suppress(FileNotFoundError):
        return os.lstat(server.path).st_ino == server.inode and not os.path.lexists(f"{server.path}.tapped")
    return False


def is_live(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        return sock.connect_ex(path) == errno.EPROTOTYPE


def is_in_front(server: EchoServer) -> bool:
    return os.lstat(server.path).st_ino != server.inode


# Killed


def test_killed_at_any_moment_it_is_missed_by_nobody(server: EchoServer, callers: Callers) -> None:
    chance = random.Random(7)
    for _ in range(KILLS):
        tap = start(server.path)
        wait_until(lambda tap=tap: is_in_front(server))  # type: ignore[misc]
        time.sleep(chance.choice([0, 0, chance.uniform(0, 0.002), chance.uniform(0, 0.1)]))
        tap.kill()
        wait_until(lambda: is_untouched(server))
    callers.stop()
    assert callers.came > KILLS
    assert callers.not_connected == []
    assert callers.not_answered <= KILLS  # the one whose conversation the killed tap had


def test_killed_before_it_is_in_front_it_has_changed_nothing(server: EchoServer, callers: Callers) -> None:
    chance = random.Random(8)
    for _ in range(KILLS):
        tap = start(server.path)
        time.sleep(chance.uniform(0.05, 0.4))
        tap.kill()
        wait_until(lambda: os.lstat(server.path).st_ino == server.inode)
    wait_until(lambda: not is_live(f"{server.path}.tapped"))  # a guardian may be at work still
    with tapping(server.path):
        pass
    callers.stop()
    assert callers.not_connected == []
    assert is_untouched(server), os.listdir(os.path.dirname(server.path))


def test_stopped_it_breaks_no_conversation_at_all(server: EchoServer, callers: Callers) -> None:
    for _ in range(max(KILLS // 4, 2)):
        with tapping(server.path):
            pass
        assert is_untouched(server)
    callers.stop()
    assert (callers.not_connected, callers.not_answered) == ([], 0)


def test_killed_while_it_stops_it_leaves_nothing(server: EchoServer) -> None:
    chance = random.Random(9)
    for _ in range(max(KILLS // 4, 2)):
        with tapping(server.path) as tap:
            tap.process.terminate()
            time.sleep(chance.uniform(0, 0.2))
            tap.kill()
        wait_until(lambda: is_untouched(server))


def test_a_guardian_that_is_killed_is_replaced_and_the_next_one_does_its_work(server: EchoServer) -> None:
    with tapping(server.path) as tap:
        first = tap.guardian_pid
        os.kill(first, signal.SIGKILL)
        tap.wait_for("GuardianReplaced")
        assert tap.guardian_pid != first
        assert say(server.path) == b"hello"
        tap.kill()
        wait_until(lambda: is_untouched(server))


def test_the_terminal_s_signals_do_not_reach_the_guardian(server: EchoServer) -> None:
    with tapping(server.path) as tap:
        guardian = tap.guardian_pid
        assert os.getsid(guardian) == guardian
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(guardian, number)
        tap.kill()
        wait_until(lambda: is_untouched(server))


def test_who_waits_in_the_queue_when_it_is_killed_is_served(server: EchoServer) -> None:
    with tapping(server.path) as tap:
        tap.process.send_signal(signal.SIGSTOP)
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE_S)
            client.connect(server.path)
            tap.kill()
            client.sendall(b"hello")
            assert client.recv(10) == b"hello"
            wait_until(lambda: is_untouched(server))
            time.sleep(1.2)  # longer than it waits for others
            client.sendall(b"still")
            assert client.recv(10) == b"still"


def test_killed_together_with_its_guardian_the_next_tap_mends_it(server: EchoServer) -> None:
    with tapping(server.path) as tap:
        tap.kill(with_guardian=True)
    assert is_in_front(server)
    with tapping(server.path) as tap:
        tap.wait_for("LeftoverMended")
        assert say(server.path) == b"hello"
    assert is_untouched(server), os.listdir(os.path.dirname(server.path))


# Others do something


def test_a_server_that_was_killed_can_start_again_within_a_second(server: EchoServer) -> None:
    with tapping(server.path) as tap:
        server.kill()
        began_s = time.monotonic()
        while not (again := EchoServer(server.path, "check")).has_started:
            again.kill()
            assert time.monotonic() - began_s < 1 + PATIENCE_S * (not FULL)
        try:
            tap.wait_for("ServerGone")
            tap.wait()
            assert say(server.path) == b"hello"
            assert is_untouched(again)
        finally:
            again.kill()


def test_a_server_that_replaces_its_path_gets_its_clients_at_once(server: EchoServer) -> None:
    with tapping(server.path) as tap, a_server(server.path) as successor:
        assert say(server.path) == b"hello"
        tap.wait_for("PathChanged", "REPLACED")
        tap.wait()
        assert is_untouched(successor)


def test_conversations_with_the_old_server_go_on_after_a_new_one_came(server: EchoServer) -> None:
    with tapping(server.path) as tap, socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE_S)
        client.connect(server.path)
        with a_server(server.path):
            tap.wait_for("PathChanged")
            tap.wait_for("SteppedBack")
            client.sendall(b"hello")
            assert client.recv(10) == b"hello"
            client.close()
            tap.wait()


def test_a_path_that_was_removed_stays_removed(server: EchoServer) -> None:
    with tapping(server.path) as tap:
        os.unlink(server.path)
        tap.wait_for("PathChanged", "REMOVED")
        tap.wait()
    assert os.listdir(os.path.dirname(server.path)) == []


def test_a_path_that_was_renamed_leads_to_the_server(server: EchoServer) -> None:
    with tapping(server.path) as tap:
        os.rename(server.path, f"{server.path}.old")
        tap.wait_for("PathChanged", "REMOVED")
        tap.wait()
    assert os.listdir(os.path.dirname(server.path)) == ["s.old"]
    assert say(f"{server.path}.old") == b"hello"


def test_without_the_second_name_everybody_is_still_served(server: EchoServer) -> None:
    with tapping(server.path) as tap:
        os.unlink(f"{server.path}.tapped")
        assert say(server.path) == b"hello"
        tap.wait_for("PathChanged", "ALONE")
        tap.wait()
        assert tap.process.returncode == 0


def test_removed_and_killed_nothing_is_put_back(server: EchoServer) -> None:
    with tapping(server.path) as tap:
        tap.process.send_signal(signal.SIGSTOP)
        os.unlink(server.path)
        tap.kill()
        wait_until(lambda: os.listdir(os.path.dirname(server.path)) == [])


# Two taps


def test_a_second_tap_is_refused(server: EchoServer) -> None:
    with tapping(server.path) as tap:
        assert f"is tapped already, by pid {tap.process.pid}" in refusal(server.path)
        assert say(server.path) == b"hello"
    assert is_untouched(server), os.listdir(os.path.dirname(server.path))


def test_of_twenty_at_once_one_is_in_front_and_the_others_harm_nothing(
    server: EchoServer, callers: Callers
) -> None:
    taps = [start(server.path) for _ in range(20 if FULL else 6)]
    try:
        wait_until(lambda: sum(tap.process.poll() is None for tap in taps) <= 1)
        ready = [tap for tap in taps if "IN FRONT" in tap.told]
        assert len(ready) == 1
        assert "tapped already" in refusal(server.path)
        ready[0].stop()
    finally:
        for tap in taps:
            tap.process.kill()
            tap.wait()
    wait_until(lambda: is_untouched(server))
    callers.stop()
    assert (callers.not_connected, callers.not_answered) == ([], 0)


def test_a_tap_that_drains_does_not_hinder_the_next_one_even_if_it_is_killed(server: EchoServer) -> None:
    with tapping(server.path) as old, socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE_S)
        client.connect(server.path)
        client.sendall(b"hello")
        assert client.recv(10) == b"hello"
        old.process.terminate()
        old.wait_for("SteppedBack")
        wait_until(lambda: is_untouched(server))
        with tapping(server.path) as new:
            old.kill()
            assert is_in_front(server)
            assert say(server.path) == b"hello"
            assert not any("PathChanged" in line for line in new.told)
    assert is_untouched(server), os.listdir(os.path.dirname(server.path))


# Where it stands


def test_it_is_to_clients_what_the_server_is(server: EchoServer) -> None:
    os.chmod(server.path, 0o640)
    if os.geteuid() == 0:
        os.chown(server.path, 1, 2)
    before = os.lstat(server.path)
    with tapping(server.path):
        now = os.lstat(server.path)
        assert now.st_ino != before.st_ino
        assert (now.st_mode, now.st_uid, now.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_an_access_control_list_is_kept(server: EchoServer) -> None:
    subprocess.run([require("setfacl"), "-m", "u:1:rw,g:2:r", server.path], check=True)
    acl = os.getxattr(server.path, "system.posix_acl_access")
    with tapping(server.path):
        assert is_in_front(server)
        assert os.getxattr(server.path, "system.posix_acl_access") == acl


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("name", ["s", "n" * 70, "n" * 75])
def test_long_paths_and_long_names(sock_dir: str, depth: int, name: str) -> None:
    directory = f"{sock_dir}/{'d' * 100}" if depth == 2 else sock_dir
    os.makedirs(directory, exist_ok=True)
    here = os.getcwd()
    os.chdir(directory)
    try:
        with a_server(name) as server:
            path = f"{directory}/{name}"
            with tapping(path) as tap:
                assert is_in_front(server)
                assert say(name) == b"hello"
                tap.kill()
                wait_until(lambda: os.listdir() == [name])
            assert os.lstat(name).st_ino == server.inode
    finally:
        os.chdir(here)


def test_a_relative_path(server: EchoServer) -> None:
    tap = start("s", cwd=os.path.dirname(server.path))
    tap.wait_for("IN FRONT")
    assert say(server.path) == b"hello"
    tap.kill()
    wait_until(lambda: is_untouched(server))


def test_a_link_is_followed_and_stays_a_link(server: EchoServer) -> None:
    link = f"{server.path}.link"
    os.symlink(server.path, link)
    with tapping(link):
        assert is_in_front(server)
        assert say(link) == b"hello"
    assert os.path.islink(link)
    assert is_untouched(server), os.listdir(os.path.dirname(server.path))


def test_bytes_of_the_path_that_are_no_text(sock_dir: str) -> None:
    path = os.fsdecode(os.fsencode(sock_dir) + b"/\xff")
    with a_server(path) as server, tapping(path) as tap:
        assert is_in_front(server)
        tap.kill()
        wait_until(lambda: is_untouched(server))


def test_no_module_of_the_current_directory_gets_into_the_guardian(server: EchoServer) -> None:
    here = os.path.dirname(server.path)
    with open(f"{here}/json.py", "w") as file:
        file.write("raise SystemExit('not ours')")
    tap = start(server.path, argv=[sys.executable, "-P", "-c", _EXEC], cwd=here)
    tap.wait_for("IN FRONT")
    tap.stop()


_EXEC = "import os, sys; os.execv(sys.argv[1], [sys.argv[1], '-P', *sys.argv[2:]])"


# What cannot be tapped


def test_no_socket_and_nobody_there(sock_dir: str) -> None:
    with open(f"{sock_dir}/file", "w"):
        pass
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(f"{sock_dir}/stale")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(f"{sock_dir}/dgram")
        assert "NotASocketError" in refusal(f"{sock_dir}/file")
        assert "NobodyListensError" in refusal(f"{sock_dir}/stale")
        assert "NoSuchSocketError" in refusal(f"{sock_dir}/missing")
        assert "WrongTypeError" in refusal(f"{sock_dir}/dgram")
    assert sorted(os.listdir(sock_dir)) == ["dgram", "file", "stale"]


def test_a_socket_that_is_bound_and_does_not_listen(sock_dir: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{sock_dir}/s")
        assert "NobodyListensError" in refusal(f"{sock_dir}/s")


# Types and what goes through


def test_records_and_their_descriptors(sock_dir: str) -> None:
    kind = socket.SOCK_SEQPACKET
    with socket.socket(socket.AF_UNIX, kind) as listener:
        listener.bind(f"{sock_dir}/s")
        listener.listen()
        listener.settimeout(PATIENCE_S)
        with tapping(f"{sock_dir}/s") as tap, socket.socket(socket.AF_UNIX, kind) as client:
            client.connect(f"{sock_dir}/s")
            upstream, _ = listener.accept()
            with upstream:
                for sender, receiver in ((client, upstream), (upstream, client)):
                    sender.send(b"one")
                    socket.send_fds(sender, [b"two"], [0])
                    assert receiver.recv(100) == b"one"
                    data, fds, _, _ = socket.recv_fds(receiver, 100, 5)
                    assert (data, len(fds)) == (b"two", 1)
                    os.close(fds[0])
            tap.wait_for("Said", "b'two'", "('/dev/null',)", "Side.CLIENT")
            tap.wait_for("Said", "b'two'", "('/dev/null',)", "Side.SERVER")


def test_a_half_close_goes_on_and_is_told(server: EchoServer) -> None:
    with tapping(server.path) as tap, socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE_S)
        client.connect(server.path)
        client.sendall(b"hello")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(10) == b"hello"
        assert client.recv(10) == b""
        tap.wait_for("Opened", f"pid={os.getpid()}")
        tap.wait_for("SaidAll", "Side.CLIENT")
        tap.wait_for("SaidAll", "Side.SERVER")
        tap.wait_for("Over", "reason=''")


def test_a_client_that_finds_no_server_is_told_of_by_its_path(sock_dir: str) -> None:
    """The server's process goes on: its end would be seen at once."""
    path = f"{sock_dir}/s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        with tapping(path) as tap:
            listener.close()
            with contextlib.suppress(ConnectionError):
                say(path)
            over = tap.wait_for("Over(")
            tap.wait()
        assert "refused" in over and path in over
        assert "/proc/self" not in over


# As an ordinary user


def test_each_user_taps_his_own_socket(user: User, place: str) -> None:
    with a_server(f"{place}/s") as server:
        os.chown(server.path, user.uid, user.uid if user.changes else -1)
        with tapping(server.path, user=user) as tap:
            assert is_in_front(server)
            if os.geteuid() == user.uid:
                assert say(server.path) == b"hello"
            tap.kill()
            wait_until(lambda: is_untouched(server))
