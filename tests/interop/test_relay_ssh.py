"""A relay with an end over ssh, both ways round, with a real sshd on loopback: bytes, half-closes, logins that break."""

from __future__ import annotations

import hashlib
import os
import queue
import select
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from tests.interop.test_relay_tcp import MUCH, send_for_ever, speak_http
from tests.peers import require
from tests.program import PATIENCE_S, Ended, environment, run
from tests.relaying import RunningRelay, relaying
from tests.servers import Act, Server, echo, read_all, serving
from tests.sshd import Sshd, kill, serving_ssh
from tests.tcp_servers import dialled_unix

pytest.importorskip("asyncssh")

BULK_BYTES = 16 * 1024 * 1024


@pytest.fixture
def sshd(sock_dir: str) -> Iterator[Sshd]:
    with serving_ssh(sock_dir) as server:
        yield server


Client = Callable[[], AbstractContextManager[socket.socket]]


@contextmanager
def to_ssh(sshd: Sshd, act: Act, **settings: Any) -> Iterator[tuple[Server, Client, RunningRelay]]:
    path = f"{sshd.folder}/r"
    with (
        serving(f"{sshd.folder}/s", act) as server,
        relaying(path, f"ssh:far:{sshd.folder}/s", env=sshd.env, **settings) as relay,
    ):
        yield server, lambda: dialled_unix(path), relay


@contextmanager
def from_ssh(sshd: Sshd, act: Act, **settings: Any) -> Iterator[tuple[Server, Client, RunningRelay]]:
    path = f"{sshd.folder}/r"
    with (
        serving(f"{sshd.folder}/s", act) as server,
        relaying(f"ssh:far:{path}", f"{sshd.folder}/s", env=sshd.env, **settings) as relay,
    ):
        yield server, lambda: dialled_unix(path), relay


Setup = Callable[..., AbstractContextManager[tuple[Server, Client, RunningRelay]]]
BOTH_WAYS = pytest.mark.parametrize("setup", [to_ssh, from_ssh])


