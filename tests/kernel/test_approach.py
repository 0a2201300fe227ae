"""The way to a path: every step that the kernel goes, and what is known of it."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afunix.kernel.approach import approach, gone_to, held, parse_acl
from afunix.model.ownership import FileKind
from afunix.model.permission import AclEntry, AclTag
from afunix.model.surroundings import Component

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody without rights")


def way(path: str) -> list[Component]:
    return [*approach(path.encode()).way]


def below(path: str, directory: str) -> list[str]:
    """The steps from `directory` on, by what comes after it in their paths."""
    return [
        step.path.decode().removeprefix(directory)
        for step in way(path)
        if step.path.startswith(directory.encode())
    ]


def test_every_directory_is_a_step_and_the_file_the_last(sock_dir: str) -> None:
    os.mkdir(f"{sock_dir}/a")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{sock_dir}/a/s")
    steps = way(f"{sock_dir}/a/s")
    assert [step.path for step in steps] == [
        *(b"/" + b"/".join(sock_dir.encode().split(b"/")[1 : depth + 1]) for depth in range(3)),
        f"{sock_dir}/a".encode(),
        f"{sock_dir}/a/s".encode(),
    ]
    assert [step.kind for step in steps] == [FileKind.DIRECTORY] * 4 + [FileKind.SOCKET]
    assert [step.is_final for step in steps] == [False] * 4 + [True]


def test_a_step_has_the_rights_and_the_identity_of_its_file(sock_dir: str) -> None:
    os.mkdir(f"{sock_dir}/a", 0o710)
    last, file = way(f"{sock_dir}/a")[-1], os.lstat(f"{sock_dir}/a")
    assert last.rights is not None
    assert last.identity is not None
    assert (last.rights.mode, last.rights.uid, last.rights.gid) == (0o710, file.st_uid, file.st_gid)
    assert (last.identity.device, last.identity.inode) == (file.st_dev, file.st_ino)
    assert (last.rights.is_directory, last.is_empty) == (True, True)


def test_what_is_behind_links_is_gone_too(sock_dir: str) -> None:
    os.makedirs(f"{sock_dir}/a/b")
    os.symlink("a/b", f"{sock_dir}/relative")
    os.symlink(f"{sock_dir}/a", f"{sock_dir}/absolute")
    assert below(f"{sock_dir}/relative/s", sock_dir) == ["", "/relative", "", "/a", "/a/b", "/a/b/s"]
    assert below(f"{sock_dir}/absolute/s", sock_dir) == ["", "/absolute", "", "/a", "/a/s"]


def test_what_a_link_leads_to_knows_the_link(sock_dir: str) -> None:
    os.symlink("one", f"{sock_dir}/link")
    os.symlink("gone", f"{sock_dir}/one")
    last = way(f"{sock_dir}/link")[-1]
    assert (last.path, last.behind) == (f"{sock_dir}/gone".encode(), f"{sock_dir}/link".encode())
    assert (last.error, last.is_final) == (errno.ENOENT, True)


def test_the_way_ends_where_something_is_missing(sock_dir: str) -> None:
    last = way(f"{sock_dir}/a/b/s")[-1]
    assert (last.path, last.error, last.is_final) == (f"{sock_dir}/a".encode(), errno.ENOENT, False)


@pytest.mark.parametrize("ending", ["f/s", "f/", "f/.", "link/"])
def test_the_way_ends_at_what_is_no_directory(sock_dir: str, ending: str) -> None:
    with open(f"{sock_dir}/f", "w"):
        os.symlink("f", f"{sock_dir}/link")
    last = way(f"{sock_dir}/{ending}")[-1]
    assert (last.path, last.kind, last.is_final) == (f"{sock_dir}/f".encode(), FileKind.REGULAR, False)


def test_a_circle_of_links_ends_with_eloop(sock_dir: str) -> None:
    os.symlink("b", f"{sock_dir}/a")
    os.symlink("a", f"{sock_dir}/b")
    assert way(f"{sock_dir}/a")[-1].error == errno.ELOOP


def test_dots_and_slashes_change_nothing(sock_dir: str) -> None:
    os.mkdir(f"{sock_dir}/a")
    assert below(f"{sock_dir}//./a/../a/.//s", sock_dir) == ["", "/a", "/a/..", "/a/../a", "/a/../a/s"]


def test_a_relative_path_starts_here(sock_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sock_dir)
    assert [step.path for step in way("s")] == [b".", b"s"]


def test_a_link_of_proc_is_left_to_the_kernel(sock_dir: str) -> None:
    with held(os.fsencode(sock_dir)) as fd:
        steps = way(f"/proc/self/fd/{fd}/s")
        os.rmdir(sock_dir)
        after = way(f"/proc/self/fd/{fd}/s")
    assert [step.kind for step in steps[-3:]] == [FileKind.SYMLINK, FileKind.DIRECTORY, FileKind.NOTHING]
    assert [step.kind for step in after] == [step.kind for step in steps]


def test_paths_of_any_length_are_gone(sock_dir: str) -> None:
    part = "d" * 200
    path = f"{sock_dir}/{'/'.join([part] * 19)}"
    os.makedirs(path)
    assert (way(path)[-1].kind, len(way(path))) == (FileKind.DIRECTORY, 22)
    assert way(f"{sock_dir}/{'x' * 300}")[-1].error == errno.ENAMETOOLONG
    assert way("/" + "x/" * 3000)[-1].error == errno.ENAMETOOLONG


def test_sockets_beside_what_is_missing_are_told(sock_dir: str) -> None:
    os.mkdir(f"{sock_dir}/directory")
    os.symlink("app.sock", f"{sock_dir}/link")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{sock_dir}/app.sock")
    assert approach(f"{sock_dir}/s".encode(), beside=True).beside == (b"app.sock",)
    assert approach(f"{sock_dir}/app.sock".encode(), beside=True).beside == ()
    assert approach(f"{sock_dir}/s".encode()).beside == ()


@needs_root
def test_the_way_ends_where_we_may_not_look(sock_dir: str, in_child: Callable[..., Any]) -> None:
    os.chmod(sock_dir, 0o700)
    last = in_child(lambda: way(f"{sock_dir}/s")[-1], uid=65534)
    assert (last.path, last.error) == (f"{sock_dir}/s".encode(), errno.EACCES)


@needs_root
def test_an_access_control_list_is_read(sock_dir: str) -> None:
    entries = [(1, 7, -1), (2, 3, 1000), (4, 5, -1), (8, 4, 20), (16, 7, -1), (32, 0, -1)]
    raw = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{sock_dir}/s")
    os.setxattr(f"{sock_dir}/s", "system.posix_acl_access", raw)
    rights = way(f"{sock_dir}/s")[-1].rights
    assert rights is not None
    assert rights.acl == (
        AclEntry(AclTag.OWNER, 7),
        AclEntry(AclTag.USER, 3, 1000),
        AclEntry(AclTag.GROUP, 5),
        AclEntry(AclTag.NAMED_GROUP, 4, 20),
        AclEntry(AclTag.MASK, 7),
        AclEntry(AclTag.OTHER, 0),
    )


@given(st.binary(max_size=40))
def test_no_list_but_a_whole_one_is_read(raw: bytes) -> None:
    try:
        entries = parse_acl(raw)
    except ValueError:
        return
    assert len(raw) == 4 + 8 * len(entries)


def test_a_mount_begins_at_its_point_and_not_below_it() -> None:
    proc = way("/proc/sys/fs")
    assert [step.is_mount_point for step in proc] == [False, True, False, False]
    assert proc[1].mount is not None
    assert proc[1].mount.file_system == "proc"
    assert not way("/proc/..")[-1].is_mount_point


def test_the_end_of_the_way_is_held_until_it_is_given_back(sock_dir: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{sock_dir}/s")
        os.symlink("s", f"{sock_dir}/link")
    with gone_to(f"{sock_dir}/link".encode()) as gone:
        assert os.fstat(gone.fd).st_ino == os.lstat(f"{sock_dir}/s").st_ino
    with gone_to(f"{sock_dir}/missing".encode()) as gone:
        assert gone.fd == -1


def test_a_way_in_another_root_stays_in_it(sock_dir: str) -> None:
    os.makedirs(f"{sock_dir}/a/b")
    os.symlink("/a", f"{sock_dir}/absolute")
    root = sock_dir.encode()

    def end(path: bytes) -> Component:
        return approach(path, root=root).way[-1]

    assert end(b"/absolute/b").path == root + b"/a/b"
    assert end(b"/a/../../../a/b").identity == way(f"{sock_dir}/a/b")[-1].identity
    assert end(b"/..").identity == way(sock_dir)[-1].identity
    assert end(b"/..").is_final


def test_whether_we_may_search_a_directory_is_asked_of_the_kernel(
    sock_dir: str, in_child: Callable[..., Any]
) -> None:
    os.mkdir(f"{sock_dir}/a", 0o700)
    with open(f"{sock_dir}/f", "w"):
        pass
    assert [way(f"{sock_dir}/{name}")[-1].may_search for name in ("a", "f")] == [True, None]
    if os.geteuid() == 0:
        os.chmod(sock_dir, 0o755)
        assert in_child(lambda: way(f"{sock_dir}/a")[-1].may_search, uid=65534) is False
