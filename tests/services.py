"""A service as its manager starts it: a Python program in a process of its own, with sockets from descriptor 3 on.

`run_service` waits for its end and gives what it printed. The program is text, and starts with `systemd` imported.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Protocol

from tests.program import PATIENCE_S, environment


class HasFileno(Protocol):
    def fileno(self) -> int: ...


PREAMBLE = "from afunix import systemd\nfrom afunix.model.errors import AfunixError\n"

_LAUNCHER = """
import fcntl, os, sys
program, fds = sys.argv[1], [int(number) for number in sys.argv[2:]]
high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100) for fd in fds]
for number, fd in enumerate(high, 3):
    os.dup2(fd, number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)))
# A service ends with its sockets open, and nobody minds.
os.execv(sys.executable, [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", "-c", program])
"""


def run_service(program: str, inherited: Sequence[HasFileno] = (), **variables: str) -> str:
    """Run `program` with these descriptors and variables (LISTEN_FDNAMES …); what it wrote to STDOUT."""
    fds = [each.fileno() for each in inherited]
    done = subprocess.run(
        [sys.executable, "-c", _LAUNCHER, PREAMBLE + program, *map(str, fds)],
        pass_fds=fds,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout
