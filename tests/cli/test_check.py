"""`afunix check`: what it prints and where, what it ends with, how it waits, and that no server notices it."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import pty
import re
import select
import socket
import struct
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.checking import check, codes, report
from tests.faults.users import ME, User
from tests.program import command, ended, environment, run, start

from afunix.model.findings import Code

KINDS = {"stream": socket.SOCK_STREAM, "dgram": socket.SOCK_DGRAM, "seqpacket": socket.SOCK_SEQPACKET}


@contextmanager
def listening(path: str, kind: str = "stream", backlog: int = 16) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, KINDS[kind]) as sock:
        sock.bind(path)
        os.chmod(path, 0o666)
        if kind != "dgram":
            sock.listen(backlog)
        sock.setblocking(False)
        yield sock


def sees_nobody(sock: socket.socket) -> bool:
    """Nobody to be accepted, and no datagram."""
    return not select.select([sock], [], [], 0)[0]


# Reachable


@pytest.mark.parametrize("kind", KINDS)
def test_live_server_is_reachable_and_notices_nothing(user: User, place: str, kind: str) -> None:
    with listening(f"{place}/s", kind) as sock:
        end = check(user, f"{place}/s")
        assert (end.status, end.err) == (0, "")
        assert end.out.startswith(f"reachable: '{place}/s' is live: ".encode())
        assert kind.encode() in end.out.splitlines()[0]
        assert sees_nobody(sock)


def test_owner_of_a_live_socket_is_named(sock_dir: str) -> None:
    with listening(f"{sock_dir}/s"):
        assert f"pid {os.getpid()} (" in report(ME, f"{sock_dir}/s")["findings"][0]["what"]


def test_abstract_name_is_found(user: User, sock_dir: str) -> None:
    name = os.path.basename(sock_dir)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"\0{name}")
        sock.listen()
        assert codes(report(user, f"@{name}")) == ["live"]
        assert sees_nobody(sock)


@pytest.mark.parametrize("backlog", [-1, 0])
def test_without_sock_diag_a_listener_is_told_from_a_socket_that_is_only_bound(
    user: User, place: str, backlog: int
) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{place}/s")
        os.chmod(f"{place}/s", 0o666)
        if backlog >= 0:
            sock.listen(backlog)
        found = report(user, f"{place}/s", env={"AFUNIX_FORCE_FALLBACK": "sock_diag"})
        assert not found["facts"]["table_complete"]
        assert codes(found) == (["live"] if backlog >= 0 else ["not-listening"])


def test_without_sock_diag_a_full_backlog_is_found_by_a_probe(sock_dir: str) -> None:
    with listening(f"{sock_dir}/s", backlog=0), socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{sock_dir}/s")
        blind = {"AFUNIX_FORCE_FALLBACK": "sock_diag"}
        assert codes(report(ME, f"{sock_dir}/s", env=blind)) == ["live"]
        found = report(ME, "--probe", f"{sock_dir}/s", env=blind)
        assert (found["status"], found["verdict"]) == (7, "backlog-full")


# --probe


@pytest.mark.parametrize("kind", ["stream", "seqpacket"])
def test_probe_is_one_client_that_leaves_at_once(user: User, place: str, kind: str) -> None:
    with listening(f"{place}/s", kind) as sock:
        found = report(user, "--probe", f"{place}/s")
        assert (found["status"], codes(found)) == (0, ["answered", "live"])
        assert f"by uid {os.geteuid()} " in found["findings"][0]["what"]
        assert found["facts"]["answer"]["pid"] == os.getpid()
        connection, _ = sock.accept()
        with connection:
            assert connection.recv(1) == b""
        assert sees_nobody(sock)


def test_probe_of_a_datagram_socket_sends_nothing(sock_dir: str) -> None:
    with listening(f"{sock_dir}/s", "dgram") as sock:
        assert report(ME, "--probe", f"{sock_dir}/s")["facts"]["answer"]["errno"] == "connected"
        assert sees_nobody(sock)


def test_nobody_is_connected_to_where_something_stands_in_the_way(sock_dir: str) -> None:
    with listening(f"{sock_dir}/s", backlog=0) as sock, socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{sock_dir}/s")
        found = report(ME, "--probe", f"{sock_dir}/s")
        assert (found["status"], found["facts"]["answer"]) == (7, None)
        sock.accept()[0].close()
        assert sees_nobody(sock)


# --wait


def test_wait_is_quiet_until_the_server_listens_and_leaves_no_trace(user: User, place: str) -> None:
    process = user.start(
        "check", "--wait", "20s", f"{place}/s", stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with listening(f"{place}/s") as sock:
        end = ended(process)
        assert (end.status, end.err) == (0, "")
        assert end.out.startswith(b"reachable: ")
        assert sees_nobody(sock)


def test_wait_that_ran_out_is_status_7_and_names_the_obstacle(user: User, place: str) -> None:
    end = check(user, "--wait", "50ms", f"{place}/s")
    assert end.status == 7
    assert end.out.startswith(f"not reachable within 0.05 s: '{place}/s' does not exist (ENOENT)\n".encode())
    found = report(user, "--wait", "0", f"{place}/s")
    assert (found["status"], found["waited"], codes(found)) == (7, 0, ["missing"])


def test_what_does_not_pass_is_not_waited_for(user: User, place: str) -> None:
    with listening(f"{place}/s"):
        found = report(user, "--wait", "1h", "--type", "dgram", f"{place}/s")
        assert (found["status"], found["waited"]) == (6, None)
    found = report(user, "--wait", "1h", f"{place}/s/below")
    assert (found["status"], found["verdict"]) == (3, "not-a-directory")


def test_wait_with_probe_is_one_client(sock_dir: str) -> None:
    process = start("check", "-q", "--wait", "20s", "--probe", f"{sock_dir}/s")
    with listening(f"{sock_dir}/s") as sock:
        end = ended(process)
        assert (end.status, end.out, end.err) == (0, b"", "")
        sock.accept()[0].close()
        assert sees_nobody(sock)


def test_interrupt_ends_the_waiting_without_a_word(sock_dir: str) -> None:
    script = 'import sys; sys.argv[1:] = sys.argv[2:]; from afunix.cli import main; print("up", flush=True); main()'
    argv = [command()[0], "-c", script, "afunix", "check", "--wait", "1h", f"{sock_dir}/s"]
    process = subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, env=environment()
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    process.terminate()
    end = ended(process)
    assert (end.status, end.out, end.err) == (-15, b"", "")


# What is printed


def test_quiet_tells_by_its_status_alone(user: User, place: str) -> None:
    assert check(user, "-q", f"{place}/s").status == 3
    with listening(f"{place}/s"):
        end = check(user, "-q", f"{place}/s")
    assert (end.status, end.out, end.err) == (0, b"", "")


def test_verdict_comes_first_then_why_what_to_do_and_what_was_looked_at(sock_dir: str) -> None:
    with listening(f"{sock_dir}/s"):
        pass
    lines = run("check", f"{sock_dir}/s").out.decode().splitlines()
    assert lines[0].startswith("not reachable: ")
    assert [line.split(":")[0] for line in lines[1:3]] == ["  why", "  hint"]
    assert lines[3:6] == [f"  $ rm {sock_dir}/s", "", "looked at:"]
    assert lines[6].startswith("  drwx") and lines[6].endswith("  /")
    assert lines[-1] == f"  srw-rw-rw- root root  {sock_dir}/s" or os.geteuid()


def test_step_that_stands_in_the_way_is_marked(sock_dir: str) -> None:
    os.mkdir(f"{sock_dir}/closed", 0o700)
    lines = run("check", "--as", "65533", f"{sock_dir}/closed/s").out.decode().splitlines()
    assert lines[0].startswith("not reachable for uid 65533: ")
    marked = [line for line in lines if line.endswith("may not be searched")]
    assert [line.split()[3] for line in marked] == [sock_dir, f"{sock_dir}/closed"] or os.geteuid()


def test_every_fact_is_shown_with_v(sock_dir: str) -> None:
    os.symlink("s", f"{sock_dir}/link")
    with listening(f"{sock_dir}/s"), socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{sock_dir}/s")
        out = run("check", "-v", f"{sock_dir}/link").out.decode()
    assert f"  {sock_dir}/link -> s  (on '" in out
    assert f"you are uid {os.geteuid()} (" in out
    assert "stream, listening, 1 in a backlog of 16, made by uid" in out
    assert f"waiting: pid {os.getpid()} (" in out
    assert "fs.protected_symlinks: " in out


FINDING = {"code", "severity", "what", "why", "hint", "command", "errno"}


def test_json_has_one_shape(sock_dir: str) -> None:
    reachable_keys = {"address", "kind", "reachable", "status", "verdict", "waited", "findings", "facts"}
    fact_keys = {
        *("person", "type", "way", "dgram_probe", "may_write", "sockets", "table_complete", "other_mounts"),
        "sockets_beneath",
        *(
            "other_networks",
            "removed",
            "neighbours",
            "tapped",
            "protected_symlinks",
            "unseen_processes",
            "answer",
        ),
    }
    for address in (f"{sock_dir}/s", f"{sock_dir}/missing", f"@{os.path.basename(sock_dir)}", "x" * 500):
        with listening(f"{sock_dir}/s"):
            end = run("check", "--json", address)
        os.unlink(f"{sock_dir}/s")
        assert end.out.isascii() and end.out.count(b"\n") == 1
        found = json.loads(end.out)
        assert found.keys() == reachable_keys
        assert found["facts"].keys() == fact_keys
        assert found["address"] == address
        assert all(one.keys() == FINDING for one in found["findings"])
        assert {*codes(found)} <= {code.value for code in Code}


def test_json_of_a_live_server(sock_dir: str) -> None:
    with listening(f"{sock_dir}/s") as sock:
        found = report(ME, f"{sock_dir}/s")
        inode = os.fstat(sock.fileno()).st_ino
    assert (found["reachable"], found["status"], found["verdict"]) == (True, 0, "live")
    (there,) = found["facts"]["sockets"]
    assert (there["inode"], there["type"], there["state"]) == (inode, "stream", "listening")
    assert [one["pid"] for one in there["processes"]] == [os.getpid()]
    step = found["facts"]["way"][-1]
    assert (step["path"], step["kind"], step["mode"], step["uid"]) == (
        f"{sock_dir}/s",
        "socket",
        "0666",
        os.geteuid(),
    )


def test_json_keeps_bytes_that_are_no_text(sock_dir: str) -> None:
    path = os.fsencode(sock_dir) + b"/\xff\n"
    end = run("check", "--json", os.fsdecode(path))
    found = json.loads(end.out)
    assert found["address"] == f"{sock_dir}/\\xff^J"
    assert base64.b64decode(found["address_base64"]) == path


@contextmanager
def terminal(columns: int) -> Iterator[tuple[int, int]]:
    ours, theirs = pty.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        yield ours, theirs
    finally:
        os.close(ours)
        os.close(theirs)


def on_terminal(columns: int, *args: str, **changes: str) -> str:
    """What a terminal of that width gets to see."""
    with terminal(columns) as (ours, theirs):
        process = start("check", *args, stdout=theirs, env=environment(TERM="xterm", **changes))
        seen = b""
        while process.poll() is None or select.select([ours], [], [], 0)[0]:
            if select.select([ours], [], [], 0.05)[0]:
                seen += os.read(ours, 1 << 16)
        ended(process)
    return seen.decode().replace("\r\n", "\n")


@pytest.mark.parametrize(("columns", "widest"), [(40, 40), (80, 80), (200, 100)])
def test_sentences_fit_the_terminal_and_commands_stay_whole(sock_dir: str, columns: int, widest: int) -> None:
    with listening(f"{sock_dir}/s"):
        pass
    seen = on_terminal(columns, f"{sock_dir}/s", NO_COLOR="1")
    assert "\x1b" not in seen
    sentences = seen.partition("\nlooked at:")[0].splitlines()
    assert f"  $ rm {sock_dir}/s" in sentences
    assert all(len(line) <= widest for line in sentences if not line.startswith("  $ "))
    assert max(map(len, sentences)) > widest - 25
    words = " ".join(" ".join(sentences).split())
    assert "its server ended and left the file" in words


def test_colour_is_for_terminals(sock_dir: str) -> None:
    seen = on_terminal(80, f"{sock_dir}/s")
    assert seen.startswith("\x1b[1;31mnot reachable: \x1b[0m")
    assert "\x1b" not in on_terminal(80, f"{sock_dir}/s", NO_COLOR="1")
    assert "\x1b" not in on_terminal(80, "--json", f"{sock_dir}/s")
    assert b"\x1b" not in run("check", f"{sock_dir}/s").out


def test_stdout_that_is_full_is_status_1_and_one_that_is_closed_wrong_use(sock_dir: str) -> None:
    with open("/dev/full", "wb") as full:
        end = run("check", f"{sock_dir}/s", stdout=full)
    assert (end.status, "cannot write to STDOUT" in end.err) == (1, True)
    assert run("check", f"{sock_dir}/s", shell_prefix='"$@" >&-').status == 2
    assert run("check", "-q", f"{sock_dir}/s", shell_prefix='"$@" >&-').status == 3


# Wrong use


@pytest.mark.parametrize(
    ("args", "error", "hint"),
    [
        (["--as", "nobody-of-that-name", "/s"], "there is no user 'nobody-of-that-name'", "a user's name"),
        (["--as", "4294967296", "/s"], "is no number that a user can have", None),
        (["--as", "", "/s"], "there is no user ''", "a user's name"),
        (["--type", "packet", "/s"], "--type: 'packet' is not one of", "lists what there is"),
        (["tcp:localhost:80"], "is no Unix socket: expected a path", "write ./tcp:localhost:80"),
        (["fd:3"], "is no name that can be checked", "inherited"),
        (["-"], "is no Unix socket", None),
        ([""], "the address is empty", "write a path"),
        (["--wait", "soon", "/s"], "'soon' is no duration", None),
        (["-q", "-v", "/s"], "exclude each other", None),
        (["-q", "--json", "/s"], "exclude each other", None),
        (["--probe", "--as", "root", "/s"], "--as asks for somebody else", None),
        ([], "ADDRESS is missing", None),
    ],
)
def test_wrong_use_is_status_2_and_says_what_is_right(args: list[str], error: str, hint: str | None) -> None:
    end = run("check", *args)
    assert (end.status, end.out) == (2, b"")
    assert end.err.startswith("afunix: error: ")
    assert error in end.err
    assert hint is None or re.search(f"^afunix: hint: .*{re.escape(hint)}", end.err, re.MULTILINE)
