"""Who a tap tells: each gets every event that the filter lets through, and what one did not get is counted."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from tests.captures import C, S, beginning, conversation, read_capture
from tests.relay_runs import wait_until

from afunix.model.errors import OutputError
from afunix.model.tap_filter import TapFilter
from afunix.model.tapped import TapEvent
from afunix.tools.tap_audience import Audience, AudienceSettings, Outlet, View

Captured = pytest.CaptureFixture[str]

TALK = conversation((C, b"hello\n"), (S, b"world\n"))


def never(*args: object) -> None:
    raise AssertionError(args)


def audience(**settings: Any) -> Audience:
    return Audience(AudienceSettings(**settings), beginning(), never, never)


def tell(it: Audience, events: list[TapEvent]) -> None:
    for event in events:
        it.tell(event)


@pytest.mark.parametrize(
    ("view", "shown"), [(View.TEXT, " > hello\n"), (View.HEX, "68 65 6c 6c"), (View.JSON, '"hello\\n"')]
)
def test_view_is_on_stdout(view: View, shown: str, capfd: Captured) -> None:
    it = audience(view=view)
    tell(it, TALK)
    summary, recorded = it.close()
    assert shown in capfd.readouterr().out
    assert recorded[Outlet.VIEW].is_complete
    assert (summary.connections, summary.client.bytes, summary.server.bytes) == (1, 6, 6)


def test_file_and_directory_get_the_same(tmp_path: Path) -> None:
    it = audience(view=None, write=str(tmp_path / "f"), record=str(tmp_path / "d"))
    tell(it, TALK)
    _, recorded = it.close()
    assert set(recorded) == {Outlet.FILE, Outlet.DIRECTORY}
    streams = read_capture((tmp_path / "f").read_bytes()).streams()
    assert streams == {(1, C): b"hello\n", (1, S): b"world\n"}
    assert (tmp_path / "d" / "0001.server").read_bytes() == b"world\n"


def test_what_the_filter_hides_nobody_gets_nor_is_it_counted(tmp_path: Path) -> None:
    it = audience(view=None, write=str(tmp_path / "f"), shown=TapFilter(pids=[1]))
    tell(it, TALK)
    summary, _ = it.close()
    assert summary.connections == 0
    assert read_capture((tmp_path / "f").read_bytes()).packets == []


def test_one_that_cannot_begin_leaves_nothing_open(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as caught:
        audience(write=str(tmp_path / "f"), record=str(tmp_path / "no" / "d"))
    assert caught.value.errno == errno.ENOENT


def test_trouble_of_one_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    troubles: list[tuple[Outlet, int | None]] = []
    os.mkfifo(tmp_path / "f")
    settings = AudienceSettings(view=None, write=str(tmp_path / "f"), record=str(tmp_path / "d"))
    it = Audience(settings, beginning(), lambda outlet, error: troubles.append((outlet, error.errno)), never)
    tell(it, TALK)
    _, recorded = it.close()
    assert troubles == [(Outlet.FILE, errno.ENXIO)]
    assert recorded[Outlet.FILE].lost_bytes == 12
    assert recorded[Outlet.DIRECTORY].is_complete


def test_fifo_waits_for_its_reader_until_there_is_one(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "f")
    it = audience(view=None, write=str(tmp_path / "f"))
    trouble = it.waits_for_reader()
    assert trouble is not None
    assert trouble.errno == errno.ENXIO
    with open(tmp_path / "f", "rb"):
        wait_until(lambda: it.waits_for_reader() is None)
        it.close()
    other = audience(view=None)
    assert other.waits_for_reader() is None
    other.close()


def test_fault_is_told_once_and_never_raised() -> None:
    faults: list[Exception] = []
    it = Audience(AudienceSettings(view=None), beginning(), never, faults.append)
    it.tell(None)  # type: ignore[arg-type]
    tell(it, TALK)
    assert len(faults) == 1
    assert it.close()[0].connections == 0


def test_dash_is_stdout(tmp_path: Path) -> None:
    settings = AudienceSettings(write="-", record="x")
    assert settings.has_stdout(Outlet.FILE)
    assert settings.has_stdout(Outlet.VIEW)
    assert not settings.has_stdout(Outlet.DIRECTORY)
    assert settings.outlets == [*Outlet]
    assert not AudienceSettings(write=os.fspath(tmp_path)).has_stdout(Outlet.FILE)
