"""Options that commands share: what is read, and what is refused in one sentence."""

from __future__ import annotations

import click
import pytest

from afunix.cli.options import ADDRESS, DURATION, END, LIMIT, SIZE, exclude
from afunix.model.address import Address
from afunix.model.errors import AddressError


@pytest.mark.parametrize(
    ("written", "size"),
    [("0", 0), ("4096", 4096), ("64K", 65536), ("64k", 65536), ("1M", 1 << 20), ("2GiB", 2 << 30)],
)
def test_size_is_in_bytes(written: str, size: int) -> None:
    assert SIZE.convert(written, None, None) == size


@pytest.mark.parametrize("written", ["", "K", "-1", "+1", "1.5K", "1e3", "1_000", "64X", "64 K", "٣", "1Ki"])
def test_what_is_no_size_is_refused(written: str) -> None:
    with pytest.raises(click.BadParameter, match="is no size: expected a number of bytes"):
        SIZE.convert(written, None, None)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("500ms", 0.5), ("2s", 2), ("5m", 300), ("1h", 3600), ("1d", 86400), ("1.5", 1.5), ("0", 0), ("2S", 2)],
)
def test_duration_is_in_seconds(written: str, seconds: float) -> None:
    assert DURATION.convert(written, None, None) == seconds


@pytest.mark.parametrize("written", ["", "s", "-1", "soon", "1e9", "inf", "nan", "1 s", "99999d", "1.2.3"])
def test_what_is_no_duration_is_refused(written: str) -> None:
    with pytest.raises(click.BadParameter, match="is no duration: expected one such as 500ms"):
        DURATION.convert(written, None, None)


@pytest.mark.parametrize("written", ["0", "0s", "0.0ms"])
def test_limit_of_no_time_at_all_is_refused(written: str) -> None:
    with pytest.raises(click.BadParameter, match="leaves no time at all"):
        LIMIT.convert(written, None, None)
    assert LIMIT.convert("1ms", None, None) == 0.001


@pytest.mark.parametrize("written", ["/run/app.sock", "@app", "fd:3", "./tcp:x"])
def test_address_of_a_unix_socket_is_read(written: str) -> None:
    assert ADDRESS.convert(written, None, None) == Address.parse(written)


@pytest.mark.parametrize("written", ["tcp:localhost:80", "ssh:host:/x", "-"])
def test_what_only_a_relay_can_reach_is_refused(written: str) -> None:
    with pytest.raises(AddressError, match="is no Unix socket") as raised:
        ADDRESS.convert(written, None, None)
    assert raised.value.hint == f"for a file of that name write ./{written}"


@pytest.mark.parametrize("written", ["/run/app.sock", "@app", "fd:3", "tcp:localhost:80", "ssh:host:/x", "-"])
def test_relay_has_more_ends(written: str) -> None:
    assert END.convert(written, None, None) == Address.parse(written)


def test_options_that_contradict_each_other_are_named() -> None:
    exclude(("--raw", True), ("--null", False))
    with pytest.raises(click.UsageError, match="--raw and --json exclude each other"):
        exclude(("--raw", True), ("--null", False), ("--json", True))
