"""What is shown for a number or a name that differs from run to run, and the address that really goes to the kernel.

On a stage that is `reproducible` descriptors are numbered as in a process that has only 0, 1 and 2 open, where the
kernel gives the lowest free number; an inode is numbered by its first appearance; process numbers, users, ports and
random names are words. Otherwise everything is shown as it is. Names of files are relative to the stage's directory.
"""

from __future__ import annotations

import os
import secrets

from ...model.credentials import UNKNOWN_ID, PeerCredentials
from ...model.escaping import escape

Endpoint = tuple[str, int]
Address = str | Endpoint
"""`hello.sock` in the stage's directory, `@name` abstract, or host and port."""

RANDOM = "RANDOM"
"""Written in an abstract name: a part that nobody else has, for abstract names are shared by everybody."""


class Names:
    """The names and numbers of one stage, whose files are in `directory`."""

    def __init__(self, directory: str, *, reproducible: bool) -> None:
        self._directory = directory
        self._reproducible = reproducible
        self._random = secrets.token_hex(4)
        self._fds: dict[int, int] = {}
        self._inodes: dict[int, int] = {}
        self._pids: dict[int, str] = {}

    def real(self, address: Address) -> str | Endpoint:
        """What the kernel is told."""
        if not isinstance(address, str):
            return address
        if address.startswith("@"):
            return "\0" + address[1:].replace(RANDOM, self._random)
        return self.path(address)

    def path(self, name: str) -> str:
        """The file `name` in the stage's directory."""
        return os.path.join(self._directory, name)

    def address(self, address: Address) -> str:
        """As it is shown, quoted, in a call's arguments."""
        if isinstance(address, str):
            shown = address if self._reproducible else address.replace(RANDOM, self._random)
            return f'"{escape(shown)}"'
        host, port = address
        return f'"{host}:{"PORT" if self._reproducible and port else port}"'

    def told_address(self, told: str | bytes | Endpoint) -> str:
        """The same for an address that the kernel told: an abstract one comes as bytes."""
        return self.address(self.staged(told))

    def word(self, word: str, found: object) -> str:
        """`found`, or the `word` that stands for it where the same text is wanted every time."""
        return word if self._reproducible else str(found)

    def staged(self, told: str | bytes | Endpoint) -> Address:
        """The address that the kernel told, as experiments write it."""
        if isinstance(told, tuple):
            return told[0], told[1]
        text = "@" + os.fsdecode(told[1:]) if isinstance(told, bytes) else told
        return text.replace(self._directory + os.sep, "").replace(self._random, RANDOM)

    def known(self, text: str) -> str:
        """`text` that the kernel told, as it is shown: without the stage's directory and what is random."""
        text = text.replace(self._directory + os.sep, "")
        return text.replace(self._random, RANDOM) if self._reproducible else text

    def call_pid(self, pid: int, word: str) -> None:
        """What this process is called where its number is not wanted."""
        self._pids[pid] = word

    def pid(self, pid: int | None) -> str:
        """A process number as it is shown, `?` for None."""
        return "?" if pid is None else self.word(self._pids.get(pid, "PID"), pid)

    def who(self, found: PeerCredentials) -> str:
        """`pid 412 uid 1000 gid 1000`; of nobody what the kernel says then, and what that means."""
        if not found.is_known:
            return "pid 0 uid -1 gid -1  (nobody known)"
        return f"pid {self.pid(found.pid)} uid {self._id('UID', found.uid)} gid {self._id('GID', found.gid)}"

    def _id(self, word: str, number: int) -> str:
        return "-1" if number == UNKNOWN_ID else self.word(word, number)

    def opened(self, fd: int) -> None:
        """`fd` was opened by the call that is being written down."""
        if self._reproducible and fd not in self._fds:
            taken = set(self._fds.values())
            self._fds[fd] = next(number for number in range(3, len(taken) + 4) if number not in taken)

    def closed(self, fd: int) -> None:
        """`fd` was closed: the next that is opened may get its number."""
        self._fds.pop(fd, None)

    def fd(self, fd: int) -> int:
        """The number of a descriptor as it is shown."""
        return self._fds.get(fd, fd)

    def inode(self, inode: int) -> int:
        """The same for an inode."""
        if not self._reproducible:
            return inode
        return self._inodes.setdefault(inode, 1001 + len(self._inodes))
