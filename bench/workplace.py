"""The place of one run: a directory in memory with short names, the compiled C programs, the input files.

Everything lies under one temporary directory that goes away with the run. A command line is a template, in
which {afunix}, {python}, {c} (the compiled programs), {peers} and {sock} are replaced.
"""

from __future__ import annotations

import contextlib
import glob
import itertools
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field

BENCH = os.path.dirname(os.path.abspath(__file__))
_MEMORY = "/dev/shm"
_BLOCK_BYTES = 1 << 20
_STATIC = {"nothing"}
"""What is started by the thousand."""


@dataclass(frozen=True)
class Workplace:
    """Where a run happens. `scale` is the part of the full work that is done (1, or less in a quick run)."""

    directory: str
    afunix: str
    scale: float
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def new_socket(self) -> str:
        """A path at which nothing is yet."""
        return f"{self.directory}/{next(self._numbers)}"

    def argv(self, template: str, sock: str) -> list[str]:
        """The words of a command line."""
        return shlex.split(
            template.format(
                afunix=self.afunix,
                python=shlex.quote(sys.executable),
                c=shlex.quote(f"{self.directory}/c"),
                peers=shlex.quote(f"{BENCH}/peers"),
                sock=shlex.quote(sock),
            )
        )

    def amount(self, full: float, *, unit: int = 1) -> int:
        """The work of this run where a full one has `full`: a whole number of `unit`s, at least one."""
        return max(1, round(full * self.scale / unit)) * unit

    def input_file(self, size: int) -> str:
        """A text file of that many bytes, lines of 20 to 200 bytes; made once."""
        path = f"{self.directory}/in-{size}"
        if not os.path.exists(path):
            _fill(path, _text_block(), size)
        return path

    def touched_file(self, size: int) -> str:
        """A file whose pages exist already, to be written over; made once."""
        path = f"{self.directory}/out-{size}"
        if not os.path.exists(path):
            _fill(path, bytes(_BLOCK_BYTES), size)
        return path


def _text_block() -> bytes:
    lines = (bytes(97 + (i + j) % 26 for j in range(19 + i * 37 % 181)) + b"\n" for i in itertools.count())
    block = b""
    while len(block) < _BLOCK_BYTES:
        block += next(lines)
    return block[:_BLOCK_BYTES]


def _fill(path: str, block: bytes, size: int) -> None:
    with open(path, "wb", buffering=0) as file:
        for start in range(0, size, len(block)):
            file.write(block[: size - start])


def memory_directory(needed_bytes: int) -> str | None:
    """A directory of a tmpfs with that much room, or None for wherever temporary files go."""
    try:
        status = os.statvfs(_MEMORY)
    except OSError:
        return None
    return _MEMORY if status.f_bavail * status.f_frsize > needed_bytes else None


@contextlib.contextmanager
def open_workplace(afunix: str, scale: float, needed_bytes: int) -> Iterator[Workplace]:
    """Makes the directory, compiles bench/c with the C compiler, and removes everything at the end.

    Raises subprocess.CalledProcessError or FileNotFoundError when the C programs cannot be compiled.
    """
    directory = tempfile.mkdtemp(prefix="b", dir=memory_directory(int(needed_bytes * scale)))
    try:
        _compile(f"{directory}/c")
        yield Workplace(directory, afunix, scale)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _compile(destination: str) -> None:
    os.mkdir(destination)
    for source in glob.glob(f"{BENCH}/c/*.c"):
        program = os.path.basename(source).removesuffix(".c")
        how = ["-O2", "-Wall", *(["-static"] if program in _STATIC else [])]
        subprocess.run(["cc", *how, "-o", f"{destination}/{program}", source], check=True)
