"""Who may not connect, through what, and the command that changes it: run, and then that user really connects."""

from __future__ import annotations

import errno
import grp
import itertools
import os
import pwd
import socket
from collections.abc import Iterator

import pytest
from tests.checking import Holder, agrees, check, codes, finding, finish, in_shell, paste, report
from tests.faults.users import IS_ROOT, ME, ORDINARY, User
from tests.peers import require

from afunix.model.address import Address
from afunix.model.reachability import judge
from afunix.tools.check import gather

pytestmark = pytest.mark.skipif(not IS_ROOT, reason="needs root, to close files to somebody")

GROUP = "users"
GID = grp.getgrnam(GROUP).gr_gid
NAME = pwd.getpwuid(ORDINARY).pw_name if IS_ROOT else ""


@pytest.fixture
def path(open_place: str) -> Iterator[str]:
    """Of a live server that belongs to root, in a directory of its own."""
    os.mkdir(f"{open_place}/d", 0o755)
    with Holder(f"{open_place}/d/s"):
        yield f"{open_place}/d/s"


def connects(user: User, path: str, prefix: list[str] | None = None) -> bool:
    """Does `user` really get in? With `prefix` (setpriv …) it is whom that makes of root."""
    shell = in_shell(user, 'exec afunix connect "$1"', path, prefix=prefix or [], becomes=prefix is None)
    return finish(shell).status == 0


def as_root(command: str) -> None:
    end = paste(ME, command)
    assert (end.status, end.err) == (0, "")


def test_closed_directory_is_opened_for_that_user_alone(ordinary: User, path: str) -> None:
    directory = os.path.dirname(path)
    os.chmod(directory, 0o700)
    found = agrees(ordinary, path)
    assert (found["status"], codes(found)) == (5, ["denied-search"])
    denied = found["findings"][0]
    assert f"needs search permission on '{directory}' (mode 0700, owner root" in denied["what"]
    assert codes(report(ME, "--as", NAME, path))[0] == "denied-search"
    require("setfacl")
    as_root(denied["command"])
    assert connects(ordinary, path)
    assert report(ME, "--as", NAME, path)["reachable"] is True


def test_closed_socket_is_opened_for_that_user_alone(ordinary: User, path: str) -> None:
    os.chmod(path, 0o600)
    found = agrees(ordinary, path)
    assert (found["status"], codes(found)) == (5, ["denied-write", "live"])
    denied = found["findings"][0]
    assert "until its server makes the socket anew" in denied["hint"]
    require("setfacl")
    as_root(denied["command"])
    assert connects(ordinary, path)
    assert report(ordinary, path)["status"] == 0


def test_refusals_on_the_way_are_told_in_their_order(ordinary: User, path: str) -> None:
    os.chmod(path, 0o600)
    os.chmod(os.path.dirname(path), 0o700)
    found = report(ME, "--as", NAME, path)
    assert codes(found)[:2] == ["denied-search", "denied-write"]
    require("setfacl")
    as_root(finding(found, "denied-search")["command"])
    assert codes(report(ordinary, path))[0] == "denied-write"
    as_root(finding(found, "denied-write")["command"])
    assert connects(ordinary, path)


def test_owner_without_the_bit_gives_it_to_himself(ordinary: User, path: str) -> None:
    os.chown(path, ORDINARY, 0)
    os.chmod(path, 0o066)
    found = agrees(ordinary, path)
    assert (found["status"], codes(found)[0]) == (5, "denied-write")
    assert "the owner's bits alone count (---)" in found["findings"][0]["why"]
    assert paste(ordinary, found["findings"][0]["command"]).status == 0
    assert connects(ordinary, path)


