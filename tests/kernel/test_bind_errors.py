"""Each obstacle on the way to a path has its own sentence, and leaves nothing behind."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from afunix.kernel import socket_file
from afunix.kernel.bind_errors import explain
from afunix.model.address import Address
from afunix.model.errors import AfunixError, DeniedError, NoSuchSocketError

InChild = Callable[..., Any]
NewSocket = Callable[..., Any]


@pytest.fixture
def refused(new_socket: NewSocket) -> Callable[[str], tuple[str, str, str | None]]:
    """Binds a path that cannot be, and gives the error's type, words and hint."""

    def bind(path: str) -> tuple[str, str, str | None]:
        with pytest.raises(AfunixError) as caught:
            socket_file.bind(new_socket(), Address.pathname(path))
        return type(caught.value).__name__, str(caught.value), caught.value.hint

    return bind


def test_a_missing_directory_is_named_with_the_command_that_makes_it(
    sock_dir: str, refused: Callable[[str], Any]
) -> None:
    assert refused(f"{sock_dir}/a b/c/s") == (
        "NoSuchSocketError",
        f"'{sock_dir}/a b/c/s' cannot be made: the directory '{sock_dir}/a b/c' does not exist (ENOENT)",
        f"mkdir -p '{sock_dir}/a b/c'",
    )
    assert os.listdir(sock_dir) == []


def test_a_directory_name_cannot_write_to_the_terminal_through_the_hint(
    sock_dir: str, refused: Callable[[str], Any]
) -> None:
    assert refused(f"{sock_dir}/\x1b[2J/s")[2] == f"mkdir -p '{sock_dir}/^[[2J'"


def test_a_file_on_the_way_is_named(sock_dir: str, refused: Callable[[str], Any]) -> None:
    with open(f"{sock_dir}/f", "w"):
        pass
    kind, said, _ = refused(f"{sock_dir}/f/d/s")
    assert (kind, said) == (
        "NoSuchSocketError",
        f"'{sock_dir}/f/d/s' cannot be made: '{sock_dir}/f' is not a directory (ENOTDIR)",
    )


def test_a_loop_of_links_is_told(sock_dir: str, refused: Callable[[str], Any]) -> None:
    os.symlink("loop", f"{sock_dir}/loop")
    kind, said, _ = refused(f"{sock_dir}/loop/s")
    assert kind == "NoSuchSocketError"
    assert said.endswith("too many symbolic links on the way (ELOOP)")


def test_a_directory_that_is_not_writable_is_told(
    sock_dir: str, refused: Callable[[str], Any], as_ordinary_user: InChild
) -> None:
    os.mkdir(f"{sock_dir}/d")
    os.chmod(f"{sock_dir}/d", 0o555)
    kind, said, hint = as_ordinary_user(lambda: refused(f"{sock_dir}/d/s"))
    assert kind == "DeniedError"
    assert f"the directory '{sock_dir}/d' is not writable for uid " in said
    assert said.endswith("(EACCES)")
    assert "$XDG_RUNTIME_DIR" in hint
    assert os.listdir(f"{sock_dir}/d") == []


@pytest.mark.parametrize("path", ["d/s", "d/e/s"])
def test_a_directory_that_is_not_searchable_is_told(
    sock_dir: str, refused: Callable[[str], Any], as_ordinary_user: InChild, path: str
) -> None:
    os.makedirs(f"{sock_dir}/d/e")
    os.chmod(f"{sock_dir}/d", 0o600)
    kind, said, _ = as_ordinary_user(lambda: refused(f"{sock_dir}/{path}"))
    os.chmod(f"{sock_dir}/d", 0o700)
    assert kind == "DeniedError"
    assert f"the directory '{sock_dir}/d' is not searchable for uid " in said


def test_a_stale_file_in_a_directory_that_is_not_writable_stays(
    stale_path: str, sock_dir: str, refused: Callable[[str], Any], as_ordinary_user: InChild
) -> None:
    os.chmod(stale_path, 0o777)

    def start() -> tuple[str, str, str | None]:
        os.chmod(sock_dir, 0o500)
        try:
            return refused(stale_path)  # type: ignore[no-any-return]
        finally:
            os.chmod(sock_dir, 0o700)

    kind, said, _ = as_ordinary_user(start)
    assert kind == "DeniedError"
    assert "the directory is not writable" in said
    assert os.listdir(sock_dir) == ["s"]


@pytest.mark.skipif(os.getuid() != 0, reason="needs a second user")
def test_the_stale_file_of_another_user_in_a_sticky_directory_stays(
    stale_path: str, sock_dir: str, refused: Callable[[str], Any], as_ordinary_user: InChild
) -> None:
    os.chown(sock_dir, 0, 0)
    os.chmod(sock_dir, 0o1777)
    os.chmod(stale_path, 0o777)
    kind, said, hint = as_ordinary_user(lambda: refused(stale_path))
    assert kind == "DeniedError"
    assert f"the socket file '{stale_path}' cannot be removed by uid 65534 (EPERM)" in said
    assert "sticky" in hint
    assert os.listdir(sock_dir) == ["s"]


def test_a_read_only_file_system_is_told(sock_dir: str) -> None:
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-rm", "true"], capture_output=True).returncode:
        pytest.skip("no unshare, or this system makes no mount namespace for us")
    mount = f"mount -t tmpfs -o ro none {sock_dir} && exec {sys.executable} -c '{_BIND}' {sock_dir}/s"
    done = subprocess.run([unshare, "-rm", "sh", "-c", mount], capture_output=True, text=True, env=_env())
    assert done.stdout == (
        f"DeniedError '{sock_dir}/s' cannot be made: it is on a read-only file system (EROFS)\n"
    ), done.stderr


_BIND = """
import socket, sys
from afunix.kernel import socket_file
from afunix.model.address import Address
from afunix.model.errors import AfunixError
try:
    socket_file.bind(socket.socket(socket.AF_UNIX), Address.pathname(sys.argv[1]))
except AfunixError as error:
    print(type(error).__name__, error)
"""


def _env() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def test_without_descriptors_the_system_s_own_error_comes_with_the_path(
    sock_dir: str, in_child: InChild, new_socket: NewSocket
) -> None:
    def start() -> tuple[int | None, str]:
        sock = new_socket()
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
        with pytest.raises(OSError) as caught:
            socket_file.bind(sock, Address.pathname(f"{sock_dir}/s"))
        return caught.value.errno, str(caught.value.filename)

    assert in_child(start) == (errno.EMFILE, f"{sock_dir}/s")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EPERM])
def test_a_denial_keeps_its_errno(number: int) -> None:
    error = explain(OSError(number, ""), Address.pathname("/run/s"))
    assert isinstance(error, DeniedError)
    assert error.errno == number
    assert f"({errno.errorcode[number]})" in str(error)


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENOTDIR, errno.ELOOP])
def test_an_absence_keeps_its_errno(number: int) -> None:
    error = explain(OSError(number, ""), Address.pathname("/run/s"))
    assert isinstance(error, NoSuchSocketError)
    assert error.errno == number


def test_a_directory_that_is_there_is_not_said_to_be_missing(refused: Callable[[str], Any]) -> None:
    kind, words, _ = refused("/proc/x.sock")
    assert (kind, "does not exist" in words) == ("NoSuchSocketError", False)
    assert words.endswith("the directory '/proc' is there, and no file can be made in it (ENOENT)")
