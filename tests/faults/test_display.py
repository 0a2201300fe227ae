"""What a client sends and what a terminal shows: row 63. Elsewhere the bytes are exact."""

from __future__ import annotations

import os
import subprocess
import termios

import pytest
from tests.faults.running import Drain, Serve, connected, say
from tests.faults.users import User
from tests.program import ended
from tests.servers import serving

HOSTILE = (
    b"title \x1b]0;owned\x07 clear \x1b[2J c1 \x9b2J \xc2\x9b2J back \rfake bell \x07 del \x7f "
    + "bidi \u202egnp.exe\u2066".encode()
    + b" bad \xff\xc3( null \x00 tab \t end\n"
)


def raw_terminal() -> tuple[int, int]:
    """Controller and terminal; what is written comes out unchanged."""
    controller, terminal = os.openpty()
    mode = termios.tcgetattr(terminal)
    mode[1] &= ~termios.OPOST
    termios.tcsetattr(terminal, termios.TCSANOW, mode)
    return controller, terminal


def is_harmless(shown: bytes) -> bool:
    text = shown.decode("utf-8")  # nothing but valid UTF-8
    return all(
        each in "\n\t" or (ord(each) >= 0x20 and not 0x7F <= ord(each) < 0xA0 and each not in "\u202e\u2066")
        for each in text
    )


@pytest.mark.parametrize("option", [(), ("--raw",), ("--label",), ("--max-line", "16")])
def test_terminal_gets_no_control_characters(user: User, place: str, option: tuple[str, ...]) -> None:
    controller, terminal = raw_terminal()
    shown = Drain(controller)
    with Serve(user, *option, f"{place}/s", stdout=terminal) as serve, connected(f"{place}/s") as client:
        for at in range(0, len(HOSTILE), 7):  # sequences that come in pieces
            client.sendall(HOSTILE[at : at + 7])
        shown.wait_for(lambda out: out.endswith(b"end\n"))
        assert serve.stop().status == 0
    os.close(terminal)
    out = shown.end()
    assert is_harmless(out)
    assert b"^[]0;owned^G" in out or "--max-line" in option


@pytest.mark.parametrize("option", [(), ("--raw",)])
def test_what_is_no_terminal_gets_the_bytes_as_they_are(
    user: User, place: str, option: tuple[str, ...]
) -> None:
    with Serve(user, *option, f"{place}/s") as serve:
        say(f"{place}/s", HOSTILE)
        assert serve.stop().out == HOSTILE


def test_terminal_gets_the_bytes_as_they_are_on_request_only(user: User, place: str) -> None:
    controller, terminal = raw_terminal()
    shown = Drain(controller)
    with Serve(user, "--escape", "never", f"{place}/s", stdout=terminal) as serve:
        say(f"{place}/s", HOSTILE)
        shown.wait_for(lambda out: out == HOSTILE)
        serve.stop()
    os.close(terminal)
    shown.end()


def test_connect_shows_a_server_s_words_to_a_terminal_without_harm(user: User, place: str) -> None:
    controller, terminal = raw_terminal()
    shown = Drain(controller)
    with serving(f"{place}/s", lambda connection: connection.sendall(HOSTILE)):
        os.chmod(f"{place}/s", 0o666)
        client = user.start("connect", f"{place}/s", stdin=subprocess.DEVNULL, stdout=terminal)
        os.close(terminal)
        assert ended(client).status == 0
    out = shown.end()
    assert is_harmless(out)
    assert b"^[]0;owned^G" in out
