"""README.md's block about `relay`, and those of docs/howto/relay.md that need a port, root, or a database.

They are done where and as whom they can be, as they are shown.
"""

from __future__ import annotations

import re
import shlex

import pytest
from tests.docs.blocks import Block, block_tested_by, blocks_of
from tests.docs.shell import Command, Shell, commands_of, fill, require_programs
from tests.faults.users import IS_ROOT
from tests.interop.test_relay_identity import OWNER, Cluster, become, open_dir, postgres
from tests.tcp_servers import free_port

PAGE = "docs/howto/relay.md"

__all__ = ["open_dir", "postgres"]


def shown(test: str, changes: dict[str, str], page: str = PAGE) -> list[Command]:
    """The commands that are left to `test`, where and as whom they can be run."""

    def here(text: str) -> str:
        for pattern, words in changes.items():
            text = re.sub(pattern, words, text)
        return text

    blocks = block_tested_by(page, test)
    return [Command(here(each.text), here(each.says)) for block in blocks for each in commands_of(block)]


def files() -> list[Block]:
    return [block for block in blocks_of(PAGE) if block.file is not None]


def test_readme(sock_dir: str) -> None:
    with Shell(sock_dir) as shell:
        for command in shown("test_readme", {}, "README.md"):
            assert shell.do(command) == 0
        shell.do(Command("kill $(jobs -p)", ""))
        shell.end()


def test_tcp(sock_dir: str) -> None:
    commands = shown("test_tcp", {":8080": f":{free_port()}"})
    require_programs(commands)
    fill(sock_dir, files())
    with Shell(sock_dir) as shell:
        for command in commands:
            if not command.text.startswith("kill"):
                assert shell.do(command) == 0
        shell.do(Command("exec 2>log; kill $(jobs -p)", ""))  # bash tells of web.py when it likes
        shell.end()


@pytest.mark.skipif(not IS_ROOT, reason="an ordinary user is not warned")
def test_identity(sock_dir: str) -> None:
    changes = {"sudo ": "", "/run/": "./", r"group:app\b": "group:root", "--group app": "--group root"}
    (command,) = shown("test_identity", changes)
    with Shell(sock_dir) as shell:
        shell.do(Command(f"{command.text} &", command.says))
        assert (
            shell.do(Command("kill %1", "afunix: stopping: SIGTERM\nafunix: removed './new.sock'\n…\n")) == 0
        )
        shell.end()


@pytest.mark.skipif(not IS_ROOT, reason="only root can connect as its clients")
def test_postgresql(open_dir: str, postgres: Cluster) -> None:
    changes = {
        "sudo ": "",
        "/srv/ns": open_dir,
        "/run/postgresql": postgres.directory,
        "psql": shlex.join([*become(OWNER), "psql"]),
        "ana": OWNER.pw_name,
    }
    with Shell(open_dir) as shell:
        for command in shown("test_postgresql", changes):
            assert shell.do(command) == 0
        shell.do(Command("kill %1", ""))
        shell.end()
