"""Errors carry a sentence, a hint and an errno, are what people catch, and survive a trip to another process."""

from __future__ import annotations

import copy
import errno
import pickle

import pytest

from afunix.model import errors
from afunix.model.errors import AfunixError, BrokenStreamError, DeniedError, OutputError, errno_name

KINDS = sorted(
    (kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, AfunixError)),
    key=lambda kind: kind.__name__,
)

CAUGHT_AS: dict[type[AfunixError], tuple[type[Exception], int | None]] = {
    errors.AddressError: (ValueError, None),
    errors.AddressInUseError: (OSError, errno.EADDRINUSE),
    errors.BrokenStreamError: (ConnectionError, errno.EPIPE),
    errors.DeniedError: (PermissionError, errno.EACCES),
    errors.LineTooLongError: (ValueError, None),
    errors.MessageTooLongError: (OSError, errno.EMSGSIZE),
    errors.NoSuchSocketError: (FileNotFoundError, errno.ENOENT),
    errors.NobodyListensError: (ConnectionRefusedError, errno.ECONNREFUSED),
    errors.NotASocketError: (OSError, errno.ENOTSOCK),
    errors.OutputError: (OSError, None),
    errors.PeerMismatchError: (PermissionError, errno.EPERM),
    errors.TimedOutError: (TimeoutError, errno.ETIMEDOUT),
    errors.WrongTypeError: (OSError, errno.EPROTOTYPE),
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_says_its_sentence_its_hint_and_its_errno(kind: type[AfunixError]) -> None:
    error = kind("it broke", hint="mend it", errno=errno.EIO)
    assert (str(error), error.message, error.hint, error.errno) == (
        "it broke",
        "it broke",
        "mend it",
        errno.EIO,
    )
    assert error.args == ("it broke",)
    assert kind("it broke").hint is None


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_is_caught_as_what_people_catch_and_has_the_errno_of_its_kind(
    kind: type[AfunixError],
) -> None:
    builtin, number = CAUGHT_AS.get(kind, (AfunixError, None))
    with pytest.raises(builtin) as caught:
        raise kind("it broke")
    assert isinstance(caught.value, AfunixError)
    assert caught.value.errno == number
    assert caught.value.strerror == "it broke"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "through", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))]
)
def test_a_copy_and_a_pickle_keep_everything(kind: type[AfunixError], through: object) -> None:
    error = kind("it broke", hint="mend it", errno=errno.EIO)
    error.add_note("seen twice")
    assert callable(through)
    again = through(error)
    assert type(again) is kind
    assert (str(again), again.hint, again.errno, again.args) == (
        "it broke",
        "mend it",
        errno.EIO,
        ("it broke",),
    )
    assert again.__notes__ == ["seen twice"]


def test_what_is_counted_is_kept_by_a_copy_too() -> None:
    assert copy.copy(BrokenStreamError("x", bytes_sent=5)).bytes_sent == 5
    assert pickle.loads(pickle.dumps(OutputError("x", bytes_lost=6))).bytes_lost == 6
    assert (BrokenStreamError("x").bytes_sent, OutputError("x").bytes_lost) == (0, 0)


def test_an_errno_that_is_given_wins_over_that_of_the_kind() -> None:
    assert DeniedError("x", errno=errno.EPERM).errno == errno.EPERM


def test_every_kind_says_what_it_is_and_stands_in_the_tree_on_top() -> None:
    assert errors.__doc__
    assert [kind.__name__ for kind in KINDS if kind.__name__ not in errors.__doc__] == []
    assert all(kind.__doc__ for kind in KINDS)


@pytest.mark.parametrize(
    ("number", "name"), [(2, "ENOENT"), (errno.EPIPE, "EPIPE"), (9999, "errno 9999"), (None, "no errno")]
)
def test_an_errno_is_named_by_the_word_one_can_search_for(number: int | None, name: str) -> None:
    assert errno_name(number) == name
