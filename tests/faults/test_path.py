"""The socket file under attack: what is alive, or is no socket, or is not ours, is never removed. Rows 1, 2, 4, 6,
7, 9, 13, 15-17; each refusal also leaves the directory as it was.
"""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.faults import strangers
from tests.faults.running import Serve, connected, identity, litter, say, until
from tests.faults.scale import scaled
from tests.faults.users import IS_ROOT, User
from tests.peers import require
from tests.program import Ended, ended

DELAYED = "/chmod,listen"
"""All calls with chmod in their names that this strace knows, and listen."""


def strace(*options: str) -> list[str]:
    """-D: the program stays our child, strace is the grandchild."""
    return [require("strace"), "-D", "-f", *options]


def refused(user: User, *args: str, **options: Any) -> Ended:
    """`serve` that must not start."""
    with Serve(user, *args, must_start=False, **options) as serve:
        assert not serve.is_ready
        return serve.end()


# 1: no moment in which the file is wider than asked for


@pytest.mark.parametrize("mode", [0o600, 0o660])
def test_file_is_never_wider_than_asked_for(user: User, place: str, stranger: int, mode: int) -> None:
    path = f"{place}/s"
    slow = f"inject={DELAYED}:delay_enter={scaled(150, 500)}ms"
    shell = ["/bin/sh", "-c", 'umask 000; exec "$@"', "sh"]
    traced = strace("-e", f"trace={DELAYED},umask", "-e", slow)
    with (
        strangers.running("knock", stranger, path) as knocking,
        Serve(user, "--mode", f"{mode:o}", path, prefix=[*shell, *traced]) as serve,
    ):
        found = strangers.finish(knocking)
        assert stat.S_IMODE(os.stat(path).st_mode) == mode
        assert "umask(" not in serve.err()
    assert found.keys() == {"ENOENT", "EACCES"}


# 2: kill -9 and start again


def test_start_after_kill_9_needs_no_help(user: User, place: str) -> None:
    for turn in range(scaled(10, 300)):
        with Serve(user, f"{place}/s") as serve:
            say(f"{place}/s", b"turn %d\n" % turn)
            serve.wait_for_out(lambda out, turn=turn: out == b"turn %d\n" % turn)  # type: ignore[misc]
            assert serve.stop(signal.SIGKILL).status == -signal.SIGKILL
    with Serve(user, f"{place}/s") as serve:
        assert serve.stop().status == 0
    assert litter(place) == []


# 4: what is alive is not taken


def test_second_start_says_who_is_there_and_the_first_goes_on(user: User, place: str) -> None:
    path = f"{place}/s"
    with Serve(user, path) as first, connected(path) as client:
        client.sendall(b"half a ")
        before = identity(path)
        end = refused(user, path)
        assert end.status == 10
        assert f"'{path}' is in use: pid {first.pid} (afunix)" in end.err
        client.sendall(b"line\n")
        first.wait_for_out(lambda out: out == b"half a line\n")
        assert (identity(path), litter(place)) == (before, ["s"])


@contextmanager
def alive(path: str, kind: int, mode: int) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, kind) as sock:
        sock.bind(path)
        os.chmod(path, mode)
        if kind != socket.SOCK_DGRAM:
            sock.listen(0)
        yield sock


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        (socket.SOCK_STREAM, 0o666),
        (socket.SOCK_STREAM, 0o000),
        (socket.SOCK_SEQPACKET, 0o666),
        (socket.SOCK_DGRAM, 0o666),
        (socket.SOCK_DGRAM, 0o000),
    ],
)
def test_live_socket_of_any_type_and_mode_is_not_taken(user: User, place: str, kind: int, mode: int) -> None:
    """Mode 000: an ordinary user's probe ends in EACCES, which says nothing, so it is not stale."""
    path = f"{place}/s"
    with alive(path, kind, mode) as sock:
        before = identity(path)
        assert refused(user, path).status == 10
        assert (identity(path), litter(place)) == (before, ["s"])
        os.chmod(path, 0o666)
        with connected(path, kind) as client:
            client.send(b"x")
            if kind == socket.SOCK_DGRAM:
                assert sock.recv(10) == b"x"


