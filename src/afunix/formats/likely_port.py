"""Which TCP port stands for what is likely spoken on a Unix socket: programs that decode TCP go by port numbers.

A guess from names that are in use, and only for display; who knows better says so (`--port`). Pure.
"""

from __future__ import annotations

UNKNOWN_PORT = 10101
"""For which Wireshark has no decoder by number; it then looks at the bytes themselves."""

_PORTS = {
    "pgsql": 5432,
    "postgres": 5432,
    "pgbouncer": 5432,
    "redis": 6379,
    "valkey": 6379,
    "mysql": 3306,
    "mariadb": 3306,
    "memcached": 11211,
    "rabbitmq": 5672,
    "mosquitto": 1883,
    "slapd": 389,
    "ldapi": 389,
    "rpcbind": 111,
    "agentx": 705,
    "gearman": 4730,
    ".x11-unix": 6000,
    "lmtp": 25,
    "smtp": 25,
    "cups": 631,
    "docker": 80,
    "podman": 80,
    "containerd": 80,
    "snapd": 80,
    "lxd": 80,
    "incus": 80,
    "gunicorn": 80,
    "uvicorn": 80,
    "hypercorn": 80,
    "unicorn": 80,
    "puma": 80,
    "nginx": 80,
    "caddy": 80,
    "haproxy": 80,
    "firecracker": 80,
    "http": 80,
}
"""A part of the path, in lower case, to the port; the first that fits. Wireshark 4 has a decoder for each."""


def likely_port(path: str) -> int:
    """The port for a socket at `path`: by its own name if that tells, else by its directories' names."""
    lowered = path.lower()
    for name in (lowered.rpartition("/")[2], lowered):
        for part, port in _PORTS.items():
            if part in name:
                return port
    return UNKNOWN_PORT
