"""The pictures of the documents: by which run of `afunix demo` each is made. `python -m tests.docs.pictures` makes these.

A run is the same every time (`--reproducible`), so a picture that differs from a new one is out of date: the program
now does something else than the documents show, or draws it otherwise. Screenshots of other programs are kept as they are.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

from tests.docs.blocks import ROOT
from tests.program import Ended, run

from afunix.tools.demo.experiments import EXPERIMENTS

FOLDER = os.path.join(ROOT, "docs", "pictures")

RUNS: dict[str, tuple[str, ...]] = {
    "life-of-a-connection": ("--clients", "1"),
    "inside-a-connection": ("--clients", "1", "--inside"),
    "two-connections": ("--clients", "2"),
    **{f"experiment-{name}": (name,) for name in EXPERIMENTS},
}
"""The name of the picture (or of several: NAME-1, NAME-2), and what is asked of `demo`."""

SCREENSHOTS = {"tap-wireshark.png": "docs/howto/tap.md"}
"""Of other programs: nothing here makes them. The page that shows each also tells how to come to what it shows."""


def draw(name: str, folder: str) -> Ended:
    """Make the pictures of one run in `folder`."""
    return run("demo", *RUNS[name], "--reproducible", "--svg", os.path.join(folder, f"{name}.svg"))


def pictures_in(folder: str) -> Iterator[tuple[str, str]]:
    """The name of each file in `folder`, and what is in it; screenshots are left out."""
    for name in sorted({*os.listdir(folder)} - SCREENSHOTS.keys()):
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            yield name, file.read()


def make_all() -> None:
    """Replace everything in FOLDER but the screenshots."""
    os.makedirs(FOLDER, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in RUNS:
            made = draw(name, folder)
            assert (made.status, made.err) == (0, ""), made
        made_now = dict(pictures_in(folder))
    for name in {*os.listdir(FOLDER)} - made_now.keys() - SCREENSHOTS.keys():
        os.unlink(os.path.join(FOLDER, name))
    for name, picture in made_now.items():
        with open(os.path.join(FOLDER, name), "w", encoding="utf-8") as file:
            file.write(picture)


if __name__ == "__main__":
    make_all()