def test_live_server_that_is_stopped_with_a_full_backlog_is_not_taken(user: User, place: str) -> None:
    path = f"{place}/s"
    with Serve(user, "--backlog", "0", path) as first:
        first.send(signal.SIGSTOP)
        with connected(path) as client:  # and the backlog is full
            before = identity(path)
            assert refused(user, path).status == 10
            assert identity(path) == before
            first.send(signal.SIGCONT)
            client.sendall(b"still here\n")
            first.wait_for_out(lambda out: out == b"still here\n")


def test_live_datagram_socket_that_has_a_peer_is_not_taken(user: User, place: str) -> None:
    """The probe of a connected one ends in EPERM."""
    path = f"{place}/s"
    with alive(path, socket.SOCK_DGRAM, 0o666) as sock, alive(f"{place}/other", socket.SOCK_DGRAM, 0o666):
        sock.connect(f"{place}/other")
        before = identity(path)
        assert refused(user, path).status == 10
        assert identity(path) == before


def test_take_over_on_request_leaves_no_litter(user: User, place: str) -> None:
    path = f"{place}/s"
    with Serve(user, path) as first, Serve(user, "--replace", path) as second:
        assert litter(place) == ["s"]
        say(path, b"to the second\n")
        second.wait_for_out(lambda out: out == b"to the second\n")
        assert first.stop() == Ended(0, b"", first.err())
        say(path, b"still there\n")
        assert second.stop().out == b"to the second\nstill there\n"
    assert litter(place) == []


# 6: two at once


@pytest.mark.parametrize("is_stale", [False, True])
def test_rival_that_starts_before_the_first_listens_is_refused(
    user: User, place: str, is_stale: bool
) -> None:
    path = f"{place}/s"
    if is_stale:
        leave_stale(path)
        os.chown(path, user.uid, -1)
    slow = strace("-e", "trace=bind,listen", "-e", f"inject=listen:delay_enter={scaled(500, 1000)}ms")
    read_fd, write_fd = os.pipe()
    with open(read_fd, "rb", buffering=0) as words:
        first = user.start("serve", "-v", path, prefix=slow, stdin=subprocess.DEVNULL, stderr=write_fd)
        os.close(write_fd)
        try:
            seen = b""
            while not (b"bind(" in seen and b's"' in seen.rpartition(b"bind(")[2] and b") = 0" in seen):
                seen += words.read(4096) or pytest.fail(f"it ended: {seen!r}")
            assert refused(user, path).status == 10
            while b"listening on" not in seen:
                seen += words.read(4096) or pytest.fail(f"it ended: {seen!r}")
            with connected(path) as client:
                held = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
                assert int.from_bytes(held[:4], "little") == first.pid
        finally:
            first.terminate()
            assert first.wait() == 0
    assert litter(place) == []


