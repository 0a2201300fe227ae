"""What a command under `serve --exec` finds, and what a client gets of it, through real processes."""

from __future__ import annotations

import os
import re
import select
import socket

import pytest
from tests.faults.running import Serve, connected, descriptors, until
from tests.faults.users import User
from tests.interop.executing import children, exchange, python_of, script, serving, wait_childless
from tests.program import PATIENCE_S
from tests.servers import read_all

DOCUMENTED = {
    "AFUNIX_CONNECTION",
    "AFUNIX_LOCAL_ADDRESS",
    "AFUNIX_PEER_ADDRESS",
    "AFUNIX_PEER_GID",
    "AFUNIX_PEER_PID",
    "AFUNIX_PEER_UID",
    "AFUNIX_PEER_USER",
}
HOSTILE = b"\n ; $(touch x) \x1b[2J \xff \xe2\x80\xae"


def told(answer: bytes) -> dict[str, str]:
    """What `env -0` says."""
    entries = (entry.split(b"=", 1) for entry in answer.split(b"\0") if entry)
    return {name.decode(): value.decode() for name, value in entries}


# What it finds


def test_its_environment_is_what_is_documented(user: User, place: str) -> None:
    """LISTEN_FDS of somebody else, and what a manager told us, are not passed on."""
    mine = {
        "LISTEN_FDS": "1",
        "LISTEN_PID": "1",
        "LISTEN_FDNAMES": "x",
        "AFUNIX_PEER_UID": "0",
        "KEPT": "yes",
    }
    with serving(user, f"{place}/s", "/usr/bin/env", "-0", env=mine) as serve:
        found = told(exchange(f"{place}/s"))
        assert serve.stop().status == 0
    ours = set(user.environment(KEPT="yes"))
    assert found.keys() - ours == DOCUMENTED
    assert found.keys() >= DOCUMENTED | {"KEPT", "PATH"}
    assert (found["AFUNIX_CONNECTION"], found["AFUNIX_LOCAL_ADDRESS"]) == ("1", f"{place}/s")
    assert (found["AFUNIX_PEER_PID"], found["AFUNIX_PEER_UID"]) == (str(os.getpid()), str(os.getuid()))


@pytest.mark.parametrize("is_abstract", [True, False], ids=["abstract", "pathname"])
@pytest.mark.parametrize("dialect", [(), ("--env", "s6"), ("--env", "ucspi")], ids=["ours", "s6", "ucspi"])
def test_a_hostile_name_reaches_it_escaped(
    user: User, place: str, is_abstract: bool, dialect: tuple[str, ...]
) -> None:
    name = (b"\0" if is_abstract else os.fsencode(place) + b"/") + HOSTILE.replace(b"/", b"")
    name = name.ljust(107, b"x")
    shown = (
        "unix-abstract:%0A%20;%20$(touch%20x)%20%1B[2J%20%FF%20%E2%80%AE"
        if is_abstract
        else rf"{place}/^J ; $(touch x) ^[[2J \xff \u202e"
    )
    with serving(user, f"{place}/s", "/usr/bin/env", "-0", options=dialect) as serve:
        with connected_from(name, f"{place}/s") as client:
            found = told(read_all(client))
        assert serve.stop().status == 0
    assert re.sub("x+$", "", found["AFUNIX_PEER_ADDRESS"]) == shown
    theirs = {name for name in found if name.startswith(("IPC", "UNIX", "PROTO"))}
    assert len(theirs) == {(): 0, ("--env", "s6"): 5, ("--env", "ucspi"): 8}[dialect]
    for each in DOCUMENTED | theirs:
        assert found[each].isprintable(), each
    assert not any(each.startswith("LISTEN_") for each in found)


def connected_from(name: bytes, path: str) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(PATIENCE_S)
    client.bind(name)
    client.connect(path)
    return client


