"""Ours is like the server's socket; the swap, and why it could not be made."""

from __future__ import annotations

import errno
import os
import subprocess

import pytest
from tests.peers import require
from tests.tap_places import beside, listening

from afunix.model.errors import (
    AddressInUseError,
    AfunixError,
    DeniedError,
)
from afunix.model.standing import Standing
from afunix.tools import tap_beside
from afunix.tools.tap_beside import step_in


@pytest.fixture
def path(sock_dir: str) -> str:
    return f"{sock_dir}/s"


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

    monkeypatch.setattr(tap_beside, "_copy_acl", refuse)
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

    monkeypatch.setattr("afunix.tools.tap_beside.Listener.open", refuse)
    with listening(path), pytest.raises(DeniedError) as raised, beside(path):
        pass
    assert "'tap --listen NEW PATH'" in (raised.value.hint or "") and "choose" not in (
        raised.value.hint or ""
    )
