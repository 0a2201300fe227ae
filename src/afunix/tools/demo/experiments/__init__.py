"""The experiments by name, in an order for somebody who learns: one file each.

`EXPERIMENTS[name]` is an `Experiment`; `tools.demo.experiment.perform` makes it.
"""

from __future__ import annotations

from ..experiment import Experiment
from . import (
    abstract,
    accept_without_listen,
    connect_before_accept,
    connect_before_listen,
    credentials,
    full_backlog,
    half_close,
    pass_a_descriptor,
    socketpair,
    stale_file,
    stream_vs_datagram,
    two_clients,
    unix_vs_internet,
)

EXPERIMENTS: dict[str, Experiment] = {
    module.EXPERIMENT.name: module.EXPERIMENT
    for module in (
        connect_before_listen,
        connect_before_accept,
        accept_without_listen,
        two_clients,
        full_backlog,
        half_close,
        stale_file,
        stream_vs_datagram,
        unix_vs_internet,
        socketpair,
        abstract,
        credentials,
        pass_a_descriptor,
    )
}
"""Name to experiment: connecting first, then how connections end, then what is particular to Unix sockets."""
