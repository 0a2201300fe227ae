"""Events in the standard library's logging: one record each, at debug level, in words that nobody can forge."""

from __future__ import annotations

import errno
import logging
import os

import pytest
from tests.streams.event_loops import run_in
from tests.streams.visitors import Visitor, echo, until

import afunix
from afunix.model.address import Address
from afunix.model.events import Bound, Closed
from afunix.streams import attending
from afunix.streams.log_observer import LOGGER, default_observer, log_observer, warn_of_shortage


def test_an_event_is_one_debug_record(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, LOGGER)
    log_observer()(Closed(7, 3, 10, 20))
    (record,) = caplog.records
    assert (record.name, record.levelno) == (LOGGER, logging.DEBUG)
    assert record.getMessage() == "Closed(fd=7, connection=3, bytes_received=10, bytes_sent=20)"


def test_a_name_cannot_forge_a_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, LOGGER)
    log_observer()(Bound(7, Address.pathname("/run/a\nERROR root: forged\x1b[31m")))
    assert all(character.isprintable() for character in caplog.records[0].getMessage())


def test_another_logger_and_level_can_be_chosen(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "of.mine")
    log_observer(logging.getLogger("of.mine"), logging.INFO)(Closed(7))
    assert [(record.name, record.levelname) for record in caplog.records] == [("of.mine", "INFO")]


def test_a_record_below_the_level_is_not_put_into_words(caplog: pytest.LogCaptureFixture) -> None:
    class Loud(Closed):
        def __repr__(self) -> str:
            raise AssertionError("nobody asked")

    caplog.set_level(logging.INFO, LOGGER)
    log_observer()(Loud(7))


def test_there_is_no_observer_unless_the_logger_listens(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    assert default_observer() is None
    caplog.set_level(logging.DEBUG, LOGGER)
    assert default_observer() is not None


def test_a_shortage_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    warn_of_shortage(OSError(errno.EMFILE, os.strerror(errno.EMFILE)))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "no client is accepted for now, they wait in the backlog: Too many open files (EMFILE)"
    )


async def serve_one(path: str) -> None:
    async with afunix.serve(echo, path) as server:
        with Visitor(path) as visitor:
            assert await visitor.ask(b"hello") == b"hello"
        await until(lambda: not server.stats.live)


def test_a_server_that_nobody_observes_logs_the_life_of_a_client(
    sock_dir: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, LOGGER)
    run_in("asyncio", serve_one(f"{sock_dir}/s"))
    words = [record.getMessage().partition("(")[0] for record in caplog.records if record.name == LOGGER]
    assert words == [
        *("Created", "Bound", "Listening", "Accepted", "BytesRead", "BytesWritten", "BytesRead", "Closed"),
        *("HalfClosed", "Unlinked", "Closed"),
    ]


def test_no_event_is_built_while_the_logger_is_off(
    sock_dir: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from afunix.kernel import listener, traced_channel
    from afunix.streams import acceptor, waiting

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("an event was built")

    caplog.set_level(logging.INFO, LOGGER)
    for module in (listener, traced_channel, acceptor, attending, waiting):
        for name in set(vars(module)) & set(afunix.events.__all__) - {"Observer", "Direction", "Event"}:
            monkeypatch.setattr(module, name, refuse)
    run_in("asyncio", serve_one(f"{sock_dir}/s"))
    assert not [record for record in caplog.records if record.name == LOGGER]
