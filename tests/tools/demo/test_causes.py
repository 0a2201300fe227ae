"""What is queued comes out in order, and tells which step sent it."""

from __future__ import annotations

from afunix.tools.demo.causes import Inbox, label


def steps(inbox: Inbox, count: int) -> list[tuple[int, str]]:
    return [(sent.step, sent.label) for sent in inbox.take(count)]


def test_one_read_gets_what_several_writes_sent() -> None:
    inbox = Inbox()
    inbox.put(1, b"one")
    inbox.put(2, b"two")
    assert steps(inbox, 6) == [(1, '"one"'), (2, '"two"')]


def test_each_of_the_reads_that_get_a_write_is_told_its_part() -> None:
    inbox = Inbox()
    inbox.put(1, b"three", descriptors=1)
    assert [steps(inbox, 2), steps(inbox, 3)] == [[(1, '"th" + 1 descriptor')], [(1, '"ree"')]]


def test_a_datagram_is_taken_whole_however_little_of_it_is_read() -> None:
    inbox = Inbox(keeps_records=True)
    inbox.put(1, b"three")
    inbox.put(2, b"four")
    assert [steps(inbox, 1), steps(inbox, 4)] == [[(1, '"three"')], [(2, '"four"')]]


def test_the_end_comes_after_the_bytes_and_is_said_once() -> None:
    inbox = Inbox()
    inbox.put(1, b"all")
    inbox.end(2)
    inbox.end(3)
    assert [steps(inbox, 3), steps(inbox, 0), steps(inbox, 0)] == [[(1, '"all"')], [(2, "end of file")], []]


def test_a_read_of_nothing_before_the_end_has_no_cause() -> None:
    inbox = Inbox()
    inbox.put(1, b"all")
    assert steps(inbox, 0) == []


def test_labels_show_few_bytes_and_count_many() -> None:
    assert label(b"a\\b\n\x1b\xff") == '"a\\\\b\\n^[\\xff"'
    assert label(bytes(1_234_567)) == "1,234,567 bytes"


def test_labels_count_the_descriptors_beside_the_bytes() -> None:
    assert label(b"F", 1) == '"F" + 1 descriptor'
    assert label(b"F", 2) == '"F" + 2 descriptors'
