"""The work of `afunix check`: gather the facts about an address, have them judged, and wait until it is ready.

    tools.gathering → model.reachability.judge → Report

A report is of one moment. Waiting is looking again: nothing else tells when a socket begins to listen.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from ..model.address import Address
from ..model.findings import Report
from ..model.patience import Retrying
from ..model.reachability import judge
from ..model.refusal import WORTH_WAITING_FOR
from .gathering import gather

__all__ = ["Report", "check", "gather", "wait_until_ready"]


def check(
    address: Address, *, as_user: str | None = None, wanted_type: str | None = None, probe: bool = False
) -> Report:
    """What stands in the way to `address`, for us or for `as_user` (a name or a number), in the order of connecting.

    With `probe`, and for ourselves, a real connect is made where nothing else stands in the way, and closed at once.

    Raises:
        AddressError: it is no path and no abstract name, or there is no such user.
    """
    facts = gather(address, as_user=as_user, wanted_type=wanted_type, probe=probe)
    return Report(facts, judge(facts))


def wait_until_ready(
    address: Address,
    within: float,
    *,
    as_user: str | None = None,
    wanted_type: str | None = None,
    probe: bool = False,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Report:
    """`check`, again and again for `within` seconds, until nothing stands in the way or what does will not pass.

    What can pass while a server starts is waited for: ENOENT, ECONNREFUSED, EACCES and EAGAIN, as by `connect`. If the
    time is up, the report's `waited` is `within`.

    Raises:
        AddressError: as `check`. ValueError: `within` is no number of seconds, or less than 0.
    """
    retrying = Retrying(clock(), wait=within)
    while not retrying.is_over(clock()):
        quick = gather(address, as_user=as_user, wanted_type=wanted_type, thorough=False)
        if not _is_worth_waiting(Report(quick, judge(quick))):
            report = check(address, as_user=as_user, wanted_type=wanted_type, probe=probe)
            if not _is_worth_waiting(report):
                return report
        sleep(retrying.next_pause(clock()))
    report = check(address, as_user=as_user, wanted_type=wanted_type, probe=probe)
    return replace(report, waited=within) if _is_worth_waiting(report) else report


def _is_worth_waiting(report: Report) -> bool:
    return not report.is_reachable and report.problems[0].errno in WORTH_WAITING_FOR
