"""Credentials are a value, and the kernel's "nobody" is told from everybody."""

from __future__ import annotations

import dataclasses

import pytest

from afunix.model.credentials import UNKNOWN_ID, PeerCredentials


@pytest.mark.parametrize(
    ("uid", "is_known"), [(0, True), (1000, True), (0xFFFFFFFE, True), (0xFFFFFFFF, False)]
)
def test_only_the_uid_minus_one_is_nobody_known(uid: int, is_known: bool) -> None:
    assert PeerCredentials(1, uid, 0).is_known is is_known


def test_nobody_known_is_minus_one_as_the_kernel_holds_it() -> None:
    assert int.from_bytes((-1).to_bytes(4, "little", signed=True), "little") == UNKNOWN_ID


def test_a_peer_may_be_known_without_its_pid() -> None:
    assert PeerCredentials(None, 1000, 1000).is_known


def test_credentials_are_a_value() -> None:
    peer = PeerCredentials(1, 2, 3)
    assert peer == PeerCredentials(1, 2, 3)
    assert len({peer, PeerCredentials(1, 2, 3)}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        peer.uid = 0  # type: ignore[misc]
