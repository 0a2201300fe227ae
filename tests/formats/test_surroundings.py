"""The facts as lines: the way as `ls -l` shows files, what stands in it, and with -v everything."""

from __future__ import annotations

import errno

from hypothesis import given
from hypothesis import strategies as st

from afunix.formats.surroundings import looked_at
from afunix.model.address import Address
from afunix.model.escaping import escape
from afunix.model.ownership import FileKind
from afunix.model.permission import AclEntry, AclTag, KnownNames, Person, Rights
from afunix.model.socket_table import FileIdentity, Owner, SocketEntry, TableState
from afunix.model.surroundings import Answer, Bound, Component, Elsewhere, Facts, Mount

KNOWN = KnownNames({0: "root", 5: "ana"}, {0: "root", 7: "staff"})
ANA = Person(5, 7, groups=frozenset({7, 9}), listed_groups=frozenset({7, 0}), name="ana")


def directory(path: bytes, mode: int = 0o755, **more: object) -> Component:
    rights = Rights(mode, 0, 0, is_directory=True)
    return Component(path, FileKind.DIRECTORY, rights, **more)  # type: ignore[arg-type]


def sock(path: bytes, mode: int = 0o666, acl: tuple[AclEntry, ...] | None = None) -> Component:
    return Component(path, FileKind.SOCKET, Rights(mode, 5, 7, acl=acl), is_final=True)


def lines(*way: Component, verbose: bool = False, person: Person = ANA, **facts: object) -> list[str]:
    address = Address.pathname("/d/s")
    found = Facts(address, person, way=way, known=KNOWN, **facts)  # type: ignore[arg-type]
    return ["".join(text for text, _ in line) for line in looked_at(found, verbose=verbose)]


def test_way_is_shown_as_ls_shows_files() -> None:
    assert lines(directory(b"/"), sock(b"/s")) == [
        "drwxr-xr-x root root   /",
        "srw-rw-rw- ana  staff  /s",
    ]


def test_what_stands_in_the_way_is_said_behind_it() -> None:
    way = (directory(b"/"), directory(b"/d", 0o700), sock(b"/d/s", 0o066))
    assert [line.partition("  /")[2] for line in lines(*way)] == [
        "",
        "d  may not be searched",
        "d/s  may not be connected to",
    ]
    assert lines(directory(b"/"), Component(b"/x", error=errno.ENOENT))[-1].endswith("  /x  ENOENT")
    assert lines(directory(b"/", is_final=True, is_empty=True)) == [
        "drwxr-xr-x root root  /  is a directory  (empty)"
    ]


def test_step_that_is_gone_twice_is_told_once() -> None:
    link = Component(b"/l", FileKind.SYMLINK, Rights(0o777, 0, 0), target=b"d")
    assert [
        line.split("  ")[1] for line in lines(directory(b"/"), link, directory(b"/"), directory(b"/d"))
    ] == [
        "/",
        "/l -> d",
        "/d",
    ]


def test_access_control_list_is_marked_and_shown_with_v() -> None:
    acl = (
        AclEntry(AclTag.OWNER, 6),
        AclEntry(AclTag.USER, 2, 5),
        AclEntry(AclTag.GROUP, 0),
        AclEntry(AclTag.NAMED_GROUP, 4, 8),
        AclEntry(AclTag.MASK, 7),
        AclEntry(AclTag.OTHER, 1),
    )
    assert lines(sock(b"/s", acl=acl))[0].startswith("srw-rw-rw-+")
    shown = lines(sock(b"/s", acl=acl), verbose=True)[1]
    assert shown.endswith("user::rw-,user:ana:-w-,group::---,group:8:r--,mask::rwx,other::--x")


def test_mounts_are_remarked_where_they_begin() -> None:
    mount = Mount(b"/d", file_system="tmpfs", is_read_only=True)
    assert lines(directory(b"/d", mount=mount, is_mount_point=True), sock(b"/d/s"))[0].endswith(
        "(mounted here, read-only)"
    )
    verbose = lines(directory(b"/d", mount=mount, identity=FileIdentity(1, 99)), sock(b"/d/s"), verbose=True)
    assert verbose[0].endswith("(on '/d', read-only, tmpfs; inode 99)")


def test_everything_else_is_shown_with_v() -> None:
    entry = SocketEntry(
        81, "stream", TableState.LISTENING, Address.pathname("/d/s"), queued=2, backlog=1, uid=5
    )
    bound = Bound(entry, (Owner(12, 3, "app\x1b"),), (Owner(13, 4, "cli"),), frozenset({12}))
    shown = lines(
        sock(b"/s"),
        verbose=True,
        wanted_type="stream",
        probe=errno.EPROTOTYPE,
        bound=(bound,),
        is_complete=False,
        neighbours=tuple(Address.abstract(str(number)) for number in range(25)),
        other_mounts=(Elsewhere(Owner(14, 5, "box"), way=b"/proc/14/root/d/s"),),
        other_networks=(Elsewhere(None, TableState.LISTENING, "stream"),),
        unseen_processes=3,
        answer=Answer(0, "stream", 0.0012),
    )
    assert shown[1:] == [
        "you are uid 5 (ana), group staff, also in 9, by the database also in root",
        "type asked for: stream",
        "a dgram socket's connect: EPROTOTYPE (a process has it open as stream or seqpacket)",
        "socket inode 81: stream, listening, 2 in a backlog of 1, made by uid 5 (ana)",
        "  open in pid 12 (app^[) descriptor 3, stopped",
        "  waiting: pid 13 (cli) descriptor 4",
        "the kernel's table by sock_diag(7): refused; /proc/net/unix has no queues and no files",
        "in another mount namespace: pid 14 (box), from here '/proc/14/root/d/s'",
        "in another network namespace: a process that is not seen (stream, listening)",
        f"beside it: {', '.join(repr(f'@{number}') for number in range(20))} and 5 more",
        "processes that may not be looked into: 3",
        "a real connect (stream): CONNECTED after 1.2 ms",
    ]


@given(st.binary(min_size=1, max_size=20))
def test_no_name_is_shown_unescaped(name: bytes) -> None:
    link = Component(name, FileKind.SYMLINK, Rights(0o777, 0, 0), target=name)
    for line in lines(link, Component(name, error=errno.ENOENT), verbose=True):
        assert escape(line) == line
