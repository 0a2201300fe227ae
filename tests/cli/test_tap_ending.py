"""How `tap` ends: the summary, what is missing, and which status wins."""

from __future__ import annotations

import errno
import json
import signal
from typing import Any

import pytest

from afunix.cli.messages import Messages
from afunix.cli.tap_ending import conclude
from afunix.cli.tap_narration import End, TapNarration
from afunix.model.address import Address
from afunix.model.errors import DeniedError, OutputError
from afunix.model.tap_summary import Summary, TapSummary
from afunix.sinks.recording import Recorded
from afunix.tools.relay_settings import RelayResult, RelaySettings
from afunix.tools.settings import Cause
from afunix.tools.tap_audience import AudienceSettings, Outlet, View

Captured = pytest.CaptureFixture[str]

WHOLE = Recorded(1, 5, 0, 0, None)
SLOW = OutputError("too slow", errno=errno.ENOBUFS)
FULL = OutputError("recording 'f' stopped: no space", hint="a hint", errno=errno.ENOSPC)
GONE = OutputError("nobody reads", errno=errno.EPIPE)


def summary() -> Summary:
    return TapSummary().finish(1.5)


def missing(trouble: OutputError | None) -> Recorded:
    return Recorded(1, 5, 2, 10, trouble)


def end(
    recorded: dict[Outlet, Recorded],
    result: RelayResult | None = None,
    *,
    ended: End | None = None,
    is_strict: bool = False,
    is_told: bool = False,
    **settings: Any,
) -> int:
    audience = AudienceSettings(**settings)
    messages = Messages()
    narration = TapNarration(
        messages, RelaySettings((), Address.parse("/run/s")), audience, is_strict=is_strict
    )
    narration.end = ended
    narration.is_end_told = is_told
    narration.troubles = {outlet: it.trouble for outlet, it in recorded.items() if it.trouble is not None}
    return conclude(result or RelayResult(), summary(), recorded, narration, audience, messages)


def test_summary_is_told_on_stderr(capfd: Captured) -> None:
    assert end({Outlet.VIEW: WHOLE}) == 0
    out, err = capfd.readouterr()
    assert (out, err.splitlines()[0]) == ("", "afunix: 1.5 s: 0 connections")


def test_with_json_the_summary_is_the_last_object_if_all_others_are_there(capfd: Captured) -> None:
    assert end({Outlet.VIEW: WHOLE}, view=View.JSON) == 0
    out, err = capfd.readouterr()
    assert (json.loads(out)["event"], err) == ("summary", "")
    assert end({Outlet.VIEW: missing(SLOW)}, view=View.JSON) == 1
    assert capfd.readouterr().out == ""


def test_what_is_not_recorded_is_status_1_and_a_line(capfd: Captured) -> None:
    assert end({Outlet.FILE: missing(None)}, view=None, write="f") == 1
    assert "error: 2 messages (10 B) were not recorded in 'f'\n" in capfd.readouterr().err


def test_reason_is_in_the_line_if_it_ended_the_run(capfd: Captured) -> None:
    result = RelayResult(Cause.OWN_REASON)
    assert end({Outlet.FILE: missing(FULL)}, result, is_strict=True, view=None, write="f") == 1
    err = capfd.readouterr().err
    assert "error: recording 'f' stopped: no space; 2 messages (10 B) were not recorded in 'f'\n" in err
    assert "hint: a hint\n" in err


def test_what_was_told_before_is_not_told_again(capfd: Captured) -> None:
    how: dict[str, Any] = {"is_told": True, "is_strict": True, "view": None, "write": "f"}
    result = RelayResult(Cause.OWN_REASON)
    assert end({Outlet.FILE: missing(FULL)}, result, **how) == 1
    assert capfd.readouterr().err.endswith(
        "connections\nafunix: error: 2 messages (10 B) were not recorded in 'f'\n"
    )
    assert end({Outlet.FILE: Recorded(0, 0, 0, 0, FULL)}, result, **how) == 1
    assert end({}, result, ended=End("the server left", None, 4), is_told=True) == 4
    assert "error" not in capfd.readouterr().err


def test_fifo_that_nobody_read_is_the_reason(capfd: Captured) -> None:
    unread = OutputError("nobody reads the FIFO 'f' (ENXIO)", errno=errno.ENXIO)
    assert end({Outlet.FILE: missing(unread)}, view=None, write="f") == 1
    assert f"error: {unread}; 2 messages (10 B) were not recorded in 'f'\n" in capfd.readouterr().err
    assert end({Outlet.FILE: Recorded(0, 0, 0, 0, unread)}, view=None, write="f") == 1
    assert capfd.readouterr().err.endswith(f"error: {unread}\n")


def test_broken_stdout_is_called_so(capfd: Captured) -> None:
    assert end({Outlet.VIEW: missing(FULL)}, RelayResult(Cause.OWN_REASON)) == 1
    words = (
        "error: cannot write to STDOUT: no space left on device (ENOSPC); 2 messages (10 B) were not shown\n"
    )
    assert words in capfd.readouterr().err


def test_reader_of_stdout_that_has_gone_is_sigpipe_and_no_words(capfd: Captured) -> None:
    to_stdout: dict[str, Any] = {"view": None, "write": "-"}
    for outlet, settings in ((Outlet.VIEW, {}), (Outlet.FILE, to_stdout)):
        assert end({outlet: missing(GONE)}, RelayResult(Cause.OWN_REASON), **settings) == -signal.SIGPIPE
        assert "error" not in capfd.readouterr().err


def test_reader_of_another_pipe_that_has_gone_is_status_1(capfd: Captured) -> None:
    assert end({Outlet.FILE: missing(GONE)}, view=None, write="fifo") == 1
    assert "were not recorded in 'fifo'" in capfd.readouterr().err


def test_end_of_its_own_has_its_words_and_status(capfd: Captured) -> None:
    assert end({}, RelayResult(Cause.OWN_REASON), ended=End("the server left", "start it", 4)) == 4
    assert capfd.readouterr().err.endswith("afunix: error: the server left\nafunix: hint: start it\n")


def test_end_without_a_guardian_is_status_1(capfd: Captured) -> None:
    assert end({}, RelayResult(Cause.OWN_REASON)) == 1
    assert "no process can be started that puts the path back" in capfd.readouterr().err


def test_conversations_that_were_cut_off_are_status_8(capfd: Captured) -> None:
    assert end({}, RelayResult(bytes_lost=7)) == 8
    assert "7 bytes could not be handed on" in capfd.readouterr().err


def test_fault_is_status_1_whatever_else_there_is(capfd: Captured) -> None:
    for cause in (Cause.OWN_REASON, Cause.FAULT):
        assert end({Outlet.VIEW: missing(GONE)}, RelayResult(cause, fault=RuntimeError("oh"))) == 1
        assert "this should not have happened: RuntimeError: oh" in capfd.readouterr().err


def test_a_path_that_was_left_behind_is_an_error_and_its_status(capfd: Captured) -> None:
    result = RelayResult(left_behind=[DeniedError("it stays", hint="wait")])
    assert end({Outlet.VIEW: WHOLE}, result) == 5
    assert "afunix: error: it stays\nafunix: hint: wait\n" in capfd.readouterr().err
