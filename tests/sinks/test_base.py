"""Every sink keeps the contract; the type checker compares the signatures, this the names."""

from __future__ import annotations

import inspect

import pytest

from afunix.sinks.base import Sink
from afunix.sinks.collector import Collector
from afunix.sinks.datagrams import DatagramCollector
from afunix.sinks.echo import Echo
from afunix.sinks.records import RecordCollector
from afunix.sinks.talk import Talk

CONTRACT = {name for name, _ in inspect.getmembers(Sink, inspect.isfunction) if not name.startswith("_")}

SINKS: list[type[Sink]] = [Collector, RecordCollector, DatagramCollector, Echo, Talk]


@pytest.mark.parametrize("kind", SINKS)
def test_a_sink_does_all_that_may_be_asked_of_it(kind: type) -> None:
    assert CONTRACT - set(dir(kind)) == set()


def test_the_contract_is_not_empty() -> None:
    assert {"on_channel", "drain", "bytes_unwritten", "end_conversations"} <= CONTRACT