def leave_stale(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        sock.listen()


def test_of_many_starters_on_a_stale_path_exactly_one_wins(user: User, place: str) -> None:
    path = f"{place}/s"
    for _ in range(scaled(2, 100)):
        leave_stale(path)
        os.chown(path, user.uid, -1)
        wait_for_go = ["/bin/sh", "-c", 'read go; exec "$@"', "sh"]
        go_read, go_write = os.pipe()
        out_read, out_write = os.pipe()
        starters = [
            user.start(
                *("serve", "--once", path),
                prefix=wait_for_go,
                stdin=go_read,
                stdout=out_write,
                stderr=out_write,
            )
            for _ in range(4)
        ]
        os.close(go_read)
        os.close(out_write)
        os.write(go_write, b"\n" * len(starters))
        os.close(go_write)
        until(lambda: sum(each.poll() is not None for each in starters) == 3, "three have given up")  # noqa: B023
        say(path, b"")
        os.close(out_read)
        assert sorted(each.wait() for each in starters) == [0, 10, 10, 10]
        assert litter(place) == []


# 7: what is no socket is not removed


def make_file(path: str) -> None:
    with open(path, "wb") as file:
        file.write(b"precious")


def make_link_to_file(path: str) -> None:
    make_file(f"{path}.target")
    os.symlink("s.target", path)


def make_link_to_live_socket(path: str) -> None:
    leave_stale(f"{path}.target")
    os.symlink("s.target", path)


@pytest.mark.parametrize("option", [(), ("--replace",), ("--type", "dgram")])
@pytest.mark.parametrize(
    ("make", "word"),
    [
        (make_file, "regular file"),
        (os.mkdir, "directory"),
        (os.mkfifo, "FIFO"),
        (make_link_to_file, "symbolic link"),
        (make_link_to_live_socket, "symbolic link"),
        (lambda path: os.symlink("nowhere", path), "symbolic link"),
    ],
)
def test_what_is_no_socket_is_refused_and_left_as_it_is(
    user: User, place: str, make: Callable[[str], None], word: str, option: tuple[str, ...]
) -> None:
    path = f"{place}/s"
    make(path)
    before = [(name, identity(f"{place}/{name}")) for name in litter(place)]
    end = refused(user, *option, path)
    assert end.status == 6
    assert word in end.err
    assert [(name, identity(f"{place}/{name}")) for name in litter(place)] == before


# 9, 16, 17: replaced, removed, moved while it runs


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_foreign_socket_that_took_the_path_survives_the_stop(user: User, place: str, number: int) -> None:
    path = f"{place}/s"
    with Serve(user, path) as serve:
        os.unlink(path)
        with alive(path, socket.SOCK_STREAM, 0o666):
            assert serve.stop(number).status == 0
            connected(path).close()
    assert litter(place) == ["s"]


def test_regular_file_that_took_the_path_survives_the_stop(user: User, place: str) -> None:
    with Serve(user, f"{place}/s") as serve:
        make_file(f"{place}/new")
        os.rename(f"{place}/new", f"{place}/s")
        before = identity(f"{place}/s")
        assert serve.stop().status == 0
        assert identity(f"{place}/s") == before


def test_successor_on_the_same_inode_number_survives_the_stop_of_the_first(user: User, place: str) -> None:
    """The first has a client that keeps it; its path is free at once and the second takes it."""
    path = f"{place}/s"
    with Serve(user, "--drain", "1m", path) as first, connected(path) as client:
        client.sendall(b"1\n")
        first.wait_for_out(lambda out: out == b"1\n")
        first.send(signal.SIGTERM)
        first.wait_stopping()
        until(lambda: not os.path.lexists(path), "the first has left its path")
        with Serve(user, path) as second:
            client.close()
            assert first.end().status == 0
            say(path, b"2\n")
            assert second.stop().out == b"2\n"
    assert litter(place) == []


def test_removed_path_leaves_connections_alone_and_the_end_clean(user: User, place: str) -> None:
    path = f"{place}/s"
    with Serve(user, path) as serve, connected(path) as client:
        client.sendall(b"before\n")
        serve.wait_for_out(lambda out: out == b"before\n")
        os.unlink(path)
        client.sendall(b"after\n")
        serve.wait_for_out(lambda out: out == b"before\nafter\n")
        assert serve.stop() == Ended(0, b"before\nafter\n", "")
    assert litter(place) == []


def test_renamed_directory_is_cleaned_and_its_namesake_is_not_touched(user: User, place: str) -> None:
    os.mkdir(f"{place}/here")
    os.chown(f"{place}/here", user.uid, -1)
    with Serve(user, "s", cwd=f"{place}/here") as serve:
        os.rename(f"{place}/here", f"{place}/there")
        os.mkdir(f"{place}/here")
        with alive(f"{place}/here/s", socket.SOCK_STREAM, 0o666):
            assert serve.stop().status == 0
            connected(f"{place}/here/s").close()
    assert (litter(f"{place}/here"), litter(f"{place}/there")) == (["s"], [])


# 13: lengths


def nested(place: str, length: int) -> tuple[str, str]:
    """A path of `length` bytes, of many directories, and the last of these."""
    path = place
    while (left := length - len(path) - 3) > 0:
        path = f"{path}/{'d' * min(left, 80)}"
        os.makedirs(path, exist_ok=True)
        os.chmod(path, 0o777)
    return f"{path}/{'s' * (length - len(path) - 1)}", path


@pytest.mark.parametrize("length", [106, 107, 108, 109, 300, 4000])
def test_path_of_any_length_works_and_shows_its_whole_name(user: User, place: str, length: int) -> None:
    path, directory = nested(place, length)
    assert len(path) == length
    with Serve(user, path) as serve:
        assert litter(directory) == [os.path.basename(path)]
        client = user.start("connect", path, stdin=subprocess.PIPE)
        assert ended(client, b"far away\n").status == 0
        assert serve.stop().out == b"far away\n"
    assert litter(directory) == []


@pytest.mark.parametrize("length", [92, 107, 108, 255, 300])
def test_name_of_any_length_works_or_is_refused_with_the_limit(user: User, place: str, length: int) -> None:
    name = "n" * length
    with Serve(user, name, cwd=place, must_start=False) as serve:
        if serve.is_ready:
            assert litter(place) == [name]
            assert serve.stop().status == 0
        else:
            end = serve.end()
            assert (end.status, length > 107) == (2, True)
            assert f"{length} bytes" in end.err
            assert "afunix: hint: " in end.err
        assert litter(place) == []


# 15: directories


def refuse_in(user: User, place: str, make: Callable[[str], str]) -> Ended:
    path = make(place)
    end = refused(user, path)
    assert end.err.count("\n") == 2
    assert "afunix: hint: " in end.err
    return end


def test_missing_directory_is_status_3(user: User, place: str) -> None:
    end = refuse_in(user, place, lambda place: f"{place}/absent/s")
    assert (end.status, litter(place)) == (3, [])
    assert "ENOENT" in end.err


def test_file_in_the_place_of_a_directory_is_status_3(user: User, place: str) -> None:
    make_file(f"{place}/file")
    end = refuse_in(user, place, lambda place: f"{place}/file/s")
    assert (end.status, litter(place)) == (3, ["file"])
    assert "ENOTDIR" in end.err


@pytest.mark.parametrize(("mode", "word"), [(0o555, "writ"), (0o644, "search")])
def test_directory_that_is_closed_to_an_ordinary_user_is_status_5(
    user: User, place: str, mode: int, word: str
) -> None:
    if user.uid == 0:
        pytest.skip("nothing is closed to root")
    os.mkdir(f"{place}/closed")
    os.chown(f"{place}/closed", user.uid, -1)
    os.chmod(f"{place}/closed", mode)
    end = refuse_in(user, place, lambda place: f"{place}/closed/s")
    assert (end.status, litter(f"{place}/closed") if IS_ROOT else []) == (5, [])
    assert word in end.err
    assert "EACCES" in end.err


def mounted(user: User, place: str, options: str) -> list[str]:
    """A prefix that mounts a tmpfs at `place` for this run alone."""
    unshare = [require("unshare"), "-m"] if IS_ROOT else [require("unshare"), "-rm"]
    words = f'mount -t tmpfs -o {options} none "$0" || exit 99; exec "$@"'
    return [*unshare, "/bin/sh", "-c", words, place, *user.becoming()]


def test_read_only_file_system_is_status_5(user: User, place: str) -> None:
    with Serve(
        user, f"{place}/s", prefix=mounted(user, place, "ro,mode=777"), privileged=True, must_start=False
    ) as serve:
        end = serve.end()
    if end.status == 99:
        pytest.skip(f"mounting is not allowed here: {end.err}")
    assert end.status == 5
    assert "EROFS" in end.err
