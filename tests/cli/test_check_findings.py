"""What stands in the way, produced for real; each hint is followed, and then it is reachable. Statuses as `connect`'s."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from tests.checking import Holder, agrees, check, codes, finding, finish, in_shell, paste, report
from tests.faults.users import IS_ROOT, ME, User
from tests.peers import require
from tests.program import Ended

NEEDS_ROOT = pytest.mark.skipif(not IS_ROOT, reason="mounting needs root")


@contextmanager
def listening(path: str, kind: int = socket.SOCK_STREAM, backlog: int = 16) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, kind) as sock:
        sock.bind(path)
        os.chmod(path, 0o666)
        if kind != socket.SOCK_DGRAM:
            sock.listen(backlog)
        yield sock


def is_reachable(user: User, address: str) -> bool:
    return report(user, address)["reachable"] is True


# The file


def test_missing_one_is_waited_for_by_the_command_that_is_printed(user: User, place: str) -> None:
    found = agrees(user, f"{place}/s")
    assert (found["status"], codes(found)) == (3, ["missing"])
    waiting = in_shell(user, finding(found, "missing")["command"])
    with listening(f"{place}/s"):
        end = finish(waiting)
    assert (end.status, end.out.startswith(b"reachable: ")) == (0, True)


def test_name_that_was_nearly_right_is_offered(user: User, place: str) -> None:
    with Holder(f"{place}/app.sock"):
        found = agrees(user, f"{place}/ap.sock")
        assert (found["status"], codes(found)) == (3, ["missing", "near-miss"])
        assert paste(user, finding(found, "near-miss")["command"]).status == 0


def test_name_of_a_stale_file_is_not_offered(sock_dir: str) -> None:
    with listening(f"{sock_dir}/app.sock"):
        pass
    assert codes(report(ME, f"{sock_dir}/ap.sock")) == ["missing"]


def test_working_directory_that_was_removed_is_no_more_than_a_missing_socket(sock_dir: str) -> None:
    script = 'mkdir "$1/gone" && cd "$1/gone" && rmdir "$1/gone" && afunix check ./s'
    end = finish(in_shell(ME, script, sock_dir))
    assert (end.status, end.err) == (3, "")


def test_missing_directory_is_named(user: User, place: str) -> None:
    found = agrees(user, f"{place}/no/such/s")
    assert (found["status"], found["verdict"]) == (3, "missing-parent")
    assert f"there is no directory '{place}/no'" in finding(found, "missing-parent")["what"]
    os.makedirs(f"{place}/no/such", 0o755)
    with listening(f"{place}/no/such/s"):
        assert is_reachable(user, f"{place}/no/such/s")


def test_file_in_place_of_a_directory_is_named(user: User, place: str) -> None:
    with open(f"{place}/file", "w"):
        found = agrees(user, f"{place}/file/s")
    assert (found["status"], found["verdict"]) == (3, "not-a-directory")
    assert f"'{place}/file' is not a directory (ENOTDIR)" in found["findings"][0]["what"]


def test_dangling_link_is_told_from_a_missing_file(user: User, place: str) -> None:
    os.symlink("real.sock", f"{place}/s")
    found = agrees(user, f"{place}/s")
    assert (found["status"], found["verdict"]) == (3, "dangling-link")
    waiting = in_shell(user, found["findings"][0]["command"])
    with listening(f"{place}/real.sock"):
        assert finish(waiting).status == 0


def test_links_that_lead_to_each_other_are_no_way(user: User, place: str) -> None:
    os.symlink("b", f"{place}/a")
    os.symlink("a", f"{place}/b")
    found = agrees(user, f"{place}/a")
    assert (found["status"], found["verdict"]) == (3, "link-loop")
    os.unlink(f"{place}/b")
    with listening(f"{place}/b"):
        assert is_reachable(user, f"{place}/a")


@pytest.mark.parametrize("kind", ["a regular file", "a FIFO"])
def test_what_is_no_socket_is_named(user: User, place: str, kind: str) -> None:
    path = f"{place}/s"
    os.mkfifo(path, 0o666) if kind == "a FIFO" else open(path, "w").close()
    os.chmod(path, 0o666)
    found = agrees(user, path)
    assert (found["status"], found["verdict"]) == (6, "not-a-socket")
    assert f"is {kind}, and a socket was expected" in found["findings"][0]["what"]


def test_empty_directory_where_the_socket_was_expected_is_removed_by_the_command(
    user: User, place: str
) -> None:
    os.mkdir(f"{place}/docker.sock")
    os.chown(f"{place}/docker.sock", user.uid, user.uid)
    found = agrees(user, f"{place}/docker.sock")
    assert (found["status"], found["verdict"]) == (6, "is-a-directory")
    assert "bind mount (-v)" in found["findings"][0]["why"]
    assert paste(user, found["findings"][0]["command"]).status == 0
    with listening(f"{place}/docker.sock"):
        assert is_reachable(user, f"{place}/docker.sock")


def test_directory_with_the_socket_in_it_is_no_trap(user: User, place: str) -> None:
    with listening(f"{place}/s"):
        found = agrees(user, place)
    assert (found["status"], found["findings"][0]["command"]) == (6, None)
    assert "the socket's own name may be missing" in found["findings"][0]["hint"]


def test_long_name_of_a_file_is_wrong_use(user: User, place: str) -> None:
    found = agrees(user, f"{place}/{'x' * 300}")
    assert (found["status"], codes(found)) == (2, ["too-long"])


def test_long_path_is_reached_and_others_are_shown_how(user: User, place: str) -> None:
    directory = f"{place}/{'d' * 60}/{'e' * 60}"
    os.makedirs(directory, 0o755)
    with Inside(directory), Holder("./s"):
        found = agrees(user, f"{directory}/s")
        assert (found["status"], codes(found)) == (0, ["live", "long-path"])
        go_there = finding(found, "long-path")["command"]
        end = paste(user, f"{go_there} && {require('nc')} -NU ./s </dev/null")
        assert (end.status, end.err) == (0, "")


class Inside:
    """Work in a directory for a while."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def __enter__(self) -> None:
        self._before = os.open(".", os.O_PATH)
        os.chdir(self._directory)

    def __exit__(self, *_: object) -> None:
        os.fchdir(self._before)
        os.close(self._before)


