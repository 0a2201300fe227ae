"""The sessions of README.md that need two terminals, a server in the background, or another place than they show.

Each test reads its block from the page, so that what is shown and what is tested are one text.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import signal
import subprocess
import sys
from contextlib import ExitStack
from zipfile import ZipFile

import pytest
from tests.docs.blocks import ROOT, block_tested_by
from tests.docs.shell import Command, Shell, commands_of, fill, pattern_of
from tests.docs.terminal import Terminal
from tests.peers import require
from tests.program import command as afunix_command
from tests.program import environment
from tests.servers import serving

PAGE = "README.md"


def test_first_session_in_two_terminals(sock_dir: str) -> None:
    blocks = block_tested_by(PAGE, "test_first_session_in_two_terminals")
    (serve,), (connect,) = (tuple(commands_of(block)) for block in blocks)
    shows = pattern_of(serve.says.replace("/run/user/1000", sock_dir))
    lines = shows.splitlines(keepends=True)
    with ExitStack() as stack:
        server = stack.enter_context(Terminal(serve.text, sock_dir))
        server.wait_for(lines[0])
        client = stack.enter_context(Terminal(connect.text, sock_dir))
        client.enter(connect.says)
        server.wait_for("".join(lines[:3]))
        client.enter("\x04")
        assert client.end() == 0
        server.wait_for("".join(lines[:4]))
        server.enter("\x03")
        assert server.end() == 0
    assert client.shown == connect.says
    assert re.fullmatch(shows, server.shown)


def test_install(sock_dir: str) -> None:
    (block,) = block_tested_by(PAGE, "test_install")
    pipx, demo, tests = (command.text.partition("#")[0].strip() for command in commands_of(block))
    assert (pipx, demo, tests) == (
        "pipx install .",
        "scripts/demo",
        "scripts/test",
    )  # for demo, tests/scripts/test_demo.py
    assert all(os.access(os.path.join(ROOT, script), os.X_OK) for script in (demo, tests))
    # What pipx has pip do, without the network: build the wheel, unpack it, run what came out.
    python = [sys.executable, "-m"]
    build = [*python, "hatchling", "build", "-t", "wheel", "-d", f"{sock_dir}/dist"]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = os.listdir(f"{sock_dir}/dist")
    with ZipFile(f"{sock_dir}/dist/{wheel}") as opened:
        opened.extractall(f"{sock_dir}/into")
    installed = environment(PYTHONPATH=f"{sock_dir}/into")
    where = [sys.executable, "-c", "import afunix; print(afunix.__file__)"]
    for command, words in ((afunix_command("--version"), "afunix"), (where, f"{sock_dir}/into/afunix")):
        done = subprocess.run(
            command, cwd=sock_dir, env=installed, capture_output=True, text=True, check=True
        )
        assert done.stdout.startswith(words)


def test_tutorial(sock_dir: str) -> None:
    (block,) = block_tested_by(PAGE, "test_tutorial")
    (command,) = commands_of(block)
    fill(sock_dir, [])
    first, rest = (
        command.says[: command.says.index("Accepted")],
        command.says[command.says.index("Accepted") :],
    )
    with Terminal(command.text, sock_dir) as server:
        server.wait_for(re.escape(first))
        client = [sys.executable, "examples/tutorial/unix_client_socket.py", "hello.sock"]
        subprocess.run(client, cwd=sock_dir, input=b"hello\n", check=True, capture_output=True, timeout=20)
        server.wait_for(re.escape(first + rest))
    assert server.shown == command.says


def test_trace(sock_dir: str) -> None:
    (block,) = block_tested_by(PAGE, "test_trace")
    with Shell(sock_dir) as shell:
        shell.do(Command("afunix serve ./hello.sock >served &", ""))
        for command in commands_of(block):
            assert shell.do(command) == 0
        shell.do(Command("kill %1", ""))
        shell.end()


def here(text: str) -> str:
    """A command where, and as whom, it can be run: in the working directory, by the user who runs the tests."""
    names = {
        r"/run/app/log\.sock": "./app-log.sock",
        r"/run/app\.sock": "./app.sock",
        r"@(\w+)": rf"@\1-{os.getpid()}",
        r"(group:|--group )app\b": rf"\g<1>{grp.getgrgid(os.getegid()).gr_name}",
        r"user:root": f"user:{pwd.getpwuid(os.geteuid()).pw_name}",
    }
    for pattern, name in names.items():
        text = re.sub(pattern, name, text)
    return text.partition("  #")[0].rstrip()


def address_in(line: str) -> str:
    found = re.search(r"(\./[\w.-]+\.sock|@[\w-]+)", line)
    assert found, line
    return found[0]


SERVE = [command.text for block in block_tested_by(PAGE, "test_serve_line") for command in commands_of(block)]


@pytest.mark.parametrize("text", SERVE)
def test_serve_line(sock_dir: str, text: str) -> None:
    line = here(text)
    if "jq" in line:
        require("jq")
    with Shell(sock_dir) as shell:
        shell.do(Command(f"{line} &" if "> file" in line else f"{line} >out &", ""))
        shell.do(Command(f"echo done | afunix connect {address_in(line)} >answer", ""))
        if "--once" not in line:
            shell.do(Command("kill $(jobs -p)", ""))  # of a pipe, the first: the server
        shell.end()
    out, answer = (
        read(os.path.join(sock_dir, name)) for name in ("file" if "> file" in line else "out", "answer")
    )
    promised = text.partition("  #")[2].strip()
    if "--label" in line:
        assert promised == "1 ana backup[4121]: done"
        assert re.fullmatch(r"1 \w+ [\w-]+\[\d+\]: done\n", out)
    elif "--echo" in line:
        assert (out, answer) == ("", "done\n")
    elif "--json" in line:
        assert out == '"done"\n'
    else:
        assert out == "done\n" or "--talk" in line


CONNECT = [
    command.text for block in block_tested_by(PAGE, "test_connect_line") for command in commands_of(block)
]


@pytest.mark.parametrize("text", [text for text in CONNECT if "--reconnect" not in text])
def test_connect_line(sock_dir: str, text: str) -> None:
    line = here(text)
    with open(os.path.join(sock_dir, "request"), "w") as file:
        file.write("status\n")
    with Shell(sock_dir) as shell:
        shell.do(Command(f"afunix serve --echo {address_in(line)} &", ""))
        assert shell.do(Command(line, "status\n" if "status" in line or "request" in line else "")) == 0
        shell.do(Command("kill %1", ""))
        shell.end()


@pytest.mark.parametrize("text", [text for text in CONNECT if "--reconnect" in text])
def test_connect_line_that_goes_on_for_ever(sock_dir: str, text: str) -> None:
    line = here(text)
    with (
        serving("\0" + address_in(line)[1:], lambda connection: connection.sendall(b"event\n")),
        Terminal(line, sock_dir) as client,
    ):
        client.wait_for(
            r"event\n(.*\n)*event\n"
        )  # the server closed after the first: it was connected to again
        client.enter("\x03")
        assert client.end() == -signal.SIGINT


def read(path: str) -> str:
    with open(path) as file:
        return file.read()
