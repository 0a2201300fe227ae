"""Names in other namespaces: found through the processes that are in them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator

import pytest
from tests.peers import require

from afunix.kernel.namespaces import (
    bearers_in_other_mounts,
    bearers_of_abstract,
    bearers_of_path,
    other_namespaces,
)
from afunix.model.address import Address
from afunix.model.socket_table import TableState

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make namespaces")

Start = Callable[..., int]


@pytest.fixture
def start() -> Iterator[Start]:
    """Runs lines of Python behind unshare(1) with the options given, until the end of the test; its pid."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(lines: str, *options: str) -> int:
        program = f"import os, socket, subprocess, sys\ns = socket.socket(socket.AF_UNIX)\n{lines}\nprint(flush=True)"
        argv = [require("unshare"), *options, require("python3"), "-c", f"{program}\nsys.stdin.read()"]
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        return process.pid

    yield begin
    for process in running:
        process.communicate()


def test_our_own_namespaces_are_none_of_the_others(start: Start) -> None:
    before = other_namespaces()
    here = start("")
    pid = start("", "--net", "--mount")
    after = other_namespaces()
    assert here not in (*after.networks, *after.places)
    assert {*after.networks} - {*before.networks} == {pid}
    assert {*after.places} - {*before.places} == {pid}


def test_an_abstract_name_is_found_with_its_process_and_state(start: Start) -> None:
    name = Address.abstract(f"af-{os.getpid()}")
    pid = start(f"s.bind('\\0{name.name.decode()}'); s.listen()", "--net")
    (found,) = bearers_of_abstract(name, [pid])
    assert found.owner is not None
    assert (found.owner.pid, found.state, found.type) == (pid, TableState.LISTENING, "stream")
    assert bearers_of_abstract(Address.abstract("other"), [pid]) == []


def test_a_path_is_found_by_its_file_and_not_by_its_name_alone(sock_dir: str, start: Start) -> None:
    pid = start(f"s.bind({sock_dir + '/s'!r}); s.listen()", "--net")
    file = os.lstat(f"{sock_dir}/s")
    (found,) = bearers_of_path(Address.pathname(f"{sock_dir}/s"), file, [pid])
    assert found.owner is not None
    assert found.owner.pid == pid
    assert bearers_of_path(Address.pathname(f"{sock_dir}/s"), os.lstat("/"), [pid]) == []


def test_a_path_that_only_another_place_has_is_found_through_its_root(sock_dir: str, start: Start) -> None:
    pid = start(_hidden(sock_dir, f"s.bind({sock_dir + '/s'!r}); s.listen()"), "--mount")
    (found,) = bearers_in_other_mounts(f"{sock_dir}/s".encode(), [pid])
    assert found.way == f"/proc/{pid}/root{sock_dir}/s".encode()
    assert found.owner is not None
    assert found.owner.pid == pid


def test_links_in_another_place_are_followed_in_that_place(sock_dir: str, start: Start) -> None:
    lines = f"os.mkdir('real'); os.symlink({sock_dir + '/real'!r}, 'link'); s.bind('real/s'); s.listen()"
    pid = start(_hidden(sock_dir, lines), "--mount")
    (found,) = bearers_in_other_mounts(f"{sock_dir}/link/s".encode(), [pid])
    assert found.way == f"/proc/{pid}/root{sock_dir}/real/s".encode()


def test_what_is_stale_there_is_no_help(sock_dir: str, start: Start) -> None:
    pid = start(_hidden(sock_dir, f"s.bind({sock_dir + '/s'!r}); s.close()"), "--mount")
    assert bearers_in_other_mounts(f"{sock_dir}/s".encode(), [pid]) == []


def test_a_process_that_has_ended_is_left_out(sock_dir: str) -> None:
    ended = subprocess.Popen([require("python3"), "-c", ""])
    ended.wait()
    assert bearers_of_abstract(Address.abstract("x"), [ended.pid]) == []
    assert bearers_in_other_mounts(f"{sock_dir}/s".encode(), [ended.pid]) == []


def _hidden(directory: str, lines: str) -> str:
    """`lines`, run where a file system of their own is mounted over `directory`."""
    mount = f"subprocess.run(['mount', '-t', 'tmpfs', 'tmpfs', {directory!r}], check=True)"
    return f"{mount}; os.chdir({directory!r}); {lines}"
