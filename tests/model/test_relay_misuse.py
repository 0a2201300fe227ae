"""Which ends and wishes make no relay, and that the asker's own words are used."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from afunix.model.address import Address
from afunix.model.errors import AddressError
from afunix.model.relay_misuse import Wish, refuse_misuse, refuse_with_datagrams

UNIX = Address.parse("/run/app.sock")
INHERITED = Address.parse("fd:3")
STDIO = Address.parse("-")
PORT = Address.parse("tcp:127.0.0.1:80")
FAR = Address.parse("ssh:box:/run/a")

WORDS = {wish: f"--{wish.name.lower()}" for wish in Wish}


def only(*wishes: Wish) -> dict[Wish, str]:
    return {wish: WORDS[wish] for wish in wishes}


@pytest.mark.parametrize("listen", [UNIX, INHERITED])
def test_unix_sockets_may_have_everything(listen: Address) -> None:
    refuse_misuse([listen], UNIX, WORDS)


@pytest.mark.parametrize(
    ("listen", "connect", "wishes"),
    [
        ([PORT], UNIX, only(Wish.PATIENCE)),
        ([UNIX], PORT, only(Wish.RULES, Wish.USER_LIMIT)),
        ([UNIX], FAR, {}),
        ([FAR, UNIX], UNIX, {}),
        ([STDIO], PORT, {}),
        ([STDIO], UNIX, only(Wish.RECORDS)),
    ],
)
def test_one_end_beyond_is_what_a_relay_is_for(
    listen: Sequence[Address], connect: Address, wishes: dict[Wish, str]
) -> None:
    refuse_misuse(listen, connect, wishes)


@pytest.mark.parametrize(
    ("listen", "connect", "wishes", "words"),
    [
        (PORT, FAR, {}, r"neither 'tcp:127\.0\.0\.1:80' nor 'ssh:box:/run/a'"),
        (UNIX, PORT, only(Wish.RECORDS), "--records keeps records, and 'tcp:"),
        (PORT, UNIX, only(Wish.DESCRIPTORS), "--descriptors is between two Unix sockets, and 'tcp:"),
        (STDIO, UNIX, only(Wish.DESCRIPTORS), "--descriptors is between two Unix sockets, and '-'"),
        (FAR, UNIX, only(Wish.EACH_CLIENT), "--each_client is between two Unix sockets, and 'ssh:"),
        (PORT, UNIX, only(Wish.RULES), "--rules is about users"),
        (FAR, UNIX, only(Wish.USER_LIMIT), "--user_limit is about users"),
    ],
)
def test_what_cannot_be_is_refused_in_the_askers_words(
    listen: Address, connect: Address, wishes: dict[Wish, str], words: str
) -> None:
    with pytest.raises(AddressError, match=words) as caught:
        refuse_misuse([UNIX, listen], connect, wishes)
    assert caught.value.hint


@pytest.mark.parametrize("wish", [Wish.EACH_CLIENT, Wish.USER_LIMIT, Wish.PATIENCE])
def test_what_is_about_connections_is_nothing_to_datagrams(wish: Wish) -> None:
    with pytest.raises(AddressError, match=f"{WORDS[wish]} means nothing for a dgram socket"):
        refuse_with_datagrams({wish: WORDS[wish]})


def test_datagrams_may_have_the_rest() -> None:
    refuse_with_datagrams(only(Wish.DESCRIPTORS, Wish.RULES, Wish.RECORDS))
