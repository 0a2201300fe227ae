"""What is at the path is found or refused; what an earlier tap left is put right."""

from __future__ import annotations

import os
import socket
from contextlib import closing

import pytest
from tests.tap_places import beside, leave, listening, no_alerts

from afunix.model.address import Address
from afunix.model.errors import (
    AddressError,
    AddressInUseError,
    NobodyListensError,
    NoSuchSocketError,
    NotASocketError,
    WrongTypeError,
)
from afunix.model.tap_notices import LeftoverMended, TapNotice
from afunix.tools import tap_place
from afunix.tools.tap_beside import step_in
from afunix.tools.tap_place import find, must_be_another, type_at


@pytest.fixture
def path(sock_dir: str) -> str:
    return f"{sock_dir}/s"


@pytest.mark.parametrize(
    ("kind", "word"), [(socket.SOCK_STREAM, "stream"), (socket.SOCK_SEQPACKET, "seqpacket")]
)
def test_the_type_of_a_live_socket_is_found(path: str, kind: int, word: str) -> None:
    with listening(path, kind), closing(find(Address.parse(path), no_alerts)) as target:
        assert target.socket_type == word
        assert type_at(Address.parse(path)) == word


def test_the_type_is_found_where_no_table_has_it(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tap_place, "_entries_of", lambda file: [])
    for kind, word in ((socket.SOCK_STREAM, "stream"), (socket.SOCK_SEQPACKET, "seqpacket")):
        with listening(path, kind) as server:
            assert type_at(Address.parse(path)) == word
            server.setblocking(False)
            if word == "stream":
                with pytest.raises(BlockingIOError):
                    server.accept()
        os.unlink(path)


def test_the_type_behind_an_abstract_name_is_found() -> None:
    name = f"afunix-test-{os.getpid()}"
    with pytest.raises(NobodyListensError):
        type_at(Address.parse(f"@{name}"))
    with listening(b"\0" + name.encode(), socket.SOCK_SEQPACKET):
        assert type_at(Address.parse(f"@{name}")) == "seqpacket"


def test_a_target_knows_when_its_server_has_gone(path: str) -> None:
    with listening(path) as server, closing(find(Address.parse(path), no_alerts)) as target:
        assert target.is_live()
        server.close()
        assert not target.is_live()


def test_what_cannot_be_tapped_is_refused(sock_dir: str) -> None:
    os.mkdir(f"{sock_dir}/dir")
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(f"{sock_dir}/stale")
    with socket.socket(socket.AF_UNIX) as bound, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dgram:
        bound.bind(f"{sock_dir}/bound")
        dgram.bind(f"{sock_dir}/dgram")
        for name, kind in {
            "missing": NoSuchSocketError,
            "missing/s": NoSuchSocketError,
            "dir": NotASocketError,
            "stale": NobodyListensError,
            "bound": NobodyListensError,
            "dgram": WrongTypeError,
        }.items():
            with pytest.raises(kind):
                find(Address.parse(f"{sock_dir}/{name}"), no_alerts)


def test_an_abstract_name_has_no_file_to_be_swapped() -> None:
    with pytest.raises(AddressError) as raised:
        find(Address.parse("@name"), no_alerts)
    assert raised.value.hint is not None and "--listen" in raised.value.hint


def test_a_leftover_is_mended_and_that_is_told(path: str) -> None:
    told: list[TapNotice] = []
    with listening(path):
        before = os.lstat(path)
        leave(path)
        find(Address.parse(path), told.append).close()
        assert told == [LeftoverMended(path)]
        assert os.path.samestat(os.lstat(path), before)
        assert os.listdir(os.path.dirname(path)) == ["s"]


def test_a_leftover_whose_path_was_removed_is_no_live_socket(path: str) -> None:
    with listening(path):
        leave(path)
        os.unlink(path)
        with pytest.raises(NoSuchSocketError):
            find(Address.parse(path), no_alerts)


def test_one_that_is_tapped_says_by_whom(path: str) -> None:
    with listening(path), beside(path) as front:
        step_in(front)
        with pytest.raises(AddressInUseError, match=f"is tapped already, by pid {os.getpid()} "):
            find(Address.parse(path), no_alerts)
        front.step_back()


def test_one_that_is_tapped_by_somebody_who_is_not_to_be_seen(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("afunix.kernel.owners.holders_of_path", lambda path: [])
    with listening(path), beside(path) as front:
        step_in(front)
        with pytest.raises(AddressInUseError, match="is tapped already: ") as raised:
            find(Address.parse(path), no_alerts)
        assert raised.value.hint is not None and "if none runs, 'tap --listen NEW PATH'" in raised.value.hint
        front.step_back()


def test_the_second_name_of_a_tap_is_not_to_be_tapped(path: str) -> None:
    with listening(path), beside(path) as front:
        for _ in range(2):  # while ours is there, and then the server's
            with pytest.raises(AddressInUseError, match="keeps its server's socket"):
                find(Address.parse(f"{path}.tapped"), no_alerts)
            step_in(front)
        front.step_back()


def test_a_server_may_have_such_a_name_of_its_own(path: str) -> None:
    with listening(f"{path}.tapped"):
        find(Address.parse(f"{path}.tapped"), no_alerts).close()


@pytest.mark.parametrize("spelling", ["{0}/s", "{0}/./s", "{0}/link"])
def test_a_name_that_is_the_path_itself_is_no_other_one(sock_dir: str, spelling: str) -> None:
    os.symlink("s", f"{sock_dir}/link")
    with pytest.raises(AddressError, match="itself"):
        must_be_another(Address.parse(spelling.format(sock_dir)), Address.parse(f"{sock_dir}/s"))


def test_another_name_is_another_one(sock_dir: str) -> None:
    must_be_another(Address.parse(f"{sock_dir}/t"), Address.parse(f"{sock_dir}/s"))
    must_be_another(Address.parse("@s"), Address.parse("s"))
    with pytest.raises(AddressError):
        must_be_another(Address.parse("@s"), Address.parse("@s"))
