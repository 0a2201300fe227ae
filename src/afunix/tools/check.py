"""The work of `afunix check`: gather the facts about an address, have them judged, and wait until it is ready.

    tools.gathering → model.reachability.judge → Report

A report is of one moment. Waiting is looking again: nothing else tells when a socket begins to listen.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace

from ..kernel.sighting import abstract_name_may_exist
from ..model.address import Address, AddressKind
from ..model.findings import Report
from ..model.patience import Retrying
from ..model.reachability import judge
from ..model.refusal import WORTH_WAITING_FOR
from .gathering import gather
from .standing import Memory

__all__ = ["Report", "check", "gather", "wait_until_ready"]

_LONGEST_PAUSE_S = 0.02
"""Between two looks: who waits goes on soon after the server listens."""

_REST_OF_A_LOOK, _LONGEST_REST_S = 4, 0.1
"""A look that took long, on a machine with many sockets, is followed by a longer pause: so much longer, at most so long."""


def check(
    address: Address,
    *,
    as_user: str | None = None,
    wanted_type: str | None = None,
    probe: bool = False,
    thorough: bool = True,
) -> Report:
    """What stands in the way to `address`, for us or for `as_user` (a name or a number), in the order of connecting.

    With `probe`, and for ourselves, a real connect is made where nothing else stands in the way, and closed at once.
    Without `thorough` processes and other namespaces are left out: the judgement alone, quicker.

    Raises:
        AddressError: it is no path and no abstract name, or there is no such user.
    """
    facts = gather(address, as_user=as_user, wanted_type=wanted_type, probe=probe, thorough=thorough)
    return Report(facts, judge(facts))


def wait_until_ready(
    address: Address,
    within: float,
    *,
    as_user: str | None = None,
    wanted_type: str | None = None,
    probe: bool = False,
    thorough: bool = True,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Report:
    """`check`, again and again for `within` seconds, until nothing stands in the way or what does will not pass.

    What can pass while a server starts is waited for: ENOENT, ECONNREFUSED, EACCES and EAGAIN, as by `connect`. If the
    time is up, the report's `waited` is `within`. `thorough` is about the last look.

    Raises:
        AddressError: as `check`. ValueError: `within` is no number of seconds, or less than 0.
    """
    retrying = Retrying(clock(), wait=within, longest_pause=_LONGEST_PAUSE_S)
    memory, is_first = Memory(), True
    while not retrying.is_over(clock()):
        began = clock()
        if is_first or _may_be_there(address):
            quick = gather(address, as_user=as_user, wanted_type=wanted_type, thorough=False, memory=memory)
            if not _is_worth_waiting(Report(quick, judge(quick))):
                if not (thorough or probe):
                    return Report(quick, judge(quick))
                report = check(
                    address, as_user=as_user, wanted_type=wanted_type, probe=probe, thorough=thorough
                )
                if not _is_worth_waiting(report):
                    return report
        is_first = False
        now = clock()
        pause = max(retrying.next_pause(now), min((now - began) * _REST_OF_A_LOOK, _LONGEST_REST_S))
        sleep(min(pause, retrying.left(now) or 0.0))
    report = check(address, as_user=as_user, wanted_type=wanted_type, probe=probe, thorough=thorough)
    return replace(report, waited=within) if _is_worth_waiting(report) else report


def _may_be_there(address: Address) -> bool:
    """Quickly: where nothing is, nobody has to ask why."""
    if address.kind is AddressKind.ABSTRACT:
        return abstract_name_may_exist(address.name)
    try:
        os.stat(address.name)
    except FileNotFoundError:
        return False
    except OSError:
        pass  # there, or not to be seen: that is to be told apart
    return True


def _is_worth_waiting(report: Report) -> bool:
    return not report.is_reachable and report.problems[0].errno in WORTH_WAITING_FOR