def test_group_that_would_help_is_named_and_helps(ordinary: User, path: str) -> None:
    os.chown(path, 0, GID)
    os.chmod(path, 0o660)
    found = agrees(ordinary, path)
    assert (found["status"], codes(found)[0]) == (5, "denied-write")
    assert found["findings"][0]["command"] == f"usermod -aG {GROUP} {NAME}"
    become = [require("setpriv"), "--reuid", NAME, "--regid", str(ORDINARY)]
    assert not connects(ordinary, path, [*become, "--clear-groups"])
    assert connects(ordinary, path, [*become, "--groups", str(GID)])


def test_command_that_adds_to_a_group_does_so_and_an_older_process_is_told_to_log_in(
    ordinary: User, path: str, open_place: str
) -> None:
    os.chown(path, 0, GID)
    os.chmod(path, 0o660)
    joining = report(ME, "--as", NAME, path)["findings"][0]["command"]
    program = (
        f"{open_place}/afunix"  # sg(1), a setuid program, drops what leads the copied Python to its library
    )
    kept = " ".join(f"{name}='{ordinary.environment()[name]}'" for name in ("PYTHONPATH", "LD_LIBRARY_PATH"))
    with open(program, "w") as file:
        file.write(f'#!/bin/sh\n{kept} exec {" ".join(ordinary.command())} "$@"\n')
    os.chmod(program, 0o755)
    script = f"""
        PATH={open_place}:$PATH
        cp -a /etc {open_place}/etc && mount --bind {open_place}/etc /etc || exit 99
        {joining} || exit 98
        become="setpriv --reuid {NAME} --regid {ORDINARY}"
        $become --init-groups afunix check -q {path} || exit 97
        $become --clear-groups afunix check --json {path} > {open_place}/report && exit 96
        $become --clear-groups sh -c "$(jq -r '.findings[0].command' {open_place}/report)" </dev/null || exit 95
    """
    require("jq")
    end = finish(in_shell(ordinary, script, prefix=[require("unshare"), "-m"], becomes=False))
    assert (end.status, end.err) == (0, "")
    with open(f"{open_place}/report") as file:
        assert "log in again" in file.read()


def test_entry_of_an_access_control_list_that_shuts_somebody_out_is_named(ordinary: User, path: str) -> None:
    as_root(f"{require('setfacl')} -m u:{NAME}:--- {path}")
    found = agrees(ordinary, path)
    assert (found["status"], codes(found)[0]) == (5, "denied-write")
    denied = found["findings"][0]
    assert "its access control list has an entry for" in denied["why"]
    assert "which lacks w" in denied["why"]
    as_root(denied["command"])
    assert connects(ordinary, path)


def test_mask_of_an_access_control_list_is_told_from_a_missing_entry(ordinary: User, path: str) -> None:
    directory = os.path.dirname(path)
    os.chmod(directory, 0o700)
    as_root(f"{require('setfacl')} -m u:{NAME}:r-x,m::r-- {directory}")
    found = agrees(ordinary, path)
    assert (found["status"], codes(found)[0]) == (5, "denied-search")
    assert "the list's mask takes it away" in found["findings"][0]["why"]
    as_root(found["findings"][0]["command"])
    assert connects(ordinary, path)


def test_list_is_shown_with_v(path: str) -> None:
    as_root(f"{require('setfacl')} -m u:{NAME}:rw- {path}")
    out = check(ME, "-v", path).out.decode()
    assert "srw-rw-rw-+ root root" in out
    assert f"access control list: user::rw-,user:{NAME}:rw-,group::rw-,mask::rw-,other::rw-" in out


def test_root_is_let_in_whatever_the_mode_and_so_is_as_root(ordinary: User, path: str) -> None:
    os.chmod(path, 0)
    os.chmod(os.path.dirname(path), 0)
    assert agrees(ME, path)["status"] == 0
    assert report(ME, "--as", "root", path)["status"] == 0
    assert report(ME, "--as", "0", path)["facts"]["person"]["user"] == "root"


def test_what_may_not_be_looked_at_is_not_judged_for_others(ordinary: User, path: str) -> None:
    os.chmod(os.path.dirname(path), 0o700)
    found = report(ordinary, "--as", "root", path)
    assert (found["status"], found["reachable"], codes(found)) == (1, None, ["unseen"])


