"""Which names may have been meant."""

from __future__ import annotations

import pytest

from afunix.model.address import Address
from afunix.model.neighbours import nearest


@pytest.mark.parametrize(
    ("wanted", "there"),
    [
        ("/run/ap.sock", "/run/app.sock"),
        ("/run/app.socket", "/run/app.sock"),
        ("/run/App.sock", "/run/app.sock"),
        ("/run/dokcer.sock", "/run/docker.sock"),
        ("@nginx", "@ngnix"),
        ("@app", "./@app"),
        ("app", "@app"),
        ("/tmp/.X11-unix/X0", "@/tmp/.X11-unix/X0"),
    ],
)
def test_what_is_spelled_nearly_alike_is_near(wanted: str, there: str) -> None:
    assert nearest(Address.parse(wanted), [Address.parse(there)]) == [Address.parse(there)]


@pytest.mark.parametrize(("wanted", "there"), [("/run/app.sock", "/run/docker.sock"), ("@a", "@zzz")])
def test_another_name_is_not_near(wanted: str, there: str) -> None:
    assert nearest(Address.parse(wanted), [Address.parse(there)]) == []


def test_the_likeliest_comes_first_and_the_name_itself_never() -> None:
    there = [
        Address.parse(name)
        for name in ("/r/apps.sock", "/r/a.sock", "/r/APP.sock", "/r/app.sock", "@/r/app.sock")
    ]
    found = [str(near) for near in nearest(there[3], there)]
    assert found[:3] == ["@/r/app.sock", "/r/APP.sock", "/r/apps.sock"]
    assert "/r/app.sock" not in found


def test_a_near_name_is_found_among_thousands() -> None:
    crowd = [Address.pathname(f"/r/worker-{n}.sock") for n in range(5000)]
    assert nearest(Address.pathname("/r/ap.sock"), [*crowd, Address.pathname("/r/app.sock")]) == [
        Address.pathname("/r/app.sock")
    ]
    assert nearest(Address.pathname("/r/worker-4999.socks"), crowd)[0] == crowd[4999]
