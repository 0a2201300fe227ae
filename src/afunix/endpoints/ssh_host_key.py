"""Is this the host that is meant? What ssh_config(5) calls StrictHostKeyChecking, asked during one login.

    yes, ask, nothing said   a key that is not known is refused: nobody is asked, as with BatchMode
    accept-new               a host that is not known is taken, and from then on known; a changed key is refused
    no, off                  every key is taken, and said so; a host that is not known is known from then on

A revoked key is never taken (that asyncssh knows). As ssh does, a key is written to the first UserKnownHostsFile, hashed
if HashKnownHosts says so; where that fails the login goes on.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import asyncssh

from .ssh_files import first_known_hosts_file


class Checking(Enum):
    """What becomes of a key that is not known."""

    STRICT = "strict"
    NEW = "accept-new"
    OFF = "no"

    @classmethod
    def of(cls, config: Any) -> Checking:
        word = str(config.get("StrictHostKeyChecking") or "").lower()
        return {"accept-new": cls.NEW, "no": cls.OFF, "off": cls.OFF, "false": cls.OFF}.get(word, cls.STRICT)


@dataclass
class HostKeyCheck(asyncssh.SSHClient):
    """Answers asyncssh's questions during one login. `known` is of `ssh_files.known_hosts_of`."""

    config: Any
    known: Any
    on_lost: Callable[[Exception | None], None]
    fingerprint: str = ""
    is_known_otherwise: bool = False
    is_rejected: bool = False
    taken: asyncssh.SSHKey | None = None
    """The unchecked key that was taken."""
    is_authority: bool = False
    checking: Checking = field(init=False)

    def __post_init__(self) -> None:
        self.checking = Checking.of(self.config)

    @property
    def algorithms(self) -> dict[str, Any]:
        """For asyncssh.connect: where any key will do, also of other kinds than that which is known."""
        if self.checking is not Checking.OFF or self.config.get("HostKeyAlgorithms"):
            return {}
        names = asyncssh.public_key.get_default_public_key_algs()
        return {"server_host_key_algs": "+" + ",".join(name.decode() for name in names)}

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        self.fingerprint = key.get_fingerprint()
        self.note_known(host, addr, port)
        may_pass = self.checking is Checking.OFF or (
            self.checking is Checking.NEW and not self.is_known_otherwise
        )
        self.is_rejected = not may_pass
        self.taken = key if may_pass else None
        return may_pass

    def validate_host_ca_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Of an authority that signed the host's key: it cannot be learnt."""
        self.is_authority = True
        self.fingerprint = key.get_fingerprint()
        self.is_rejected = self.checking is not Checking.OFF
        self.taken = None if self.is_rejected else key
        return not self.is_rejected

    def note_known(self, host: str, addr: str, port: int) -> None:
        self.is_known_otherwise = bool(self.known.match(host, addr, port if port != 22 else None)[0])

    def connection_lost(self, exc: Exception | None) -> None:
        self.on_lost(exc)

    def remember(self, known_as: str) -> str:
        """Write the key that was taken down, if it is a new host's; the file, or "" if it is not in one now.

        Raises:
            OSError: it cannot be written.
        """
        path = first_known_hosts_file(self.config)
        if self.taken is None or self.is_known_otherwise or self.is_authority or not path:
            return ""
        name = known_as.lower()
        if str(self.config.get("HashKnownHosts") or "").lower() in ("yes", "true"):
            name = _hashed(name)
        line = name.encode() + b" " + self.taken.export_public_key("openssh").split(b"\n")[0] + b"\n"
        _append(path, line)
        return path


def _hashed(name: str) -> str:
    """As sshd(8) says: a salt, and the name with it under HMAC-SHA1."""
    salt = os.urandom(20)
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return "|1|" + "|".join(base64.b64encode(part).decode() for part in (salt, digest))


def _append(path: str, line: bytes) -> None:
    os.makedirs(os.path.dirname(path) or ".", mode=0o700, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with open(fd, "r+b", buffering=0) as file:
        if _lacks_newline(file):
            line = b"\n" + line
        file.write(line)


def _lacks_newline(file: Any) -> bool:
    try:
        if not file.seek(0, os.SEEK_END):
            return False
        file.seek(-1, os.SEEK_END)
    except OSError:
        return False  # /dev/null, and what else has no places
    return bool(file.read(1) not in (b"\n", b""))