def test_name_that_a_terminal_would_obey_is_shown_and_the_command_still_means_it(
    user: User, place: str
) -> None:
    path = f"{place}/a\x1b[2J\n b'$(touch x)\udcff"
    with listening(path):
        pass
    end = check(user, path)
    assert end.status == 4
    assert b"\x1b" not in end.out
    assert end.out.startswith(f"not reachable: '{place}/a^[[2J^J b'$(touch x)\\xff' exists".encode())
    command = report(user, path)["findings"][0]["command"]
    assert subprocess.run([require("bash"), "-c", command], cwd=place, check=False).returncode == 0
    assert os.listdir(place) == []


# The socket


def test_stale_file_of_a_killed_server_is_removed_by_the_command(user: User, place: str) -> None:
    with Holder(f"{place}/s") as server:
        server.kill()
    os.chown(f"{place}/s", user.uid, user.uid)
    found = agrees(user, f"{place}/s")
    assert (found["status"], codes(found)) == (4, ["stale"])
    assert paste(user, found["findings"][0]["command"]).status == 0
    with listening(f"{place}/s"):
        assert is_reachable(user, f"{place}/s")


def test_serve_takes_a_stale_file_as_the_hint_says(sock_dir: str) -> None:
    with Holder(f"{sock_dir}/s") as server:
        server.kill()
    assert "'afunix serve' replaces stale socket files" in report(ME, f"{sock_dir}/s")["findings"][0]["hint"]
    server_run = in_shell(ME, f"exec afunix serve {sock_dir}/s")
    try:
        assert check(ME, "-q", "--wait", "10s", f"{sock_dir}/s").status == 0
    finally:
        server_run.terminate()
        finish(server_run)


