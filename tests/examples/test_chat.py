"""The chat: what one says, all the others hear."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from tests.examples.running import Program, client, running, stop
from tests.program import Ended

from afunix import blocking

ME = os.getpid()


@pytest.fixture
def path(sock_dir: str) -> str:
    return f"{sock_dir}/s"


@pytest.fixture
def chat(path: str) -> Iterator[Program]:
    with running("chat.py", path) as program:
        yield program


def heard(stream: blocking.Stream) -> str:
    return stream.receive_until(b"\n").decode().rstrip("\n")


def test_the_others_hear_what_one_says(chat: Program, path: str) -> None:
    with client(path) as one, client(path) as two:
        assert heard(two) == f"* {ME} is here, so we are 2"
        with client(path) as three:
            assert heard(three) == f"* {ME} is here, so we are 3"
            one.send(b"hello all\n")
            assert heard(three) == f"{ME}: hello all"
            assert [heard(two), heard(two)] == [f"* {ME} is here, so we are 3", f"{ME}: hello all"]
        assert heard(two) == f"* {ME} has left"


def test_who_speaks_does_not_hear_it(chat: Program, path: str) -> None:
    with client(path) as one, client(path) as two:
        assert heard(one) == f"* {ME} is here, so we are 1"
        assert heard(one) == f"* {ME} is here, so we are 2"
        one.send(b"to you\n")
        two.send(b"to you, too\n")
        assert heard(one) == f"{ME}: to you, too"


def test_what_would_move_a_cursor_is_not_passed_on(chat: Program, path: str) -> None:
    with client(path) as one, client(path) as two:
        assert heard(two) == f"* {ME} is here, so we are 2"
        one.send(b"\x1b[2Jgone\nstill here\n")
        assert heard(two) == f"{ME}: still here"


def test_who_does_not_read_holds_up_nobody(chat: Program, path: str) -> None:
    with client(path), client(path) as talker, client(path) as reader:
        heard(reader)
        for number in range(2000):
            talker.send(b"%d %s\n" % (number, b"x" * 1000))
            if number % 50 == 49:
                while not heard(reader).startswith(f"{ME}: {number} "):
                    pass


def test_who_breaks_off_harms_nobody(chat: Program, path: str) -> None:
    with client(path) as one:
        assert heard(one) == f"* {ME} is here, so we are 1"
        with client(path) as rude:
            rude.send(b"x" * 5000)  # and no newline
            assert heard(one) == f"* {ME} is here, so we are 2"
            assert heard(one) == f"* {ME} has left"
    assert stop(chat) == Ended(0, b"", "")


def test_sigterm_ends_it_while_people_are_there(chat: Program, path: str) -> None:
    with client(path) as one:
        assert heard(one) == f"* {ME} is here, so we are 1"
        assert stop(chat) == Ended(0, b"", "")
    assert not os.path.lexists(path)
