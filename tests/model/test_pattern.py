"""What a word after `ls` asks for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afunix.model.address import Address
from afunix.model.errors import AddressError
from afunix.model.listing import End, Row, RowState
from afunix.model.pattern import Pattern, parse_pattern
from afunix.model.socket_table import FileIdentity, Owner, SocketEntry, SocketPath, TableState


def row(name: str | bytes = "/run/app/app.sock", comm: str = "python3") -> Row:
    address = Address.parse(name)
    entry = SocketEntry(1, "stream", TableState.LISTENING, address, file=FileIdentity(1, 50))
    return Row(RowState.LISTENING, "stream", address, End(entry, (Owner(412, 3, comm, 0),)))


@pytest.mark.parametrize(
    "text", ["app", "app.sock", "python", "*.sock", "/run/*", "app.s?ck", "/run/app/app.soc[k]"]
)
def test_words_and_globs_are_found_in_names_and_processes(text: str) -> None:
    assert parse_pattern(text).matches(row())


@pytest.mark.parametrize("text", ["redis", "*.socket", "app.soc?k", "Python"])
def test_what_is_in_neither_is_not_found(text: str) -> None:
    assert not parse_pattern(text).matches(row())


def test_an_abstract_name_is_asked_for_whole_and_a_file_of_that_name_is_not_it() -> None:
    assert parse_pattern("@app").matches(row("@app"))
    assert not parse_pattern("@app").matches(row("@app2"))
    assert not parse_pattern("@app").matches(row("./@app"))


def test_a_path_is_found_by_each_way_to_write_it() -> None:
    pattern = replace(parse_pattern("./app.sock"), paths=(b"/run/app/app.sock",))
    assert pattern.matches(row())
    assert not pattern.matches(row("/run/app/app.sock2"))


def test_a_directory_has_everything_below_it() -> None:
    pattern = replace(parse_pattern("/run/app/"), paths=(b"/run/app",), is_directory=True)
    assert pattern.matches(row())
    assert not pattern.matches(row("/run/app2/app.sock"))
    assert not pattern.matches(row("@/run/app/x"))


def test_a_socket_is_found_by_its_file_whatever_it_was_bound_as() -> None:
    pattern = replace(parse_pattern("/new/name"), files=(SocketPath(b"/new/name", 1, 50),))
    assert pattern.matches(row())
    assert not replace(pattern, files=(SocketPath(b"/new/name", 1, 51),)).matches(row())


@pytest.mark.parametrize("text", ["/run", ".", "..", "./x", "unix:x", "unix-abstract:%00"])
def test_an_address_is_taken_as_one(text: str) -> None:
    assert parse_pattern(text).address == Address.parse(text)
    assert not parse_pattern(text).is_anywhere


@pytest.mark.parametrize("text", ["", "fd:3", "tcp:host:80", "ssh:host:/x", "-", "http:x", "@"])
def test_what_no_row_can_have_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse_pattern(text)
    assert caught.value.hint


@given(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=30))
def test_every_word_is_read_or_refused(text: str) -> None:
    try:
        pattern = parse_pattern(text)
    except AddressError:
        return
    assert isinstance(pattern, Pattern)
    assert pattern.matches(row()) in (True, False)


def test_a_file_that_is_called_like_a_glob_is_found_too() -> None:
    pattern = replace(parse_pattern("/run/a[1].sock"), paths=(b"/run/a[1].sock",))
    assert pattern.matches(row("/run/a[1].sock"))
    assert pattern.matches(row("/run/a1.sock"))


def test_a_glob_may_have_its_kind_in_front() -> None:
    assert parse_pattern("unix:/run/app/*").matches(row())
