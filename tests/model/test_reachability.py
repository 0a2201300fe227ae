"""Facts become findings: in the order of connecting, in the words of `connect`, for every fact there can be."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reachable import (
    ADDRESS,
    ANA,
    FILE,
    OPEN_DIRECTORY,
    ROOT,
    ROOT_STEP,
    RUN_STEP,
    ending,
    entry,
    facts,
    first,
)

from afunix.model.address import Address
from afunix.model.errors import (
    AddressError,
    AfunixError,
    DeniedError,
    NobodyListensError,
    NoSuchSocketError,
    NotASocketError,
    TimedOutError,
    WrongTypeError,
)
from afunix.model.escaping import escape
from afunix.model.ownership import FileKind
from afunix.model.permission import Person, Rights
from afunix.model.reachability import Code, Facts, Report, Severity, judge
from afunix.model.socket_table import Owner, Shutdown, SocketEntry, TableState
from afunix.model.surroundings import Answer, Bound, Component, Elsewhere, Mount


@pytest.mark.parametrize(
    ("given", "code", "error", "number"),
    [
        (ending(errno.ENOENT), Code.MISSING, NoSuchSocketError, errno.ENOENT),
        (ending(errno.ENOENT, b"/run", is_final=False), Code.MISSING_PARENT, NoSuchSocketError, errno.ENOENT),
        (ending(errno.ELOOP), Code.LINK_LOOP, NoSuchSocketError, errno.ELOOP),
        (ending(errno.ENAMETOOLONG), Code.TOO_LONG, AddressError, errno.ENAMETOOLONG),
        (ending(errno.EACCES), Code.DENIED_OTHERWISE, DeniedError, errno.EACCES),
        (ending(errno.EIO), Code.REFUSED, AfunixError, errno.EIO),
        (
            facts(Component(b"/run/app.sock", FileKind.REGULAR, Rights(0o644, 0, 0))),
            Code.NOT_A_DIRECTORY,
            NoSuchSocketError,
            errno.ENOTDIR,
        ),
        (facts(replace(FILE, kind=FileKind.FIFO)), Code.NOT_A_SOCKET, NotASocketError, errno.ECONNREFUSED),
        (
            facts(replace(FILE, kind=FileKind.DIRECTORY)),
            Code.IS_A_DIRECTORY,
            NotASocketError,
            errno.ECONNREFUSED,
        ),
        (facts(may_write=False), Code.DENIED_OTHERWISE, DeniedError, errno.EACCES),
        (facts(probe=errno.ECONNREFUSED), Code.STALE, NobodyListensError, errno.ECONNREFUSED),
        (entry(state=TableState.UNCONNECTED), Code.NOT_LISTENING, NobodyListensError, errno.ECONNREFUSED),
        (entry(shutdown=Shutdown.RECEIVING), Code.NOT_LISTENING, NobodyListensError, errno.ECONNREFUSED),
        (facts(wanted_type="dgram"), Code.WRONG_TYPE, WrongTypeError, errno.EPROTOTYPE),
        (facts(wanted_type="dgram", bound=()), Code.WRONG_TYPE, WrongTypeError, errno.EPROTOTYPE),
        (facts(wanted_type="stream", bound=(), probe=0), Code.WRONG_TYPE, WrongTypeError, errno.EPROTOTYPE),
        (facts(bound=(), probe=errno.EPERM), Code.HAS_ITS_PEER, DeniedError, errno.EPERM),
        (entry(queued=6, backlog=5), Code.BACKLOG_FULL, TimedOutError, errno.EAGAIN),
        (
            facts(answer=Answer(errno.EACCES, "stream", 0.001)),
            Code.REFUSED,
            DeniedError,
            errno.EACCES,
        ),
        (facts(name_error=("too long", "shorten it")), Code.TOO_LONG, AddressError, errno.ENAMETOOLONG),
        (Facts(Address.abstract("x"), ROOT), Code.MISSING, NobodyListensError, errno.ECONNREFUSED),
    ],
)
def test_each_problem_has_its_code_and_connects_error(
    given: Facts, code: Code, error: type[AfunixError], number: int
) -> None:
    found = first(given)
    assert (found.code, found.severity, found.error, found.errno) == (code, Severity.PROBLEM, error, number)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (facts(), Code.LIVE),
        (entry(queued=5, backlog=5), Code.LIVE),
        (entry(queued=None, backlog=None), Code.LIVE),
        (entry(type="dgram", state=TableState.UNCONNECTED), Code.LIVE),
        (facts(bound=()), Code.LIVE_UNSEEN),
        (facts(bound=(), probe=0), Code.LIVE_UNSEEN),
        (facts(answer=Answer(0, "stream", 0.001, 1, 0, 0)), Code.ANSWERED),
        (facts(bound=(), probe=errno.EACCES), Code.UNSEEN),
    ],
)
def test_what_is_in_order_is_no_problem(given: Facts, code: Code) -> None:
    assert first(given).code is code
    assert all(found.severity is not Severity.PROBLEM for found in judge(given))


def test_the_second_problem_is_what_comes_after_the_first_is_mended() -> None:
    closed = replace(RUN_STEP, rights=Rights(0o700, 0, 0, is_directory=True))
    secret = replace(FILE, rights=Rights(0o600, 0, 0))
    given = replace(facts(probe=errno.ECONNREFUSED), person=ANA, way=(ROOT_STEP, closed, secret))
    assert [found.code for found in judge(given)] == [Code.DENIED_SEARCH, Code.DENIED_WRITE, Code.STALE]


def test_a_directory_that_is_passed_twice_is_told_once() -> None:
    closed = replace(ROOT_STEP, rights=Rights(0o700, 0, 0, is_directory=True))
    given = replace(facts(), person=ANA, way=(closed, RUN_STEP, closed, RUN_STEP, FILE))
    assert [found.code for found in judge(given)] == [Code.DENIED_SEARCH, Code.LIVE]


def test_a_directory_in_the_place_of_the_socket_is_told_although_it_may_not_be_written_to() -> None:
    given = replace(facts(replace(FILE, kind=FileKind.DIRECTORY, rights=OPEN_DIRECTORY)), person=ANA)
    (found,) = judge(given)
    assert (found.code, found.error, found.errno) == (Code.IS_A_DIRECTORY, DeniedError, errno.EACCES)
    assert found.what == "'/run/app.sock' is a directory, and a socket was expected (EACCES)"


@pytest.mark.parametrize(
    ("changes", "why", "command"),
    [
        ({"is_empty": True}, "it is empty: a container engine", "rmdir /run/app.sock"),
        ({"is_mount_point": True, "is_empty": True}, "it is mounted there: a container engine", None),
        ({"is_empty": False}, None, None),
    ],
)
def test_the_trap_of_a_mount_that_made_a_directory(
    changes: dict[str, bool], why: str | None, command: str | None
) -> None:
    found = first(facts(replace(FILE, kind=FileKind.DIRECTORY, **changes)))  # type: ignore[arg-type]
    assert (found.why or "").startswith(why or "")
    assert found.command == command


def test_who_may_not_look_for_somebody_else_says_so() -> None:
    given = replace(ending(errno.EACCES), person=replace(ANA, is_me=False))
    assert first(given).code is Code.UNSEEN
    assert Report(given, judge(given)).is_certain is False


def test_root_who_may_not_look_into_a_process_is_not_told_to_be_root() -> None:
    nobody_there = Facts(Address.abstract("x"), ROOT, unseen_processes=2)
    assert "only root sees" in (first(nobody_there).why or "")
    assert first(replace(nobody_there, looks_as_root=True)).why == (
        "2 processes may not be looked into even by root, and may have it in another network namespace"
    )


@pytest.mark.parametrize(
    ("number", "kind", "code"),
    [
        (errno.EROFS, FileKind.REGULAR, Code.NOT_A_SOCKET),
        (errno.EROFS, FileKind.DIRECTORY, Code.IS_A_DIRECTORY),
        (errno.EPERM, FileKind.DIRECTORY, Code.IS_A_DIRECTORY),
    ],
)
def test_what_nobody_may_write_to_is_refused_for_that_before_its_mode_is_asked(
    number: int, kind: FileKind, code: Code
) -> None:
    file = replace(FILE, kind=kind, rights=Rights(0, 0, 0), is_empty=True)
    found = first(replace(facts(file, probe=number, bound=()), person=ANA))
    assert (found.code, found.errno, found.error, found.command) == (code, number, NotASocketError, None)
    assert found.why is not None
    assert "the kernel says" in found.why


def test_the_kernels_answer_goes_before_the_modes_for_ourselves() -> None:
    closed = replace(FILE, rights=Rights(0o077, 65534, 65534, knows_uid=False))
    nobody = Person(65534, 65534)
    assert (
        first(replace(facts(replace(FILE, rights=Rights(0, 1, 1)), may_write=True), person=ANA)).code
        is Code.LIVE
    )
    assert first(replace(facts(closed, may_write=True), person=nobody)).code is Code.LIVE
    assert first(replace(facts(closed), person=replace(nobody, is_me=False))).code is Code.LIVE
    shut = replace(RUN_STEP, may_search=False)
    assert first(facts(way=(ROOT_STEP, shut, FILE))).code is Code.DENIED_OTHERWISE


def test_a_dangling_link_is_named_where_it_stands() -> None:
    link = Component(b"/run", FileKind.SYMLINK, Rights(0o777, 0, 0), target=b"gone")
    missing = Component(b"/gone", error=errno.ENOENT, behind=b"/run")
    found = first(facts(way=(ROOT_STEP, link, ROOT_STEP, missing), probe=None, bound=()))
    assert found.code is Code.DANGLING_LINK
    assert found.what == (
        "'/run/app.sock' does not exist: '/run' is a symbolic link to 'gone', which does not exist (ENOENT)"
    )


def test_somebody_elses_link_in_a_sticky_directory_is_not_followed() -> None:
    sticky = replace(RUN_STEP, rights=Rights(0o1777, 0, 0, is_directory=True))
    link = Component(b"/run/l", FileKind.SYMLINK, Rights(0o777, 5, 5), target=b"app.sock", is_final=True)
    given = replace(facts(protects_links=True), person=ANA, way=(ROOT_STEP, sticky, link, sticky, FILE))
    found = first(given)
    assert (found.code, found.command) == (Code.DENIED_LINK, "afunix connect /run/app.sock")
    assert first(replace(given, protects_links=False)).code is Code.LIVE
    assert first(replace(given, person=Person(5, 5))).code is Code.LIVE


def test_those_that_could_not_be_asked_are_counted() -> None:
    why = first(Facts(Address.abstract("x"), ANA, unseen_processes=1)).why
    assert why is not None
    assert why.startswith("1 process may not be looked into: only root sees")


# Total

numbers = st.sampled_from([0, *errno.errorcode])
names = st.binary(min_size=1, max_size=12).filter(lambda raw: b"\0" not in raw)
modes = st.integers(0, 0o7777)
all_rights = st.builds(Rights, modes, st.integers(0, 3), st.integers(0, 3), is_directory=st.booleans())
components = st.builds(
    Component,
    names,
    st.sampled_from(FileKind),
    st.none() | all_rights,
    target=st.none() | names,
    is_final=st.booleans(),
    error=numbers,
    mount=st.none() | st.builds(Mount, names, is_read_only=st.booleans()),
    is_mount_point=st.booleans(),
    is_empty=st.none() | st.booleans(),
)
owners = st.builds(Owner, st.integers(1, 9), st.integers(0, 9), st.none() | st.text(max_size=5))
counts = st.none() | st.integers(0, 3)
types = st.sampled_from(["stream", "dgram", "seqpacket"])
entries = st.builds(
    SocketEntry,
    st.integers(1, 9),
    types,
    st.sampled_from(TableState),
    st.just(ADDRESS),
    queued=counts,
    backlog=counts,
    shutdown=st.none() | st.sampled_from(Shutdown),
    uid=st.none() | st.integers(0, 3),
)
bounds = st.builds(
    Bound,
    entries,
    st.lists(owners, max_size=3).map(tuple),
    st.lists(owners, max_size=3).map(tuple),
    st.frozensets(st.integers(1, 9), max_size=2),
)
elsewheres = st.lists(
    st.builds(
        Elsewhere,
        st.none() | owners,
        st.none() | st.sampled_from(TableState),
        st.none() | types,
        st.none() | names,
        st.none() | st.integers(1, 9),
    ),
    max_size=2,
).map(tuple)
addresses = st.one_of(
    names.map(Address.pathname), names.map(Address.abstract), st.just(Address.pathname(b"/" + b"x" * 200))
)
answers = st.builds(
    Answer, numbers, types, st.floats(0, 1), counts, counts, counts, st.none() | st.text(max_size=5)
)
all_facts = st.builds(
    Facts,
    addresses,
    st.builds(
        Person,
        st.integers(0, 3),
        st.integers(0, 3),
        name=st.none() | st.text(max_size=5),
        is_me=st.booleans(),
    ),
    wanted_type=st.none() | types,
    way=st.lists(components, max_size=4).map(tuple),
    probe=st.none() | numbers,
    bound=st.lists(bounds, max_size=2).map(tuple),
    neighbours=st.lists(addresses, max_size=2).map(tuple),
    other_mounts=elsewheres,
    other_networks=elsewheres,
    removed=elsewheres,
    tapped=st.none() | st.just(b"/run/app.sock.tapped"),
    protects_links=st.booleans(),
    may_write=st.none() | st.booleans(),
    unseen_processes=st.integers(0, 2),
    answer=st.none() | answers,
)


@given(all_facts)
def test_whatever_the_facts_are_there_is_a_judgement_that_can_be_shown(given: Facts) -> None:
    found = judge(given)
    assert found
    for one in found:
        assert (one.error is None) == (one.severity is not Severity.PROBLEM)
        assert (one.errno is None) == (one.severity is not Severity.PROBLEM)
        for text in (one.what, one.why, one.hint, one.command):
            assert text is None or escape(text) == text


@given(all_facts)
def test_problems_come_first(given: Facts) -> None:
    severities = [found.severity for found in judge(given)]
    is_problem = [severity is Severity.PROBLEM for severity in severities]
    assert is_problem == sorted(is_problem, reverse=True)
