"""The verdicts of ownership, and the words of a refusal."""

from __future__ import annotations

import errno
import stat

import pytest

from afunix.model.address import Address
from afunix.model.errors import AddressInUseError, NotASocketError
from afunix.model.ownership import (
    CONNECTED,
    NAME_TAKEN,
    NOTHING_THERE,
    FileKind,
    Holder,
    Sighting,
    Verdict,
    judge,
    refusal,
)

PATH = Address.pathname("/run/app.sock")
LIVE = Sighting(FileKind.SOCKET, errno.EPROTOTYPE, owner=1000)
OTHER_KINDS = [kind for kind in FileKind if kind not in (FileKind.NOTHING, FileKind.SOCKET)]


def test_nothing_is_free() -> None:
    assert judge(NOTHING_THERE) is Verdict.FREE


def test_only_a_refused_connection_to_a_socket_is_stale() -> None:
    probes = [None, CONNECTED, *errno.errorcode]
    stale = [probe for probe in probes if judge(Sighting(FileKind.SOCKET, probe)) is Verdict.STALE]
    assert stale == [errno.ECONNREFUSED]


@pytest.mark.parametrize("probe", [CONNECTED, errno.EPROTOTYPE, errno.EPERM, errno.EAGAIN])
def test_an_answer_that_only_an_owner_causes_is_live(probe: int) -> None:
    assert judge(Sighting(FileKind.SOCKET, probe)) is Verdict.LIVE


@pytest.mark.parametrize("probe", [errno.EACCES, errno.ENOMEM, errno.ENOENT, errno.ETIMEDOUT, None])
def test_an_answer_that_proves_nothing_is_unknown(probe: int | None) -> None:
    assert judge(Sighting(FileKind.SOCKET, probe)) is Verdict.UNKNOWN


@pytest.mark.parametrize("kind", OTHER_KINDS)
@pytest.mark.parametrize("probe", [None, errno.ECONNREFUSED])
def test_what_is_no_socket_is_foreign_whatever_the_probe_says(kind: FileKind, probe: int | None) -> None:
    assert judge(Sighting(kind, probe)) is Verdict.FOREIGN


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        (stat.S_IFSOCK | 0o755, FileKind.SOCKET),
        (stat.S_IFREG | 0o644, FileKind.REGULAR),
        (stat.S_IFDIR, FileKind.DIRECTORY),
        (stat.S_IFLNK | 0o777, FileKind.SYMLINK),
        (stat.S_IFIFO, FileKind.FIFO),
        (stat.S_IFCHR, FileKind.CHARACTER_DEVICE),
        (stat.S_IFBLK, FileKind.BLOCK_DEVICE),
        (0o600, FileKind.OTHER),
    ],
)
def test_a_kind_is_read_from_the_mode(mode: int, kind: FileKind) -> None:
    assert FileKind.of(mode) is kind


def test_a_refusal_names_the_kind_of_file_that_is_there() -> None:
    error = refusal(PATH, Sighting(FileKind.DIRECTORY))
    assert isinstance(error, NotASocketError)
    assert str(error) == (
        "'/run/app.sock' is a directory, and a socket was to be made there; it is left as it is (EADDRINUSE)"
    )
    assert error.hint == "choose another path, or move that file away"


def test_a_refusal_names_the_process_that_holds_the_path() -> None:
    error = refusal(PATH, LIVE, [Holder(412, "nginx", 0)])
    assert isinstance(error, AddressInUseError)
    assert error.errno == errno.EADDRINUSE
    assert str(error) == "'/run/app.sock' is in use: pid 412 (nginx) holds it (EADDRINUSE)"
    assert error.hint == "stop that one, or choose another address"


def test_of_many_holders_a_few_are_named() -> None:
    holders = [Holder(pid, "nginx", 0) for pid in range(1, 8)]
    said = "pid 1 (nginx), pid 2 (nginx), pid 3 (nginx) and 4 more hold it"
    assert said in str(refusal(PATH, LIVE, holders))
    assert "pid 1 (nginx) and pid 2 (nginx) hold it" in str(refusal(PATH, LIVE, holders[:2]))


def test_where_no_process_can_be_seen_the_owner_of_the_file_is_named() -> None:
    assert "it belongs to uid 1000 (ana) (EADDRINUSE)" in str(refusal(PATH, LIVE, [], "ana"))
    assert "it belongs to uid 1000 (EADDRINUSE)" in str(refusal(PATH, LIVE))


def test_a_refusal_of_the_unknown_says_why_it_is_unknown_and_whose_it_is() -> None:
    error = refusal(PATH, Sighting(FileKind.SOCKET, errno.EACCES, owner=0), [], "root")
    assert isinstance(error, AddressInUseError)
    assert str(error) == (
        "'/run/app.sock' may be in use: connecting to it, to find out, failed (EACCES);"
        " it belongs to uid 0 (root)"
    )


def test_a_taken_abstract_name_is_live() -> None:
    assert judge(NAME_TAKEN) is Verdict.LIVE
    error = refusal(Address.abstract("app"), NAME_TAKEN)
    assert str(error) == "'@app' is in use: its process is not visible from here (EADDRINUSE)"


def test_a_process_cannot_write_to_the_terminal_by_its_name() -> None:
    assert Holder(7, "\x1b[2J\n", 0).describe() == "pid 7 (^[[2J^J)"
    assert Holder(7, None, None).describe() == "pid 7"