def test_only_0_1_and_2_are_open_in_it(user: User, place: str) -> None:
    with (
        open(os.devnull) as null,
        script(user, f"{place}/s", "ls -l /proc/$$/fd; exit", pass_fds=[null.fileno()]) as serve,
        connected(f"{place}/s") as other,
    ):
        assert other.fileno() >= 0
        listed = exchange(f"{place}/s").decode()
        assert serve.stop().status == 0
    found = dict(re.findall(r" (\d+) -> (\S+)", listed))
    assert found.keys() - {"3"} == {"0", "1", "2"}
    assert found["0"] == found["1"] and found["0"].startswith("socket:")


def test_signals_mask_and_limits_are_as_at_our_start(user: User, place: str) -> None:
    text = "ulimit -Sn; exec cat /proc/self/status"
    with script(
        user, f"{place}/s", text, prefix=["/bin/sh", "-c", 'ulimit -Sn 77; exec "$@"', "sh"]
    ) as serve:
        limit, *lines = exchange(f"{place}/s").decode().splitlines()
        assert serve.stop().status == 0
    found = dict(line.split(":\t", 1) for line in lines)
    assert limit == "77"
    the_c_library_s_own = 0b11 << 31
    assert int(found["SigBlk"], 16) == 0
    assert int(found["SigIgn"], 16) & ~the_c_library_s_own == 0
    assert int(found["SigCgt"], 16) & ~the_c_library_s_own == 0


def test_its_socket_blocks(user: User, place: str) -> None:
    with serving(user, f"{place}/s", "/bin/cat", "/proc/self/fdinfo/0") as serve:
        flags = re.search(rb"flags:\s*(\d+)", exchange(f"{place}/s"))
        assert serve.stop().status == 0
    assert flags is not None
    assert not int(flags[1], 8) & os.O_NONBLOCK


def test_its_stderr_is_ours(user: User, place: str) -> None:
    with script(user, f"{place}/s", "echo to the log >&2; echo to the client") as serve:
        assert exchange(f"{place}/s") == b"to the client\n"
        assert "to the log\n" in serve.stop().err


# What the client gets


def test_any_bytes_go_through_it_both_ways(user: User, place: str) -> None:
    data = os.urandom(3 << 20)
    with serving(user, f"{place}/s", "/bin/cat") as serve, connected(f"{place}/s") as client:
        received = bytearray()
        view = memoryview(data)
        client.setblocking(False)
        poll = [client.fileno()]
        while len(received) < len(data):
            readable, writable, _ = select.select(poll, poll if view else [], [], PATIENCE_S)
            if readable:
                received += client.recv(1 << 16)
            if writable and view:
                view = view[client.send(view[: 1 << 16]) :]
                if not view:
                    client.shutdown(socket.SHUT_WR)
        assert received == data
        client.settimeout(PATIENCE_S)
        assert client.recv(1) == b""
        assert serve.stop().status == 0


def test_its_half_close_is_the_clients_end_of_file(user: User, place: str) -> None:
    """shutdown(2) by the command, which goes on reading: what the client says later is read."""
    program = (
        "import os, socket; s = socket.socket(fileno=0); os.write(1, b'bye'); s.shutdown(socket.SHUT_WR);"
        f" open('{place}/later', 'wb').write(s.makefile('rb').read()); s.detach()"
    )
    command = (python_of(user), "-I", "-c", program)
    with serving(user, f"{place}/s", *command) as serve, connected(f"{place}/s") as client:
        assert client.recv(99) == b"bye"
        assert client.recv(99) == b""
        client.sendall(b"said later")
        client.shutdown(socket.SHUT_WR)
        wait_childless(serve.pid)
        assert serve.stop().status == 0
    with open(f"{place}/later") as file:
        assert file.read() == "said later"


def test_the_socket_is_the_commands_alone(user: User, place: str) -> None:
    """It closes both and lives on: the client has come to the end, for nobody else has it open."""
    with script(user, f"{place}/s", f"exec <&- >&-; read go < {place}/gate") as serve:
        os.mkfifo(f"{place}/gate", 0o666)
        os.chmod(f"{place}/gate", 0o666)
        with connected(f"{place}/s") as client:
            assert client.recv(1) == b""
        assert len(children(serve.pid)) == 1
        with open(f"{place}/gate", "w") as gate:
            gate.write("now\n")
        wait_childless(serve.pid)
        assert serve.stop().status == 0


