"""What is at the path is found or refused; ours beside it is like it; what an earlier tap left is put right."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from tests.peers import require

from afunix.kernel.front import Front
from afunix.model.address import Address
from afunix.model.errors import (
    AddressError,
    AddressInUseError,
    AfunixError,
    DeniedError,
    NobodyListensError,
    NoSuchSocketError,
    NotASocketError,
    WrongTypeError,
)
from afunix.model.standing import Standing
from afunix.model.tap_notices import LeftoverMended, TapNotice
from afunix.tools import tap_place
from afunix.tools.tap_place import find, must_be_another, open_beside, step_in, type_at


def no_alerts(notice: TapNotice) -> None:
    raise AssertionError(notice)


@pytest.fixture
def path(sock_dir: str) -> str:
    return f"{sock_dir}/s"


@contextmanager
def listening(path: str | bytes, kind: int = socket.SOCK_STREAM) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, kind) as sock:
        sock.bind(path)
        sock.listen()
        yield sock


@contextmanager
def beside(path: str) -> Iterator[Front]:
    with closing(find(Address.parse(path), no_alerts)) as target:
        listener, front = open_beside(target, None)
        try:
            yield front
        finally:
            os.close(front.our_pin)
            listener.close()


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


def test_ours_has_the_mode_the_owner_and_the_group_of_theirs(path: str) -> None:
    with listening(path):
        os.chmod(path, 0o624)
        if os.geteuid() == 0:
            os.chown(path, 1, 2)
        with beside(path) as front:
            ours, theirs = os.lstat(front.second.address.name), os.lstat(path)
            assert (ours.st_mode, ours.st_uid, ours.st_gid) == (theirs.st_mode, theirs.st_uid, theirs.st_gid)
            assert front.standing() is Standing.BESIDE
        assert os.listdir(os.path.dirname(path)) == ["s"]


def test_an_access_control_list_that_cannot_be_copied_is_told(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "no")

    monkeypatch.setattr(tap_place, "_copy_acl", refuse)
    with listening(path), pytest.raises(DeniedError, match="access control list"), beside(path):
        pass
    assert os.listdir(os.path.dirname(path)) == ["s"]


def test_stepping_in_front_of_another_one_than_was_found_is_refused(path: str) -> None:
    with listening(path), beside(path) as front:
        os.unlink(path)
        with listening(path):
            before = os.lstat(path)
            with pytest.raises(AddressInUseError, match="exchanged by another program"):
                step_in(front)
            assert os.path.samestat(os.lstat(path), before)


def test_a_file_system_that_cannot_swap_is_told(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from afunix.kernel import front as front_module

    def refuse(*_: object) -> None:
        raise OSError(22, "no")

    monkeypatch.setattr(front_module, "exchange", refuse)
    with listening(path), beside(path) as front, pytest.raises(AfunixError, match=r"EINVAL.*RENAME_EXCHANGE"):
        step_in(front)


def leave(path: str) -> None:
    """As a tap and its guardian leave it that are killed together."""
    with listening(f"{path}.tapped") as ours:
        del ours
        os.rename(path, f"{path}.x")
        os.rename(f"{path}.tapped", path)
        os.rename(f"{path}.x", f"{path}.tapped")


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
        assert raised.value.hint is not None and "if none runs, remove" in raised.value.hint
        front.step_back()


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o777])
def test_a_list_that_the_directory_gives_its_files_lets_nobody_else_in(sock_dir: str, mode: int) -> None:
    path = f"{sock_dir}/s"
    with listening(path):
        os.chmod(path, mode)
        if subprocess.run([require("setfacl"), "-d", "-m", "u:65534:rwx,m::rwx", sock_dir]).returncode:
            pytest.skip("no lists here")
        with beside(path) as front:
            ours = front.second.address.name
            assert "system.posix_acl_access" not in os.listxattr(ours)
            assert os.lstat(ours).st_mode == os.lstat(path).st_mode


def test_a_list_and_its_mask_are_copied(path: str) -> None:
    with listening(path):
        os.chmod(path, 0o600)
        if subprocess.run([require("setfacl"), "-m", "u:65534:rw,m::r", path]).returncode:
            pytest.skip("no lists here")
        with beside(path) as front:
            ours = front.second.address.name
            assert os.getxattr(ours, "system.posix_acl_access") == os.getxattr(
                path, "system.posix_acl_access"
            )
            assert os.lstat(ours).st_mode == os.lstat(path).st_mode


def test_bits_that_mean_nothing_for_a_socket_are_left_out(path: str) -> None:
    with listening(path):
        os.chmod(path, 0o3770)
        with beside(path) as front:
            assert os.lstat(front.second.address.name).st_mode & 0o7777 == 0o770


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


@pytest.mark.parametrize(
    ("number", "uid", "hint"),
    [
        (errno.EBUSY, 0, "mounted from"),
        (errno.EPERM, 0, "tap --listen NEW PATH"),
        (errno.EPERM, 1000, "as that user, or as root"),
    ],
)
def test_what_cannot_be_swapped_has_a_hint_that_can_be_followed(
    path: str, monkeypatch: pytest.MonkeyPatch, number: int, uid: int, hint: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr("afunix.kernel.front.exchange", refuse)
    with listening(path), beside(path) as front, monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: uid)
        with pytest.raises(AfunixError) as raised:
            step_in(front)
        assert hint in (raised.value.hint or "") and "tap --listen NEW PATH" in (raised.value.hint or "")
        assert ("is a mount point" in raised.value.message) is (number == errno.EBUSY)


def test_where_nothing_can_be_made_beside_it_another_name_is_offered(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise DeniedError("no", hint="choose a directory", errno=errno.EROFS)

    monkeypatch.setattr("afunix.tools.tap_place.Listener.open", refuse)
    with listening(path), pytest.raises(DeniedError) as raised, beside(path):
        pass
    assert "'tap --listen NEW PATH'" in (raised.value.hint or "") and "choose" not in (
        raised.value.hint or ""
    )


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
