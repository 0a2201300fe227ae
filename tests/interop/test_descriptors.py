"""`fd send` and `fd receive` with programs of others: in C with sendmsg(2) and recvmsg(2), in Python, and nc's -F."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.peers import require
from tests.program import PATIENCE_S, end_for_good, ended, run, start
from tests.threads import until

_PASS = r"""
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* pass send PATH: one NUL with descriptors 0 and 1. pass take PATH: copies what the first one leads to. */
int main(int argc, char **argv) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    char byte = 0;
    union { char room[CMSG_SPACE(2 * sizeof(int))]; struct cmsghdr align; } control;
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control,
                             .msg_controllen = sizeof control};
    int sock = socket(AF_UNIX, SOCK_STREAM, 0), fds[2] = {0, 1};
    strncpy(name.sun_path, argv[2], sizeof name.sun_path - 1);
    if (!strcmp(argv[1], "send")) {
        if (connect(sock, (struct sockaddr *)&name, sizeof name)) return 2;
        memset(&control, 0, sizeof control);
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof fds);
        memcpy(CMSG_DATA(head), fds, sizeof fds);
        return sendmsg(sock, &message, 0) != 1;
    }
    if (bind(sock, (struct sockaddr *)&name, sizeof name) || listen(sock, 1)) return 2;
    int client = accept(sock, 0, 0);
    if (recvmsg(client, &message, 0) != 1) return 3;
    memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
    while (read(fds[0], &byte, 1) == 1) putchar(byte);
    return 0;
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    compiler = require("cc")
    path = str(tmp_path_factory.mktemp("c") / "pass")
    subprocess.run(
        [compiler, "-x", "c", "-o", path, "-"], input=_PASS.encode(), check=True, timeout=PATIENCE_S
    )
    return path


@pytest.fixture
def path(sock_dir: str) -> Iterator[str]:
    yield os.path.join(sock_dir, "x.sock")


def receiving(path: str, *args: str) -> subprocess.Popen[bytes]:
    process = start("fd", "receive", path, *args)
    until(lambda: is_listening(path))
    return process


def is_listening(path: str) -> bool:
    with open("/proc/net/unix") as table:
        return any(row.endswith(f" {path}\n") and row.split()[3] == "00010000" for row in table)


def test_what_a_c_program_sends_is_taken(program: str, path: str) -> None:
    process = receiving(path, "--", "sh", "-c", 'cat <&3; echo " $AFUNIX_FDNAMES $AFUNIX_FD_DATA"')
    read_fd, write_fd = os.pipe()
    os.write(write_fd, b"from C")
    os.close(write_fd)
    assert subprocess.run([program, "send", path], stdin=read_fd, timeout=PATIENCE_S).returncode == 0
    os.close(read_fd)
    assert ended(process).out == b"from C unknown:unknown ^@\n"


def test_a_c_program_takes_what_is_sent(program: str, path: str, sock_dir: str) -> None:
    notes = os.path.join(sock_dir, "notes")
    with open(notes, "w") as file:
        file.write("to C")
    receiver = subprocess.Popen([program, "take", path], stdout=subprocess.PIPE)
    sender = run("fd", "send", "--wait", "20s", path, notes, "--data-from", "-", stdin=b"\0")
    assert (sender.status, receiver.communicate(timeout=PATIENCE_S)[0]) == (0, b"to C")


def test_the_standard_librarys_functions_understand_both(path: str) -> None:
    script = f"""
import socket, os
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
    server.bind({path!r})
    server.listen()
    data, fds, flags, _ = socket.recv_fds(server.accept()[0], 99, 3)
    print(data, [os.readlink(f"/proc/self/fd/{{fd}}") for fd in fds])
"""
    receiver = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert run("fd", "send", "--wait", "20s", path, "a=/dev/null", "/dev/zero").status == 0
    assert receiver.communicate(timeout=PATIENCE_S)[0] == b"b'a:unknown\\n' ['/dev/null', '/dev/zero']\n"


def test_a_connection_that_nc_made_is_taken(path: str) -> None:
    process = receiving(path, "--", "sh", "-c", "echo hello >&3")
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as towards:
        server.settimeout(PATIENCE_S)
        towards.connect(path)
        port = str(server.getsockname()[1])
        argv = [require("nc"), "-F", "127.0.0.1", port]
        passing = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=towards.fileno())
        connection, _ = server.accept()
        with connection:
            connection.settimeout(PATIENCE_S)
            assert connection.recv(99) == b"hello\n"
        passing.wait(PATIENCE_S)
    assert ended(process).status == 0
    end_for_good(process)
