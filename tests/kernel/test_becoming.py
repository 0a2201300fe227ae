"""Another program as the same process, with given descriptors from 3 on: by forked children that become one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from itertools import permutations

import pytest
from tests.program import environment

_BECOME = """
import json, os, signal, sys
from afunix.kernel.becoming import become
order = json.loads(sys.argv[1])
for number in order:  # each number leads to a file that says which it is
    fd = os.memfd_create(f"was-{number}", 0)
    if fd != number:
        os.dup2(fd, number)
        os.close(fd)
os.dup2(0, 30)  # which a new program would have, too
become(sys.argv[2], sys.argv[2:], os.environb, order)
"""


def become(order: Sequence[int], *argv: str, prefix: Sequence[str] = ()) -> str:
    done = subprocess.run(
        [*prefix, sys.executable, "-c", _BECOME, json.dumps(order), *argv],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment(),
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("order", [*permutations([3, 4, 5, 9], 3), [20, 21], [40], [4, 3, 6, 5]])
def test_each_comes_to_its_place_whatever_number_it_had(order: Sequence[int]) -> None:
    shown = become(order, "/bin/sh", "-c", 'for n in $(seq 3 $(($1 + 2))); do readlink /proc/$$/fd/$n; done',
                   "sh", str(len(order)))  # fmt: skip
    assert [line.split(":")[1].split()[0] for line in shown.splitlines()] == [f"was-{n}" for n in order]


def test_nothing_else_is_open() -> None:
    shown = become([8, 7], "/bin/sh", "-c", "exec ls /proc/self/fd").split()
    assert sorted(map(int, shown)) == [0, 1, 2, 3, 4, 5]  # 5 is the directory that ls reads


def test_what_python_ignores_is_default_again_and_the_rest_is_kept() -> None:
    ignored = ("/bin/sh", "-c", "trap '' HUP; exec \"$@\"", "sh")
    status = become([3], "/bin/cat", "/proc/self/status", prefix=ignored)
    (mask,) = (int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigIgn"))
    assert mask & 1 << signal.SIGHUP - 1
    assert not mask & 1 << signal.SIGPIPE - 1


def test_the_pid_stays() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _BECOME, "[3]", "/bin/sh", "-c", "echo $$"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.communicate(timeout=30)[0] == f"{process.pid}\n"


def test_a_program_that_is_none_raises(sock_dir: str) -> None:
    path = os.path.join(sock_dir, "text")
    with open(path, "w") as file:
        file.write("no program\n")
    os.chmod(path, 0o755)
    code = f"""
from afunix.kernel.becoming import become
try:
    become({path!r}, ["text"], {{}}, [])
except OSError as error:
    print(error.errno)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment(), timeout=30)
    assert done.stdout == b"8\n"  # ENOEXEC
