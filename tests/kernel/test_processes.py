"""Processes as /proc tells of them: alive, stopped, ended, gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from afunix.kernel.processes import alive, all_pids, is_stopped, state_of


def test_a_process_is_among_all_and_alive() -> None:
    assert os.getpid() in all_pids()
    assert all_pids() == sorted(all_pids())
    assert alive([os.getpid()]) == [os.getpid()]


def test_a_stopped_process_is_told_and_still_alive() -> None:
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as child:
        child.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED)
        assert (is_stopped(child.pid), alive([child.pid])) == (True, [child.pid])
        child.kill()


def test_a_zombie_is_not_alive_and_one_that_is_gone_has_no_state() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert (state_of(child.pid), alive([child.pid]), is_stopped(child.pid)) == (b"Z", [], False)
    child.wait()
    assert (state_of(child.pid), alive([child.pid]), is_stopped(child.pid)) == (b"", [], False)
