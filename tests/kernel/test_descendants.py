"""Whose parent has ended becomes ours: in a process of its own, for it stays so."""

from __future__ import annotations

import os
import subprocess
import sys

from afunix.kernel.descendants import own_children

PROGRAM = """
import os, subprocess, sys
from afunix.kernel.descendants import adopt_orphans, own_children
assert own_children() == []
assert adopt_orphans()
said = subprocess.run(["sh", "-c", "sleep 100 >/dev/null & echo $!"], stdout=subprocess.PIPE, check=True).stdout
assert own_children() == [int(said)], own_children()
os.kill(int(said), 9)
os.waitpid(int(said), 0)
assert own_children() == []
"""


def test_orphans_are_adopted() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=30)


def test_own_children_are_found() -> None:
    with subprocess.Popen(["sleep", "100"]) as child:
        assert child.pid in own_children()
        assert os.getpid() not in own_children()
        child.kill()
