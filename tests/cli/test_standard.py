"""Descriptors 0 to 2 are taken before anything else can get their numbers."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.program import environment, run

REPORT = (
    "import os\n"
    "from afunix.cli import standard\n"
    "standard.reserve()\n"
    "new = os.open('/dev/null', os.O_RDONLY)\n"
    "report = [os.readlink(f'/proc/self/fd/{fd}') for fd in range(3)]\n"
    "inherited = [os.get_inheritable(fd) for fd in range(3)]\n"
    "needed = 'ok'\n"
    "try:\n"
    "    standard.require_stdout()\n"
    "except standard.NoStdoutError as error:\n"
    "    needed = str(error)\n"
    "out = open(9, 'w')\n"
    "print(new, report, inherited, needed, sep='\\n', file=out)\n"
)


def report(closed: str) -> list[str]:
    argv = ["/bin/sh", "-c", f'exec "$@" 9>&1 {closed}', "sh", sys.executable, "-c", REPORT]
    end = subprocess.run(argv, input="", capture_output=True, text=True, env=environment(), check=True)
    return end.stdout.splitlines()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", "<&- 2>&-"])
def test_closed_ones_become_dev_null_and_are_inherited(closed: str) -> None:
    number, paths, inherited, needed = report(closed)
    assert int(number) > 2
    assert paths.count("/dev/null") >= closed.count("-")
    assert inherited == "[True, True, True]"
    assert needed.startswith("STDOUT is closed" if " >&-" in f" {closed}" else "ok")


def test_open_ones_are_left_alone() -> None:
    assert "/dev/null" not in report("")[1]


def test_commands_that_write_to_stdout_refuse_to_run_without_it() -> None:
    end = run("connect", "@nobody", shell_prefix='"$@" >&-')
    assert end.status == 2
    assert "STDOUT is closed" in end.err
    assert "to throw it away write '>/dev/null'" in end.err
