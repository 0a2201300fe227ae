"""What stands after `--` is the command's, word for word."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from afunix.cli.trailing_command import WithCommand, must_have_words, with_command_after


def run(cls: type[WithCommand], *args: str) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    got: list[tuple[tuple[str, ...], tuple[str, ...] | None]] = []

    @click.command(cls=cls)
    @click.argument("names", nargs=-1)
    @click.option("--exec", "runs", is_flag=True)
    def command(names: tuple[str, ...], runs: bool, words: tuple[str, ...] | None) -> None:
        got.append((names, words))

    result = CliRunner().invoke(command, args)
    assert result.exit_code == 0, result.output
    return got[0]


def test_the_words_after_the_first_separator_are_the_commands() -> None:
    assert run(WithCommand, "a", "--", "sh", "-c", "x", "--", "y") == (("a",), ("sh", "-c", "x", "--", "y"))


def test_without_a_separator_there_is_no_command() -> None:
    assert run(WithCommand, "a") == (("a",), None)


def test_without_its_option_the_separator_is_the_usual_one() -> None:
    cls = with_command_after("--exec")
    assert run(cls, "--", "-a") == (("-a",), None)
    assert run(cls, "--exec", "a", "--", "-b") == (("a",), ("-b",))


@pytest.mark.parametrize(
    ("args", "is_forgotten"),
    [
        (("a", "--", "b"), True),
        (("--size", "3", "a", "--", "b"), True),
        (("--size", "3", "--", "-b"), False),
        (("a", "--"), False),
        (("--", "a", "--", "b"), False),
    ],
)
def test_an_argument_on_both_sides_is_a_command_whose_option_was_forgotten(
    args: tuple[str, ...], is_forgotten: bool
) -> None:
    @click.command(cls=with_command_after("--exec", hint="or ./-a"))
    @click.argument("names", nargs=-1)
    @click.option("--size")
    def command(names: tuple[str, ...], size: str | None, words: tuple[str, ...] | None) -> None:
        pass

    caught = None
    try:
        command.main(args, standalone_mode=False)
    except click.UsageError as error:
        caught = error
    assert (caught is not None) is is_forgotten
    if caught is not None:
        assert caught.message == "what stands after '--' is a command's, and --exec is missing"
        assert getattr(caught, "suggestion", None) == "or ./-a"


def test_the_usage_line_has_a_place_for_it() -> None:
    assert (
        "[-- CMD…]"
        in CliRunner().invoke(click.command(cls=WithCommand)(lambda words: None), ["--help"]).output
    )


@pytest.mark.parametrize("words", [None, (), ("",)])
def test_a_command_that_is_missing_is_told(words: tuple[str, ...] | None) -> None:
    with pytest.raises(click.UsageError, match="--exec needs a command"):
        must_have_words(words, "--exec")
    assert must_have_words(("a",), "--exec") == ("a",)
