"""The block of docs/howto/tap.md that needs tshark, and README.md's about `tap`."""

from __future__ import annotations

from tests.docs.blocks import block_tested_by, blocks_of
from tests.docs.shell import Command, Shell, commands_of, fill, require_programs

PAGE = "docs/howto/tap.md"


def test_wireshark(sock_dir: str) -> None:
    (block,) = block_tested_by(PAGE, "test_wireshark")
    commands = [*commands_of(block)]
    require_programs(commands)
    fill(sock_dir, [block for block in blocks_of(PAGE) if block.file is not None])
    with Shell(sock_dir) as shell:
        for command in commands:
            assert shell.do(command) == 0
        shell.do(Command("exec 2>log; kill %1; wait", ""))
        shell.end()


def test_readme_tap(sock_dir: str) -> None:
    (block,) = block_tested_by("README.md", "test_readme_tap")
    with Shell(sock_dir) as shell:
        shell.do(Command("afunix serve --echo ./app.sock &", ""))
        for command in commands_of(block):
            assert shell.do(command) == 0
        shell.do(Command("exec 2>log; kill %1; wait", ""))
        shell.end()
