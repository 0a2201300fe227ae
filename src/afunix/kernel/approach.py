"""The way to a path, step by step as the kernel goes it: each directory, what is behind symbolic links, the file.

    /var/run/app.sock, where /var/run is a link to /run:     /  /var  /var/run → /run  /  /run  /run/app.sock

Every step is held open by an O_PATH descriptor while its name in it is looked up, so that what is told of one step is
of one inode, and paths of any length work. Nothing but lstat is asked of a file, and of a directory whether we may
search it: no right is needed, no server notices. What the modes mean is judged in `model.permission`; links in /proc
are followed by the kernel, because their text is no path.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice

from ..model.ownership import FileKind
from ..model.permission import AclEntry, AclTag, Rights
from ..model.socket_table import FileIdentity
from ..model.surroundings import Component, Mount
from .mounts import mount_id, read_mounts

_MOST_LINKS = 40
"""MAXSYMLINKS of the kernel, path_resolution(7)."""

_LONGEST_PATH = 4095
_MOST_NAMES = 20_000
"""Of a directory in which a near name is looked for; those beyond are not looked at."""

_HOLD = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLLOW = os.O_PATH | os.O_CLOEXEC

_OF_DIRECTORIES = (b"/", b"/.", b"/..")
"""Endings of a path that must lead to a directory."""

_ACL = "system.posix_acl_access"
_ACL_VERSION = struct.Struct("<I")
_ACL_ENTRY = struct.Struct("<HHI")
_NAMING = (AclTag.USER, AclTag.NAMED_GROUP)

_OVERFLOW_ID = 65534
_ALL_IDS = 0xFFFFFFFF
"""How many ids the first user namespace has; one with fewer shows the others as the overflow id."""


@dataclass(slots=True)
class Approach:
    """The steps that were gone.

    `beside`: names that may be sockets' in the directory where the last one is missing, if they were asked for. `fd`
    holds the last step, -1 where the way did not end at a file; it is `gone_to`'s, and closed at its end.
    """

    way: tuple[Component, ...]
    beside: tuple[bytes, ...] = ()
    fd: int = -1


@dataclass(slots=True)
class _Name:
    text: bytes
    behind: bytes | None = None


@dataclass(slots=True)
class _Walk:
    """Where we stand: `fd` is held, `path` is how it is called, and `names` are still to be looked up."""

    fd: int
    path: bytes
    names: deque[_Name]
    must_be_directory: bool
    root: bytes = b"/"
    wants_beside: bool = False
    mounts: dict[int, Mount] = field(default_factory=dict)
    links: int = 0
    way: list[Component] = field(default_factory=list)
    beside: tuple[bytes, ...] = ()


@contextmanager
def gone_to(path: bytes, *, root: bytes = b"/", beside: bool = False) -> Iterator[Approach]:
    """Go the way to `path`, relative ones from here. It ends at the file, or where it cannot go on, and then says why.

    An absolute path, and an absolute link, begins at `root`, and `..` does not lead out of it: with /proc/PID/root
    the path is that of another process. With `beside` the names beside a missing one are told.

    Raises:
        OSError: there is no such `root`, or it may not be looked into.
    """
    if len(path) > _LONGEST_PATH:
        yield Approach((Component(path, error=errno.ENAMETOOLONG, is_final=True),))
        return
    names = deque(map(_Name, _names_in(path)))
    start = root if path.startswith(b"/") else b"."
    must_be_directory = path.endswith(_OF_DIRECTORIES)
    walk = _Walk(os.open(start, _FOLLOW), start, names, must_be_directory, root, beside, read_mounts())
    try:
        walk.way.append(_seen(walk, walk.fd, start, is_final=not names))
        while walk.names and _advance(walk):
            pass
        is_there = not walk.way[-1].error
        yield Approach(tuple(walk.way), walk.beside, walk.fd if is_there else -1)
    finally:
        os.close(walk.fd)


def approach(path: bytes, *, root: bytes = b"/", beside: bool = False) -> Approach:
    """The same without holding the end."""
    with gone_to(path, root=root, beside=beside) as gone:
        return replace(gone, fd=-1)


def _advance(walk: _Walk) -> bool:
    """Look up one name; False where the way ends."""
    here = walk.way[-1]
    if here.kind is not FileKind.DIRECTORY:
        return False
    name = walk.names.popleft()
    if name.text == b".." and walk.root != b"/" and here.identity == walk.way[0].identity:
        walk.way[-1] = replace(here, is_final=not walk.names)
        return True  # the root of another process has nothing above it
    path = _joined(walk.path, name.text)
    is_final = not walk.names
    try:
        fd = os.open(name.text, _HOLD, dir_fd=walk.fd)
    except OSError as error:
        number = error.errno or errno.EIO
        walk.way.append(Component(path, behind=name.behind, is_final=is_final, error=number))
        if number == errno.ENOENT and walk.wants_beside:
            walk.beside = _beside(walk.fd)
        return False
    begins = name.text != b".." and mount_id(fd) != mount_id(walk.fd)
    step = replace(_seen(walk, fd, path, is_final=is_final), behind=name.behind, is_mount_point=begins)
    if step.kind is FileKind.SYMLINK:
        return _follow(walk, fd, step)
    _stand_on(walk, fd, path)
    if is_final and walk.must_be_directory and step.kind is not FileKind.DIRECTORY:
        step = replace(step, is_final=False)
    walk.way.append(step)
    return True


def _follow(walk: _Walk, fd: int, link: Component) -> bool:
    walk.way.append(link)
    target = link.target or b""
    is_magic = link.mount is not None and link.mount.file_system == "proc"
    os.close(fd)
    walk.links += 1
    if walk.links > _MOST_LINKS:
        return _end(walk, link, errno.ELOOP)
    if is_magic:
        return _leap(walk, link)
    if not target:
        return _end(walk, link, errno.ENOENT)
    behind = link.behind or link.path
    walk.names.extendleft(_Name(text, behind) for text in reversed(_names_in(target)))
    walk.must_be_directory |= link.is_final and target.endswith(_OF_DIRECTORIES)
    if target.startswith(b"/"):
        _stand_on(walk, os.open(walk.root, _FOLLOW), walk.root)
    walk.way.append(_seen(walk, walk.fd, walk.path, is_final=not walk.names))
    return True


def _leap(walk: _Walk, link: Component) -> bool:
    """A link of /proc leads to a file itself, whatever its text says (proc_pid_fd(5))."""
    try:
        fd = os.open(os.path.basename(link.path), _FOLLOW, dir_fd=walk.fd)
    except OSError as error:
        return _end(walk, link, error.errno or errno.EIO)
    _stand_on(walk, fd, link.path)
    walk.way.append(_seen(walk, fd, link.path, is_final=not walk.names))
    return True


def _end(walk: _Walk, link: Component, number: int) -> bool:
    walk.way.append(Component(link.path, behind=link.behind, is_final=link.is_final, error=number))
    return False


def _stand_on(walk: _Walk, fd: int, path: bytes) -> None:
    os.close(walk.fd)
    walk.fd, walk.path = fd, path


def _names_in(path: bytes) -> list[bytes]:
    """Without those that lead nowhere else."""
    return [name for name in path.split(b"/") if name not in (b"", b".")]


def _joined(path: bytes, name: bytes) -> bytes:
    if path == b".":
        return name
    return path + name if path.endswith(b"/") else path + b"/" + name


def _seen(walk: _Walk, fd: int, path: bytes, *, is_final: bool) -> Component:
    """What lstat, the extended attributes and the mounts tell of the file that `fd` holds."""
    file = os.fstat(fd)
    kind = FileKind.of(file.st_mode)
    return Component(
        path,
        kind,
        rights_of(fd, file),
        target=os.readlink(b"", dir_fd=fd) if kind is FileKind.SYMLINK else None,
        is_final=is_final,
        identity=FileIdentity(file.st_dev, file.st_ino),
        mount=walk.mounts.get(mount_id(fd)),
        is_empty=_is_empty(fd) if is_final and kind is FileKind.DIRECTORY else None,
        may_search=_may_search(fd) if kind is FileKind.DIRECTORY else None,
    )


def _may_search(fd: int) -> bool:
    return os.access(f"/proc/self/fd/{fd}", os.X_OK, effective_ids=True)


def rights_of(fd: int, file: os.stat_result) -> Rights:
    """Mode, owners and access control list of the file that the O_PATH descriptor `fd` holds."""
    is_link = stat.S_ISLNK(file.st_mode)
    return Rights(
        stat.S_IMODE(file.st_mode),
        file.st_uid,
        file.st_gid,
        acl=None if is_link else _read_acl(fd),
        knows_uid=_is_known(file.st_uid, "uid"),
        knows_gid=_is_known(file.st_gid, "gid"),
        is_directory=stat.S_ISDIR(file.st_mode),
    )


def parse_acl(raw: bytes) -> tuple[AclEntry, ...]:
    """The value of system.posix_acl_access: a version, then entries of tag, bits and id (linux/posix_acl_xattr.h).

    Raises:
        ValueError: it is of another version, or of no whole entries.
    """
    if len(raw) < _ACL_VERSION.size or _ACL_VERSION.unpack_from(raw)[0] != 2:
        raise ValueError("no access control list of version 2")
    if (len(raw) - _ACL_VERSION.size) % _ACL_ENTRY.size:
        raise ValueError("half an entry at the end of an access control list")
    entries = []
    for number, bits, ident in _ACL_ENTRY.iter_unpack(raw[_ACL_VERSION.size :]):
        tag = AclTag(number)
        entries.append(AclEntry(tag, bits & 7, ident if tag in _NAMING else None))
    return tuple(entries)


def _read_acl(fd: int) -> tuple[AclEntry, ...] | None:
    try:
        return parse_acl(os.getxattr(f"/proc/self/fd/{fd}", _ACL))
    except (OSError, ValueError):
        return None  # there is none, or the file system has no such thing


def _is_known(ident: int, kind: str) -> bool:
    """Is that owner's id his own? One without a number in our user namespace shows as the overflow id."""
    if ident not in (_OVERFLOW_ID, _overflow_id(kind)):
        return True
    try:
        with open(f"/proc/self/{kind}_map", "rb") as file:
            rows = [[*map(int, row.split())] for row in file]
    except OSError:
        return True
    return any(count >= _ALL_IDS for _, _, count in rows)


