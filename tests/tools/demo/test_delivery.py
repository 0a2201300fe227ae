"""Files in, digests out: alone or shared, and paths that cannot be sent."""

from __future__ import annotations

import hashlib
import os

import pytest

from afunix.formats.jsonl import render_piece
from afunix.formats.label import Sender
from afunix.model.errors import AfunixError
from afunix.model.framing import PieceEnd
from afunix.tools.demo.delivery import Outlet, open_files


def written(folder: str, name: str, data: bytes) -> str:
    path = f"{folder}/{name}"
    with open(path, "wb") as file:
        file.write(data)
    return path


def piece(pid: int, data: bytes, end: PieceEnd) -> bytes:
    return render_piece(Sender(1, pid, 0, 0, None, None), data, end, 0.0)


def test_bytes_of_one_client_are_compared_as_they_come(sock_dir: str) -> None:
    path = written(sock_dir, "a", b"\0\xff\n")
    outlet = Outlet(is_shared=False)
    for part in (b"\0", b"\xff\n", b""):
        outlet.take(part)
    with open_files([path]) as (file,):
        delivery = outlet.deliver(path, file, 7)
    assert delivery.is_same
    assert (delivery.came_bytes, delivery.came_sha256) == (3, hashlib.sha256(b"\0\xff\n").hexdigest())


def test_pieces_of_several_clients_are_told_apart_however_they_are_cut(sock_dir: str) -> None:
    paths = [written(sock_dir, "a", b"one\ntwo"), written(sock_dir, "b", b"\xfe\n")]
    stream = (
        piece(7, b"one", PieceEnd.NEWLINE)
        + piece(8, b"\xfe", PieceEnd.NEWLINE)
        + piece(7, b"two", PieceEnd.EOF)
    )
    outlet = Outlet(is_shared=True)
    for at in range(0, len(stream), 7):
        outlet.take(stream[at : at + 7])
    with open_files(paths) as files:
        assert [outlet.deliver(*sent).is_same for sent in zip(paths, files, (7, 8), strict=True)] == [
            True,
            True,
        ]


@pytest.mark.parametrize("came", [b"", b"ab", b"abd", b"abcd"])
def test_other_bytes_are_different(sock_dir: str, came: bytes) -> None:
    path = written(sock_dir, "a", b"abc")
    outlet = Outlet(is_shared=False)
    outlet.take(came)
    with open_files([path]) as (file,):
        assert not outlet.deliver(path, file, 7).is_same


def test_nothing_sent_and_nothing_come_is_the_same(sock_dir: str) -> None:
    path = written(sock_dir, "a", b"")
    with open_files([path]) as (file,):
        assert Outlet(is_shared=True).deliver(path, file, 7).is_same


def test_what_cannot_be_read_twice_is_refused_without_waiting(sock_dir: str) -> None:
    os.mkfifo(f"{sock_dir}/fifo")
    for path in (f"{sock_dir}/fifo", "/dev/null", sock_dir):
        with pytest.raises(AfunixError, match="is no regular file") as refused, open_files([path]):
            pass
        assert refused.value.hint == "write it to a file first"


def test_missing_file_is_an_error_of_the_system_and_leaves_nothing_open(sock_dir: str) -> None:
    with pytest.raises(FileNotFoundError), open_files([written(sock_dir, "a", b""), f"{sock_dir}/none"]):
        pass
