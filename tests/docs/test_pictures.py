"""Every picture in docs/pictures is what `afunix demo` draws today, and none is there that nothing makes."""

from __future__ import annotations

import re

import pytest
from tests.docs.pictures import FOLDER, RUNS, draw, pictures_in

AGAIN = "out of date: 'python -m tests.docs.pictures' makes the pictures anew; look at what has changed"

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
