"""Who the server must be: asked of the kernel, for each way to say it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator

import pytest

from afunix.kernel.requirement import Requirement
from afunix.kernel.written_rules import Rules
from afunix.model.address import Address
from afunix.model.errors import PeerMismatchError
from afunix.model.rules import RuleError

ADDRESS = Address.pathname("/run/x\n.sock")
ME, MY_GROUP = os.geteuid(), os.getegid()


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    one, other = socket.socketpair()
    with one, other:
        yield one


@pytest.mark.parametrize(
    "require",
    ["me", "any", f"user:{ME}", f"group:{MY_GROUP}", Rules(f"allow user:{ME}"), Rules(f"deny user:{ME + 1}")],
)
def test_server_that_is_who_it_must_be_passes(sock: socket.socket, require: str | Rules) -> None:
    Requirement.of(require).check(sock, ADDRESS)


@pytest.mark.parametrize(
    ("require", "words"),
    [
        (f"user:{ME + 1}", f"and it must be 'user:{ME + 1}'"),
        (f"group:{2**32 - 2}", f"and it must be 'group:{2**32 - 2}'"),
        (Rules(f"allow user:{ME + 1}"), "no rule allows it"),
        (Rules("deny me"), "denied by 'me'"),
    ],
)
def test_somebody_else_is_told_from_who_was_wanted(
    sock: socket.socket, require: str | Rules, words: str
) -> None:
    with pytest.raises(PeerMismatchError) as error:
        Requirement.of(require).check(sock, ADDRESS)
    assert error.value.message.startswith(f"'/run/x^J.sock' is served by uid {ME}")
    assert error.value.message.endswith(words)


@pytest.mark.skipif(ME != 0, reason="only root can join a group at will")
def test_supplementary_group_counts(in_child: Callable[[Callable[[], object]], object]) -> None:
    def check() -> None:
        os.setgroups([4711])
        one, other = socket.socketpair()
        with one, other:
            Requirement.of("group:4711").check(one, ADDRESS)

    in_child(check)


def test_uid_is_required_by_its_number() -> None:
    one, other = socket.socketpair()
    with one, other:
        Requirement.of_uid(ME).check(one, ADDRESS)
        with pytest.raises(PeerMismatchError, match=f"and it must be uid {ME + 1}"):
            Requirement.of_uid(ME + 1).check(one, ADDRESS)


@pytest.mark.parametrize("require", ["any", Rules(), Rules("deny root")])
def test_peer_that_the_kernel_does_not_know_never_passes(require: str | Rules) -> None:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock,
        pytest.raises(PeerMismatchError, match="does not tell who it is"),
    ):
        Requirement.of(require).check(sock, ADDRESS)


def test_what_names_nobody_is_refused() -> None:
    with pytest.raises(RuleError, match="'allow me' is no rule"):
        Requirement.of("allow me")
    with pytest.raises(TypeError, match="require is int, expected a string such as 'user:app', or Rules"):
        Requirement.of(0)  # type: ignore[arg-type]
