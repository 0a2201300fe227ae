"""Two names of one directory swapped in one step: renameat2(2) with RENAME_EXCHANGE, Linux 3.15.

At no moment is either name missing, and who resolves one of them gets the one file or the other. Python has no name for
the call. What the two files are is no question for this file.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os

_RENAME_EXCHANGE = 2


def exchange(directory: int, one: bytes, other: bytes) -> None:
    """Swap what `one` and `other`, names in the open `directory`, lead to.

    Raises:
        OSError: as renameat2(2) says, and then nothing was changed: ENOENT (one of them is missing), EINVAL (the file
            system cannot do it), EACCES, EPERM (a sticky directory, and one of the two is not ours), EROFS; ENOSYS
            where the C library has no name for it (glibc has since 2.28).
    """
    if _renameat2()(directory, one, directory, other, _RENAME_EXCHANGE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), one, None, other)


@functools.cache
def _renameat2() -> ctypes._NamedFuncPointer:
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from None
    call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    return call
