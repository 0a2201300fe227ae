"""`ssh:[USER@]HOST[:PORT]:/PATH` taken apart, and the commands that a person pastes for it. `address` has its grammar.

USER and PORT that are left out are for ssh's own configuration to say, and so is what HOST stands for.
"""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass

from .address import Address

_PARTS = re.compile(
    r"(?:(?P<user>[^:/]+)@)?(?P<host>\[[^\]/]+\]|[^@:/\[\]]+)(?::(?P<port>[0-9]{1,5}))?", re.S
)


@dataclass(frozen=True, slots=True)
class SshTarget:
    """Whom to log in to, and the socket's path there. An IPv6 `host` is without its brackets."""

    host: str
    user: str | None
    port: int | None
    path: bytes

    @classmethod
    def of(cls, address: Address) -> SshTarget:
        """The parts of an address of kind SSH."""
        login, _, path = address.name.decode(errors="surrogateescape").partition(":/")
        return cls._of_login(login, os.fsencode("/" + path))

    @classmethod
    def jumps(cls, written: str) -> list[SshTarget]:
        """The hosts of ssh_config(5)'s ProxyJump, first to last; `ssh://` may stand before each."""
        return [cls._of_login(one.strip().removeprefix("ssh://"), b"") for one in written.split(",")]

    @classmethod
    def _of_login(cls, login: str, path: bytes) -> SshTarget:
        found = _PARTS.fullmatch(login)
        if found is None:
            return cls(login, None, None, path)
        return cls(
            found["host"].strip("[]"), found["user"], int(found["port"]) if found["port"] else None, path
        )

    def command(self, *words: str) -> str:
        """What to paste to run `words` there, or to log in."""
        port = [] if self.port is None else ["-p", str(self.port)]
        host = self.host if self.user is None else f"{self.user}@{self.host}"
        remote = [shlex.quote(shlex.join(words))] if words else []
        return " ".join(["ssh", *port, shlex.quote(host), *remote])


def known_as(host: str, port: int) -> str:
    """What known_hosts calls a host (sshd(8)): with its port in brackets, unless that is the usual one."""
    return host if port == 22 else f"[{host}]:{port}"
