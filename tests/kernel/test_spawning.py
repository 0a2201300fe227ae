"""A child has the socket on 0 and 1, and nothing else of ours: by asking real ones."""

from __future__ import annotations

import os
import resource
import signal
import socket
from collections.abc import Mapping

import pytest

from afunix.kernel.spawning import Command, keep_descriptors_from_children
from afunix.model.errors import AfunixError, DeniedError


def said_by(
    script: str, environment: Mapping[bytes, bytes] | None = None, soft_limit: int | None = None
) -> str:
    near, far = socket.socketpair()
    with near, far:
        command = Command(["sh", "-c", script], soft_limit)
        pid = command.start(near.fileno(), environment or {b"PATH": os.environb[b"PATH"]})
        near.close()
        said = b"".join(iter(lambda: far.recv(4096), b""))
        assert os.waitpid(pid, 0)[1] == 0
    return said.decode()


def test_the_socket_is_its_stdin_and_its_stdout() -> None:
    near, far = socket.socketpair()
    with near, far:
        pid = Command(["cat"]).start(near.fileno(), {})
        near.close()
        far.sendall(b"hello")
        far.shutdown(socket.SHUT_WR)
        assert far.recv(99) == b"hello"
        assert far.recv(99) == b""
        assert os.waitpid(pid, 0)[1] == 0


def test_nothing_else_is_open_in_it() -> None:
    with open(os.devnull) as null:
        os.set_inheritable(null.fileno(), True)
        keep_descriptors_from_children()
        assert said_by("exec ls /proc/self/fd").split() == [
            "0",
            "1",
            "2",
            "3",
        ]  # 3 is the directory that ls reads


def test_its_environment_is_what_is_given() -> None:
    assert said_by("echo $A", {b"A": b"one"}) == "one\n"


def test_signals_are_as_in_a_new_process() -> None:
    before = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        lines = dict(line.split(":\t") for line in said_by("exec cat /proc/self/status").splitlines())
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGPIPE, before)
    the_c_library_s_own = 0b11 << 31  # 32 and 33, which nobody else can change
    assert (int(lines["SigBlk"], 16), int(lines["SigIgn"], 16) & ~the_c_library_s_own) == (0, 0)


def test_its_descriptor_limit_can_be_another_and_ours_stays() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert said_by("ulimit -Sn", soft_limit=100) == "100\n"
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


def test_it_leads_a_process_group() -> None:
    pid, group = said_by('echo $$; cut -d" " -f5 /proc/$$/stat', {b"PATH": os.environb[b"PATH"]}).split()
    assert pid == group


def test_what_is_no_command_is_told_at_once(sock_dir: str) -> None:
    with pytest.raises(AfunixError, match=r"'nosuch' is no command that can be found \(ENOENT\)"):
        Command(["nosuch"])
    with pytest.raises(AfunixError, match="is a directory"):
        Command([sock_dir + "/"])
    path = f"{sock_dir}/plain"
    with open(path, "w"):
        pass
    with pytest.raises(DeniedError, match=r"may not be executed \(EACCES\)") as caught:
        Command([path])
    assert caught.value.hint == f"chmod +x {path}"


@pytest.mark.parametrize(
    ("first_line", "match"),
    [
        ("echo hi", "ENOEXEC.*expected '#!'"),
        ("#!/no/such/shell", "'/no/such/shell', which does not exist"),
        ("#!", "a script for ''"),
    ],
)
def test_a_script_must_say_what_runs_it(sock_dir: str, first_line: str, match: str) -> None:
    path = f"{sock_dir}/script"
    with open(path, "w") as file:
        file.write(first_line + "\n")
    os.chmod(path, 0o755)
    with pytest.raises(AfunixError, match=match):
        Command([path])


def test_the_socket_blocks_as_a_program_expects_it() -> None:
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        pid = Command(["true"]).start(near.fileno(), {})
        assert os.get_blocking(near.fileno())
        os.waitpid(pid, 0)
