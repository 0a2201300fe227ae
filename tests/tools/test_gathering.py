"""The facts that are gathered: each from its source, and none where it was not asked for."""

from __future__ import annotations

import os
import socket
import threading

from afunix.model.address import Address
from afunix.model.ownership import FileKind
from afunix.model.socket_table import TableState
from afunix.tools.gathering import gather


def test_a_listener_is_joined_with_its_file_its_process_and_its_clients(sock_dir: str) -> None:
    address = Address.pathname(f"{sock_dir}/s")
    with socket.socket(socket.AF_UNIX) as sock, socket.socket(socket.AF_UNIX) as client:
        sock.bind(f"{sock_dir}/s")
        sock.listen(3)
        client.connect(f"{sock_dir}/s")
        facts = gather(address)
        own = os.fstat(sock.fileno()).st_ino
    (bound,) = facts.bound
    assert (bound.entry.inode, bound.entry.state, bound.entry.queued) == (own, TableState.LISTENING, 1)
    assert {owner.pid for owner in (*bound.owners, *bound.clients)} == {os.getpid()}
    assert len(bound.clients) == 1


def test_a_quick_look_asks_for_no_processes_and_no_names(sock_dir: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{sock_dir}/s")
        facts = gather(Address.pathname(f"{sock_dir}/s"), thorough=False)
    assert [bound.owners for bound in facts.bound] == [()]
    assert facts.known.users == {}


def test_the_users_and_groups_of_the_way_are_named(sock_dir: str) -> None:
    known = gather(Address.pathname(f"{sock_dir}/s")).known
    assert known.users[0] == "root"
    assert known.groups[0] == "root"


def test_nothing_is_probed_that_is_no_socket(sock_dir: str) -> None:
    os.mkfifo(f"{sock_dir}/s")
    facts = gather(Address.pathname(f"{sock_dir}/s"))
    assert (facts.probe, facts.bound, facts.may_write) == (None, (), None)


def test_what_the_kernel_says_to_everybody_of_a_file_is_asked_and_nothing_else(sock_dir: str) -> None:
    assert gather(Address.pathname(sock_dir)).probe is None
    with open(f"{sock_dir}/f", "w"):
        pass
    assert gather(Address.pathname(f"{sock_dir}/f")).probe is None


def test_whether_root_looks_is_told_whoever_is_asked_for(sock_dir: str) -> None:
    facts = gather(Address.pathname(sock_dir), as_user="nobody")
    assert facts.looks_as_root == (os.geteuid() == 0)


def test_somebody_elses_connect_is_not_made_by_us(sock_dir: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{sock_dir}/s")
        sock.listen()
        assert gather(Address.pathname(f"{sock_dir}/s"), as_user="root", probe=True).answer is None


def test_a_socket_that_comes_and_goes_is_never_an_error(sock_dir: str) -> None:
    stop = threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            with socket.socket(socket.AF_UNIX) as sock:
                sock.bind(f"{sock_dir}/s")
                sock.listen()
            os.unlink(f"{sock_dir}/s")

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        kinds = {
            gather(Address.pathname(f"{sock_dir}/s"), thorough=n % 8 == 0).way[-1].kind for n in range(80)
        }
    finally:
        stop.set()
        thread.join()
    assert kinds <= {FileKind.NOTHING, FileKind.SOCKET}