def test_it_answers_after_the_client_has_half_closed(user: User, place: str) -> None:
    with serving(user, f"{place}/s", "/usr/bin/sort", "-r") as serve:
        assert exchange(f"{place}/s", b"1\n3\n2\n") == b"3\n2\n1\n"
        assert serve.stop().status == 0


def test_an_answer_may_come_late(user: User, place: str) -> None:
    with script(user, f"{place}/s", f"cat; read go < {place}/gate; echo late") as serve:
        os.mkfifo(f"{place}/gate", 0o666)
        os.chmod(f"{place}/gate", 0o666)
        with connected(f"{place}/s") as client:
            client.sendall(b"early\n")
            client.shutdown(socket.SHUT_WR)
            assert client.recv(99) == b"early\n"
            with open(f"{place}/gate", "w") as gate:
                gate.write("now\n")
            assert read_all(client) == b"late\n"
        assert serve.stop().status == 0


def test_records_stay_records(user: User, place: str) -> None:
    with serving(user, f"{place}/s", "/bin/cat", options=("--type", "seqpacket")) as serve:
        with connected(f"{place}/s", socket.SOCK_SEQPACKET) as client:
            for record in (b"one", b"two and more", b"x" * 10_000):
                client.sendall(record)
                assert client.recv(1 << 17) == record
            client.shutdown(socket.SHUT_WR)
            assert client.recv(9) == b""
        assert serve.stop().status == 0


def test_statuses_are_told_with_v(user: User, place: str) -> None:
    with script(user, f"{place}/s", "read how; $how", "-v") as serve:
        exchange(f"{place}/s", b"exit 3\n")
        wait_childless(serve.pid)
        with connected(f"{place}/s") as client:
            client.sendall(b"kill -9 $$\n".replace(b"$$", b"0"))
            assert client.recv(9) == b""
        err = serve.stop().err
    assert re.search(r"client 1 left: its command \(pid \d+\), exit status 3", err)
    assert re.search(r"client 2 left: its command \(pid \d+\), ended by SIGKILL", err)


# How many


def test_never_more_than_the_limit_and_everybody_is_served(user: User, place: str) -> None:
    """A thousand at once, and twenty processes."""
    with serving(user, f"{place}/s", "/bin/cat", options=("--max-clients", "20")) as serve:
        clients = []
        most, open_before = 0, descriptors(serve.pid)
        for number in range(1000):
            client = connected(f"{place}/s")
            client.sendall(b"%d" % number)
            client.shutdown(socket.SHUT_WR)
            clients.append(client)
            if number % 20 == 0:
                most = max(most, len(children(serve.pid)))
        for number, client in enumerate(clients):
            with client:
                assert read_all(client) == b"%d" % number
            most = max(most, len(children(serve.pid)))
        assert 1 < most <= 20
        wait_childless(serve.pid)
        until(lambda: descriptors(serve.pid) <= open_before, "all sockets are closed")
        end = serve.stop()
    assert (end.status, end.err) == (0, "")


def test_once_is_one_client(user: User, place: str) -> None:
    with serving(user, f"{place}/s", "/bin/cat", options=("--once",)) as serve:
        with connected(f"{place}/s") as client:
            client.sendall(b"x")
            assert client.recv(9) == b"x"
            assert not os.path.exists(f"{place}/s")
            client.shutdown(socket.SHUT_WR)
            assert client.recv(9) == b""
        end = serve.end()
    assert (end.status, end.err) == (0, "")


def test_sequential_is_one_after_another(user: User, place: str) -> None:
    with script(user, f"{place}/s", "echo $AFUNIX_CONNECTION; cat", "--sequential") as serve:
        with connected(f"{place}/s") as first, connected(f"{place}/s") as second:
            assert first.recv(9) == b"1\n"
            assert len(children(serve.pid)) == 1
            first.shutdown(socket.SHUT_WR)
            assert first.recv(9) == b""
            assert second.recv(9) == b"2\n"
        wait_childless(serve.pid)
        assert serve.stop().status == 0


REFUSED = b"touch refused; echo refused\n"


