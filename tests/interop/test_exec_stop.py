"""How `serve --exec` ends, by itself, by a signal and by kill -9, and what it does when no process can be had."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from contextlib import ExitStack

import pytest
from tests.faults.running import Serve, becomes_quiet, connected, litter, until
from tests.faults.users import User
from tests.interop.executing import (
    children,
    end,
    exchange,
    is_alive,
    script,
    serving,
    wait_childless,
)
from tests.interop.programs import begin
from tests.peers import require
from tests.program import PATIENCE_S, ended
from tests.servers import read_all

GRACE_S = 2.0
STUBBORN = "trap '' TERM; echo $$; while :; do sleep 1; done"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stop_lets_commands_come_to_the_end(user: User, place: str, number: int) -> None:
    with serving(user, f"{place}/s", "/bin/cat", options=("-v",)) as serve:
        clients = [connected(f"{place}/s") for _ in range(20)]
        for client in clients:
            client.sendall(b"said before")
        until(lambda: len(children(serve.pid)) == 20, "a command each")
        end_of_it = serve.stop(number)
        for client in clients:
            with client:
                assert read_all(client) == b"said before"
    assert end_of_it.status == 0
    assert end_of_it.err.count("exit status 0") == 20
    assert litter(place) == []


def test_who_waits_at_a_stop_is_served(user: User, place: str) -> None:
    """Their connect has succeeded, and they have spoken."""
    with serving(user, f"{place}/s", "/bin/cat", options=("--sequential",)) as serve:
        clients = [connected(f"{place}/s") for _ in range(5)]
        for number, client in enumerate(clients):
            client.sendall(b"%d" % number)
        assert clients[0].recv(9) == b"0"
        assert serve.stop().status == 0
        for number, client in enumerate(clients[1:], 1):
            assert read_all(client) == b"%d" % number
        for client in clients:
            client.close()


def test_after_the_grace_comes_sigterm_for_all_that_it_has_started(user: User, place: str) -> None:
    with (
        script(user, f"{place}/s", "echo $$; sleep 100 | sleep 100") as serve,
        connected(f"{place}/s") as client,
    ):
        leader = int(client.makefile().readline())
        (group,) = [children(serve.pid)]
        assert group == [leader]
        started = time.monotonic()
        end_of_it = serve.stop()
        took = time.monotonic() - started
        assert client.recv(9) == b""  # the second `sleep` had it open, too
    assert GRACE_S <= took < GRACE_S + 2
    assert end_of_it.status == 8
    assert "1 command did not end by itself and was ended by a signal" in end_of_it.err
    assert "hint: --drain gives them longer" in end_of_it.err


def test_who_does_not_take_sigterm_is_killed(user: User, place: str) -> None:
    with script(user, f"{place}/s", STUBBORN) as serve, connected(f"{place}/s") as client:
        pid = int(client.makefile().readline())
        started = time.monotonic()
        assert serve.stop().status == 8
        assert GRACE_S < time.monotonic() - started < 10
        assert not is_alive(pid)


def test_a_second_signal_ends_all_at_once(user: User, place: str) -> None:
    with script(user, f"{place}/s", STUBBORN) as serve, connected(f"{place}/s") as client:
        pid = int(client.makefile().readline())
        started = time.monotonic()
        serve.send(signal.SIGTERM)
        serve.wait_stopping()
        assert serve.stop().status == -signal.SIGTERM
        assert time.monotonic() - started < GRACE_S
        assert not is_alive(pid)
    assert litter(place) == []


def test_drain_lets_conversations_go_on(user: User, place: str) -> None:
    with serving(user, f"{place}/s", "/bin/cat", options=("--drain", "60s")) as serve:
        with connected(f"{place}/s") as client:
            client.sendall(b"one")
            assert client.recv(9) == b"one"
            serve.send(signal.SIGTERM)
            serve.wait_stopping()
            client.sendall(b"two")
            assert client.recv(9) == b"two"
        assert serve.end().status == 0


def test_after_kill_9_commands_finish_their_client_and_the_path_is_free(user: User, place: str) -> None:
    """Each has answered, and so has begun: for a moment before that it still has the listener open."""
    with ExitStack() as stack:
        serve = stack.enter_context(serving(user, f"{place}/s", "/bin/cat"))
        clients = [stack.enter_context(connected(f"{place}/s")) for _ in range(20)]
        for client in clients:
            client.sendall(b"x")
            assert client.recv(9) == b"x"
        for pid in (pids := children(serve.pid)):
            stack.callback(end, pid)
        assert len(pids) == 20
        serve.send(signal.SIGKILL)
        assert serve.end().status == -signal.SIGKILL
        with socket.socket(socket.AF_UNIX) as late, pytest.raises(ConnectionRefusedError):
            late.connect(f"{place}/s")
        with serving(user, f"{place}/s", "/bin/cat") as successor:
            assert exchange(f"{place}/s", b"new") == b"new"
            for number, client in enumerate(clients):
                client.sendall(b"old %d" % number)
                client.shutdown(socket.SHUT_WR)
                assert read_all(client) == b"old %d" % number
            assert successor.stop().status == 0
        until(lambda: not any(map(is_alive, pids)), "they have ended with their clients")
    assert litter(place) == []


def test_no_zombie_stays(user: User, place: str) -> None:
    with serving(user, f"{place}/s", "/bin/true") as serve:
        for _ in range(50):
            with connected(f"{place}/s") as client:
                assert client.recv(1) == b""
        wait_childless(serve.pid)
        assert serve.stop().status == 0


def test_a_client_that_has_gone_costs_nothing(user: User, place: str) -> None:
    """Its command writes to nobody: SIGPIPE, or, once, a reset for what nobody has read (ECONNRESET)."""
    with script(user, f"{place}/s", "read go; exec yes", "-v") as serve:
        client = connected(f"{place}/s")
        client.sendall(b"go\n")
        client.recv(1)
        client.close()
        wait_childless(serve.pid)
        end_of_it = serve.stop()
    assert re.search(r"client 1 left: its command .*(ended by SIGPIPE|exit status 1)", end_of_it.err)
    assert end_of_it.status == 0


# When no process can be had


def test_a_command_that_is_not_there_is_told_before_anybody_connects(user: User, place: str) -> None:
    with serving(user, f"{place}/s", "no-such-command", must_start=False) as serve:
        assert not serve.is_ready
        end_of_it = serve.end()
    assert (end_of_it.status, len(end_of_it.err.splitlines())) == (1, 2)
    assert litter(place) == []


def test_a_command_in_a_closed_directory_is_not_called_absent(user: User, place: str) -> None:
    if user.uid == 0:
        pytest.skip("nothing is closed to root")
    os.mkdir(f"{place}/closed", 0)
    with serving(user, f"{place}/s", f"{place}/closed/program", must_start=False) as serve:
        end_of_it = serve.end()
    assert end_of_it.status == 5
    assert f"'{place}/closed/program' cannot be reached (EACCES)" in end_of_it.err
    assert f"hint: namei -l {place}/closed/program" in end_of_it.err


def test_a_command_that_is_removed_meanwhile(user: User, place: str) -> None:
    """Clients are closed, and that is said, though not for each of a crowd; put back it is found again."""
    program = f"{place}/handler"

    def put() -> None:
        with open(program, "w") as file:
            file.write("#!/bin/sh\ncat\n")
        os.chmod(program, 0o755)

    put()
    with serving(user, f"{place}/s", program) as serve:
        assert exchange(f"{place}/s", b"there") == b"there"
        os.unlink(program)
        for _ in range(100):
            with connected(f"{place}/s") as client:
                assert client.recv(1) == b""
        put()
        assert exchange(f"{place}/s", b"again") == b"again"
        end_of_it = serve.stop()
    assert end_of_it.status == 0  # they had sent nothing
    lines = [line for line in end_of_it.err.splitlines() if "warning" in line]
    assert 1 <= len(lines) <= 4
    assert "was closed, for its command cannot be run" in lines[0] and "(ENOENT)" in lines[0]


def test_bytes_that_no_command_could_be_run_for_are_counted(user: User, place: str) -> None:
    program = f"{place}/handler"
    with open(program, "w") as file:
        file.write("#!/bin/sh\ncat\n")
    os.chmod(program, 0o755)
    with serving(user, f"{place}/s", program) as serve, connected(f"{place}/s") as first:
        os.unlink(program)
        os.kill(serve.pid, signal.SIGSTOP)
        with connected(f"{place}/s") as client:
            client.sendall(b"12345")
            os.kill(serve.pid, signal.SIGCONT)
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        first.close()
        end_of_it = serve.stop()
    assert end_of_it.status == 8
    assert "5 bytes could not be handed on before the end" in end_of_it.err


def test_out_of_processes_clients_wait_and_none_is_lost(user: User, place: str) -> None:
    """RLIMIT_NPROC: of a user that nobody else is, so that it is known how many there are."""
    if os.geteuid() != 0:
        pytest.skip("takes root: a user of its own is wanted")
    alone = User("alone", 65531)
    os.chown(place, alone.uid, -1)
    limited = [require("bash"), "-c", 'ulimit -u 6; exec "$@"', "sh"]
    with serving(alone, f"{place}/s", "/bin/cat", prefix=limited) as serve:
        clients = [connected(f"{place}/s") for _ in range(60)]
        for number, client in enumerate(clients):
            client.sendall(b"%d" % number)
        until(lambda: "no process can be started" in serve.err(), "it is told")
        assert 1 <= len(children(serve.pid)) <= 6
        for number, client in enumerate(clients):
            with client:
                client.shutdown(socket.SHUT_WR)
                assert read_all(client) == b"%d" % number
        wait_childless(serve.pid)
        end_of_it = serve.stop()
    assert end_of_it.status == 0
    told = [line for line in end_of_it.err.splitlines() if "warning" in line]
    assert len(told) == 1, told
    assert re.search(r"no process can be started: .*\(EAGAIN\); they wait in the backlog", told[0])
    assert "'ulimit -u'" in end_of_it.err


def test_processes_that_somebody_else_gives_back_are_noticed(user: User, place: str) -> None:
    """Nobody has to come, or to go, for that."""
    if os.geteuid() != 0:
        pytest.skip("takes root: a user of its own is wanted")
    alone = User("alone", 65530)
    os.chown(place, alone.uid, -1)
    limited = [require("bash"), "-c", 'ulimit -u 2; exec "$@"', "sh"]
    other = begin(alone, ["/bin/sleep", "100"])
    with serving(alone, f"{place}/s", "/bin/cat", prefix=limited) as serve, connected(f"{place}/s") as client:
        client.sendall(b"x")
        client.shutdown(socket.SHUT_WR)
        until(lambda: "no process can be started" in serve.err(), "it is told")
        other.kill()
        ended(other)
        assert read_all(client) == b"x"
        assert serve.stop().status == 0


def test_who_could_never_be_served_is_counted_at_the_stop(user: User, place: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("takes root: a user of its own is wanted")
    alone = User("alone", 65529)
    os.chown(place, alone.uid, -1)
    limited = [require("bash"), "-c", 'ulimit -u 1; exec "$@"', "sh"]
    with (
        serving(alone, f"{place}/s", "/bin/cat", prefix=limited) as serve,
        connected(f"{place}/s") as one,
        connected(f"{place}/s") as two,
    ):
        one.sendall(b"123")
        two.sendall(b"45")
        until(lambda: "no process can be started" in serve.err(), "it is told")
        assert becomes_quiet(serve.pid)
        end_of_it = serve.stop()
    assert end_of_it.status == 8
    assert "5 bytes could not be handed on before the end" in end_of_it.err


# Under a manager


def test_an_inherited_listener_is_served_and_stays(user: User, place: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{place}/s")
        os.chmod(f"{place}/s", 0o666)
        listener.listen()
        give = f'exec 3<&{listener.fileno()}; LISTEN_FDS=1 LISTEN_FDNAMES=x LISTEN_PID=$$ exec "$@"'
        with Serve(
            user,
            "--exec",
            "--",
            "/usr/bin/env",
            prefix=[require("bash"), "-c", give, "sh"],
            pass_fds=[listener.fileno()],
        ) as serve:
            said = exchange(f"{place}/s").decode()
            assert f"AFUNIX_LOCAL_ADDRESS={place}/s\n" in said
            assert "LISTEN_" not in said and "NOTIFY_" not in said
            assert serve.stop().status == 0
        assert litter(place) == ["s"]
        with connected(f"{place}/s"):
            pass  # still in good order, for whoever comes next


def test_it_is_ready_and_says_when_it_stops(user: User, place: str) -> None:
    with serving(user, f"{place}/s", "/bin/cat") as serve:
        assert serve.is_ready
        serve.send(signal.SIGTERM)
        serve.wait_stopping()
        assert serve.process.wait(PATIENCE_S) == 0
