"""What an ssh address names, and the commands that a person pastes for it."""

from __future__ import annotations

import shlex

import pytest

from afunix.model.address import Address
from afunix.model.ssh_address import SshTarget, known_as


@pytest.mark.parametrize(
    ("written", "target"),
    [
        ("ssh:box:/run/a", SshTarget("box", None, None, b"/run/a")),
        ("ssh:ana@box:2222:/a:/b", SshTarget("box", "ana", 2222, b"/a:/b")),
        ("ssh:ana@[::1]:22:/a b", SshTarget("::1", "ana", 22, b"/a b")),
        ("ssh:box:/\udcff", SshTarget("box", None, None, b"/\xff")),
    ],
)
def test_address_is_taken_apart(written: str, target: SshTarget) -> None:
    assert SshTarget.of(Address.parse(written)) == target


def test_jumps_are_hosts_in_order() -> None:
    assert SshTarget.jumps("ana@one:2222, ssh://two") == [
        SshTarget("one", "ana", 2222, b""),
        SshTarget("two", None, None, b""),
    ]


def test_command_survives_the_shell_here_and_the_one_there() -> None:
    command = SshTarget("box", "ana", 2222, b"/a b").command("rm", "/a 'b'")
    here = shlex.split(command)
    assert here[:-1] == ["ssh", "-p", "2222", "ana@box"]
    assert shlex.split(here[-1]) == ["rm", "/a 'b'"]


def test_command_without_words_logs_in() -> None:
    assert SshTarget("box", None, None, b"/a").command() == "ssh box"


def test_known_hosts_writes_an_unusual_port() -> None:
    assert (known_as("box", 22), known_as("box", 2222)) == ("box", "[box]:2222")
