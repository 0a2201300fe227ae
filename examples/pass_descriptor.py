"""Hands an open file to another process, which need not be allowed to open it, nor to know where it is.

    python3 pass_descriptor.py give FILE [PATH]      opens FILE, and gives it to the first who asks
    python3 pass_descriptor.py take [PATH]           asks for it, and writes what is in it to STDOUT

What is passed is the open file itself (SCM_RIGHTS, unix(7)): a descriptor for it appears in the other process.
"""

import os
import shutil
import sys

import afunix
from afunix import blocking


def give(file: str, path: str = "file.sock") -> None:
    name = os.path.basename(os.fsencode(file))
    with open(file, "rb") as opened, blocking.listen(path) as listener, listener.accept() as taker:
        taker.send_fds(name, [opened])  # borrowed: it is still ours


def take(path: str = "file.sock") -> None:
    # Who does not say `accept_fds` cannot be sent any. What is received is owned, and closed unless somebody takes it.
    with blocking.connect(path, timeout=10, accept_fds=1) as giver, giver.receive_fds() as received:
        print(f"got {os.fsdecode(received.data)!r}", file=sys.stderr)
        with received.fds[0].open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)


if __name__ == "__main__":
    try:
        match sys.argv[1:]:
            case ["give", file, *path] if len(path) < 2:
                give(file, *path)
            case ["take", *path] if len(path) < 2:
                take(*path)
            case _:
                sys.exit(f"usage:{(__doc__ or '').split('.', 1)[1].rsplit('What', 1)[0].rstrip()}")
    except (afunix.AfunixError, OSError) as error:
        sys.exit(str(error))
