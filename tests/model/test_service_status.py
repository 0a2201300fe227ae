"""The line that `systemctl status` shows."""

from __future__ import annotations

from afunix.model.service_status import Crowd, describe_listening, describe_stopping


def test_tells_where_clients_find_it_and_who_is_there() -> None:
    said = describe_listening(["/run/a.sock", "@b"], Crowd(1, 120))
    assert said == "listening on '/run/a.sock', '@b'; 1 client connected, 120 accepted so far"


def test_nobody_is_ever_connected_to_a_datagram_socket() -> None:
    assert describe_listening(["/run/a.sock"]) == "listening on '/run/a.sock'"


def test_tells_what_stops_it_and_who_is_still_there() -> None:
    assert describe_stopping("SIGTERM", Crowd(3, 9)) == (
        "stopping (SIGTERM); 3 clients connected, 9 accepted so far"
    )


def test_name_of_a_socket_says_nothing_else_to_the_manager() -> None:
    said = describe_listening(["/run/a\nMAINPID=1", "/run/\udcff"])
    assert said == r"listening on '/run/a^JMAINPID=1', '/run/\xff'"


def test_many_sockets_are_counted() -> None:
    assert describe_listening([*"abcdef"]) == "listening on 'a', 'b', 'c' and 3 others"


def test_line_is_within_what_a_manager_reads() -> None:
    assert len(describe_listening(["ä" * 5000]).encode()) < 4000