def test_whether_a_socket_is_stale_cannot_be_told_by_who_may_not_connect(
    ordinary: User, open_place: str
) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{open_place}/s")
    os.chmod(f"{open_place}/s", 0o600)
    found = report(ordinary, "--as", "root", f"{open_place}/s")
    assert (found["status"], found["reachable"], codes(found)) == (1, None, ["unseen"])
    assert check(ordinary, "--as", "root", f"{open_place}/s").out.startswith(b"cannot be told for root: ")


def test_link_of_somebody_else_in_a_directory_for_all_is_not_followed(ordinary: User, path: str) -> None:
    with open("/proc/sys/fs/protected_symlinks") as file:
        if file.read().strip() != "1":
            pytest.skip("fs.protected_symlinks is off here")
    shared = os.path.dirname(path)
    os.chmod(shared, 0o1777)
    os.symlink("s", f"{shared}/link")
    os.lchown(f"{shared}/link", 65533, 65533)
    found = agrees(ordinary, f"{shared}/link")
    assert (found["status"], codes(found)[0]) == (5, "denied-link")
    assert paste(ordinary, found["findings"][0]["command"]).status == 0


# Judged by root, and then tried


MODES = (0o666, 0o660, 0o600, 0o606, 0o066, 0o060, 0o006, 0o020, 0o002)
DIRECTORY_MODES = (0o755, 0o711, 0o700, 0o710, 0o701, 0o070, 0o007, 0o011)
OWNERS = ((0, 0), (ORDINARY, 0), (0, ORDINARY), (0, GID))


def test_every_judgement_for_another_user_is_what_he_meets(open_place: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        os.mkdir(f"{open_place}/d")
        sock.bind(f"{open_place}/d/s")
        sock.listen(1000)
        address = Address.pathname(f"{open_place}/d/s")
        judged = []
        for (uid, gid), mode in itertools.product(OWNERS, MODES):
            _set(f"{open_place}/d/s", uid, gid, mode)
            judged.append(_refusal(address))
        for (uid, gid), mode in itertools.product(OWNERS, DIRECTORY_MODES):
            _set(f"{open_place}/d/s", 0, 0, 0o666)
            _set(f"{open_place}/d", uid, gid, mode)
            judged.append(_refusal(address))
        assert judged == _tried(open_place)


def _set(path: str, uid: int, gid: int, mode: int) -> None:
    os.chown(path, uid, gid)
    os.chmod(path, mode)


def _refusal(address: Address) -> int:
    facts = gather(address, as_user=NAME, thorough=False)
    return next((found.errno for found in judge(facts) if found.errno), 0)


def _tried(place: str) -> list[int]:
    """The same, by connecting: for each try a child becomes the user."""
    met = []
    for (uid, gid), mode in itertools.product(OWNERS, MODES):
        _set(f"{place}/d", 0, 0, 0o755)
        _set(f"{place}/d/s", uid, gid, mode)
        met.append(_connect_as_ordinary(f"{place}/d/s"))
    for (uid, gid), mode in itertools.product(OWNERS, DIRECTORY_MODES):
        _set(f"{place}/d/s", 0, 0, 0o666)
        _set(f"{place}/d", uid, gid, mode)
        met.append(_connect_as_ordinary(f"{place}/d/s"))
    assert {0, errno.EACCES} == {*met}
    return met


def _connect_as_ordinary(path: str) -> int:
    child = os.fork()
    if child == 0:
        number = 255
        try:
            os.setgroups([])
            os.setresgid(ORDINARY, ORDINARY, ORDINARY)
            os.setresuid(ORDINARY, ORDINARY, ORDINARY)
            with socket.socket(socket.AF_UNIX) as sock:
                number = sock.connect_ex(path)
        finally:
            os._exit(number)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