def test_socket_that_does_not_listen_yet_is_waited_for_by_the_command(user: User, place: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{place}/s")
        os.chmod(f"{place}/s", 0o666)
        found = agrees(user, f"{place}/s")
        assert (found["status"], codes(found)) == (4, ["not-listening"])
        waiting = in_shell(user, found["findings"][0]["command"])
        sock.listen()
        assert finish(waiting).status == 0


def test_server_that_shut_its_listener_down_is_told_from_one_that_never_listened(sock_dir: str) -> None:
    with listening(f"{sock_dir}/s") as sock:
        sock.shutdown(socket.SHUT_RD)
        found = agrees(ME, f"{sock_dir}/s")
        assert (found["status"], found["verdict"]) == (4, "not-listening")
        assert "takes no new clients while it stops" in found["findings"][0]["why"]


@pytest.mark.parametrize(
    ("kind", "asked"), [("stream", "dgram"), ("dgram", "stream"), ("seqpacket", "stream")]
)
def test_other_type_than_asked_for_is_found_out(user: User, place: str, kind: str, asked: str) -> None:
    with Holder(f"{place}/s", kind=kind, backlog=-1 if kind == "dgram" else 16):
        found = agrees(user, "--type", asked, f"{place}/s")
        assert (found["status"], codes(found)) == (6, ["wrong-type"])
        assert f"is a {kind} socket, and {asked} was asked for" in found["findings"][0]["what"]
        assert paste(user, found["findings"][0]["command"]).status == 0


@pytest.mark.parametrize("kind", ["stream", "dgram", "seqpacket"])
def test_right_type_is_reachable(user: User, place: str, kind: str) -> None:
    with listening(f"{place}/s", getattr(socket, f"SOCK_{kind.upper()}")):
        found = report(user, "--type", kind, f"{place}/s")
        assert (found["status"], codes(found)) == (0, ["live"])


def test_full_backlog_of_a_stopped_server_names_who_waits_and_continues_it(user: User, place: str) -> None:
    path = f"{place}/s"
    with ExitStack() as stack:
        server = stack.enter_context(Holder(path, backlog=1))
        server.stop()
        for _ in range(2):
            stack.enter_context(socket.socket(socket.AF_UNIX)).connect(path)
        found = agrees(user, path)
        assert (found["status"], codes(found)) == (7, ["backlog-full"])
        full = found["findings"][0]
        assert "2 wait in a backlog of 1" in full["why"]
        if not user.changes:  # else neither the server nor its clients may be looked into
            assert f"2 of pid {os.getpid()}" in full["why"]
            assert full["command"] == f"kill -CONT {server.pid}"
            assert paste(user, full["command"]).status == 0
        else:
            os.kill(server.pid, signal.SIGCONT)
        assert check(user, "-q", "--wait", "10s", path).status == 0


def test_full_backlog_of_a_busy_server_is_waited_for_by_the_command(user: User, place: str) -> None:
    with listening(f"{place}/s", backlog=0) as sock, socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{place}/s")
        found = agrees(user, f"{place}/s")
        assert (found["status"], codes(found)) == (7, ["backlog-full"])
        waiting = in_shell(user, found["findings"][0]["command"])
        sock.accept()[0].close()
        assert finish(waiting).status == 0


def test_stopped_server_with_room_is_reachable_and_continued_by_the_command(sock_dir: str) -> None:
    with Holder(f"{sock_dir}/s") as server:
        server.stop()
        found = report(ME, f"{sock_dir}/s")
        assert (found["status"], codes(found)) == (0, ["live", "stopped"])
        assert paste(ME, finding(found, "stopped")["command"]).status == 0
        assert codes(report(ME, f"{sock_dir}/s")) == ["live"]


def test_datagram_socket_that_has_its_peer_takes_nobody_else(user: User, place: str) -> None:
    with listening(f"{place}/s", socket.SOCK_DGRAM) as sock, listening(f"{place}/peer", socket.SOCK_DGRAM):
        sock.connect(f"{place}/peer")
        found = agrees(user, f"{place}/s")
        assert (found["status"], codes(found)) == (5, ["has-its-peer"])


def test_server_whose_file_was_removed_is_named(user: User, place: str) -> None:
    with Holder(f"{place}/s") as server:
        os.unlink(f"{place}/s")
        found = agrees(user, f"{place}/s")
        assert (found["status"], codes(found)) == (3, ["missing", "removed"])
        if not user.changes:
            assert f"pid {server.pid} " in finding(found, "removed")["what"]
    with Holder(f"{place}/s"):  # "restart that server"
        assert is_reachable(user, f"{place}/s")


@pytest.mark.parametrize("name", ["@{}", "unix-abstract:{}%00x"])
def test_abstract_name_that_nobody_has_is_status_4(user: User, sock_dir: str, name: str) -> None:
    written = name.format(os.path.basename(sock_dir))
    found = agrees(user, written)
    assert (found["status"], codes(found)) == (4, ["missing"])
    waiting = in_shell(user, found["findings"][0]["command"])
    raw = os.path.basename(sock_dir) + ("\0x" if "%00" in name else "")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind("\0" + raw)
        sock.listen()
        assert finish(waiting).status == 0


def test_abstract_name_is_offered_to_who_wrote_a_path_and_the_other_way_round(sock_dir: str) -> None:
    name = os.path.basename(sock_dir)
    with Holder(f"@{name}"), Holder(f"{sock_dir}/file"):
        found = report(ME, name, cwd=sock_dir)
        assert paste(ME, finding(found, "near-miss")["command"], cwd=sock_dir).status == 0
        found = report(ME, "@file", cwd=sock_dir)
        assert paste(ME, finding(found, "near-miss")["command"], cwd=sock_dir).status == 0


# Mounts


def in_mounts(place: str, script: str) -> Ended:
    """Run `script`, `$1` is the directory, in a mount namespace of its own; in it `first` is a report's first command."""
    words = 'first() { afunix check --json "$@" | jq -r "first(.findings[].command | values)"; }\n' + script
    require("jq")
    return finish(in_shell(ME, words, place, prefix=[require("unshare"), "-m"]))


@NEEDS_ROOT
def test_directory_that_is_mounted_in_place_of_the_socket_is_the_container_trap(sock_dir: str) -> None:
    os.mkdir(f"{sock_dir}/host.sock")
    os.mkdir(f"{sock_dir}/docker.sock")
    end = in_mounts(sock_dir, 'mount --bind "$1/host.sock" "$1/docker.sock" && afunix check "$1/docker.sock"')
    assert end.status == 6
    assert b"it is mounted there: a container engine makes an empty directory" in end.out
    assert b"(empty; mounted here)" in end.out


@NEEDS_ROOT
def test_socket_that_is_mounted_by_itself_stays_the_old_one(sock_dir: str) -> None:
    with listening(f"{sock_dir}/old"):
        pass
    open(f"{sock_dir}/s", "w").close()
    end = in_mounts(sock_dir, 'mount --bind "$1/old" "$1/s" && afunix check "$1/s"')
    assert end.status == 4
    assert b"mount the directory that the socket is in, not the socket" in end.out


@NEEDS_ROOT
def test_read_only_place_is_made_writable_by_the_command(sock_dir: str) -> None:
    script = """
        mount -t tmpfs -o ro none "$1" || exit 99
        afunix check --json "$1/s" | jq -c "[.findings[].code]"
        sh -c "$(first "$1/s" | grep -v wait || afunix check --json "$1/s" | jq -r '.findings[-1].command')"
        touch "$1/works" && echo writable
    """
    end = in_mounts(sock_dir, script)
    assert end.out.splitlines() == [b'["missing","read-only"]', b"writable"], end.err


def test_command_of_every_finding_is_one_line_that_a_shell_can_read(sock_dir: str) -> None:
    path = f"{sock_dir}/it's a name"
    with listening(path):
        pass
    command = report(ME, path)["findings"][0]["command"]
    assert shlex.split(command) == ["rm", path]
