"""What happens becomes events: who, when, and what was said."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator

import pytest
from tests.servers import echo, serving
from tests.tap_runs import ask, run

from afunix.kernel.relay_pumps import Watch
from afunix.model.tapped import Opened, Over, Said, SaidAll, Side
from afunix.tools.tap_witness import PairWatch


@pytest.fixture(autouse=True)
def own_process() -> Iterator[None]:
    """What `tap` changes of the process is put back."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_conversation_is_told_from_its_beginning_to_its_end(sock_dir: str) -> None:
    with serving(f"{sock_dir}/s", echo):
        ran = run(f"{sock_dir}/s", lambda ran: ask(ran.path))
    opened = ran.events[0]
    assert isinstance(opened, Opened)
    assert (opened.connection, opened.peer.pid, opened.peer.uid) == (1, os.getpid(), os.geteuid())
    said = [(event.side, event.data) for event in ran.events if isinstance(event, Said)]
    assert said == [(Side.CLIENT, b"hello"), (Side.SERVER, b"hello")]
    ends = [event.side for event in ran.events if isinstance(event, SaidAll)]
    assert ends == [Side.CLIENT, Side.SERVER]
    assert isinstance(ran.events[-1], Over) and ran.events[-1].reason == ""
    times = [event.at_s for event in ran.events]
    assert times == sorted(times) and times[0] >= 0


def test_a_pair_s_watch_is_what_the_pumps_take() -> None:
    watch: Watch = PairWatch(1, 0.0, lambda event: None)
    watch.ended(True)
