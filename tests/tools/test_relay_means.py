"""What a relay is made of, by what was asked for and what the kernel can do."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from afunix.kernel import fallbacks, relay_pumps
from afunix.kernel.channel import Channel
from afunix.kernel.listener import Listener, Ownership
from afunix.kernel.pipes import PipePool
from afunix.kernel.relay_trail import RelayTrail
from afunix.kernel.traced_channel import TracedChannel
from afunix.model.address import Address
from afunix.tools.relay_means import channels_for, make_far_end, pumps_for
from afunix.tools.relay_settings import RelaySettings

SETTINGS = RelaySettings((), Address.pathname("unset"))


def name_of(made: Callable[..., Any]) -> str:
    return str(getattr(getattr(made, "func", made), "__name__", made))


@pytest.fixture
def listener(sock_dir: str) -> Iterator[Listener]:
    with closing(Listener.open(Address.pathname(f"{sock_dir}/l"), "stream", Ownership())) as opened:
        yield opened


def chosen(settings: RelaySettings, *listeners: Listener, kept_away: bool = True) -> str:
    """Which pumps, where the kernel keeps descriptors away from all ends, or from none."""
    for each in listeners:
        each.refuses_fds = kept_away
    with closing(PipePool()) as pool:
        far_end = make_far_end(settings, listeners, RelayTrail(), None, None)
        far_end.refuses_fds = kept_away
        try:
            return name_of(pumps_for(settings, listeners, far_end, pool))
        finally:
            far_end.close()


def test_bytes_are_spliced_where_no_descriptor_can_be_among_them(listener: Listener) -> None:
    assert chosen(SETTINGS, listener) == relay_pumps.splicing_pumps.__name__
    assert chosen(SETTINGS, listener, kept_away=False) == relay_pumps.refusing_pumps.__name__


def test_bytes_are_copied_where_every_call_is_shown(listener: Listener) -> None:
    assert chosen(replace(SETTINGS, is_traced=True), listener) == relay_pumps.copying_pumps.__name__


def test_bytes_are_copied_where_splice_cannot_be_had(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fallbacks, "_forced", lambda: frozenset({"splice"}))
    assert chosen(SETTINGS, listener) == relay_pumps.copying_pumps.__name__


def test_descriptors_go_by_messages(listener: Listener) -> None:
    assert chosen(replace(SETTINGS, pass_fds=True), listener) == relay_pumps.descriptor_pumps.__name__


def test_records_go_as_records(sock_dir: str) -> None:
    address = Address.pathname(f"{sock_dir}/r")
    with closing(Listener.open(address, "seqpacket", Ownership())) as records:
        assert chosen(replace(SETTINGS, is_traced=True), records) == relay_pumps.record_pumps.__name__


def test_calls_are_shown_to_those_who_ask() -> None:
    ours, theirs = socket.socketpair()
    with theirs, closing(channels_for(replace(SETTINGS, is_traced=True), print)(ours, 1)) as channel:
        assert type(channel) is TracedChannel
    assert channels_for(SETTINGS, print) is Channel
