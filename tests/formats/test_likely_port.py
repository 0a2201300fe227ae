"""Which port stands for a socket: by its own name first, then by where it is."""

from __future__ import annotations

import pytest

from afunix.formats.likely_port import UNKNOWN_PORT, likely_port


@pytest.mark.parametrize(
    ("path", "port"),
    [
        ("/run/postgresql/.s.PGSQL.5433", 5432),
        ("/run/redis/redis-server.sock", 6379),
        ("/var/run/docker.sock", 80),
        ("/run/user/1000/podman/podman.sock", 80),
        ("/run/gunicorn/app.sock", 80),
        ("/run/mysqld/mysqld.sock", 3306),
        ("/run/mysqld/mysqlx.sock", 3306),
        ("@/tmp/.X11-unix/X0", 6000),
        ("/run/app.sock", UNKNOWN_PORT),
        ("", UNKNOWN_PORT),
    ],
)
def test_name_tells_the_port(path: str, port: int) -> None:
    assert likely_port(path) == port


def test_own_name_counts_more_than_the_directory() -> None:
    assert likely_port("/srv/postgres/redis.sock") == 6379
