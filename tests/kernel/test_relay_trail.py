"""What a relay writes on its connections, and by what it knows one that has come through it already."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from afunix.kernel.channel import Channel
from afunix.kernel.relay_trail import RelayTrail
from afunix.model.address import Address, AddressKind
from afunix.model.errors import AddressError
from afunix.model.events import Bound, Event

SERVER = Address.pathname("/run/app.sock")


@dataclass
class Place:
    """Where relays listen."""

    path: str
    opened: ExitStack
    listener: socket.socket

    def dial(self, trail: RelayTrail | None, near: Channel) -> Channel:
        """A connection of a relay for its client `near`, as the next relay accepts it; without a trail, of anybody."""
        client = self.opened.enter_context(socket.socket(socket.AF_UNIX))
        if trail is not None:
            trail.name(client, near)
        client.connect(self.path)
        accepted, name = self.listener.accept()
        channel = Channel(accepted, 1)
        channel.names = Address.pathname(self.path), name
        self.opened.callback(channel.close)
        return channel


@pytest.fixture
def place(sock_dir: str) -> Iterator[Place]:
    with ExitStack() as opened:
        listener = opened.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(f"{sock_dir}/s")
        listener.listen()
        yield Place(f"{sock_dir}/s", opened, listener)


@pytest.fixture
def client(place: Place) -> Channel:
    return place.dial(None, Channel.__new__(Channel))


def go_through(place: Place, near: Channel, *trails: RelayTrail) -> Channel:
    for trail in trails:
        near = place.dial(trail, near)
    return near


def test_a_client_that_is_no_relay_is_new(client: Channel) -> None:
    RelayTrail().must_be_new(client, SERVER, ())


def test_other_relays_are_no_circle(place: Place, client: Channel) -> None:
    near = go_through(place, client, RelayTrail(), RelayTrail())
    RelayTrail().must_be_new(near, SERVER, ())


@pytest.mark.parametrize("others", [1, 2, 7])
def test_who_has_come_through_this_relay_before_is_in_a_circle(
    place: Place, client: Channel, others: int
) -> None:
    mine = RelayTrail()
    near = go_through(place, client, mine, *(RelayTrail() for _ in range(others)))
    with pytest.raises(AddressError, match="leads back to this relay, through another one: a circle"):
        mine.must_be_new(near, SERVER, ())


def test_who_comes_straight_from_this_relay_is_in_no_circle_of_others(place: Place, client: Channel) -> None:
    mine = RelayTrail()
    near = go_through(place, client, mine)
    with pytest.raises(AddressError, match=r"leads back to this relay$"):
        mine.must_be_new(near, SERVER, ())


def test_who_has_come_through_as_many_relays_as_a_name_holds_goes_no_further(
    place: Place, client: Channel
) -> None:
    near = go_through(place, client, *(RelayTrail() for _ in range(7)))
    RelayTrail().must_be_new(near, SERVER, ())
    near = go_through(place, near, RelayTrail())
    with pytest.raises(AddressError, match="came through 8 relays already, which is taken for a circle"):
        RelayTrail().must_be_new(near, SERVER, ())


def sent_on(trail: RelayTrail, sender: Address) -> Address:
    """Who sends what `trail` sends on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        assert trail.name_from(sock, sender)
        return Address.from_kernel(sock.getsockname())


@pytest.mark.parametrize("first", [Address.pathname("/run/c"), Address(AddressKind.UNNAMED)])
def test_datagrams_have_their_trail_in_the_name_of_who_sends_them(first: Address) -> None:
    mine, other = RelayTrail(), RelayTrail()
    mine.must_be_new_from(first, SERVER)
    once = sent_on(mine, first)
    with pytest.raises(AddressError, match=r"leads back to this relay$"):
        mine.must_be_new_from(once, SERVER)
    other.must_be_new_from(once, SERVER)
    with pytest.raises(AddressError, match="through another one: a circle"):
        mine.must_be_new_from(sent_on(other, once), SERVER)


def test_two_connections_have_two_names(place: Place, client: Channel) -> None:
    mine = RelayTrail()
    one, other = place.dial(mine, client), place.dial(mine, client)
    assert one.socket.getpeername() != other.socket.getpeername()


@pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::ffff:127.0.0.1")]
)
def test_what_comes_back_from_beyond_tcp_is_known_by_who_connected(
    place: Place, family: int, host: str
) -> None:
    mine, beyond = RelayTrail(), RelayTrail()
    with socket.socket(family) as listener:
        listener.bind((host, 0))
        listener.listen()
        with socket.create_connection(("127.0.0.1", listener.getsockname()[1])) as far:
            accepted = Channel(listener.accept()[0], 1)
            place.opened.callback(accepted.close)
            back = place.dial(beyond, accepted)
            mine.must_be_new(back, SERVER, ())
            with pytest.raises(AddressError, match="circle"):
                mine.must_be_new(back, SERVER, [far])


def test_broken_tcp_connections_are_no_circle(place: Place) -> None:
    with socket.socket() as one, socket.socket() as other:
        back = place.dial(RelayTrail(), Channel(one, 1))
        RelayTrail().must_be_new(back, SERVER, [other])


def test_a_name_that_cannot_be_had_is_gone_without(client: Channel, sock_dir: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{sock_dir}/named")
        RelayTrail().name(sock, client)
        assert sock.getsockname() == f"{sock_dir}/named"


def test_an_observer_is_told_of_the_name(client: Channel) -> None:
    events: list[Event] = []
    with socket.socket(socket.AF_UNIX) as sock:
        RelayTrail().name(sock, client, events.append)
        (event,) = events
        assert isinstance(event, Bound)
        assert (event.fd, event.address) == (sock.fileno(), Address.from_kernel(sock.getsockname()))
    assert event.address.kind is AddressKind.ABSTRACT
