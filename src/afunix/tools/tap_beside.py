"""A socket of ours beside the one that is tapped, like it to clients, and the swap of the two names. Nothing is changed
when this fails.

Ours has the mode, the owner, the group and the access control list of the server's file, so whoever may connect to the
one may connect to the other. How names are swapped is `kernel.front`'s; what is there to be tapped, `tap_place`'s.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import ExitStack

from ..kernel import sighting
from ..kernel.front import Front, identity_of, second_base
from ..kernel.listener import Listener, Ownership
from ..model.errors import AddressInUseError, AfunixError, DeniedError, errno_name
from ..model.escaping import quote
from ..model.standing import Standing
from .tap_place import UNDER_ANOTHER_NAME, Target

_ACL = "system.posix_acl_access"
_NO_ACL = (errno.ENODATA, errno.EOPNOTSUPP, errno.ENOSYS)


def open_beside(target: Target, backlog: int | None) -> tuple[Listener, Front]:
    """Our socket, like the server's and ready, under the second name; the caller closes it, and the Front's `our_pin`.

    Raises:
        AfunixError: it cannot be made, or not like the server's.
    """
    place, file = target.place, target.file
    second = place.beside(second_base(place.base))
    mode = stat.S_IMODE(file.st_mode) & 0o777
    try:
        listener = Listener.open(
            second.address,
            target.socket_type,
            Ownership(
                mode & 0o700,  # whom a list that it inherits would let in, too, that keeps out
                None if file.st_uid == os.geteuid() else file.st_uid,
                None if file.st_gid == os.getegid() else file.st_gid,
            ),
            backlog=backlog,
            accepts_fds=True,
        )
    except DeniedError as error:
        raise DeniedError(
            f"{quote(str(place.address))} cannot be tapped: {error}",
            hint=_hint_of_the_denied(),
            errno=error.errno,
        ) from None
    with ExitStack() as opened:
        opened.callback(listener.close)
        our_pin = os.open(second.base, sighting.PIN, dir_fd=second.directory)
        opened.callback(os.close, our_pin)
        try:
            _copy_acl(target.pin, our_pin)
            os.chmod(_through(our_pin), mode)
        except OSError as error:
            raise DeniedError(
                f"the access control list of {quote(str(place.address))} cannot be given to a socket of ours"
                f" ({errno_name(error.errno or 0)}): expected it to be like the server's",
                errno=error.errno,
            ) from None
        ours, theirs = identity_of(os.fstat(our_pin)), identity_of(file)
        assert ours is not None and theirs is not None
        opened.pop_all()
        return listener, Front(place, second, ours, theirs, target.pin, our_pin)


def _hint_of_the_denied() -> str:
    """Root can give a socket away, and write anywhere, but for what is read-only or immutable."""
    return UNDER_ANOTHER_NAME if os.geteuid() == 0 else f"run it as root; or {UNDER_ANOTHER_NAME}"


def _copy_acl(pin: int, our_pin: int) -> None:
    """Where theirs has none, ours may have inherited one from the directory's default (acl(5)): then that goes. The mode
    is to be set afterwards. A file system without lists has none to copy.
    """
    try:
        acl = os.getxattr(_through(pin), _ACL)
    except OSError as error:
        if error.errno not in _NO_ACL:
            raise
        try:
            os.removexattr(_through(our_pin), _ACL)
        except OSError as without:
            if without.errno not in _NO_ACL:
                raise
    else:
        os.setxattr(_through(our_pin), _ACL, acl)


def _through(pin: int) -> str:
    """The file that is pinned, whatever its name leads to by now."""
    return f"/proc/self/fd/{pin}"


def step_in(front: Front) -> None:
    """Swap the names.

    Raises:
        AfunixError: the directory, or the file system, does not allow it, or the server was replaced meanwhile. Nothing
            was changed.
    """
    path = quote(str(front.path.address))
    try:
        standing = front.step_in()
    except OSError as error:
        raise _explain(error, front) from None
    if standing is not Standing.IN_FRONT:
        raise AddressInUseError(
            f"{path} was exchanged by another program while it was being tapped: {standing.value}"
        )


def _explain(error: OSError, front: Front) -> AfunixError:
    number = error.errno or 0
    path = quote(str(front.path.address))
    if number == errno.EBUSY:
        return AfunixError(
            f"{path} is a mount point, and its name cannot be swapped (EBUSY)",
            hint=f"tap it where it was mounted from; or {UNDER_ANOTHER_NAME}",
            errno=number,
        )
    if number in (errno.EPERM, errno.EACCES):
        in_sticky = (
            "in a sticky directory (/tmp) only the owner of a file renames it: run it as that user, or as root;"
            f" or {UNDER_ANOTHER_NAME}"
        )
        return DeniedError(
            f"the names of {path} and of our socket beside it may not be swapped by uid {os.geteuid()}"
            f" ({errno_name(number)}): expected the right to rename both",
            hint=UNDER_ANOTHER_NAME if os.geteuid() == 0 else in_sticky,
            errno=number,
        )
    return AfunixError(
        f"the names of {path} and of our socket beside it cannot be swapped ({errno_name(number)}):"
        " expected a file system with RENAME_EXCHANGE",
        hint=UNDER_ANOTHER_NAME,
        errno=number,
    )
