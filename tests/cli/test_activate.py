"""`afunix activate` as a process: its words, its statuses, and what other programs make of the sockets."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
from tests.cli.test_activated import start as handed
from tests.faults.users import User
from tests.peers import require
from tests.program import PATIENCE_S, command, ended, environment, ready, run, stop

from afunix.cli.activate import _STATUS_AFTER, _run, _tell_unanswered
from afunix.cli.messages import Messages
from afunix.kernel.unanswered import Unanswered
from afunix.tools.activate import ActivateResult, ActivateSettings
from afunix.tools.settings import Cause

AFUNIX = (sys.executable, "-m", "afunix")
ECHO = (*AFUNIX, "serve", "--echo")


def wait_until(is_met: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (answer := is_met()):
        assert time.monotonic() < deadline, "what was waited for does not happen"
        time.sleep(0.002)
    return answer


@contextmanager
def client_of(path: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE_S)
        client.connect(path)
        yield client


def converse(path: str, data: bytes) -> bytes:
    """Say `data`, and what comes until the end."""
    with client_of(path) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(4096), b""))


def child_of(process: subprocess.Popen[bytes]) -> int:
    with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
        return int((file.read().split() or ["0"])[0])


def is_gone(pid: int) -> bool:
    """Also if it has become ours to wait for."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    return not os.path.exists(f"/proc/{pid}")


