"""Signals noted for a driver that polls: the first wakes it, an ignored one stays ignored, everything is put back."""

from __future__ import annotations

import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from afunix.kernel.interrupts import Interrupted, Interrupts
from afunix.model.errors import AfunixError

InChild = Callable[..., Any]


@contextmanager
def handler(number: int, action: signal.Handlers) -> Iterator[None]:
    before = signal.signal(number, action)
    try:
        yield
    finally:
        signal.signal(number, before)


def test_first_signal_is_noted_and_wakes_the_poll() -> None:
    with handler(signal.SIGTERM, signal.SIG_DFL), Interrupts() as interrupts:
        interrupts.check()
        assert not select.select([interrupts.fd], [], [], 0)[0]
        os.kill(os.getpid(), signal.SIGTERM)
        assert select.select([interrupts.fd], [], [], 10)[0]
        assert interrupts.number == signal.SIGTERM
        with pytest.raises(Interrupted, match="SIGTERM") as raised:
            interrupts.check()
        assert raised.value.number == signal.SIGTERM


def test_signal_that_was_ignored_stays_ignored() -> None:
    with handler(signal.SIGHUP, signal.SIG_IGN), Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGHUP)
        assert interrupts.number == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_everything_is_as_before_afterwards() -> None:
    with handler(signal.SIGINT, signal.SIG_DFL):
        with Interrupts():
            assert signal.getsignal(signal.SIGINT) is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
    assert signal.set_wakeup_fd(-1) == -1


def test_low_numbers_are_left_to_sockets() -> None:
    with Interrupts() as interrupts:
        assert interrupts.fd >= 10


def test_second_signal_kills() -> None:
    program = (
        "import os, signal\n"
        "from afunix.kernel.interrupts import Interrupts\n"
        "with Interrupts():\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('noted', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('never')\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    end = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment, check=False)
    assert (end.returncode, end.stdout) == (-signal.SIGTERM, b"noted\n")


def test_limit_that_leaves_no_high_number_is_named(in_child: InChild) -> None:
    def act() -> str:
        os.closerange(3, 100)
        resource.setrlimit(resource.RLIMIT_NOFILE, (10, 10))
        try:
            with Interrupts():
                return "entered"
        except AfunixError as error:
            return error.message

    assert "RLIMIT_NOFILE" in in_child(act)


def test_soft_limit_is_no_obstacle(in_child: InChild) -> None:
    def act() -> bool:
        os.closerange(3, 100)
        resource.setrlimit(resource.RLIMIT_NOFILE, (10, 20))
        with Interrupts() as interrupts:
            return interrupts.fd >= 10

    assert in_child(act)
