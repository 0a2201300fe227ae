"""A headless Chromium that looks at a page: a picture of it, or its document after its scripts have run.

Each look is a process of its own with a profile of its own, which is gone afterwards; one that is late is killed.
"""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import tempfile
import zlib
from dataclasses import dataclass

from tests.peers import require

PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Picture:
    """Pixels as Chromium drew them, three bytes (red, green, blue) each, row after row."""

    width: int
    height: int
    pixels: bytes

    def at(self, x: int, y: int) -> tuple[int, ...]:
        start = 3 * (y * self.width + x)
        return tuple(self.pixels[start : start + 3])

    def colours(self) -> set[bytes]:
        return {self.pixels[start : start + 3] for start in range(0, len(self.pixels), 3)}


def photograph(page: str, suffix: str, size: tuple[int, int], *, dark: bool = False) -> Picture:
    """What the file `page` of the kind `suffix` (".svg") looks like in a window of `size`."""
    with _folder() as folder:
        path = os.path.join(folder, "picture.png")
        scheme = f"--blink-settings=preferredColorScheme={int(not dark)}"
        window = f"--window-size={size[0]},{size[1]}"
        _look(folder, page, suffix, f"--screenshot={path}", scheme, window, "--hide-scrollbars")
        with open(path, "rb") as file:
            return _decode(file.read())


def run_page(page: str) -> str:
    """The HTML `page` as it is after its scripts have run."""
    with _folder() as folder:
        return _look(folder, page, ".html", "--dump-dom")


def _folder() -> tempfile.TemporaryDirectory[str]:
    """Its helpers may outlive Chromium by a moment and write to its profile while that is removed."""
    return tempfile.TemporaryDirectory(prefix="af-browser-", ignore_cleanup_errors=True)


def _look(folder: str, page: str, suffix: str, *options: str) -> str:
    path = os.path.join(folder, f"page{suffix}")
    with open(path, "w", encoding="utf-8") as file:
        file.write(page)
    command = [
        *(require("chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
        *("--no-first-run", "--disable-background-networking", "--disable-extensions"),
        *(f"--user-data-dir={folder}/profile", *options, f"file://{path}"),
    ]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        start_new_session=True,
    ) as browser:
        try:
            output, _ = browser.communicate(timeout=PATIENCE_S)
        except BaseException:
            os.killpg(browser.pid, signal.SIGKILL)  # not waited for yet, so the number is still its own
            raise
    assert browser.returncode == 0, f"Chromium ended with {browser.returncode}"
    return str(output)


def _decode(png: bytes) -> Picture:
    """A PNG with eight bits a channel, which is what Chromium writes (PNG specification, sections 5, 9)."""
    width, height, depth, kind = struct.unpack(">IIBB", png[16:26])
    assert depth == 8
    channels = {2: 3, 6: 4}[kind]
    data, place = b"", 8
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        if png[place + 4 : place + 8] == b"IDAT":
            data += png[place + 8 : place + 8 + length]
        place += length + 12
    raw, stride = zlib.decompress(data), width * channels
    above, rows = bytearray(stride), []
    for start in range(0, len(raw), stride + 1):
        above = _unfilter(raw[start], bytearray(raw[start + 1 : start + 1 + stride]), above, channels)
        rows.append(above)
    pixels = b"".join(rows)
    if channels == 4:
        opaque = bytearray(3 * width * height)
        for channel in range(3):
            opaque[channel::3] = pixels[channel::4]
        pixels = bytes(opaque)
    return Picture(width, height, pixels)


def _unfilter(kind: int, row: bytearray, above: bytearray, step: int) -> bytearray:
    if kind == 2:
        return bytearray((one + two) & 255 for one, two in zip(row, above, strict=True))
    for place in range(len(row) if kind else 0):
        left = row[place - step] if place >= step else 0
        corner = above[place - step] if place >= step else 0
        row[place] = (row[place] + _predicted(kind, left, above[place], corner)) & 255
    return row


def _predicted(kind: int, left: int, above: int, corner: int) -> int:
    if kind == 1:
        return left
    if kind == 3:
        return (left + above) // 2
    estimate = left + above - corner
    return min((left, above, corner), key=lambda value: abs(estimate - value))
