"""Words that findings share."""

from __future__ import annotations

import errno
from dataclasses import replace

from tests.reachable import (
    LISTENER,
    ending,
    facts,
    first,
)

from afunix.model.address import Address
from afunix.model.permission import KnownNames
from afunix.model.socket_table import Owner


def test_many_processes_are_counted_each_once() -> None:
    owners = tuple(Owner(pid, fd, "worker") for pid in range(1, 6) for fd in (3, 4))
    assert first(facts(bound=(replace(LISTENER, owners=owners),))).what == (
        "'/run/app.sock' is live: pid 1 (worker), pid 2 (worker), pid 3 (worker) and 2 more listen"
        " (stream; 0 in its backlog of 5)"
    )


def test_without_a_visible_process_its_user_is_told() -> None:
    found = first(replace(facts(bound=(replace(LISTENER, owners=()),)), known=KnownNames({0: "root"})))
    assert "its process is not visible from here" in found.what
    assert found.why == "it was made by uid 0 (root)"


def test_the_waiting_command_keeps_the_type_that_is_wanted() -> None:
    given = replace(ending(errno.ENOENT), wanted_type="dgram", address=Address.pathname("/run/a b"))
    assert first(given).command == "afunix check --wait 10s --type dgram '/run/a b'"
