"""What a descriptor is, in words: asked of real ones."""

from __future__ import annotations

import os
import pty
import socket

import pytest

from afunix.kernel.descriptor_report import DescriptorReport


@pytest.mark.parametrize(
    ("flags", "access"),
    [
        (os.O_RDONLY, "read"),
        (os.O_WRONLY, "write"),
        (os.O_RDWR, "read-write"),
        (os.O_WRONLY | os.O_APPEND, "append"),
        (os.O_RDWR | os.O_APPEND, "read-append"),
        (getattr(os, "O_PATH", 0), "none"),
    ],
)
def test_a_file_is_its_path_and_what_it_may_be_used_for(sock_dir: str, flags: int, access: str) -> None:
    path = os.path.realpath(os.path.join(sock_dir, "file"))
    os.close(os.open(path, os.O_CREAT))
    fd = os.open(path, flags)
    assert DescriptorReport.of(fd) == DescriptorReport("file", access, path)
    os.close(fd)


def test_a_terminal_is_told_from_other_devices() -> None:
    main, other = pty.openpty()
    assert DescriptorReport.of(other).kind == "terminal"
    with open(os.devnull) as null:
        assert DescriptorReport.of(null.fileno()) == DescriptorReport("device", "read", os.devnull)
    os.close(main)
    os.close(other)


def test_a_pipe_has_no_path() -> None:
    read_fd, write_fd = os.pipe()
    assert DescriptorReport.of(write_fd) == DescriptorReport("pipe", "write", "")
    os.close(read_fd)
    os.close(write_fd)


def test_what_has_only_a_kind_is_called_by_it() -> None:
    fd = os.eventfd(0)
    assert DescriptorReport.of(fd) == DescriptorReport("eventfd", "read-write", "")
    os.close(fd)


def test_a_listener_says_where(sock_dir: str) -> None:
    path = os.path.join(sock_dir, "x.sock")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(path)
        server.listen()
        client.connect(path)
        found = DescriptorReport.of(server.fileno())
        assert found == DescriptorReport("socket", "read-write", f"stream, listening on '{path}'")
        assert DescriptorReport.of(client.fileno()).what == f"stream, connected to '{path}'"


def test_a_socket_of_another_family_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert DescriptorReport.of(server.fileno()).what == "stream, AF_INET, listening"


def test_looking_changes_nothing() -> None:
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        os.set_inheritable(one.fileno(), True)
        DescriptorReport.of(one.fileno())
        assert (os.get_blocking(one.fileno()), os.get_inheritable(one.fileno())) == (False, True)
