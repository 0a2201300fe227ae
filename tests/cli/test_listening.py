"""The options of commands that listen: what they mean together, and what of them is refused."""

from __future__ import annotations

import os

import click
import pytest
from click.testing import CliRunner

from afunix.cli.listening import Listening, ModeType, listening_options, some_listening_options
from afunix.kernel.listener import Ownership
from afunix.model.address import Address
from afunix.model.errors import AddressError
from afunix.model.rules import RuleError

PATH = [Address.pathname("/run/a.sock")]


def test_command_gets_them_as_one_value() -> None:
    @click.command()
    @click.option("--other", is_flag=True)
    @listening_options
    def command(other: bool, listening: Listening) -> None:
        click.echo(f"{other} {listening.max_clients} {listening.allow} {listening.mode} {listening.drain}")

    args = [
        "--other",
        "--max-clients",
        "3",
        "--allow",
        "me",
        "--allow",
        "root",
        "--mode",
        "0660",
        "--drain",
        "2s",
    ]
    assert CliRunner().invoke(command, args).output == "True 3 ('me', 'root') 432 2.0\n"


def test_command_may_have_some_of_them() -> None:
    @click.command()
    @some_listening_options("mode", "drain")
    def command(listening: Listening) -> None:
        click.echo(str(listening == Listening(drain=2.0)))

    assert CliRunner().invoke(command, ["--drain", "2s"]).output == "True\n"
    assert CliRunner().invoke(command, ["--max-clients", "3"]).exit_code == 2


def test_none_given_is_the_usual() -> None:
    usual = Listening()
    assert usual.given() == ()
    assert usual.ownership() == Ownership(mode=0o600)
    assert not usual.rules()
    usual.check([])


def test_given_ones_are_named_as_they_are_written() -> None:
    assert Listening(max_per_user=2, backlog=0, keep=True).given() == (
        "--max-per-user",
        "--keep",
        "--backlog",
    )


def test_owner_and_group_become_numbers() -> None:
    ownership = Listening(mode=0o660, owner=str(os.getuid()), group="0", replace=True).ownership()
    assert ownership == Ownership(mode=0o660, uid=os.getuid(), gid=0, replace=True)


def test_rules_are_read() -> None:
    assert len(Listening(allow=("me",), deny=("any",)).rules().rules) == 2
    with pytest.raises(RuleError):
        Listening(deny=("everybody",)).rules()


@pytest.mark.parametrize(
    "given", [Listening(mode=0o600), Listening(owner="root"), Listening(replace=True), Listening(keep=True)]
)
def test_options_of_a_file_need_one(given: Listening) -> None:
    given.check(PATH)
    with pytest.raises(AddressError, match="is about a socket file, and none is made here"):
        given.check([Address.abstract("a"), Address.inherited(3)])


@pytest.mark.parametrize("backlog", [-1, 1 << 31])
def test_backlog_out_of_range_is_refused(backlog: int) -> None:
    with pytest.raises(click.UsageError, match="is out of range"):
        Listening(backlog=backlog).check(PATH)


@pytest.mark.parametrize("written", ["", "rw", "888", "0o600", "777777", "1777", "-1"])
def test_what_is_no_mode_is_refused(written: str) -> None:
    with pytest.raises(click.BadParameter, match="is no mode: expected octal digits such as 0660"):
        ModeType().convert(written, None, None)


def test_mode_is_octal() -> None:
    assert ModeType().convert("660", None, None) == ModeType().convert("0660", None, None) == 0o660
