"""Who is at the other end, as the kernel vouches for it: a value. Reading it is `kernel.peercred`'s work.

uid and gid are those of the moment of `connect` (for a client: of the server's `listen`), see SO_PEERCRED in
unix(7). The pid is a decoration: it may belong to somebody else by now, and no decision looks at it.
"""

from __future__ import annotations

from dataclasses import dataclass

UNKNOWN_ID = 0xFFFFFFFF
"""(uid_t) -1: what the kernel says of an end that has no credentials."""


@dataclass(frozen=True, slots=True)
class PeerCredentials:
    """pid, uid and gid of the peer. pid is None where the kernel cannot name it here (another pid namespace)."""

    pid: int | None
    uid: int
    gid: int

    @property
    def is_known(self) -> bool:
        """False for an end that the kernel knows nothing about; it matches no rule but `any`."""
        return self.uid != UNKNOWN_ID
