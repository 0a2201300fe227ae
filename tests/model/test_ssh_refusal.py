"""Why an end over ssh cannot be had: class, and so status, what is named, and the next step."""

from __future__ import annotations

import pytest

from afunix.model import ssh_refusal
from afunix.model.address import Address
from afunix.model.errors import (
    AddressInUseError,
    AfunixError,
    DeniedError,
    NobodyListensError,
    NoSuchSocketError,
    NotASocketError,
    PeerMismatchError,
)
from afunix.model.ssh_address import SshTarget
from afunix.model.ssh_refusal import Seen

ADDRESS = Address.parse("ssh:ana@box:/run/a.sock")
TARGET = SshTarget.of(ADDRESS)


@pytest.mark.parametrize(
    ("seen", "kind"),
    [
        (Seen.NOTHING, NoSuchSocketError),
        (Seen.NO_DIRECTORY, NoSuchSocketError),
        (Seen.OTHER, NotASocketError),
        (Seen.NO_ACCESS, DeniedError),
        (Seen.STALE, NobodyListensError),
        (Seen.LIVE, DeniedError),
        (Seen.SOCKET, NobodyListensError),
        (Seen.UNKNOWN, NobodyListensError),
    ],
)
def test_connection_is_refused_for_what_is_seen_there(seen: Seen, kind: type[AfunixError]) -> None:
    error = ssh_refusal.no_connection(ADDRESS, TARGET, seen, "open failed")
    assert type(error) is kind
    assert "'ssh:ana@box:/run/a.sock'" in error.message
    assert error.hint


def test_prohibition_that_sshd_tells_is_believed() -> None:
    error = ssh_refusal.no_connection(ADDRESS, TARGET, Seen.UNKNOWN, "administratively prohibited")
    assert type(error) is DeniedError
    assert "AllowStreamLocalForwarding" in str(error.hint)


@pytest.mark.parametrize(
    ("seen", "kind"),
    [
        (Seen.LIVE, AddressInUseError),
        (Seen.STALE, AddressInUseError),
        (Seen.SOCKET, AddressInUseError),
        (Seen.OTHER, NotASocketError),
        (Seen.NO_DIRECTORY, NoSuchSocketError),
        (Seen.UNWRITABLE, DeniedError),
        (Seen.NOTHING, DeniedError),
        (Seen.UNKNOWN, DeniedError),
    ],
)
def test_listening_is_refused_for_what_is_seen_there(seen: Seen, kind: type[AfunixError]) -> None:
    error = ssh_refusal.no_forward(ADDRESS, TARGET, seen)
    assert type(error) is kind
    assert error.hint


@pytest.mark.parametrize(
    "error", [ssh_refusal.no_forward(ADDRESS, TARGET, Seen.STALE), ssh_refusal.left_there(ADDRESS, TARGET)]
)
def test_leftover_comes_with_the_command_that_removes_it(error: AfunixError) -> None:
    assert "ssh ana@box 'rm /run/a.sock'" in str(error.hint)


def test_changed_host_key_is_louder_than_an_unknown_one() -> None:
    unknown = ssh_refusal.unknown_host_key(ADDRESS, TARGET, "[box]:2222", "SHA256:x")
    changed = ssh_refusal.changed_host_key(ADDRESS, TARGET, "[box]:2222", "SHA256:x")
    assert type(unknown) is type(changed) is PeerMismatchError
    assert "HAS CHANGED (SHA256:x)" in changed.message
    assert "ssh-keygen -R '[box]:2222'" in str(changed.hint)
    assert "'ssh ana@box' asks whether to accept it" in str(unknown.hint)


def test_revoked_host_key_is_not_used() -> None:
    assert "IS REVOKED" in ssh_refusal.revoked_host_key(ADDRESS, "box").message


def test_keys_that_could_not_be_used_are_named() -> None:
    error = ssh_refusal.no_key_accepted(ADDRESS, TARGET, "ana", [("/k", "cannot be used: permission denied")])
    assert "for the user 'ana'; '/k' cannot be used: permission denied (EACCES)" in error.message


def test_broken_login_is_worth_waiting_for_and_a_bad_configuration_is_not() -> None:
    assert ssh_refusal.broke(ADDRESS, TARGET, "gone").errno in ssh_refusal.WORTH_WAITING_FOR
    assert ssh_refusal.login_failed(ADDRESS, TARGET, "gone").errno in ssh_refusal.WORTH_WAITING_FOR
    assert ssh_refusal.bad_configuration(ADDRESS, "line 3").errno not in ssh_refusal.WORTH_WAITING_FOR


def test_missing_package_is_named_with_what_installs_it() -> None:
    error = ssh_refusal.missing_package()
    assert "asyncssh" in error.message
    assert error.hint == "pip install 'afunix[ssh]'"


def test_silence_is_told() -> None:
    assert "does not answer" in ssh_refusal.no_answer(ADDRESS).message
