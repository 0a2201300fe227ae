"""Where drawings go: a screen of any kind, and files; what fails on the way is told by a status or an error."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from tests.program import environment

from afunix.cli.drawing import NotShown, Pictures, Screen
from afunix.model.sequence import Lifeline, Step, Story

ROOT = Path(__file__).parents[2]
STORY = Story(
    "two\x1b[1m",
    (Lifeline("a"), Lifeline("b")),
    (Step(0, "write(3) = 1", 0.5, to=1), Step(1, "read(4) = 1", 1.0)),
)


def shown_by(capfd: pytest.CaptureFixture[str]) -> str:
    return capfd.readouterr().out


def test_screen_separates_what_it_shows_by_empty_lines(capfd: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    screen.text("one")
    screen.text("two", "three", indent=2)
    assert shown_by(capfd) == "one\n\n  two\n  three\n"


def test_long_sentences_are_wrapped_and_nothing_in_them_is_obeyed(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    Screen().text("\x1b[31m" + "word " * 50)
    lines = shown_by(capfd).splitlines()
    assert lines[0].startswith("^[[31mword")
    assert [len(line) <= 100 for line in lines] == [True] * 3


def test_table_has_its_titles_first(capfd: pytest.CaptureFixture[str]) -> None:
    Screen().table(("FILE", "BYTES"), [("a\nb", "10"), ("c", "2")])
    assert shown_by(capfd) == "FILE  BYTES\na^Jb  10\nc     2\n"


@pytest.mark.parametrize("wished", ["20", "40", "80"])
def test_table_is_whole_at_any_width(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, wished: str
) -> None:
    monkeypatch.setenv("COLUMNS", wished)
    cell = "EADDRINUSE, until the file is unlinked"
    Screen().table(("", "Unix", "TCP"), [("bind again after the server closed first", cell, cell)])
    shown = shown_by(capfd)
    assert max(map(len, shown.splitlines())) <= int(wished)
    assert "…" not in shown
    assert shown.count("EADDRINUSE") == shown.count("unlinked") == 2


def test_a_verdict_has_its_colour_and_what_happens_to_be_called_so_has_none(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("afunix.cli.drawing.is_terminal", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    Screen().table(("FILE", ""), [("the same", "the same"), ("b", "DIFFERENT")])
    shown = shown_by(capfd)
    assert shown.count("\x1b[32mthe same\x1b[0m") == 1
    assert "\x1b[1;31mDIFFERENT\x1b[0m" in shown


def test_drawing_is_a_list_and_a_sentence_where_it_does_not_fit(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    Screen().story(STORY, times=True)
    shown = shown_by(capfd)
    assert "+500 ms  a\n● write(3) = 1\n→ b\n" in shown
    assert "44 columns wide, and the terminal has 30" in " ".join(shown.split())
    assert max(map(len, shown.splitlines())) <= 30


def test_drawing_for_no_terminal_is_as_wide_as_it_has_to_be(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    Screen().story(Story("wide", tuple(Lifeline(f"client {line}") for line in range(9))), times=False)
    assert [row.count("client") for row in shown_by(capfd).splitlines() if "client" in row] == [9]


@pytest.mark.parametrize(("language", "sign"), [("C", "o. write(3) = 1"), ("C.UTF-8", "●╮ write(3) = 1")])
def test_drawing_is_ascii_where_the_locale_has_no_utf_8(language: str, sign: str) -> None:
    program = (
        "from tests.cli.test_drawing import *\ns = Screen()\ns.story(STORY, times=False)\n"
        "s.text('4 µs …')\ns.table(('A',), [('→',)])"
    )
    env = {**environment(), "LC_ALL": language}
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, env=env, check=True, cwd=ROOT
    )
    assert sign in done.stdout.decode()
    assert done.stdout.isascii() == (language == "C")


def test_drawing_has_times_if_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    Screen().story(STORY, times=True)
    assert "+500 ms  ●╮ write(3) = 1" in shown_by(capfd).replace("  ╭", "")
    Screen().story(STORY, times=False)
    assert "500 ms" not in shown_by(capfd)


def test_full_stdout_is_said_and_has_a_status(monkeypatch: pytest.MonkeyPatch) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    before = os.dup(1)
    try:
        os.dup2(full, 1)
        with pytest.raises(NotShown) as failed:
            Screen().text("x")
    finally:
        os.dup2(before, 1)
        os.close(before)
        os.close(full)
    assert failed.value.status == 1


def test_reader_that_is_gone_ends_it_as_sigpipe_would() -> None:
    program = "from afunix.cli.drawing import *\ntry: Screen().text('x')\nexcept NotShown as e: raise SystemExit(-e.status)"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-c", program], stdout=writer, env=environment(), check=False)
    os.close(writer)
    assert done.returncode == signal.SIGPIPE


def test_rich_is_not_imported_without_a_terminal() -> None:
    program = "import sys\nfrom afunix.cli.drawing import *\nScreen().text('x')\nprint('rich' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment(), check=True, text=True
    )
    assert done.stdout == "x\nFalse\n"


def test_pictures_are_drawn_at_the_end(sock_dir: str) -> None:
    pictures = Pictures(f"{sock_dir}/a.svg", is_several=False)
    pictures.story(STORY, times=True)
    pictures.text("no place for it")
    pictures.table((), [])
    assert os.listdir(sock_dir) == []
    pictures.finish()
    with open(f"{sock_dir}/a.svg", encoding="utf-8") as file:
        assert file.read().startswith("<svg")


@pytest.mark.parametrize(("is_several", "count"), [(True, 1), (False, 2)])
def test_several_pictures_are_numbered(sock_dir: str, is_several: bool, count: int) -> None:
    pictures = Pictures(f"{sock_dir}/.a", is_several=is_several)
    for _ in range(count):
        pictures.story(STORY, times=True)
    pictures.finish()
    assert sorted(os.listdir(sock_dir)) == [f".a-{number}" for number in range(1, count + 1)]


def test_several_pictures_do_not_go_to_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    pictures = Pictures("-", is_several=False)
    pictures.story(STORY, times=True)
    pictures.story(STORY, times=True)
    with pytest.raises(click.UsageError, match="2 pictures cannot go to STDOUT together"):
        pictures.finish()
    assert shown_by(capfd) == ""


def test_error_of_a_file_names_it() -> None:
    pictures = Pictures("/dev/full", is_several=False)
    pictures.story(STORY, times=True)
    with pytest.raises(OSError, match="No space left") as failed:
        pictures.finish()
    assert failed.value.filename == "/dev/full"
