"""What an inherited descriptor is, as far as reading and writing it without waiting goes: `input`, `output`.

Found out once, by fstat(2); nothing is read, written or changed. What a file at a path is, in the words of a
message, is `model.ownership.FileKind`.
"""

from __future__ import annotations

import os
import stat
from enum import Enum


class DescriptorKind(Enum):
    """A kind for each way of reading and writing. A pipe is also a FIFO that was opened by its name."""

    PIPE = "pipe"
    TERMINAL = "terminal"
    SOCKET = "socket"
    FILE = "file"
    DEVICE = "device"

    @classmethod
    def of(cls, fd: int) -> DescriptorKind:
        """The kind of an open descriptor; a directory, or what has no kind, is taken for a file.

        Raises:
            OSError: it is not open (EBADF).
        """
        mode = os.fstat(fd).st_mode
        if stat.S_ISFIFO(mode):
            return cls.PIPE
        if stat.S_ISSOCK(mode):
            return cls.SOCKET
        if stat.S_ISCHR(mode):
            return cls.TERMINAL if os.isatty(fd) else cls.DEVICE
        return cls.FILE
