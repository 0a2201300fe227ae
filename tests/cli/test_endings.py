"""How runs end that both `serve` and `relay` have; what each makes of it is tested with them."""

from __future__ import annotations

import errno

import pytest

from afunix.cli.endings import STATUS_AFTER, say_lost
from afunix.tools.settings import Cause, ServeResult, TurnedAway


def test_lost_bytes_are_counted_with_the_hint_of_the_command(capfd: pytest.CaptureFixture[str]) -> None:
    assert STATUS_AFTER[Cause.SIGNAL](ServeResult(bytes_lost=7), "who reads?") == 8
    assert capfd.readouterr().err == (
        "afunix: error: 7 bytes could not be handed on before the end\nafunix: hint: who reads?\n"
    )


def test_second_signal_tells_what_it_loses_and_ends_by_itself(capfd: pytest.CaptureFixture[str]) -> None:
    lost = ServeResult(signal_number=2, is_forced=True, bytes_lost=1)
    assert STATUS_AFTER[Cause.SIGNAL](lost, "who reads?") == -2
    assert capfd.readouterr().err == "afunix: error: 1 byte could not be handed on before the end\n"


@pytest.mark.parametrize(
    ("those", "words"),
    [
        (
            TurnedAway(errno.EMFILE, 2, True, 9),
            "2 clients were left in the backlog unaccepted, and 9 bytes that",
        ),
        (
            TurnedAway(errno.ENFILE, 1, False, 0),
            "at least 1 client was left in the backlog unaccepted: too many",
        ),
        (TurnedAway(errno.ENOMEM, 0, False, 0), "clients may have been left in the backlog unaccepted"),
    ],
)
def test_those_left_in_the_backlog_are_told(
    capfd: pytest.CaptureFixture[str], those: TurnedAway, words: str
) -> None:
    assert say_lost(ServeResult(turned_away=those), "") == 8
    err = capfd.readouterr().err
    assert words in err
    assert ("ulimit -n" in err) is (those.errno == errno.EMFILE)


@pytest.mark.parametrize(
    ("connected", "words"), [(0, "nobody was"), (1, "1 client was still"), (3, "3 clients were still")]
)
def test_time_that_is_over_tells_who_was_there(
    capfd: pytest.CaptureFixture[str], connected: int, words: str
) -> None:
    assert STATUS_AFTER[Cause.TIMEOUT](ServeResult(Cause.TIMEOUT, connected=connected), "") == 7
    assert words in capfd.readouterr().err


@pytest.mark.parametrize(
    ("pids", "words"),
    [
        ((7,), "1 process (pid 7) could not be ended, since it is another user's (EPERM), and is left behind: what its"),
        ((7, 8), "2 processes (pid 7, 8) could not be ended, since they are another user's (EPERM), and are left behind"),
        (tuple(range(20, 99)), "79 processes (pid 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, …) could not"),
    ],
)  # fmt: skip
def test_processes_that_could_not_be_ended_are_named(
    capfd: pytest.CaptureFixture[str], pids: tuple[int, ...], words: str
) -> None:
    result = ServeResult(commands_left=pids)
    assert result.has_losses
    assert say_lost(result, "") == 8
    err = capfd.readouterr().err
    assert words in err
    assert "was ended by a signal" not in err
