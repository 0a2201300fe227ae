"""A session at a shell, done as a page shows it: commands after `$ `, then what they say.

One bash does all commands of a page, so that what one leaves (a job, a variable) is there for the next. Nothing sleeps:
what a command says is waited for on its pipe, and the command after one that ends in `&` is given once that one listens,
or, if it is `afunix connect`, is connected, as a person would. In what is shown, `…` stands for anything in its line, and
any number after `pid`, any name in parentheses behind it, any `uid` with its name, any process as `ls` writes it, any
owner and group, any gap between columns, is as good as another.
"""

from __future__ import annotations

import os
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from types import TracebackType

from tests.docs.blocks import ROOT, Block
from tests.peers import PEERS, find, require
from tests.program import PATIENCE_S, environment

_NAME = r"[\w.-]+"
_ANYTHING = [
    (re.compile(r"pid \d+ \([^)]*\)"), r"pid \d+ \([^)]*\)"),
    (re.compile(r"uid \d+ \([^)]*\)"), r"uid \d+ \([^)]*\)"),
    (re.compile(r"pid \d+"), r"pid \d+"),
    (re.compile(rf"{_NAME} {_NAME}\[\d+\]:\d+"), rf"{_NAME} {_NAME}\[\d+\]:\d+"),
    (re.compile(rf"owner {_NAME}, group {_NAME}"), rf"owner {_NAME}, group {_NAME}"),
    (re.compile(rf"in its group {_NAME}"), rf"in its group {_NAME}"),
    (re.compile(rf"file of {_NAME}"), rf"file of {_NAME}"),
    (re.compile(rf"[dls-](?:[r-][w-][xtsTS-]){{3}}[+.]? +{_NAME} {_NAME}"), rf"\S{{10,11}} +{_NAME} {_NAME}"),
    (re.compile(r"kill -CONT \d+"), r"kill -CONT \d+"),
    (re.compile(r"(?<=\S) {2,}"), r" {2,}"),
    (re.compile("…"), r"[^\n]*"),
]


class _State(Enum):
    """Of a socket, as a test of a row of /proc/net/unix."""

    LISTENING = "listening"
    CONNECTED = "connected"

    def is_of(self, row: list[str]) -> bool:
        if self is _State.CONNECTED:
            return row[5] == "03"
        return row[3] == "00010000" or (row[4] == "0002" and len(row) > 7)


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a session, and what it says."""

    text: str
    says: str

    @property
    def is_in_background(self) -> bool:
        return re.sub(r"\s+#.*", "", self.text).rstrip().endswith("&")

    @property
    def state(self) -> _State:
        """What a socket of it is in once it is there."""
        return _State.CONNECTED if "afunix connect" in self.text else _State.LISTENING


def commands_of(block: Block) -> Iterator[Command]:
    """The commands of a session; a line that begins with `> ` goes on with the one before."""
    text: str | None = None
    says = ""
    for line in block.text.splitlines():
        if line.startswith("$ "):
            if text is not None:
                yield Command(text, says)
            text, says = line[2:], ""
        elif text is None:
            raise ValueError(f"{block.where}: a session begins with '$ '")
        elif line.startswith("> ") and not says:
            text += "\n" + line[2:]
        else:
            says += line + "\n"
    if text is not None:
        yield Command(text, says)


def pattern_of(says: str) -> str:
    """A regular expression for what is shown."""
    any_of_them = re.compile("|".join(f"({pattern.pattern})" for pattern, _ in _ANYTHING))
    whole, end = "", 0
    for match in any_of_them.finditer(says):
        assert match.lastindex is not None
        whole += re.escape(says[end : match.start()]) + _ANYTHING[match.lastindex - 1][1]
        end = match.end()
    return whole + re.escape(says[end:])


class Shell:
    """A bash in `folder`; `do` gives it a command. Leaving it ends every process that it started."""

    def __init__(self, folder: str, patience: float = PATIENCE_S) -> None:
        self._patience = patience
        self._said = ""
        self._expected = ""
        self._told, told = os.pipe()
        commands, self._commands = os.pipe()
        self._bash = subprocess.Popen(
            [require("bash"), "--norc", "--noprofile", f"/dev/fd/{commands}"],
            cwd=folder,
            env=person(folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[told, commands],
            bufsize=0,
        )
        os.close(told)
        os.close(commands)
        self._tell = f"printf '%s\\n' $? >&{told}"
        self._give(f"set -m; {self._tell}")  # jobs, so that `kill %1` ends the whole of one
        self._status()

    def do(self, command: Command) -> int:
        """Do it and wait until it has said what it is to say; its status."""
        already = _inodes(self._processes(), command.state)
        self._give(f"{command.text}\n{self._tell}")
        status = self._status()
        if command.is_in_background:
            self._wait_until_there(already, command)
        self._expected += pattern_of(command.says)
        self._read_until_said(command)
        return status

    def end(self) -> None:
        """Every job must have been ended, and nothing have been said but what is shown."""
        self._give(f"wait; {self._tell}; exit")
        self._status()
        assert self._bash.wait(PATIENCE_S) == 0
        while self._read(0):
            pass
        assert re.fullmatch(self._expected, self._said), self._difference()

    # Talking to bash

    def _give(self, text: str) -> None:
        os.write(self._commands, text.encode() + b"\n")

    def _status(self) -> int:
        """What a command ended with, and meanwhile what is said."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            ready, _, _ = select.select([self._out, self._told], [], [], 1.0)
            if self._told in ready:
                return int(os.read(self._told, 100))
            if self._out in ready and not self._read(0):
                break
        raise AssertionError(f"the command does not end; said so far:\n{self._said}")

    @property
    def _out(self) -> int:
        assert self._bash.stdout is not None
        return self._bash.stdout.fileno()

    def _read(self, timeout: float) -> bool:
        if not select.select([self._out], [], [], timeout)[0]:
            return False
        data = os.read(self._out, 65536)
        self._said += data.decode("utf-8", "backslashreplace")
        return bool(data)

    def _read_until_said(self, command: Command) -> None:
        while self._read(0):
            pass
        while not re.fullmatch(self._expected, self._said):
            if not self._read(self._patience):
                raise AssertionError(f"after $ {command.text}\n{self._difference()}")

    def _difference(self) -> str:
        return f"expected (a pattern):\n{self._expected}\nsaid:\n{self._said}"

    # Its processes

    def _wait_until_there(self, already: set[str], command: Command) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            processes = self._processes()
            if _inodes(processes, command.state) - already:
                return
            if not processes:
                break  # it has ended
            self._read(0.02)
        raise AssertionError(f"$ {command.text}\nnobody is {command.state.value}; said:\n{self._said}")

    def _processes(self) -> list[int]:
        """Those of bash's session, which it began, bash left out."""
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                        fields = file.read().rpartition(")")[2].split()
                except OSError:
                    continue  # it has ended
                if int(fields[3]) == self._bash.pid != int(name):
                    found.append(int(name))
        return found

    def __enter__(self) -> Shell:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._bash:
            for pid in [*self._processes(), self._bash.pid]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        os.close(self._told)
        os.close(self._commands)


