"""What the system says of a TCP end, in a person's words."""

from __future__ import annotations

import errno

import pytest

from afunix.model.address import Address
from afunix.model.errors import (
    AddressError,
    AddressInUseError,
    AfunixError,
    DeniedError,
    NobodyListensError,
    NoSuchSocketError,
    TimedOutError,
)
from afunix.model.ownership import Holder
from afunix.model.tcp_refusal import no_answer, tcp_bind_refusal, tcp_refusal, unknown_host

NUMERIC = Address.parse("tcp:127.0.0.1:80")
NAMED = Address.parse("tcp:localhost:80")


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.ECONNREFUSED, NobodyListensError, "nobody listens on 'tcp:127.0.0.1:80' (ECONNREFUSED)"),
        (errno.ETIMEDOUT, TimedOutError, "'tcp:127.0.0.1:80' does not answer (ETIMEDOUT)"),
        (errno.EPERM, DeniedError, "connecting to 'tcp:127.0.0.1:80' is forbidden on this machine (EPERM)"),
        (errno.ENETUNREACH, AfunixError, "'tcp:127.0.0.1:80' cannot be reached (ENETUNREACH)"),
        (errno.EHOSTUNREACH, AfunixError, "'tcp:127.0.0.1:80' cannot be reached (EHOSTUNREACH)"),
        (errno.EADDRNOTAVAIL, AfunixError, "'tcp:127.0.0.1:80' cannot be reached (EADDRNOTAVAIL)"),
    ],
)
def test_each_answer_has_its_words_and_a_hint(number: int, kind: type[AfunixError], words: str) -> None:
    error = tcp_refusal(NUMERIC, [("127.0.0.1", number)])
    assert (type(error), str(error), error.errno) == (kind, words, number)
    assert error.hint


def test_of_a_name_every_address_is_told() -> None:
    error = tcp_refusal(NAMED, [("::1", errno.ENETUNREACH), ("127.0.0.1", errno.ECONNREFUSED)])
    assert isinstance(error, NobodyListensError)
    assert str(error) == (
        "nobody listens on 'tcp:localhost:80': ::1 ENETUNREACH, 127.0.0.1 ECONNREFUSED (ECONNREFUSED)"
    )


def test_an_answer_that_all_gave_is_told_once() -> None:
    refused = tcp_refusal(NAMED, [("127.0.0.1", errno.ECONNREFUSED)])
    assert str(refused) == "nobody listens on 'tcp:localhost:80', which is 127.0.0.1 (ECONNREFUSED)"
    both = tcp_refusal(NAMED, [("::1", errno.ETIMEDOUT), ("127.0.0.1", errno.ETIMEDOUT)])
    assert "'tcp:localhost:80' does not answer, which is ::1 and 127.0.0.1 (ETIMEDOUT)" in str(both)


def test_without_a_better_answer_the_first_counts() -> None:
    assert tcp_refusal(NAMED, [("::1", errno.ETIMEDOUT), ("127.0.0.1", errno.ENETUNREACH)]).errno == (
        errno.ETIMEDOUT
    )


def test_an_answer_nobody_thought_of_is_named() -> None:
    assert str(tcp_refusal(NUMERIC, [("127.0.0.1", errno.EIO)])).endswith("cannot be reached (EIO)")


def test_an_unknown_name_is_no_silent_name_server() -> None:
    unknown = unknown_host(NAMED, "EAI_NONAME", is_temporary=False)
    silent = unknown_host(NAMED, "EAI_AGAIN", is_temporary=True)
    assert isinstance(unknown, NoSuchSocketError)
    assert str(unknown) == "'tcp:localhost:80': the name 'localhost' has no address (EAI_NONAME)"
    assert isinstance(silent, TimedOutError)
    assert str(silent) == "'tcp:localhost:80': no name server answered for 'localhost' (EAI_AGAIN)"


def test_silence_is_told_without_an_errno_of_the_kernel() -> None:
    assert str(no_answer(NUMERIC)) == "'tcp:127.0.0.1:80' does not answer"


def test_a_port_in_use_is_told_by_whom() -> None:
    error = tcp_bind_refusal(NUMERIC, errno.EADDRINUSE, [Holder(412, "nginx", 0)])
    assert isinstance(error, AddressInUseError)
    assert str(error) == "'tcp:127.0.0.1:80' is in use: pid 412 (nginx) holds it (EADDRINUSE)"
    assert "its process is not visible from here" in str(tcp_bind_refusal(NUMERIC, errno.EADDRINUSE))


def test_a_privileged_port_names_the_first_that_is_free_for_all() -> None:
    error = tcp_bind_refusal(NUMERIC, errno.EACCES, lowest_port=500)
    assert isinstance(error, DeniedError)
    assert str(error) == (
        "'tcp:127.0.0.1:80' cannot be listened on: port 80 is below 500, which takes CAP_NET_BIND_SERVICE (EACCES)"
    )
    assert error.hint == "choose a port of 500 or above, or let systemd open it"


@pytest.mark.parametrize("number", [errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT])
def test_an_address_of_another_machine_is_wrong_use(number: int) -> None:
    assert isinstance(tcp_bind_refusal(NUMERIC, number), AddressError)


def test_what_is_not_about_the_port_stays_the_systems_own() -> None:
    assert tcp_bind_refusal(NUMERIC, errno.EMFILE) is None
