"""Facts about the way to a path become the error that a person reads: its class, its words, and the next step."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from afunix.model.address import Address
from afunix.model.bind_refusal import Hindrance, bind_refusal, removal_refusal
from afunix.model.errors import AddressError, AfunixError, DeniedError, NoSuchSocketError


def refused(number: int, path: str = "/run/my app/s", **facts: Any) -> AfunixError:
    known: dict[str, Any] = {"directory": b"/run/my app", "reached": b"/run", "may_search": True, "uid": 1000}
    error = bind_refusal(Hindrance(Address.pathname(path), number, **{**known, **facts}))
    assert error is not None
    return error


@pytest.mark.parametrize(
    ("error", "kind", "why"),
    [
        (refused(errno.ENOENT), NoSuchSocketError, "the directory '/run/my app' does not exist (ENOENT)"),
        (
            refused(errno.ENOENT, reached=b"/run/my app"),
            NoSuchSocketError,
            "the directory '/run/my app' is there, and no file can be made in it (ENOENT)",
        ),
        (refused(errno.ENOTDIR), NoSuchSocketError, "'/run' is not a directory (ENOTDIR)"),
        (refused(errno.ELOOP), NoSuchSocketError, "too many symbolic links on the way (ELOOP)"),
        (
            refused(errno.EACCES),
            DeniedError,
            "the directory '/run' is not writable for uid 1000 (EACCES)",
        ),
        (
            refused(errno.EACCES, may_search=False),
            DeniedError,
            "the directory '/run' is not searchable for uid 1000 (EACCES)",
        ),
        (refused(errno.EROFS), DeniedError, "it is on a read-only file system (EROFS)"),
        (refused(errno.EPERM), DeniedError, "the directory or its file system takes no socket (EPERM)"),
    ],
)
def test_each_errno_has_its_sentence(error: AfunixError, kind: type[AfunixError], why: str) -> None:
    assert type(error) is kind
    assert str(error) == f"'/run/my app/s' cannot be made: {why}"
    assert error.hint


def test_the_directory_that_is_missing_can_be_made_by_pasting_the_hint() -> None:
    assert refused(errno.ENOENT).hint == "mkdir -p '/run/my app'"


def test_a_directory_cannot_write_to_the_terminal_through_the_hint() -> None:
    assert refused(errno.ENOENT, directory=b"/run/\x1b[2J").hint == "mkdir -p '/run/^[[2J'"


def test_a_name_that_is_too_long_is_told_with_its_length() -> None:
    error = refused(errno.ENAMETOOLONG, f"/run/{'x' * 300}")
    assert isinstance(error, AddressError)
    assert "is 300 bytes long" in str(error)


def test_what_is_not_about_the_path_is_not_explained() -> None:
    facts: dict[str, Any] = {"directory": b"/run", "reached": b"/run", "may_search": True, "uid": 0}
    assert bind_refusal(Hindrance(Address.pathname("/run/s"), errno.EMFILE, **facts)) is None


def test_a_removal_that_was_refused_names_the_file_the_user_and_the_errno() -> None:
    error = removal_refusal(Address.pathname("/tmp/s"), errno.EPERM, 1000)
    assert (type(error), error.errno) == (DeniedError, errno.EPERM)
    assert str(error) == "the socket file '/tmp/s' cannot be removed by uid 1000 (EPERM)"
    assert error.hint is not None
    assert "sticky" in error.hint
