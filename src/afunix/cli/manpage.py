"""The manual page, afunix(1), as roff: made from the commands themselves, so that it says what they do. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from .. import __version__
from .commands import COMMANDS, afunix
from .messages import STATUSES_HELP

_ADDRESSES = (
    ("/run/app.sock, ./a b,c.sock", "a path, taken literally; more than 107 bytes work too"),
    ("@name", "an abstract name; a file of that name is ./@name"),
    ("unix:PATH", "the same, for a path that looks like something else"),
    ("unix-abstract:NAME", "an abstract name with %XX for any byte"),
    ("fd:3, fd:NAME", "an inherited socket, by number or by its name in LISTEN_FDNAMES"),
    ("tcp:HOST:PORT", "for relay: a TCP port, of an IPv6 address in brackets"),
    ("-", "for relay: STDIN and STDOUT"),
)

_ENVIRONMENT = (
    (
        "LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES",
        "sockets that serve and relay are handed, see sd_listen_fds(3)",
    ),
    ("NOTIFY_SOCKET", "who is told READY=1, STATUS= and STOPPING=1, see sd_notify(3)"),
    ("WATCHDOG_USEC, WATCHDOG_PID", "if set, how often WATCHDOG=1 is told, see sd_watchdog_enabled(3)"),
    ("NO_COLOR", "if set, nothing is coloured"),
    ("AFUNIX_DEBUG", "if set, an error comes with its traceback"),
)


def render() -> str:
    """All of the page."""
    return "\n".join([*_head(), *_commands(), *_tail()]) + "\n"


def _head() -> Iterator[str]:
    yield f'.TH AFUNIX 1 "" "afunix {__version__}" "User Commands"'
    yield from (".SH NAME", r"afunix \- Unix domain sockets for the shell", ".SH SYNOPSIS")
    for name, command in _all_commands():
        if isinstance(command, click.Group):
            continue  # its commands have lines of their own
        context = click.Context(command, info_name=name)
        usage = " ".join(command.collect_usage_pieces(context)).removeprefix("[OPTIONS] ")
        yield from (".B afunix " + name, f"[\\fIOPTIONS\\fR] {_escape(usage)}", ".br")
    yield from (".SH DESCRIPTION", *_text(afunix.help or ""))
    yield from (".SH ADDRESSES", *_terms(_ADDRESSES))


def _commands() -> Iterator[str]:
    yield ".SH COMMANDS"
    for name, command in _all_commands():
        yield f".SS afunix {name}"
        yield from _text((command.help or "").replace(STATUSES_HELP, ""))
        yield from _terms(_options(command, click.Context(command, info_name=name)))


def _tail() -> Iterator[str]:
    statuses = re.findall(r"^ +(\d+) +(.*)$", STATUSES_HELP, re.MULTILINE)
    yield from (".SH EXIT STATUS", *_terms(statuses))
    yield from (".SH ENVIRONMENT", *_terms(_ENVIRONMENT))
    yield from (
        ".SH SEE ALSO",
        r".BR unix (7),",
        r".BR socat (1),",
        r".BR ss (8),",
        r".BR systemd.socket (5)",
    )


def _all_commands() -> Iterator[tuple[str, click.Command]]:
    """Each with its name; after a group, the group's."""
    for name in COMMANDS:
        command = _command_of(afunix, name)
        yield name, command
        if isinstance(command, click.Group):
            for inner in command.list_commands(click.Context(command)):
                yield f"{name} {inner}", _command_of(command, inner)


def _command_of(group: click.Group, name: str) -> click.Command:
    command = group.get_command(click.Context(group), name)
    assert command is not None
    return command


def _options(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    for param in command.params:
        record = param.get_help_record(context)
        if record is not None:
            yield record


def _terms(
    terms: Iterator[tuple[str, str]] | tuple[tuple[str, str], ...] | list[tuple[str, str]],
) -> Iterator[str]:
    for term, meaning in terms:
        yield from (".TP", f"\\fB{_escape(term)}\\fR", _escape(meaning))


def _text(help_text: str) -> Iterator[str]:
    """click's paragraphs: one that starts with \\b keeps its lines."""
    for paragraph in help_text.strip().split("\n\n"):
        lines = [line for line in paragraph.splitlines() if line.strip()]
        if lines and lines[0].strip() == "\b":
            yield from (".PP", ".nf", *(_escape(line) for line in lines[1:]), ".fi")
        elif lines:
            yield from (".PP", _escape(" ".join(line.strip() for line in lines)))


def _escape(text: str) -> str:
    """Backslashes and hyphens as themselves, and no line that roff would take for a request."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-")
    return r"\&" + escaped if escaped[:1] in (".", "'") else escaped