def wait_until(is_met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_met():
        assert time.monotonic() < deadline, "what was waited for does not happen"
        time.sleep(0.01)  # a process of somebody else: it tells us nothing


def afunix(sshd: Sshd, *args: str) -> Ended:
    return run(*args, env=environment(**sshd.env))


@BOTH_WAYS
def test_curl_reaches_a_unix_http_server_on_the_other_host(sshd: Sshd, setup: Setup) -> None:
    curl = require("curl")
    with setup(sshd, speak_http):
        got = subprocess.run(
            [curl, "-sS", "--unix-socket", f"{sshd.folder}/r", "http://nowhere.invalid/"],
            capture_output=True,
            check=True,
            timeout=PATIENCE_S,
        )
    assert got.stdout == MUCH


@BOTH_WAYS
def test_much_goes_both_ways_at_once_and_is_the_same(sshd: Sshd, setup: Setup) -> None:
    block = os.urandom(1024 * 1024)

    def send(sock: socket.socket) -> None:
        for _ in range(BULK_BYTES // len(block)):
            sock.sendall(block)
        sock.shutdown(socket.SHUT_WR)

    def talk(sock: socket.socket) -> str:
        sender = threading.Thread(target=send, args=(sock,))
        sender.start()
        digest = hashlib.sha256()
        while piece := sock.recv(1 << 20):
            digest.update(piece)
        sender.join()
        return digest.hexdigest()

    expected = hashlib.sha256(block * (BULK_BYTES // len(block))).hexdigest()
    with setup(sshd, talk) as (server, client, _), client() as sock:
        assert talk(sock) == expected
        assert server.result() == expected


@BOTH_WAYS
def test_one_login_serves_all(sshd: Sshd, setup: Setup) -> None:
    with setup(sshd, echo) as (_, client, _):
        for _ in range(5):
            with client() as sock:
                sock.sendall(b"hello")
                assert sock.recv(100) == b"hello"
    assert sshd.log().count("Accepted publickey") == 1


@BOTH_WAYS
def test_client_that_ends_its_direction_still_gets_the_answer(sshd: Sshd, setup: Setup) -> None:
    def answer_at_the_end(connection: socket.socket) -> bytes:
        said = read_all(connection)
        connection.sendall(MUCH)
        return said

    with setup(sshd, answer_at_the_end) as (server, client, _), client() as sock:
        sock.sendall(b"question")
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock) == MUCH
        assert server.result() == b"question"


@BOTH_WAYS
def test_server_that_ends_its_direction_still_hears_the_client(sshd: Sshd, setup: Setup) -> None:
    def end_first(connection: socket.socket) -> bytes:
        connection.shutdown(socket.SHUT_WR)
        return read_all(connection)

    with setup(sshd, end_first) as (server, client, _), client() as sock:
        assert sock.recv(1) == b""
        sock.sendall(MUCH)
        sock.shutdown(socket.SHUT_WR)
        assert server.result() == MUCH


@BOTH_WAYS
def test_client_that_leaves_is_gone_for_the_server(sshd: Sshd, setup: Setup) -> None:
    def wait_for_the_end(connection: socket.socket) -> bytes:
        return read_all(connection)

    with setup(sshd, wait_for_the_end) as (server, client, _):
        with client() as sock:
            sock.sendall(b"last words")
        assert server.result() == b"last words"


@BOTH_WAYS
def test_who_does_not_read_holds_up_nobody(sshd: Sshd, setup: Setup) -> None:
    senders: list[threading.Thread] = []

    def send_to_each(connection: socket.socket) -> None:
        senders.append(threading.Thread(target=send_for_ever, args=(connection.dup(),), daemon=True))
        senders[-1].start()

    with setup(sshd, send_to_each) as (_, client, _), client() as idle, client() as busy:
        idle.recv(1)
        got = 0
        while got < 4 * len(MUCH):
            got += len(busy.recv(1 << 20))
        idle.close()
        busy.close()
        for sender in senders:
            sender.join(PATIENCE_S)


def fill(sock: socket.socket) -> int:
    """Send until nobody on the way takes any more; how much that was."""
    sent = 0
    while select.select([], [sock], [], 0.5)[1]:
        sent += sock.send(MUCH, socket.MSG_DONTWAIT)
    return sent


@BOTH_WAYS
def test_what_was_sent_before_a_stop_arrives(sshd: Sshd, setup: Setup) -> None:
    with setup(sshd, read_all) as (server, client, relay), client() as sock:
        sock.sendall(MUCH)
        relay.stop()
        assert server.result() == MUCH
        assert relay.lost == 0


@BOTH_WAYS
def test_all_that_waits_on_the_way_at_a_stop_arrives(sshd: Sshd, setup: Setup) -> None:
    begun = threading.Event()

    def read_later(connection: socket.socket) -> int:
        begun.wait(PATIENCE_S)
        return len(read_all(connection))

    with setup(sshd, read_later) as (server, client, relay), client() as sock:
        sent = fill(sock)
        relay.process.terminate()
        wait_until(lambda: not os.path.exists(f"{sshd.folder}/r"))
        begun.set()
        assert (server.result(), relay.wait(), relay.lost) == (sent, "", 0)


@BOTH_WAYS
def test_answer_that_waits_on_the_way_at_a_stop_arrives(sshd: Sshd, setup: Setup) -> None:
    sent: queue.Queue[int] = queue.Queue()

    def answer(connection: socket.socket) -> bytes:
        sent.put(fill(connection))
        return read_all(connection)

    with setup(sshd, answer) as (_, client, relay), client() as sock:
        count = sent.get(timeout=PATIENCE_S)
        relay.process.terminate()
        wait_until(lambda: not os.path.exists(f"{sshd.folder}/r"))
        assert (len(read_all(sock)), relay.wait(), relay.lost) == (count, "", 0)


@BOTH_WAYS
def test_what_nobody_takes_at_a_stop_is_counted(sshd: Sshd, setup: Setup) -> None:
    over = threading.Event()
    with setup(sshd, lambda connection: over.wait(PATIENCE_S)) as (_, client, relay), client() as sock:
        sent = fill(sock)
        relay.process.terminate()
        wait_until(lambda: not os.path.exists(f"{sshd.folder}/r"))
        relay.stop()
        over.set()
        assert 0 < relay.lost <= sent


def kill_logins(sshd: Sshd) -> None:
    for pid in sshd.logins():
        kill(pid)


def test_login_that_broke_is_made_again(sshd: Sshd) -> None:
    with to_ssh(sshd, echo) as (_, client, relay):
        with client() as sock:
            sock.sendall(b"one")
            assert sock.recv(100) == b"one"
            kill_logins(sshd)
            assert sock.recv(100) == b""
        with client() as sock:
            sock.sendall(b"two")
            assert sock.recv(100) == b"two"
        assert "LinkLost" in relay.stop()


def test_listening_goes_on_after_the_login_broke(sshd: Sshd) -> None:
    with from_ssh(sshd, echo) as (_, client, relay):
        kill_logins(sshd)
        wait_until(lambda: sshd.log().count("Accepted publickey") == 2)

        def is_answered() -> bool:
            try:
                with client() as sock:
                    sock.sendall(b"two")
                    return sock.recv(100) == b"two"
            except OSError:
                return False

        wait_until(is_answered)
        told = relay.stop()
        assert "LinkLost" in told and "LinkRestored" in told
    assert not os.path.exists(f"{sshd.folder}/r")


def test_path_on_the_other_host_is_removed_at_the_end(sshd: Sshd) -> None:
    with from_ssh(sshd, echo):
        assert os.path.exists(f"{sshd.folder}/r")
    assert not os.path.exists(f"{sshd.folder}/r")


def test_path_that_somebody_else_has_taken_stays(sshd: Sshd) -> None:
    with from_ssh(sshd, echo) as (_, _, relay):
        os.rename(f"{sshd.folder}/r", f"{sshd.folder}/old")
        with open(f"{sshd.folder}/r", "w"):
            pass
        relay.stop()
    assert os.path.exists(f"{sshd.folder}/r")


def test_server_that_starts_later_is_waited_for(sshd: Sshd) -> None:
    path = f"{sshd.folder}/r"
    with (
        relaying(path, f"ssh:far:{sshd.folder}/s", env=sshd.env, wait=PATIENCE_S),
        dialled_unix(path) as sock,
    ):
        sock.sendall(b"early")
        with serving(f"{sshd.folder}/s", echo):
            assert sock.recv(100) == b"early"
            sock.shutdown(socket.SHUT_WR)


def test_stdin_is_one_side(sshd: Sshd) -> None:
    with serving(f"{sshd.folder}/s", echo):
        done = run("relay", "-", f"ssh:far:{sshd.folder}/s", stdin=b"hello", env=environment(**sshd.env))
    assert (done.status, done.out, done.err) == (0, b"hello", "")


# What stands in the way: one line, its hint and its status


def refused(sshd: Sshd, *args: str) -> tuple[int, str, str]:
    """Status, the error and the hint of a relay that does not start."""
    done = afunix(sshd, "relay", *args)
    lines = done.err.splitlines()
    assert len(lines) == 2, done.err
    return done.status, lines[0], lines[1]


def refused_to(sshd: Sshd) -> tuple[int, str, str]:
    try:
        return refused(sshd, f"{sshd.folder}/r", f"ssh:far:{sshd.folder}/s")
    finally:
        assert not os.path.exists(f"{sshd.folder}/r")


def test_unknown_host_key_is_told_with_how_to_accept_it(sshd: Sshd) -> None:
    sshd.write("known_hosts", "")
    status, error, hint = refused_to(sshd)
    assert status == 9
    assert "is not known (SHA256:" in error
    assert "'ssh far' asks whether to accept it" in hint


@BOTH_WAYS
def test_host_that_is_believed_without_a_check_is_told(sshd: Sshd, setup: Setup) -> None:
    sshd.write("known_hosts", "")
    sshd.write("config", sshd.read("config") + "  StrictHostKeyChecking accept-new\n")
    with setup(sshd, echo) as (_, client, relay):
        with client() as sock:
            sock.sendall(b"hello")
            assert sock.recv(100) == b"hello"
        assert relay.stop().count("HostTrusted") == 1
    assert sshd.read("known_hosts") != ""


def test_changed_host_key_is_told_louder(sshd: Sshd) -> None:
    with open(f"{sshd.home}/.ssh/id_ed25519.pub", encoding="ascii") as file:
        sshd.write("known_hosts", f"[127.0.0.1]:{sshd.port} {file.read()}")
    status, error, hint = refused_to(sshd)
    assert status == 9
    assert "HAS CHANGED (SHA256:" in error
    assert "ssh-keygen -R" in hint


def test_key_that_is_not_accepted_is_told(sshd: Sshd) -> None:
    with open(f"{sshd.folder}/authorized", "w"):
        pass
    status, error, hint = refused_to(sshd)
    assert status == 5
    assert "accepts no key of ours" in error
    assert "'ssh far' has to get in without a question" in hint


def test_key_that_is_none_is_named(sshd: Sshd) -> None:
    sshd.write("id_ed25519", "no key\n")
    status, error, _ = refused_to(sshd)
    assert status == 5
    assert f"{sshd.home}/.ssh/id_ed25519" in error


def test_host_that_does_not_listen_is_told_at_the_start(sshd: Sshd) -> None:
    sshd.stop()
    status, error, _ = refused_to(sshd)
    assert status == 4
    assert "nobody listens on" in error


def test_unknown_host_is_told(sshd: Sshd) -> None:
    status, error, _ = refused(sshd, f"{sshd.folder}/r", "ssh:nowhere.invalid:/s")
    assert status in (3, 7)
    assert "nowhere.invalid" in error


def test_what_is_no_sshd_is_told(sshd: Sshd) -> None:
    sshd.stop()
    with socket.create_server(("127.0.0.1", sshd.port)) as listener:
        accepting = threading.Thread(target=lambda: listener.accept()[0].close(), daemon=True)
        accepting.start()
        status, error, hint = refused_to(sshd)
        accepting.join()
    assert (status, "no login" in error) == (1, True)
    assert "'ssh far true'" in hint


def test_missing_remote_socket_is_told_for_each_client(sshd: Sshd) -> None:
    path = f"{sshd.folder}/r"
    with relaying(path, f"ssh:far:{sshd.folder}/s", env=sshd.env) as relay:
        with dialled_unix(path) as sock:
            assert sock.recv(1) == b""
        assert "does not exist: nothing is at that path on 'far' (ENOENT)" in relay.stop()


def test_remote_socket_without_a_listener_is_told(sshd: Sshd) -> None:
    path = f"{sshd.folder}/r"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(f"{sshd.folder}/s")
    with relaying(path, f"ssh:far:{sshd.folder}/s", env=sshd.env) as relay:
        with dialled_unix(path) as sock:
            assert sock.recv(1) == b""
        assert "nobody is seen to listen" in relay.stop()


def test_connection_that_sshd_forbids_is_told(sock_dir: str) -> None:
    path = f"{sock_dir}/r"
    with (
        serving_ssh(sock_dir, "AllowStreamLocalForwarding no") as sshd,
        serving(f"{sock_dir}/s", echo),
        relaying(path, f"ssh:far:{sock_dir}/s", env=sshd.env) as relay,
    ):
        with dialled_unix(path) as sock:
            assert sock.recv(1) == b""
        assert "forbids connections to its sockets" in relay.stop()


def test_listening_that_sshd_forbids_is_told(sock_dir: str) -> None:
    with serving_ssh(sock_dir, "AllowStreamLocalForwarding no") as sshd:
        status, error, hint = refused(sshd, f"ssh:far:{sock_dir}/r", f"{sock_dir}/s")
    assert status == 5
    assert "forbids listening on its sockets" in error
    assert "AllowStreamLocalForwarding" in hint


def test_leftover_of_sshd_is_told_with_what_removes_it(sshd: Sshd) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(f"{sshd.folder}/r")
    status, error, hint = refused(sshd, f"ssh:far:{sshd.folder}/r", f"{sshd.folder}/s")
    assert status == 10
    assert "as sshd leaves one behind" in error
    assert f"ssh far 'rm {sshd.folder}/r'" in hint
    assert "StreamLocalBindUnlink yes" in hint


def test_path_in_use_on_the_other_host_is_told(sshd: Sshd) -> None:
    with serving(f"{sshd.folder}/r", echo):
        status, error, _ = refused(sshd, f"ssh:far:{sshd.folder}/r", f"{sshd.folder}/s")
    assert status == 10
    assert "is in use: somebody listens" in error


def test_missing_directory_on_the_other_host_is_told(sshd: Sshd) -> None:
    status, error, _ = refused(sshd, f"ssh:far:{sshd.folder}/no/r", f"{sshd.folder}/s")
    assert status == 3
    assert "there is no such directory on 'far'" in error


def test_jump_is_taken_as_the_configuration_says(sshd: Sshd) -> None:
    sshd.write(
        "config",
        sshd.read("config") + f"Host near\n  Hostname 127.0.0.1\n  ProxyJump far\n  Port {sshd.port}\n",
    )
    path = f"{sshd.folder}/r"
    with (
        serving(f"{sshd.folder}/s", echo),
        relaying(path, f"ssh:near:{sshd.folder}/s", env=sshd.env),
        dialled_unix(path) as sock,
    ):
        sock.sendall(b"hello")
        assert sock.recv(100) == b"hello"
    assert sshd.log().count("Accepted publickey") == 2


def test_agent_holds_the_key(sshd: Sshd) -> None:
    agent_path, key = f"{sshd.folder}/agent", f"{sshd.home}/.ssh/id_ed25519"
    agent = subprocess.Popen([require("ssh-agent"), "-D", "-a", agent_path], stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: os.path.exists(agent_path))
        agent_env = {"SSH_AUTH_SOCK": agent_path}
        subprocess.run(
            [require("ssh-add"), "-q", key], env={**os.environ, **agent_env}, check=True, timeout=PATIENCE_S
        )
        os.remove(key)
        path = f"{sshd.folder}/r"
        with (
            serving(f"{sshd.folder}/s", echo),
            relaying(path, f"ssh:far:{sshd.folder}/s", env={**sshd.env, **agent_env}),
            dialled_unix(path) as sock,
        ):
            sock.sendall(b"hello")
            assert sock.recv(100) == b"hello"
    finally:
        agent.kill()
        agent.wait(PATIENCE_S)