def _overflow_id(kind: str) -> int:
    try:
        with open(f"/proc/sys/kernel/overflow{kind}", "rb", buffering=0) as file:
            return int(file.read())
    except (OSError, ValueError):
        return _OVERFLOW_ID


def _is_empty(fd: int) -> bool | None:
    try:
        with os.scandir(f"/proc/self/fd/{fd}") as files:
            return next(files, None) is None
    except OSError:
        return None


def _beside(fd: int) -> tuple[bytes, ...]:
    """Names in a directory of what is no regular file, directory or link; none if it may not be read."""
    try:
        with os.scandir(b"/proc/self/fd/%d" % fd) as files:
            return tuple(file.name for file in islice(files, _MOST_NAMES) if _may_be_socket(file))
    except OSError:
        return ()


def _may_be_socket(file: os.DirEntry[bytes]) -> bool:
    """Without a look at each file: there may be thousands, and the few that are near are looked at later."""
    return not (
        file.is_file(follow_symlinks=False) or file.is_dir(follow_symlinks=False) or file.is_symlink()
    )


@contextmanager
def held(path: bytes) -> Iterator[int | None]:
    """A descriptor of what `path` leads to, links followed, that pins its inode; None if it cannot be had."""
    try:
        fd = os.open(path, _FOLLOW)
    except OSError:
        yield None
        return
    try:
        yield fd
    finally:
        os.close(fd)