def marked(mark: str) -> list[int]:
    """The processes that have `mark` among the words they were started with, and have not ended."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError), open(f"/proc/{name}/cmdline", "rb") as file:
            if mark.encode() in file.read().split(b"\0"):
                found.append(int(name))
    return found


# A service that knows nothing of us


def test_a_service_is_started_for_its_first_client_and_restarted_after_its_death(sock_dir: str) -> None:
    path = f"{sock_dir}/s"
    with ready("activate", "-v", path, "--", *ECHO) as process:
        assert child_of(process) == 0
        assert converse(path, b"one") == b"one"
        os.kill(child_of(process), signal.SIGKILL)
        assert converse(path, b"two") == b"two"
        gone = stop(process)
    assert gone.status == 0
    assert not os.path.exists(path)
    lines = gone.err.splitlines()
    assert sum("started" in line and f"somebody connected to '{path}'" in line for line in lines) == 2
    assert sum("ended by SIGKILL" in line for line in lines) == 1


def test_by_its_name(sock_dir: str) -> None:
    path = f"{sock_dir}/s"
    with ready("activate", "--name", "web", path, "--", *ECHO, "fd:web") as process:
        assert converse(path, b"one") == b"one"
        assert stop(process).status == 0


def test_it_is_used_as_under_systemd_socket_activate(sock_dir: str) -> None:
    """The same service and the same client: what each is told is the same, but for the pid."""
    service = ["sh", "-c", 'env | grep ^LISTEN_FD | sort; ls /proc/self/fd | tr "\\n" " "']
    by_us, by_systemd = f"{sock_dir}/u", f"{sock_dir}/y"
    with ready("activate", "--name", "web", by_us, "--", *service) as process:
        with client_of(by_us):
            assert process.stdout is not None
            ours = b"".join(
                process.stdout.read(1) for _ in range(len(b"LISTEN_FDNAMES=web\nLISTEN_FDS=1\n0 1 2 3 "))
            )
        process.kill()
    theirs = subprocess.Popen(
        [require("systemd-socket-activate"), "--fdname=web", "-l", by_systemd, *service],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: os.path.exists(by_systemd))
    with client_of(by_systemd):
        assert theirs.communicate(timeout=PATIENCE_S)[0].startswith(ours)


def test_sockets_that_systemd_hands_us_are_handed_on(sock_dir: str) -> None:
    path = f"{sock_dir}/s"
    told = 'echo "$LISTEN_FDNAMES" >&2; exec "$@"'
    process = subprocess.Popen(
        [
            require("systemd-socket-activate"),
            *("--fdname=inner", "-E", "PYTHONPATH", "-l", path),
            *command("activate", "--", "sh", "-c", told, "sh", *ECHO),
        ],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    wait_until(lambda: os.path.exists(path))
    assert converse(path, b"one") == b"one"
    assert converse(path, b"two") == b"two"
    gone = stop(process)
    assert gone.status == 0
    assert "inner\n" in gone.err
    assert os.path.exists(path)  # it is not ours


def test_records_and_datagrams(sock_dir: str) -> None:
    path = f"{sock_dir}/s"
    with ready("activate", "--type", "dgram", path, "--", *AFUNIX, "serve") as process:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.sendto(b"datagram", path)
        assert process.stdout is not None
        assert process.stdout.read(9) == b"datagram\n"
        assert stop(process).status == 0


# One for each client


def test_each_client_has_a_command_with_it_as_its_third_descriptor(sock_dir: str) -> None:
    path = f"{sock_dir}/s"
    tell = (
        'echo "$LISTEN_FDS $LISTEN_FDNAMES $AFUNIX_PEER_PID" >&3; [ "$LISTEN_PID" = $$ ] && head -n1 <&3 >&3'
    )
    with ready("activate", "--accept", path, "--", "sh", "-c", tell) as process:
        said = converse(path, b"hello\n")
        assert converse(path, b"again\n").endswith(b"again\n")
        assert stop(process).status == 0
    assert said == b"1 connection %d\nhello\n" % os.getpid()


def test_a_rule_keeps_a_client_from_its_command(sock_dir: str) -> None:
    path = f"{sock_dir}/s"
    with ready("activate", "--accept", "--deny", "any", path, "--", "sh", "-c", "echo no >&3") as process:
        with client_of(path) as client:
            assert client.recv(9) == b""
        assert "refused pid" in stop(process).err


# Its end


def test_a_second_signal_kills_the_command_and_us(sock_dir: str) -> None:
    script = 'trap "" TERM; echo ready; while :; do sleep 0.01; done'
    with ready("activate", "--now", f"{sock_dir}/s", "--", "sh", "-c", script) as process:
        assert process.stdout is not None
        assert process.stdout.read(6) == b"ready\n"
        child = child_of(process)
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: not os.path.exists(f"{sock_dir}/s"))
        assert stop(process).status == -signal.SIGTERM
        assert not os.path.exists(f"/proc/{child}")


def test_after_our_death_the_command_goes_on_with_the_socket(sock_dir: str) -> None:
    path = f"{sock_dir}/s"
    with ready("activate", path, "--", *ECHO) as process:
        assert converse(path, b"one") == b"one"
        child = child_of(process)
        process.kill()
        process.wait()
        assert converse(path, b"two") == b"two"
        in_use = run("serve", path)
        assert (in_use.status, f"pid {child} " in in_use.err) == (10, True)
        os.kill(child, signal.SIGTERM)
        wait_until(lambda: is_gone(child))
        with ready("serve", "--once", path) as successor:
            assert converse(path, b"three") == b""
            assert ended(successor).out == b"three"


def test_bytes_that_nobody_has_read_are_no_good_end(sock_dir: str) -> None:
    path = f"{sock_dir}/s"
    with ready("activate", path, "--", "false") as process, client_of(path) as client:
        client.sendall(b"seven b")
        assert process.stderr is not None
        assert b"exit status 1" in process.stderr.readline()
        gone = stop(process)
    assert gone.status == 8
    assert gone.err.endswith(
        "error: 1 client waited when the end came, and 7 bytes that they had sent are lost\n"
    )


def test_the_manager_is_told(sock_dir: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"{sock_dir}/n")
        manager.settimeout(PATIENCE_S)
        args = command("activate", f"{sock_dir}/s", "--", *ECHO)
        process = subprocess.Popen(
            args, env=environment(NOTIFY_SOCKET=f"{sock_dir}/n"), stderr=subprocess.PIPE
        )
        assert manager.recv(99) == b"READY=1"
        assert converse(f"{sock_dir}/s", b"one") == b"one"  # whose READY=1 would come now
        assert stop(process).status == 0
        manager.setblocking(False)
        rest = [manager.recv(999).partition(b"=")[0] for _ in range(3)]
    assert rest == [b"STATUS", b"STOPPING", b"STATUS"]


# What it leaves behind, and what was there before it


@pytest.mark.parametrize("left", ["trap '' TERM; exec", "exec setsid", "trap '' TERM; exec setsid"])
def test_nothing_outlives_a_stop(sock_dir: str, left: str) -> None:
    mark = f"49.{os.getpid()}"
    script = f"({left} sleep {mark}) & echo .; exec sleep 48"
    with ready(
        "activate", "-v", "--now", "--drain", "0.5s", f"{sock_dir}/s", "--", "sh", "-c", script
    ) as process:
        wait_until(lambda: marked(mark))
        gone = stop(process)
    assert (gone.status, marked(mark)) == (0, [])
    assert ("had left behind did not end, and was killed: pid" in gone.err) is ("trap" in left)


def test_a_second_signal_ends_what_is_left_too(sock_dir: str) -> None:
    mark = f"47.{os.getpid()}"
    script = f"(trap '' TERM; exec setsid sleep {mark}) & sleep 0.2; exit"
    with ready("activate", "-v", "--now", f"{sock_dir}/s", "--", "sh", "-c", script) as process:
        wait_until(lambda: child_of(process) and marked(mark))
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: not os.path.exists(f"{sock_dir}/s"))
        assert stop(process).status == -signal.SIGTERM
    assert marked(mark) == []


def test_it_works_where_sigchld_is_ignored(sock_dir: str) -> None:
    words = " ".join(command("activate", f"{sock_dir}/s", "--", "sh", "-c", "'exit 3'"))
    process = subprocess.Popen(
        ["bash", "-c", f"trap '' CHLD; exec {words}"], env=environment(), stderr=subprocess.PIPE
    )
    wait_until(lambda: os.path.exists(f"{sock_dir}/s"))
    with client_of(f"{sock_dir}/s"):
        assert process.stderr is not None
        assert b"ended after 0.0 s: exit status 3" in process.stderr.readline()
        assert stop(process).status == 0


def test_what_was_there_before_us_is_waited_for(sock_dir: str) -> None:
    mark = f"46.{os.getpid()}"
    words = " ".join(command("activate", f"{sock_dir}/s", "--", "true"))
    process = subprocess.Popen(
        ["sh", "-c", f"sleep {mark} & exec {words}"], env=environment(), stderr=subprocess.PIPE
    )
    wait_until(lambda: os.path.exists(f"{sock_dir}/s"))
    (pid,) = marked(mark)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"))
    assert stop(process).status == 0


# What is inherited


@pytest.mark.parametrize("asked", [["fd:4", "fd:3"], ["fd:other", "fd:web"], ["{dir}/1", "{dir}/0"], []])
def test_names_are_kept_however_sockets_are_asked_for(sock_dir: str, asked: list[str]) -> None:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2)]
        for number, sock in enumerate(sockets):
            sock.bind(f"{sock_dir}/{number}")
            sock.listen()
        addresses = [each.format(dir=sock_dir) for each in asked]
        show = 'echo "$LISTEN_FDNAMES"; kill $PPID'
        args = ["activate", "--now", *addresses, "--", "sh", "-c", show]
        with handed(sockets, args, "me", {"LISTEN_FDNAMES": "web:other"}) as process:
            said = ended(process).out
    assert said == (b"other:web\n" if asked else b"web:other\n")


def test_who_is_meant_instead_is_told() -> None:
    with handed([], ["activate", "--", "true"], "1", {"LISTEN_FDS": "1"}) as process:
        told = ended(process)
    assert told.status == 2
    assert "the inherited sockets are for process 1 (LISTEN_PID)" in told.err
    assert "hint: if a shell starts it, write exec in front of it" in told.err


def test_what_is_asked_for_by_number_and_is_none_has_a_hint_of_its_own() -> None:
    told = run("activate", "fd:0", "--", "true")
    assert told.status == 2
    assert "hint: fd:N is a listening socket that we were started with" in told.err


# Wrong use

WRONG = [
    (["./s"], "activate needs a command: expected '-- CMD…' at the end"),
    (["./s", "--"], "activate needs a command: expected '-- CMD…' at the end"),
    (["--", "true"], "ADDRESS is missing, and no socket was inherited"),
    (
        ["./s", "--allow", "me", "--", "true"],
        "--allow cannot be enforced: without --accept it is CMD that accepts",
    ),
    (["./s", "--max-clients", "3", "--", "true"], "--max-clients cannot be enforced: without --accept"),
    (["./s", "--accept", "--now", "--", "true"], "--accept and --now exclude each other"),
    (["./s", "--accept", "--type", "dgram", "--", "true"], "--accept means nothing for a dgram socket"),
    (["./s", "--name", "a", "--name", "b", "--", "true"], "2 names for 1 socket"),
    (
        ["./s", "--type", "dgram", "--backlog", "5", "--", "true"],
        "--backlog means nothing for a dgram socket",
    ),
    (["./s", "-q", "-v", "--", "true"], "--quiet and --verbose exclude each other"),
]


@pytest.mark.parametrize(("args", "words"), WRONG)
def test_wrong_use_is_told_and_nothing_is_made(sock_dir: str, args: list[str], words: str) -> None:
    told = run("activate", *args, cwd=sock_dir)
    assert told.status == 2
    assert words in told.err
    assert os.listdir(sock_dir) == []


def test_rules_have_a_hint_where_they_belong(sock_dir: str) -> None:
    told = run("activate", "--deny", "root", f"{sock_dir}/s", "--", "true")
    assert told.err.splitlines()[1].startswith("afunix: hint: --accept makes us accept; or let --mode")


def test_a_command_that_is_none_is_told_first(sock_dir: str) -> None:
    told = run("activate", f"{sock_dir}/s", "--", "no-such-command")
    assert (told.status, "'no-such-command' is no command" in told.err) == (1, True)
    assert os.listdir(sock_dir) == []


def test_everybody_may_use_it(place: str, user: User) -> None:
    args = user.command("activate", f"{place}/s", "--", "sh", "-c", "id -u; kill -TERM $PPID")
    whom: dict[str, Any] = {"user": user.uid, "group": user.uid, "extra_groups": []} if user.changes else {}
    process = subprocess.Popen(
        args,
        env=user.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **whom,
    )
    wait_until(lambda: os.path.exists(f"{place}/s"))
    with client_of(f"{place}/s"):
        gone = ended(process)
    assert (gone.out, gone.status) == (b"%d\n" % user.uid, 0)


# Words at the end

SETTINGS = ActivateSettings((), ("./app",), drain_s=2.0)
ENDINGS = [
    (ActivateResult(), 0, ""),
    (ActivateResult(signal_number=2, is_forced=True, is_cut=True), -2, ""),
    (
        ActivateResult(signal_number=15, is_cut=True),
        8,
        "'./app' had not ended 2 s after SIGTERM and was killed: what its clients had sent may be lost",
    ),
    (ActivateResult(signal_number=15, is_cut=True, left=(7,)), 0, ""),  # not killed: _tell_left has the words
    (ActivateResult(Cause.OWN_REASON, code=0), 0, ""),
    (
        ActivateResult(Cause.OWN_REASON, code=4),
        1,
        "'./app' has shut down what it was given to listen on, and failed: exit status 4",
    ),
    (ActivateResult(Cause.FAULT, fault=ValueError("x")), 1, "this should not have happened: ValueError: x"),
]


@pytest.mark.parametrize(("result", "status", "words"), ENDINGS)
def test_each_end_has_its_status_and_its_words(
    capfd: pytest.CaptureFixture[str], result: ActivateResult, status: int, words: str
) -> None:
    assert _STATUS_AFTER[result.cause](result, SETTINGS, Messages()) == status
    said = capfd.readouterr().err
    assert said.startswith(f"afunix: error: {words}\n") if words else not said


@pytest.mark.parametrize("result", [ActivateResult(is_cut=True, left=(7, 8)), ActivateResult(left=(7, 8))])
def test_who_may_not_be_killed_is_told_and_not_that_he_was(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, result: ActivateResult
) -> None:
    monkeypatch.setattr("afunix.cli.activate.activate", lambda settings, **how: result)
    assert _run(SETTINGS, Messages(), is_traced=False) == 8
    assert capfd.readouterr().err == (
        "afunix: error: './app', or what it had started, may not be killed (EPERM) and was left behind: pid 7 8\n"
        "afunix: hint: whoever may: kill -KILL 7 8\n"
    )


UNANSWERED = [
    (Unanswered(), 0, ""),
    (Unanswered(2), 0, "warning: 2 clients waited when the end came, and had sent nothing"),
    (
        Unanswered(2, 0, 1),
        8,
        "error: 2 clients waited when the end came, and 1 byte that they had sent is lost",
    ),
    (Unanswered(2, is_certain=False), 8, "error: at least 2 clients waited when the end came"),
    (Unanswered(0, 1, 0), 8, "error: 1 datagram of 0 bytes came too late and is lost"),
]


@pytest.mark.parametrize(("those", "status", "words"), UNANSWERED)
def test_who_waited_in_vain_is_told(
    capfd: pytest.CaptureFixture[str], those: Unanswered, status: int, words: str
) -> None:
    assert _tell_unanswered(those, Messages()) == status
    assert capfd.readouterr().err == (f"afunix: {words}\n" if words else "")
