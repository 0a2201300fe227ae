"""What a command is told of its client: fixed names, nothing of ours, nothing that a shell would obey."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from afunix.model.client_environment import Caller, Dialect, Host, describe, without_ours
from afunix.model.credentials import UNKNOWN_ID, PeerCredentials

ANA = Caller(7, "/run/app.sock", "", PeerCredentials(4121, 1000, 1000), "ana")
HOST = Host(10, 0, 0)


def test_the_variables_are_fixed() -> None:
    assert describe(ANA, HOST) == {
        b"AFUNIX_CONNECTION": b"7",
        b"AFUNIX_LOCAL_ADDRESS": b"/run/app.sock",
        b"AFUNIX_PEER_ADDRESS": b"",
        b"AFUNIX_PEER_PID": b"4121",
        b"AFUNIX_PEER_UID": b"1000",
        b"AFUNIX_PEER_GID": b"1000",
        b"AFUNIX_PEER_USER": b"ana",
    }


def test_handlers_of_others_find_their_names() -> None:
    s6 = describe(ANA, HOST, Dialect.S6)
    assert (s6[b"PROTO"], s6[b"IPCREMOTEEUID"], s6[b"IPCREMOTEEGID"]) == (b"IPC", b"1000", b"1000")
    ucspi = describe(ANA, HOST, Dialect.UCSPI)
    assert (ucspi[b"PROTO"], ucspi[b"UNIXREMOTEPID"], ucspi[b"UNIXLOCALPATH"]) == (
        b"UNIX",
        b"4121",
        b"/run/app.sock",
    )


def test_what_the_kernel_does_not_say_is_empty() -> None:
    told = describe(ANA._replace(peer=PeerCredentials(None, UNKNOWN_ID, UNKNOWN_ID), user=""), HOST)
    assert {told[name] for name in (b"AFUNIX_PEER_PID", b"AFUNIX_PEER_UID", b"AFUNIX_PEER_USER")} == {b""}


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_no_name_gets_a_control_character_into_a_shell_s_hands(name: str) -> None:
    value = describe(ANA._replace(peer_address=name), HOST)[b"AFUNIX_PEER_ADDRESS"].decode()
    assert not any(ord(character) < 0x20 or ord(character) == 0x7F for character in value)


def test_nothing_that_was_meant_for_us_is_passed_on() -> None:
    ours = {
        b"LISTEN_FDS": b"1",
        b"NOTIFY_SOCKET": b"x",
        b"WATCHDOG_USEC": b"1",
        b"AFUNIX_PEER_UID": b"0",
        b"HOME": b"/",
    }
    assert without_ours(ours) == {b"HOME": b"/"}
