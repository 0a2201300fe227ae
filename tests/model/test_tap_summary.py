"""The numbers of a tap."""

from __future__ import annotations

import pytest

from afunix.model import tap_summary
from afunix.model.credentials import UNKNOWN_ID, PeerCredentials
from afunix.model.tap_summary import Spoken, Stretch, Summary, Talker, TapSummary
from afunix.model.tapped import Opened, Over, Said, SaidAll, Side, TapEvent

ANA = PeerCredentials(10, 1000, 1000)


def opened(connection: int, at_s: float, command: str = "sh", peer: PeerCredentials = ANA) -> Opened:
    return Opened(connection, at_s, peer, "ana", command)


def asked(connection: int, at_s: float, data: bytes = b"?") -> Said:
    return Said(connection, at_s, Side.CLIENT, data)


def answered(connection: int, at_s: float, data: bytes = b"!") -> Said:
    return Said(connection, at_s, Side.SERVER, data)


def summary(at_s: float, *events: TapEvent) -> Summary:
    counting = TapSummary()
    for event in events:
        counting.note(event)
    return counting.finish(at_s)


def test_of_nothing_there_is_nothing_to_tell() -> None:
    assert summary(5.0) == Summary(5.0, 0, 0, 0, Spoken(), Spoken(), None, None, None)


def test_each_sides_words_are_counted() -> None:
    found = summary(
        1.0,
        opened(1, 0.0),
        asked(1, 0.1, b"abc"),
        Said(1, 0.2, Side.CLIENT, b"", ("socket", "pipe")),
        answered(1, 0.3, b"abcdef"),
    )
    assert (found.client, found.server) == (Spoken(2, 3, 2), Spoken(1, 6, 0))


def test_connections_are_counted_by_how_they_stand() -> None:
    found = summary(
        1.0, opened(1, 0.0), opened(2, 0.0), opened(3, 0.0), Over(1, 0.5), Over(2, 0.5, "reset by the server")
    )
    assert (found.connections, found.broken, found.still_open) == (3, 1, 1)


def test_the_longest_silence_is_between_two_events_of_one_connection() -> None:
    found = summary(9.0, opened(1, 0.0), opened(2, 1.0), asked(1, 3.0), Over(1, 3.5), Over(2, 3.6))
    assert found.longest_silence == Stretch(1, 0.0, 3.0)


def test_who_is_still_open_has_been_silent_until_now() -> None:
    assert summary(9.0, opened(1, 0.0), asked(1, 3.0)).longest_silence == Stretch(1, 3.0, 6.0)


def test_a_half_close_ends_a_silence() -> None:
    found = summary(4.0, opened(1, 0.0), SaidAll(1, 3.0, Side.CLIENT), Over(1, 4.0))
    assert found.longest_silence == Stretch(1, 0.0, 3.0)


def test_an_answer_is_slow_from_the_last_word_of_the_client_to_the_first_of_the_server() -> None:
    found = summary(
        9.0, opened(1, 0.0), asked(1, 1.0), asked(1, 2.0), answered(1, 2.5), answered(1, 8.0), asked(1, 8.1)
    )
    assert found.slowest_answer == Stretch(1, 2.0, 0.5)


def test_an_answer_is_on_its_own_connection() -> None:
    found = summary(9.0, opened(1, 0.0), opened(2, 0.0), asked(1, 1.0), answered(2, 1.1), answered(1, 4.0))
    assert found.slowest_answer == Stretch(1, 1.0, 3.0)


def test_of_two_answers_the_slower_is_told() -> None:
    found = summary(
        9.0,
        opened(1, 0.0),
        asked(1, 1.0),
        answered(1, 3.0),
        asked(1, 4.0),
        answered(1, 4.5),
        answered(1, 9.0),
    )
    assert found.slowest_answer == Stretch(1, 1.0, 2.0)


def test_what_nobody_asked_is_no_answer() -> None:
    assert summary(9.0, opened(1, 0.0), answered(1, 5.0)).slowest_answer is None


def test_who_said_most_is_told_with_all_his_connections() -> None:
    other = PeerCredentials(11, 1000, 1000)
    found = summary(
        9.0,
        opened(1, 0.0),
        asked(1, 0.1, b"abc"),
        Over(1, 0.2),
        opened(2, 0.0, peer=other),
        asked(2, 0.3, b"abc"),
        opened(3, 0.0, "docker"),
        asked(3, 0.4, b"abcde"),
        answered(3, 0.5, b"x" * 100),
    )
    assert found.most_talkative == Talker("ana", 1000, "sh", None, 2, 2, 6)


def test_a_client_that_is_one_process_has_its_pid() -> None:
    found = summary(9.0, opened(1, 0.0), opened(2, 0.0), asked(1, 0.1)).most_talkative
    assert found is not None and (found.pid, found.connections) == (10, 2)


def test_somebody_unknown_has_no_uid() -> None:
    nobody = PeerCredentials(None, UNKNOWN_ID, UNKNOWN_ID)
    found = summary(9.0, opened(1, 0.0, peer=nobody), asked(1, 0.1)).most_talkative
    assert found is not None and (found.uid, found.pid) == (None, None)


def test_of_many_clients_the_loudest_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tap_summary, "MOST_TALKERS", 4)
    counting = TapSummary()
    for number in range(1, 50):
        counting.note(opened(number, 0.0, f"command-{number}"))
        counting.note(asked(number, 0.0, b"x" * (100 if number == 7 else 1)))
        counting.note(Over(number, 0.0))
        assert len(counting._clients) <= 4
    found = counting.finish(1.0).most_talkative
    assert found is not None and (found.command, found.bytes) == ("command-7", 100)


def test_words_on_a_connection_that_began_unseen_are_counted_for_nobody() -> None:
    found = summary(1.0, asked(7, 0.1), Over(7, 0.2, "reset"))
    assert (found.client.messages, found.most_talkative, found.broken) == (1, None, 0)


def test_counting_goes_on_after_a_look() -> None:
    counting = TapSummary()
    counting.note(opened(1, 0.0))
    counting.finish(5.0)
    counting.note(asked(1, 6.0))
    assert counting.finish(7.0).longest_silence == Stretch(1, 0.0, 6.0)
