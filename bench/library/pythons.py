"""The Pythons that are here, each with a virtual environment that holds afunix and its peers.

An environment is made once in a directory and used again; afunix is installed as the tree that this file lies
in, so that an edit needs no new one. pip is its ordinary self: what it is configured to ask, it asks.
"""

from __future__ import annotations

import glob
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PEERS = ("anyio", "trio", "uvloop")
_TELL_VERSION = "import platform; print(platform.python_version())"
_TELL_PEERS = (
    "import importlib.metadata as m, sys; print(*(n + ' ' + m.version(n) for n in sys.argv[1:]), sep=', ')"
)


@dataclass(frozen=True, slots=True)
class Python:
    """An interpreter with everything that is measured. `minor` is its version as 3.13, `version` in full."""

    executable: str
    minor: str
    version: str
    peers: str


def environments(minors: Sequence[str], directory: str) -> list[Python]:
    """One for each of these versions that runs this, is on the PATH or is pyenv's; made where it is missing.

    Raises subprocess.CalledProcessError when an environment cannot be made.
    """
    os.makedirs(directory, exist_ok=True)
    found = ((minor, _find(minor)) for minor in minors)
    return [_environment(minor, base, directory) for minor, base in found if base is not None]


def _find(minor: str) -> str | None:
    return next(
        (path for path in _candidates(minor) if _output(path, _TELL_VERSION).startswith(minor + ".")), None
    )


def _candidates(minor: str) -> Iterator[str]:
    pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    yield sys.executable
    yield f"python{minor}"
    yield "python3"
    yield from glob.glob(f"{glob.escape(pyenv)}/versions/{minor}.*/bin/python3")


def _output(executable: str, code: str, *words: str) -> str:
    """What a Python prints, or nothing where it does not run."""
    try:
        run = subprocess.run([executable, "-c", code, *words], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return run.stdout.strip()


def _environment(minor: str, base: str, directory: str) -> Python:
    home = os.path.join(directory, minor)
    executable = os.path.join(home, "bin", "python")
    if not _is_complete(executable):
        subprocess.run([base, "-m", "venv", "--clear", home], check=True)
        pip = [executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *PEERS, "--editable", ROOT], check=True)
    _compile(executable)
    return Python(
        executable, minor, _output(executable, _TELL_VERSION), _output(executable, _TELL_PEERS, *PEERS)
    )


def _is_complete(executable: str) -> bool:
    """All peers are there, and afunix is this tree, not another one's."""
    home = _output(executable, "import afunix; print(afunix.__file__)")
    return home.startswith(ROOT + os.sep) and bool(_output(executable, _TELL_PEERS, *PEERS))


def _compile(executable: str) -> None:
    """As an installer does: a checkout may have no bytecode yet."""
    folders = [os.path.join(ROOT, "src"), os.path.join(ROOT, "bench", "library")]
    subprocess.run([executable, "-m", "compileall", "-qq", *folders], check=True)
