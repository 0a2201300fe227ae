"""An exit status, or the name of the signal."""

from __future__ import annotations

import pytest

from afunix.kernel.exit_code import words_of


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "exit status 0"), (127, "exit status 127"), (-9, "ended by SIGKILL"), (-40, "ended by signal 40")],
)
def test_how_a_process_ended(code: int, words: str) -> None:
    assert words_of(code) == words
