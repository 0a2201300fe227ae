"""What rename(2) cannot do: two names swapped in one step, and a name moved only to where nothing is. Linux 3.15.

While two are swapped neither is missing, and who resolves one of them gets the one file or the other. Python has no name
for renameat2(2). What the files are is no question for this file.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os

_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2


def exchange(one_directory: int, one: bytes, other_directory: int, other: bytes) -> None:
    """Swap what `one` and `other` lead to, each a name in an open directory.

    Raises:
        OSError: as renameat2(2) says, and then nothing was changed: ENOENT (one of them is missing), EINVAL (the file
            system cannot do it), EXDEV, EACCES, EPERM (a sticky directory, and one of the two is not ours), EROFS;
            ENOSYS where the C library has no name for it (glibc has since 2.28).
    """
    _rename(one_directory, one, other_directory, other, _RENAME_EXCHANGE)


def move(directory: int, old: bytes, new: bytes) -> None:
    """Rename `old` to `new`, in one directory, replacing nothing.

    Raises:
        OSError: as `exchange`; EEXIST: there is a `new`.
    """
    _rename(directory, old, directory, new, _RENAME_NOREPLACE)


def _rename(old_directory: int, old: bytes, new_directory: int, new: bytes, flags: int) -> None:
    if _renameat2()(old_directory, old, new_directory, new, flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), old, None, new)


@functools.cache
def _renameat2() -> ctypes._NamedFuncPointer:
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from None
    call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    return call