def _inodes(processes: list[int], state: _State) -> set[str]:
    """The sockets of these processes that listen (or as datagram sockets have a name), or those that are connected."""
    with open("/proc/net/unix", encoding="utf-8", errors="replace") as file:
        rows = [line.split() for line in file][1:]
    found = {row[6] for row in rows if len(row) > 6 and state.is_of(row)}
    if state is _State.LISTENING:
        found |= _listening_ports()
    held = set()
    for pid in processes:
        try:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                held.add(os.readlink(f"/proc/{pid}/fd/{fd}")[8:-1])  # socket:[N]
        except OSError:
            continue  # it has ended
    return found & held


def _listening_ports() -> set[str]:
    """The TCP sockets of this network namespace that listen."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if os.path.exists(table):
            with open(table, encoding="ascii") as file:
                found |= {row[9] for row in (line.split() for line in file) if row[3] == "0A"}
    return found


def person(folder: str) -> dict[str, str]:
    """A person's, in `folder`: this Python and this afunix come first on the PATH.

    They find the library even when they are started with an environment of their own, as systemd does.
    """
    programs = os.path.join(folder, ".bin")
    os.makedirs(programs, exist_ok=True)
    python = f"env PYTHONPATH={shlex.quote(environment()['PYTHONPATH'])} {shlex.quote(sys.executable)}"
    for name, line in {"afunix": f"{python} -m afunix", "python": python, "python3": python}.items():
        _write_program(os.path.join(programs, name), line)
    if netcat := find("nc"):
        _write_program(os.path.join(programs, "nc"), netcat)
    return environment(
        PATH=f"{programs}{os.pathsep}{os.environ['PATH']}",
        HOME=folder,
        XDG_RUNTIME_DIR=folder,
        PYTHONWARNINGS="error",
        PYTHONDONTWRITEBYTECODE="1",
        LC_ALL="C.UTF-8",
        no_proxy="*",
    )


def _write_program(path: str, line: str) -> None:
    with open(path, "w") as file:
        file.write(f'#!/bin/sh\nexec {line} "$@"\n')
    os.chmod(path, 0o755)


def require_programs(commands: list[Command]) -> None:
    """Skip, or fail where nothing may be skipped, if another program that they use is not installed."""
    words = {word for command in commands for word in re.findall(r"[\w./-]+", command.text)}
    for name in sorted(words & PEERS.keys()):
        require(name)


def fill(folder: str, files: list[Block]) -> None:
    """What the page shows as files, and this project's examples, are in `folder`."""
    os.symlink(os.path.join(ROOT, "examples"), os.path.join(folder, "examples"))
    for block in files:
        assert block.file is not None
        with open(os.path.join(folder, block.file), "w", encoding="utf-8") as file:
            file.write(block.text)
