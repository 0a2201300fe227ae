"""Every drawing in docs/pictures is what `afunix demo` makes today, and nothing else is there but known screenshots."""

from __future__ import annotations

import os
import re

import pytest
from tests.docs.blocks import ROOT
from tests.docs.pictures import FOLDER, RUNS, SCREENSHOTS, draw, pictures_in

AGAIN = "out of date: 'python -m tests.docs.pictures' makes the pictures anew; look at what has changed"

SCREENSHOT_BYTES = 150_000
"""None is larger: each is in every checkout and source distribution."""

with open("/proc/sys/net/core/somaxconn") as setting:
    MOST_QUEUED = int(setting.read())


def belongs_to(picture: str, name: str) -> bool:
    return re.fullmatch(rf"{re.escape(name)}(-\d+)?\.svg", picture) is not None


@pytest.mark.skipif(
    MOST_QUEUED != 4096, reason="net.core.somaxconn is not Linux's 4096, and is in the pictures"
)
@pytest.mark.parametrize("name", RUNS)
def test_picture_is_what_is_drawn_today(sock_dir: str, name: str) -> None:
    drawn = draw(name, sock_dir)
    assert drawn.status == 0, drawn.err
    if "otherwise than explained" in drawn.err:
        pytest.skip(f"this kernel does something else: {drawn.err}")
    kept = {picture: content for picture, content in pictures_in(FOLDER) if belongs_to(picture, name)}
    assert dict(pictures_in(sock_dir)) == kept, AGAIN


def test_every_picture_has_a_run_that_makes_it() -> None:
    assert [
        picture for picture, _ in pictures_in(FOLDER) if not any(belongs_to(picture, name) for name in RUNS)
    ] == []


@pytest.mark.parametrize(("name", "page"), SCREENSHOTS.items())
def test_screenshot_is_small_and_on_its_page(name: str, page: str) -> None:
    picture = os.path.join(FOLDER, name)
    with open(os.path.join(ROOT, page), encoding="utf-8") as file:
        link = f"]({os.path.relpath(picture, os.path.dirname(os.path.join(ROOT, page)))})"
        assert link in file.read()
    assert os.path.getsize(picture) < SCREENSHOT_BYTES