@pytest.mark.parametrize("rule", [("--deny", "any"), ("--allow", "user:4242")])
def test_bytes_of_a_refused_client_never_reach_it(user: User, place: str, rule: tuple[str, str]) -> None:
    with script(user, f"{place}/s", f"cat >> {place}/got", "-v", *rule) as serve:
        for _ in range(200):
            with connected(f"{place}/s") as client:
                try:
                    client.sendall(REFUSED)
                    assert client.recv(99) == b""
                except (BrokenPipeError, ConnectionResetError):
                    pass  # closed unread
        assert not children(serve.pid)
        end = serve.stop()
    assert not os.path.exists(f"{place}/got")
    lines = [line for line in end.err.splitlines() if "refused" in line]
    assert 1 <= len(lines) <= 4
    assert re.match(rf"afunix: warning: refused pid \d+ \(.*\) uid {os.getuid()} ", lines[0])
    assert "got" not in end.err and end.status == 0


def test_more_of_one_user_than_allowed_are_refused(user: User, place: str) -> None:
    with serving(user, f"{place}/s", "/bin/cat", options=("--max-per-user", "2")) as serve:
        with connected(f"{place}/s") as one, connected(f"{place}/s") as two, connected(f"{place}/s") as three:
            assert three.recv(9) == b""
            for client in (one, two):
                client.sendall(b"x")
                assert client.recv(9) == b"x"
        wait_childless(serve.pid)
        assert exchange(f"{place}/s", b"again") == b"again"
        end = serve.stop()
    assert (end.status, len(end.err.splitlines())) == (0, 1)


def test_descriptors_that_it_did_not_ask_for_never_are_ours(user: User, place: str) -> None:
    """A thousand messages with 253 each: what reads plain bytes drops them, and serve has none of them at any time."""
    with serving(user, f"{place}/s", "/bin/cat") as serve, connected(f"{place}/s") as client:
        before = descriptors(serve.pid)
        for number in range(1000):
            data = b"%04d" % number
            socket.send_fds(client, [data], [client.fileno()] * 253)
            assert client.recv(9) == data
            if number % 100 == 0:
                assert descriptors(serve.pid) <= before
        client.shutdown(socket.SHUT_WR)
        assert client.recv(9) == b""
        wait_childless(serve.pid)
        assert descriptors(serve.pid) <= before
        assert serve.stop().status == 0


def test_descriptors_are_refused_at_the_sender_where_nobody_executes(user: User, place: str) -> None:
    """The same to `serve` as it is: nothing arrives, or the sender is told (SO_PASSRIGHTS, Linux 6.16)."""
    with Serve(user, f"{place}/s") as serve, connected(f"{place}/s") as client:
        client.sendall(b"begin\n")
        serve.wait_for_out(lambda out: out == b"begin\n")
        before, sent = descriptors(serve.pid), 0
        for number in range(1000):
            try:
                socket.send_fds(client, [b"%04d\n" % number], [client.fileno()] * 253)
                sent += 1
            except PermissionError:
                client.sendall(b"%04d\n" % number)
            if number % 100 == 0:
                assert descriptors(serve.pid) <= before
        client.shutdown(socket.SHUT_WR)
        assert client.recv(9) == b""
        assert descriptors(serve.pid) < before
        end = serve.stop()
    assert end.out == b"begin\n" + b"".join(b"%04d\n" % number for number in range(1000))
    assert end.status == 0


def test_it_may_ask_for_descriptors(user: User, place: str) -> None:
    """Whether it takes them is the command's own business."""
    program = (
        "import os, socket; s = socket.socket(fileno=0); data, fds, _, _ = socket.recv_fds(s, 9, 1);"
        " os.write(fds[0], data); s.detach()"
    )
    read, write = os.pipe()
    with (
        open(read, "rb") as said,
        open(write, "wb") as handed,
        serving(user, f"{place}/s", python_of(user), "-I", "-c", program) as serve,
    ):
        with connected(f"{place}/s") as client:
            socket.send_fds(client, [b"by hand"], [handed.fileno()])
            handed.close()
            assert client.recv(9) == b""
        assert said.read() == b"by hand"
        until(lambda: not children(serve.pid), "the command has ended")
        assert serve.stop().status == 0
