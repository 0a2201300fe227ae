"""What is told of a command that is started again and again: all of it with -v, and never a flood."""

from __future__ import annotations

import signal

import pytest

from afunix.cli.activate_narration import ActivateNarration
from afunix.cli.messages import Messages
from afunix.model.activated import Begun, NotBegun, Orphaned, Over, Signalled


class Teller:
    """A narration whose clock stands still until it is put forward."""

    def __init__(self, *, verbose: bool = False, quiet: bool = False) -> None:
        self.now = 0.0
        self.narration = ActivateNarration(
            Messages(verbose=verbose, quiet=quiet), "./a\x1bb", clock=lambda: self.now
        )
        self.tell = self.narration.tell


def test_what_goes_well_is_a_note(capfd: pytest.CaptureFixture[str]) -> None:
    teller = Teller(verbose=True)
    teller.tell(Begun(7, "/bin/x", "somebody connected to './s'"))
    teller.tell(Over(7, 0, 1.25))
    teller.tell(Signalled(signal.SIGUSR1, 7))
    teller.tell(Signalled(signal.SIGUSR1, 0))
    assert capfd.readouterr().err.splitlines() == [
        r"afunix: started './a^[b' (pid 7): somebody connected to './s'",
        r"afunix: './a^[b' (pid 7) ended after 1.2 s: exit status 0",
        r"afunix: passed SIGUSR1 on to './a^[b' (pid 7)",
        "afunix: SIGUSR1 came, and no command runs that it could be passed on to",
    ]


def test_without_v_only_failures_are_told(capfd: pytest.CaptureFixture[str]) -> None:
    teller = Teller()
    teller.tell(Begun(7, "/bin/x", "--now"))
    teller.tell(Over(7, 0, 1.0))
    teller.tell(Over(7, -15, 1.0, 0.0, is_wanted=True))
    assert capfd.readouterr().err == ""
    teller.tell(Over(7, -11, 0.04, 0.1))
    assert capfd.readouterr().err == (
        r"afunix: warning: './a^[b' (pid 7) ended after 0.0 s: ended by SIGSEGV;"
        " clients wait, and the next start is in 0.1 s at the earliest\n"
    )


def test_failures_are_told_once_a_second_with_a_count(capfd: pytest.CaptureFixture[str]) -> None:
    teller = Teller()
    for _ in range(4):
        teller.tell(Over(7, 1, 0.0, 0.1))
    assert capfd.readouterr().err.count("\n") == 1
    teller.now = 1.0
    teller.tell(NotBegun("/bin/x", 11, "Resource temporarily unavailable", 0.2))
    assert capfd.readouterr().err == (
        r"afunix: warning: './a^[b' cannot be started: resource temporarily unavailable (EAGAIN);"
        " clients wait, and the next start is in 0.2 s at the earliest (ended so 3 times before)\n"
    )


def test_what_was_only_counted_is_told_at_the_end(capfd: pytest.CaptureFixture[str]) -> None:
    teller = Teller()
    teller.tell(Over(7, 1, 0.0, 0.1))
    teller.tell(Over(8, 1, 0.0, 0.2))
    capfd.readouterr()
    teller.narration.finish()
    assert capfd.readouterr().err == "afunix: warning: './a^[b' ended so 1 more time\n"


def test_what_never_began_has_not_ended(capfd: pytest.CaptureFixture[str]) -> None:
    teller = Teller()
    for _ in range(3):
        teller.tell(NotBegun("/bin/x", 2, "No such file or directory", 0.1))
    capfd.readouterr()
    teller.narration.finish()
    assert capfd.readouterr().err == "afunix: warning: './a^[b' could not be started 2 more times\n"


def test_nobody_is_blamed_for_what_cannot_be_seen(capfd: pytest.CaptureFixture[str]) -> None:
    Teller().tell(Over(7, 0, 0.0, 0.1, has_served=None))
    assert "hint" not in capfd.readouterr().err


def test_what_was_left_behind_is_a_warning_if_it_was_killed(capfd: pytest.CaptureFixture[str]) -> None:
    Teller().tell(Orphaned(signal.SIGTERM, (7, 8)))
    Teller().tell(Orphaned(signal.SIGKILL, (7,)))
    assert capfd.readouterr().err == (
        r"afunix: warning: what './a^[b' had left behind did not end, and was killed: pid 7" + "\n"
    )


def test_one_that_ends_well_too_often_may_not_accept(capfd: pytest.CaptureFixture[str]) -> None:
    Teller().tell(Over(7, 0, 0.0, 0.1, has_served=False))
    said = capfd.readouterr().err
    assert "exit status 0, more than 20 times within 2 s; clients wait" in said
    assert "afunix: hint: does it accept those who wait?\n" in said


def test_q_leaves_all_of_it_out(capfd: pytest.CaptureFixture[str]) -> None:
    teller = Teller(quiet=True)
    teller.tell(Over(7, 1, 0.0, 0.1))
    teller.narration.finish()
    assert capfd.readouterr().err == ""


def test_a_signal_that_may_not_be_sent_is_a_warning(capfd: pytest.CaptureFixture[str]) -> None:
    Teller().tell(Signalled(signal.SIGTERM, 7, is_permitted=False))
    assert capfd.readouterr().err.splitlines() == [
        "afunix: warning: SIGTERM may not be passed on to './a^[b' (pid 7), which is another user's (EPERM)",
        "afunix: hint: whoever may: kill -TERM 7",
    ]
