"""`afunix ls` as a process: real servers in the list, `ss` and `lsof` as referees, and everything that goes wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from tests.faults.users import USERS, User
from tests.peers import require
from tests.program import PATIENCE_S, Ended, command, ended, environment, run, start

from afunix.formats.listing_json import read_address
from afunix.kernel import fallbacks
from afunix.model.address import Address


def rows(*args: str, **options: Any) -> list[dict[str, Any]]:
    end = run("ls", "--json", *args, **options)
    assert end.status == 0, end.err
    return [json.loads(line) for line in end.out.splitlines()]


def lines(*args: str, **options: Any) -> list[str]:
    end = run("ls", *args, **options)
    assert end.status == 0, end.err
    return end.out.decode().splitlines()


def nothing(*args: str) -> str:
    end = run("ls", *args)
    assert (end.status, end.out) == (1, b"")
    assert end.err.startswith("afunix: error: nothing matches ")
    return end.err


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def listen(
    stack: ExitStack, name: str | bytes, kind: int = socket.SOCK_STREAM, backlog: int = 8
) -> socket.socket:
    sock = stack.enter_context(socket.socket(socket.AF_UNIX, kind))
    sock.bind(name)
    sock.listen(backlog)
    return sock


def client(stack: ExitStack, name: str | bytes, kind: int = socket.SOCK_STREAM) -> socket.socket:
    sock = stack.enter_context(socket.socket(socket.AF_UNIX, kind))
    sock.connect(name)
    return sock


def conversation(stack: ExitStack, path: str) -> tuple[socket.socket, socket.socket]:
    """The server's and the client's end."""
    listener = listen(stack, path)
    connected = client(stack, path)
    return stack.enter_context(listener.accept()[0]), connected


# -- what is in the list


def test_a_conversation_has_both_ends_and_what_waits(stack: ExitStack, sock_dir: str) -> None:
    accepted, connected = conversation(stack, f"{sock_dir}/s")
    connected.send(b"x" * 700)
    accepted.send(b"yy")
    title, listener, connection = lines(sock_dir)
    me = f"[{os.getpid()}]:"
    assert title.split() == ["STATE", "TYPE", "ADDRESS", "SERVER", "CLIENT", "QUEUE"]
    assert listener.startswith(f"listening  stream  {sock_dir}/s") and listener.endswith("0/8")
    assert f"{me}{accepted.fileno()}  " in connection and f"{me}{connected.fileno()} " in connection
    assert connection.endswith("→700 ←2")


def test_json_has_the_inodes_and_processes_of_both_ends(stack: ExitStack, sock_dir: str) -> None:
    accepted, connected = conversation(stack, f"{sock_dir}/s")
    (row,) = rows("-c", sock_dir)
    for end, sock in (("server", accepted), ("client", connected)):
        assert row[end]["inode"] == os.fstat(sock.fileno()).st_ino
        assert [(it["pid"], it["fd"], it["uid"]) for it in row[end]["processes"]] == [
            (os.getpid(), sock.fileno(), os.geteuid())
        ]


def test_who_waits_in_a_backlog_is_queued(stack: ExitStack, sock_dir: str) -> None:
    listen(stack, f"{sock_dir}/s", backlog=3)
    client(stack, f"{sock_dir}/s")
    client(stack, f"{sock_dir}/s")
    listener, *queued = rows(sock_dir)
    assert (listener["queued"], listener["backlog"]) == (2, 3)
    assert [row["state"] for row in queued] == ["queued", "queued"]


def test_a_half_closed_connection_says_so(stack: ExitStack, sock_dir: str) -> None:
    _, connected = conversation(stack, f"{sock_dir}/s")
    connected.shutdown(socket.SHUT_WR)
    (row,) = rows("-c", sock_dir)
    assert (row["state"], row["client"]["shutdown"], row["server"]["shutdown"]) == (
        "half-closed",
        ["sending"],
        ["receiving"],
    )


def test_a_file_called_at_x_is_no_abstract_name(
    stack: ExitStack, sock_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"x-{os.path.basename(sock_dir)}"
    listen(stack, f"\0{name}")
    monkeypatch.chdir(sock_dir)
    listen(stack, f"@{name}")
    found = {row["kind"]: read_address(row) for row in rows("--pid", str(os.getpid()), name)}
    assert found == {"abstract": Address.abstract(name), "pathname": Address.pathname(f"{sock_dir}/@{name}")}
    assert [row["kind"] for row in rows(f"@{name}")] == ["abstract"]


def test_a_stale_file_is_found_in_a_directory_and_with_stale_nothing_else(
    stack: ExitStack, sock_dir: str
) -> None:
    listen(stack, f"{sock_dir}/live")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(f"{sock_dir}/stale")
    assert [row["state"] for row in rows(sock_dir)] == ["listening", "stale"]
    (row,) = rows("--stale", sock_dir)
    assert row["address"] == f"{sock_dir}/stale"
    assert row["file_owner"]["uid"] == os.geteuid()


def test_a_removed_file_is_marked(stack: ExitStack, sock_dir: str) -> None:
    listen(stack, f"{sock_dir}/s")
    os.unlink(f"{sock_dir}/s")
    assert f"{sock_dir}/s (removed)" in "\n".join(lines("--pid", str(os.getpid())))


def test_a_tree_has_clients_under_their_server(stack: ExitStack, sock_dir: str) -> None:
    conversation(stack, f"{sock_dir}/s")
    client(stack, f"{sock_dir}/s")
    _, head, first, second = lines("--tree", sock_dir)
    assert head.startswith(f"{sock_dir}/s")
    assert first.startswith("├─ ") and second.startswith("└─ ")


def test_every_type_is_told_and_can_be_asked_for(stack: ExitStack, sock_dir: str) -> None:
    listen(stack, f"{sock_dir}/stream")
    listen(stack, f"{sock_dir}/seqpacket", socket.SOCK_SEQPACKET)
    stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)).bind(f"{sock_dir}/dgram")
    assert [row["type"] for row in rows(sock_dir)] == ["dgram", "seqpacket", "stream"]
    asked = rows("--type", "dgram", "--type", "stream", sock_dir)
    assert [os.path.basename(row["address"]) for row in asked] == ["dgram", "stream"]


def test_the_order_is_what_was_asked_for(stack: ExitStack, sock_dir: str) -> None:
    for name, waiting in (("a", 1), ("b", 3), ("c", 2)):
        listen(stack, f"{sock_dir}/{name}")
        for _ in range(waiting):
            client(stack, f"{sock_dir}/{name}")
    names = [os.path.basename(row["address"]) for row in rows("-l", "--sort", "queue", sock_dir)]
    assert names == ["b", "c", "a"]
    assert [os.path.basename(row["address"]) for row in rows("-l", "--reverse", sock_dir)] == ["c", "b", "a"]


def test_processes_that_share_a_socket_are_all_named(stack: ExitStack, sock_dir: str) -> None:
    listener = listen(stack, f"{sock_dir}/s")
    argv = [sys.executable, "-c", "input()"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, pass_fds=[listener.fileno()]) as child:
        (row,) = rows(sock_dir)
        child.communicate(b"\n")
    assert {it["pid"] for it in row["server"]["processes"]} == {os.getpid(), child.pid}


# -- referees


def test_ss_tells_the_same_of_every_socket_of_ours(stack: ExitStack, sock_dir: str) -> None:
    accepted, connected = conversation(stack, f"{sock_dir}/s")
    connected.send(b"x" * 700)
    printed = subprocess.run(
        [require("ss"), "-xapH"],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=PATIENCE_S,
        check=True,
    )
    words = [line.split() for line in printed.stdout.splitlines() if f"pid={os.getpid()}," in line]
    theirs = {int(it[5]): (int(it[7]), int(it[2]), re.findall(r"fd=(\d+)", it[-1])) for it in words}
    ends = [
        row[end] for row in rows("-c", "--pid", str(os.getpid())) for end in ("server", "client") if row[end]
    ]
    ours = {it["inode"]: (it["peer"], it["unread"], [str(o["fd"]) for o in it["processes"]]) for it in ends}
    assert os.fstat(accepted.fileno()).st_ino in ours
    assert ours.items() <= theirs.items()


def test_lsof_tells_the_same_processes_at_both_ends(stack: ExitStack, sock_dir: str) -> None:
    accepted, connected = conversation(stack, f"{sock_dir}/s")
    argv = [require("lsof"), "-n", "-U", "+E", "-a", "-p", str(os.getpid()), "-d", str(accepted.fileno())]
    printed = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE_S, check=False).stdout
    (row,) = rows("-c", sock_dir)
    peer = f"->INO={row['client']['inode']} {os.getpid()},{row['client']['processes'][0]['comm'][:9]}"
    assert peer in printed and f",{connected.fileno()}u" in printed


@contextmanager
def running(*argv: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options) as process:
        try:
            yield process
        finally:
            process.terminate()


def wait_for_socket(path: str) -> None:
    end = run("connect", "--wait", "20s", path)
    assert end.status == 0, end.err


def test_redis_and_its_client_are_one_row(stack: ExitStack, sock_dir: str) -> None:
    path = f"{sock_dir}/redis.sock"
    argv = (require("redis-server"), "--port", "0", "--unixsocket", path, "--save", "", "--dir", sock_dir)
    with running(*argv) as server:
        wait_for_socket(path)
        sock = client(stack, path)
        sock.sendall(b"PING\r\n")
        assert sock.recv(100) == b"+PONG\r\n"  # accepted by now
        (row,) = [row for row in rows("-c", path) if row["client"]["processes"]]
        assert [(it["pid"], it["comm"]) for it in row["server"]["processes"]] == [
            (server.pid, "redis-server")
        ]
        assert row["client"]["processes"][0]["pid"] == os.getpid()
        assert [row["state"] for row in rows("-l", path)] == ["listening"]


def test_nginx_shares_its_listener_with_its_workers(sock_dir: str) -> None:
    path = f"{sock_dir}/web.sock"
    with open(f"{sock_dir}/conf", "w") as file:
        file.write(
            f"daemon off; worker_processes 2; pid {sock_dir}/pid; error_log /dev/null; events {{}}\n"
            f"http {{ access_log off; server {{ listen unix:{path}; }} }}\n"
        )
    with running(require("nginx"), "-p", sock_dir, "-e", "/dev/null", "-c", f"{sock_dir}/conf") as master:
        wait_for_socket(path)
        processes = wait_until(
            lambda: (it := rows("-l", path)[0]["server"]["processes"]) and len(it) >= 3 and it
        )
        assert master.pid in {it["pid"] for it in processes}
        assert {it["comm"] for it in processes} == {"nginx"}


def wait_until(look: Any) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
    raise AssertionError("it did not come to be in time")


def test_a_bus_lists_with_its_clients_in_a_tree(stack: ExitStack, sock_dir: str) -> None:
    path = f"{sock_dir}/bus"
    with running(require("dbus-daemon"), "--session", "--nofork", f"--address=unix:path={path}"):
        wait_for_socket(path)
        sock = client(stack, path)
        sock.sendall(b"\0AUTH EXTERNAL\r\n")
        assert sock.recv(100).startswith(b"DATA")
        tree = lines("--tree", path)
        assert "dbus-daemon[" in tree[1]
        assert any(
            re.match(f"[├└]─ .*\\[{os.getpid()}\\]:{sock.fileno()}  +connected", line) for line in tree[2:]
        )


# -- names


HOSTILE = [
    b"evil\nlistening  stream  fake",
    b"\x1b[2J\x1b[31mred",
    b"\xff\xfe",
    "\u202egnp".encode(),
    b"two  spaces  root nginx[1]:3",
    "├─ root sh[1]:3".encode(),
    b"new\r\rline",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_one_row_and_comes_back_from_json(
    name: bytes, stack: ExitStack, sock_dir: str
) -> None:
    path = os.fsencode(sock_dir) + b"/" + name
    listen(stack, path)
    listen(stack, b"\0" + name + os.fsencode(sock_dir))
    assert [read_address(row) for row in rows(sock_dir)] == [Address.pathname(path)]
    for way in ((), ("--tree",)):
        title, line = lines(sock_dir, *way)
        assert not {*"\x1b\r\u202e"} & {*line}
        assert line.count("listening") == 1 + name.count(b"listening")
        assert line.index("[") > 0 and title
    assert len(lines("-l", "--pid", str(os.getpid()))) == 3


def test_a_hostile_process_name_is_quoted(stack: ExitStack, sock_dir: str) -> None:
    program = (
        "import socket; open('/proc/self/comm', 'w').write('a[1]:3 \\x1b[2J')\n"
        f"s = socket.socket(socket.AF_UNIX); s.bind({sock_dir + '/s'!r}); s.listen(); print(flush=True); input()"
    )
    argv = [sys.executable, "-c", program]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        _, line = lines(sock_dir)
        assert f" 'a[1]:3 ^[[2J'[{process.pid}]:" in line
        process.communicate(b"\n")


# -- what cannot be seen


@pytest.mark.parametrize("user", USERS, ids=lambda user: user.name)
def test_everybody_sees_the_processes_that_are_his_own(user: User, sock_dir: str) -> None:
    os.chmod(sock_dir, 0o777)
    path = f"{sock_dir}/s"
    server = user.start(
        "serve", path, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: os.path.exists(path))
        end = wait_until(lambda: listed if (listed := ls_as(user, "-l", path)).status == 0 else None)
        (row,) = [json.loads(line) for line in end.out.splitlines()]
        assert [(it["pid"], it["uid"]) for it in row["server"]["processes"]] == [(server.pid, user.uid)]
    finally:
        server.terminate()
        server.wait(PATIENCE_S)


def ls_as(user: User, *args: str) -> Ended:
    pipe = subprocess.PIPE
    return ended(user.start("ls", "--json", *args, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe))


@pytest.mark.skipif(len(USERS) == 1, reason="takes root, to have somebody else's socket")
def test_somebody_elses_process_is_not_seen_and_that_is_said(stack: ExitStack, sock_dir: str) -> None:
    os.chmod(sock_dir, 0o755)
    listen(stack, f"{sock_dir}/s")
    end = ls_as(USERS[-1], sock_dir)
    (row,) = [json.loads(line) for line in end.out.splitlines()]
    assert (row["server"]["processes"], row["server"]["uid"]) == ([], 0)
    assert re.match(
        r"afunix: 1 socket has no process that can be seen \('\?'\): \d+ process(es)? may not"
        r" be looked into; root may\n$",
        end.err,
    )
    assert ls_as(USERS[-1], "-q", sock_dir).err == ""


def test_without_sock_diag_the_list_is_there_and_says_what_it_lacks(stack: ExitStack, sock_dir: str) -> None:
    conversation(stack, f"{sock_dir}/s")
    end = run("ls", sock_dir, env=environment(**{fallbacks.VARIABLE: "sock_diag"}))
    assert end.status == 0
    assert end.err.startswith("afunix: warning: the kernel's table could not be asked by sock_diag(7)")
    states = [line.split()[0] for line in end.out.decode().splitlines()[1:]]
    assert states == ["listening", "connected"]


def test_another_network_namespace_has_its_own_list(stack: ExitStack, sock_dir: str) -> None:
    listen(stack, f"{sock_dir}/s")
    unshare = [require("unshare"), *(["-r"] if os.geteuid() else []), "-n"]
    inside = subprocess.run(
        [*unshare, *command("ls", "--json", sock_dir)],
        env=environment(),
        capture_output=True,
        timeout=PATIENCE_S,
    )
    if b"unshare" in inside.stderr:
        pytest.skip(f"no namespace may be made here: {inside.stderr.decode()}")
    (row,) = [json.loads(line) for line in inside.stdout.splitlines()]
    assert (row["state"], row["server"]) == ("elsewhere", None)


# -- nothing, and wrong words


def test_no_match_is_status_1_and_said(stack: ExitStack, sock_dir: str) -> None:
    listen(stack, f"{sock_dir}/s")
    err = nothing(f"{sock_dir}/other")
    assert re.match(
        f"afunix: error: nothing matches '{sock_dir}/other' among the (one|[0-9]+) rows? that ", err
    )
    assert err.endswith(f"afunix: hint: 'afunix check {sock_dir}/other' tells what is there\n")
    assert f"'{sock_dir}/s' --connected --pid {os.getppid()} among" in nothing(
        "-c", "--pid", str(os.getppid()), f"{sock_dir}/s"
    )


def test_an_empty_namespace_says_that_it_is() -> None:
    unshare = [require("unshare"), *(["-r"] if os.geteuid() else []), "-n"]
    end = subprocess.run(
        [*unshare, *command("ls", "-l")], env=environment(), capture_output=True, timeout=PATIENCE_S
    )
    if b"unshare" in end.stderr:
        pytest.skip(f"no namespace may be made here: {end.stderr.decode()}")
    assert (end.returncode, end.stdout) == (1, b"")
    assert end.stderr == b"afunix: error: there is no Unix socket in this network namespace\n"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--tree", "--json"), "--tree and --json exclude each other"),
        (("-q", "-v"), "--quiet and --verbose exclude each other"),
        (("--interval", "2s"), "--interval is how often --watch looks, and there is no --watch"),
        (("--pid", "0"), "--pid: 0 is not in the range x>=1"),
        (("--sort", "colour"), "--sort: 'colour' is not one of"),
        (("--user", "nobody-of-that-name"), "there is no user 'nobody-of-that-name' on this system"),
        (("fd:3",), "'fd:3' names no socket in the kernel's table"),
        (("",), "the address is empty"),
    ],
)
def test_wrong_use_is_status_2_and_said(args: tuple[str, ...], words: str) -> None:
    end = run("ls", *args)
    assert (end.status, end.out) == (2, b"")
    assert end.err.startswith(f"afunix: error: {words}")


def test_a_user_can_be_named_or_numbered(stack: ExitStack, sock_dir: str) -> None:
    listen(stack, f"{sock_dir}/s")
    assert len(rows("--user", str(os.geteuid()), sock_dir)) == 1
    nothing("--user", "4711", sock_dir)


# -- STDOUT


def test_a_reader_that_has_enough_is_no_news(stack: ExitStack, sock_dir: str) -> None:
    listen(stack, f"{sock_dir}/s")
    end = run("ls", sock_dir, shell_prefix='"$@" | true')
    assert (end.status, end.err) == (0, "")
    read_fd, write_fd = os.pipe()
    os.close(read_fd)
    process = start("ls", sock_dir, stdout=write_fd)
    os.close(write_fd)
    assert ended(process).status == -signal.SIGPIPE


def test_a_full_stdout_is_status_1(stack: ExitStack, sock_dir: str) -> None:
    listen(stack, f"{sock_dir}/s")
    end = run("ls", sock_dir, shell_prefix='"$@" > /dev/full')
    assert end.status == 1
    assert end.err == "afunix: error: cannot write to STDOUT: no space left on device (ENOSPC)\n"


def test_a_closed_stdout_is_wrong_use() -> None:
    assert run("ls", shell_prefix='"$@" >&-').status == 2


# -- while everything moves


def test_sockets_that_come_and_go_are_never_a_traceback_or_a_wrong_row(
    stack: ExitStack, sock_dir: str
) -> None:
    path = f"{sock_dir}/s"
    listener = listen(stack, path, backlog=100)
    is_over = threading.Event()

    def accept_and_close() -> None:
        while not is_over.is_set():
            listener.accept()[0].close()

    def churn() -> None:
        program = (
            "import socket, sys\n"
            "while True:\n"
            f"    with socket.socket(socket.AF_UNIX) as s: s.connect({path!r}); s.send(b'x')\n"
        )
        while not is_over.is_set():
            with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL) as process:
                is_over.wait(0.15)
                process.kill()

    threads = [threading.Thread(target=work) for work in (accept_and_close, churn)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(4):
            for row in rows(sock_dir):
                assert row["address"] == path
                assert row["state"] in ("listening", "connected", "half-closed", "queued", "hung-up")
                if row["server"] and row["client"] and row["state"] != "queued":
                    assert row["server"]["peer"] == row["client"]["inode"]
                    assert row["client"]["peer"] == row["server"]["inode"]
    finally:
        is_over.set()
        client(stack, path)
        for thread in threads:
            thread.join()


def test_ten_thousand_sockets_are_listed_in_no_time(stack: ExitStack, sock_dir: str) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 10_100:
        pytest.skip(f"takes 10,000 descriptors, the limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        listener = listen(stack, f"{sock_dir}/s", backlog=8)
        for _ in range(5_000):
            client(stack, f"{sock_dir}/s")
            stack.enter_context(listener.accept()[0])
        assert min(seconds_to_list(f"{sock_dir}/s", 5_001) for _ in range(3)) < 1.5
    finally:
        stack.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def seconds_to_list(path: str, count: int) -> float:
    started = time.perf_counter()
    listed = lines(path)
    assert len(listed) == 1 + count
    return time.perf_counter() - started


def test_patterns_are_completed_as_files() -> None:
    words = {"_AFUNIX_COMPLETE": "bash_complete", "COMP_WORDS": "afunix ls ./he", "COMP_CWORD": "2"}
    assert run(env=environment(**words)).out.decode().split() == ["file,./he"]
