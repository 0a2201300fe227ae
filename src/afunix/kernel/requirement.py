"""Who must be at the other end of a connection: asked of the kernel before a byte is sent.

The answer is from SO_PEERCRED, for a client the process that called listen(2); under socket activation that is the
activator. What a rule means is `model.rules`; here it is put to a socket.
"""

from __future__ import annotations

from socket import SocketType

from ..model import rules
from ..model.address import Address
from ..model.credentials import PeerCredentials
from ..model.errors import PeerMismatchError
from ..model.escaping import quote
from ..model.refusal import describe_user
from ..model.rules import Decision, Rule, Subject
from . import names
from .peercred import peer_credentials, peer_groups


def must_be_rules(given: object) -> None:
    """What `rules=` is given.

    Raises:
        TypeError: it is something else, and not None.
    """
    if given is not None and not isinstance(given, rules.Rules):
        raise TypeError(f"rules is {type(given).__name__}, expected Rules, such as Rules('allow user:app')")


def decide(admitted: rules.Rules, sock: SocketType) -> tuple[PeerCredentials, Decision]:
    """Who is at the other end of `sock`, and whether the rules let him in."""
    peer = peer_credentials(sock)
    groups = peer_groups(sock) if admitted.needs_groups else ()
    return peer, admitted.decide(peer, groups)


class Requirement:
    """Rules that a server has to pass. `words`: whom they name, for a person."""

    __slots__ = ("_rules", "_words")

    def __init__(self, admitted: rules.Rules, words: str | None = None) -> None:
        self._rules = admitted
        self._words = words

    @classmethod
    def of(cls, require: str | rules.Rules) -> Requirement:
        """What `require=` is given: one subject such as `user:app`, or Rules.

        Raises:
            RuleError: no subject, or nobody has the name. TypeError: it is neither.
        """
        if isinstance(require, rules.Rules):
            return cls(require)
        if not isinstance(require, str):
            raise TypeError(
                f"require is {type(require).__name__}, expected a string such as 'user:app', or Rules"
            )
        return cls(rules.Rules([Rule.parse(require, allows=True, names=names)]), quote(require))

    @classmethod
    def of_uid(cls, uid: int) -> Requirement:
        """That user and nobody else."""
        words = describe_user(uid, names.user_name(uid))
        return cls(rules.Rules([Rule(True, Subject.UID, uid, words)]), words)

    def check(self, sock: SocketType, address: Address) -> None:
        """Is the peer of `sock`, which is connected to `address`, who it must be?

        Raises:
            PeerMismatchError: it is somebody else, or the kernel does not know who.
        """
        peer, decision = decide(self._rules, sock)
        shown = quote(address.format())
        if not peer.is_known:
            raise PeerMismatchError(
                f"{shown} does not tell who it is, and it must be {self._words or 'admitted by the rules'}",
                hint="only stream and seqpacket sockets do",
            )
        if not decision.admitted:
            reason = f"and it must be {self._words}" if self._words else decision.reason
            found = describe_user(peer.uid, names.user_name(peer.uid))
            raise PeerMismatchError(f"{shown} is served by {found}, {reason}", hint="nothing was sent")
