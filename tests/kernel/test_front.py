"""In front and back, and whatever others do to the names meanwhile: what they want at PATH is there in the end.

The proof: the same is done to a second directory where nobody taps. After a step back PATH, and each name that PATH was
renamed to, leads to the same file as there. "Meanwhile" is between any two system calls of ours, twice. Three can be too
much: who renames PATH and binds it anew between our look and our swap, and then removes it before the next, has removed
the file that nobody can give a name again.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afunix.kernel import front as module
from afunix.kernel.front import Front, first_bases, hash_of, identity_of, second_base
from afunix.kernel.pathname import Place, hold
from afunix.kernel.sighting import PIN
from afunix.model.address import Address
from afunix.model.standing import Standing


@contextmanager
def open_front(path: str) -> Iterator[Front]:
    """For what is at `path` and at the second name now."""
    with ExitStack() as opened:
        place = hold(Address.parse(path))
        opened.callback(place.close)
        pins = [os.open(name, PIN) for name in (path, f"{path}.tapped")]
        for pin in pins:
            opened.callback(os.close, pin)
        theirs, ours = (identity_of(os.fstat(pin)) for pin in pins)
        assert theirs is not None and ours is not None
        yield Front(place, place.beside(b"s.tapped"), ours, theirs, pins[0], pins[1])


class Scene:
    """A directory with a server's socket `s`, a Front for it, and `shadow`, which is the same without us."""

    def __init__(self, opened: ExitStack, directory: str) -> None:
        self.directory = directory
        self.shadow = f"{directory}/shadow"
        os.mkdir(self.shadow)
        self.path, self.second = f"{directory}/s", f"{directory}/s.tapped"
        self._opened = opened
        self._count = 0
        self.bind(self.path)
        os.link(self.path, f"{self.shadow}/s")
        self.bind(self.second)
        self.front = opened.enter_context(open_front(self.path))

    def bind(self, path: str) -> None:
        sock = self._opened.enter_context(socket.socket(socket.AF_UNIX))
        sock.bind(path)
        sock.listen()

    # What others do, here and there

    def remove(self) -> None:
        for directory in (self.directory, self.shadow):
            if os.path.lexists(f"{directory}/s"):
                os.unlink(f"{directory}/s")

    def replace(self) -> None:
        self._bind_new()
        for directory in (self.directory, self.shadow):
            os.rename(f"{directory}/new", f"{directory}/s")

    def restart(self) -> None:
        self.remove()
        self.replace()

    def rename(self) -> None:
        for directory in (self.directory, self.shadow):
            if os.path.lexists(f"{directory}/s"):
                os.rename(f"{directory}/s", f"{directory}/moved")

    def rename_back(self) -> None:
        for directory in (self.directory, self.shadow):
            if os.path.lexists(f"{directory}/moved"):
                os.rename(f"{directory}/moved", f"{directory}/s")

    def _bind_new(self) -> None:
        self.bind(f"{self.directory}/new")
        os.link(f"{self.directory}/new", f"{self.shadow}/new")

    # What is to be seen

    def at(self, name: str, directory: str | None = None) -> tuple[int, int] | None:
        try:
            file = os.lstat(f"{directory or self.directory}/{name}")
        except FileNotFoundError:
            return None
        return file.st_dev, file.st_ino

    def assert_as_without_us(self) -> None:
        for name in ("s", "moved"):
            assert self.at(name) == self.at(name, self.shadow), name


@contextmanager
def a_scene() -> Iterator[Scene]:
    directory = tempfile.mkdtemp(prefix="af-")
    try:
        with ExitStack() as opened:
            yield Scene(opened, directory)
    finally:
        shutil.rmtree(directory)


@pytest.fixture
def scene() -> Iterator[Scene]:
    with a_scene() as scene:
        yield scene


def test_in_front_the_path_is_ours(scene: Scene) -> None:
    assert scene.front.step_in() is Standing.IN_FRONT
    assert (scene.at("s"), scene.at("s.tapped")) == (scene.front.ours, scene.front.theirs)


def test_back_everything_is_as_before(scene: Scene) -> None:
    scene.front.step_in()
    assert scene.front.step_back() is Standing.BACK
    assert scene.at("s") == scene.front.theirs
    assert sorted(os.listdir(scene.directory)) == ["s", "shadow"]


def test_a_second_step_back_changes_nothing(scene: Scene) -> None:
    scene.front.step_in()
    scene.front.step_back()
    assert scene.front.step_back() is Standing.BACK
    assert scene.at("s") == scene.front.theirs


def test_back_without_ever_having_been_in_front_removes_the_second_name(scene: Scene) -> None:
    assert scene.front.step_back() is Standing.BACK
    assert sorted(os.listdir(scene.directory)) == ["s", "shadow"]


def test_who_replaced_the_path_before_we_came_is_left_alone(scene: Scene) -> None:
    scene.replace()
    assert scene.front.step_in() is Standing.REPLACED
    scene.assert_as_without_us()


Act = Callable[[Scene], None]


@pytest.mark.parametrize(
    ("act", "standing"),
    [
        (Scene.remove, Standing.REMOVED),
        (Scene.replace, Standing.REPLACED),
        (Scene.restart, Standing.REPLACED),
        (Scene.rename, Standing.REMOVED),
    ],
)
def test_what_others_did_to_the_path_was_meant_for_the_server_s(
    scene: Scene, act: Act, standing: Standing
) -> None:
    scene.front.step_in()
    act(scene)
    assert scene.front.step_back() is standing
    scene.assert_as_without_us()
    assert not os.path.lexists(scene.second)


def test_another_one_that_came_in_front_since_keeps_its_names(scene: Scene) -> None:
    scene.front.step_in()
    scene.front.step_back()
    scene.bind(scene.second)
    with open_front(scene.path) as another:
        another.step_in()
        assert scene.front.step_back() is Standing.REPLACED
        assert another.standing() is Standing.IN_FRONT
        another.step_back()
    assert scene.at("s") == scene.front.theirs


def test_once_the_second_name_is_free_nothing_is_touched_any_more(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one comes in front the moment that ours has gone."""
    scene.front.step_in()
    unlink = os.unlink

    def unlink_and_come(*args: Any, **kwargs: Any) -> None:
        unlink(*args, **kwargs)
        monkeypatch.undo()
        scene.bind(scene.second)
        with open_front(scene.path) as another:
            another.step_in()

    monkeypatch.setattr(os, "unlink", unlink_and_come)
    assert scene.front.step_back() is Standing.BACK
    assert scene.at("s.tapped") == scene.front.theirs


def test_a_path_that_was_renamed_into_another_directory_is_found(scene: Scene) -> None:
    scene.front.step_in()
    os.mkdir(f"{scene.directory}/d")
    os.rename(scene.path, f"{scene.directory}/d/x")
    scene.front.step_back()
    assert scene.at("d/x") == scene.front.theirs
    assert not os.path.lexists(scene.second)


def test_without_the_second_name_ours_does_not_stay_at_the_path(scene: Scene) -> None:
    scene.front.step_in()
    os.unlink(scene.second)
    assert scene.front.standing() is Standing.ALONE
    scene.front.step_back()
    assert os.listdir(scene.directory) == ["shadow"]


def test_another_s_file_at_the_second_name_stays(scene: Scene) -> None:
    scene.front.step_in()
    with open(f"{scene.directory}/x", "w"):
        os.rename(f"{scene.directory}/x", scene.second)
    scene.front.step_back()
    assert sorted(os.listdir(scene.directory)) == ["s.tapped", "shadow"]


def test_a_directory_that_cannot_be_written_is_told(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    scene.front.step_in()
    monkeypatch.setattr(module, "exchange", refuse)
    with pytest.raises(OSError, match="Read-only"):
        scene.front.step_back()
    assert scene.at("s") == scene.front.ours


ACTS: tuple[Act, ...] = (Scene.remove, Scene.replace, Scene.restart, Scene.rename, Scene.rename_back)
CALLS = (
    (os, "stat"),
    (os, "fstat"),
    (os, "open"),
    (os, "unlink"),
    (os, "readlink"),
    (module, "exchange"),
    (module, "move"),
)


class Interference:
    """Before the calls of ours whose numbers are in `acts` somebody else does something."""

    def __init__(self, scene: Scene, acts: dict[int, Act]) -> None:
        self._scene = scene
        self._acts = acts
        self._calls = 0
        self._is_at_work = False

    def before(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def interfered(*args: Any, **kwargs: Any) -> Any:
            if not self._is_at_work:
                self._is_at_work = True
                try:
                    self._calls += 1
                    act = self._acts.get(self._calls)
                    if act is not None:
                        act(self._scene)
                finally:
                    self._is_at_work = False
            return call(*args, **kwargs)

        return interfered


@settings(max_examples=300)
@given(st.dictionaries(st.integers(1, 40), st.sampled_from(ACTS), max_size=2))
def test_whatever_others_do_meanwhile_they_get_what_they_want(acts: dict[int, Act]) -> None:
    with a_scene() as scene, pytest.MonkeyPatch.context() as patch:
        interference = Interference(scene, acts)
        for place, name in CALLS:
            patch.setattr(place, name, interference.before(getattr(place, name)))
        scene.front.step_in()
        scene.front.step_back()
        patch.undo()
        scene.assert_as_without_us()


@settings(max_examples=150)
@given(st.dictionaries(st.integers(1, 30), st.sampled_from(ACTS), max_size=2), st.integers(1, 30))
def test_if_we_are_killed_anywhere_the_guardian_does_the_rest(acts: dict[int, Act], killed_at: int) -> None:
    """What others do comes after the kill: both within the same microseconds is too much."""

    class Killed(BaseException):
        pass

    def die(scene: Scene) -> None:
        raise Killed

    later = {killed_at + number: act for number, act in acts.items()}
    with a_scene() as scene, pytest.MonkeyPatch.context() as patch:
        interference = Interference(scene, {**later, killed_at: die})
        for place, name in CALLS:
            patch.setattr(place, name, interference.before(getattr(place, name)))
        try:
            scene.front.step_in()
            scene.front.step_back()
        except Killed:
            scene.front.step_back()
        patch.undo()
        scene.assert_as_without_us()


@settings(max_examples=100)
@given(st.integers(1, 40), st.sampled_from(ACTS), st.integers(1, 40))
def test_without_the_second_name_nobody_else_s_file_is_removed(
    removed_at: int, act: Act, acts_at: int
) -> None:
    def remove_second(scene: Scene) -> None:
        if scene.at("s.tapped") in (scene.front.ours, scene.front.theirs):
            os.unlink(scene.second)

    with a_scene() as scene, pytest.MonkeyPatch.context() as patch:
        interference = Interference(scene, {acts_at: act, removed_at: remove_second})
        for place, name in CALLS:
            patch.setattr(place, name, interference.before(getattr(place, name)))
        scene.front.step_in()
        scene.front.step_back()
        patch.undo()
        for name in ("s", "moved"):
            there = scene.at(name, scene.shadow)
            assert scene.at(name) == there or there == scene.front.theirs, name


@pytest.mark.parametrize(("base", "second"), [(b"s", b"s.tapped"), (b"x" * 73, b"x" * 73 + b".tapped")])
def test_the_second_name_is_the_first_and_a_word(base: bytes, second: bytes) -> None:
    assert second_base(base) == second


def test_the_second_name_of_a_long_one_is_short_and_its_own() -> None:
    one, other = (second_base(b"x" * 200 + end) for end in (b"1", b"2"))
    assert len(one) <= 80 and one.endswith(b".tapped")
    assert one != other


def test_the_hash_is_the_same_in_every_process() -> None:
    assert hash_of(b"foobar") == 0xBF9CF968


def test_a_file_that_is_missing_has_no_identity() -> None:
    assert identity_of(None) is None


def test_a_place_tells_the_same_identity_as_its_open_file(scene: Scene) -> None:
    place: Place = scene.front.path
    assert identity_of(place.stat()) == identity_of(os.fstat(scene.front.pin))


def test_the_first_names_of_a_second_one_are_found(sock_dir: str) -> None:
    long = b"x" * 90
    directory = os.open(sock_dir, os.O_RDONLY)
    with open(f"{sock_dir}/{long.decode()}", "w"):
        assert first_bases(second_base(long), directory)[-1] == long
    assert first_bases(b"s.tapped", directory) == [b"s"]
    assert first_bases(b"s", directory) == first_bases(b".tapped", directory) == []
    os.close(directory)


def test_a_second_name_that_was_renamed_gets_the_server_back_to_the_path(scene: Scene) -> None:
    scene.front.step_in()
    os.rename(scene.second, f"{scene.directory}/elsewhere")
    assert scene.front.step_back() is Standing.BACK
    assert scene.at("s") == scene.front.theirs
    assert sorted(os.listdir(scene.directory)) == ["s", "shadow"]


def test_another_s_socket_at_the_second_name_does_not_keep_the_server_from_the_path(scene: Scene) -> None:
    scene.front.step_in()
    os.rename(scene.second, f"{scene.directory}/elsewhere")
    scene.bind(scene.second)
    scene.front.step_back()
    assert scene.at("s") == scene.front.theirs
    assert sorted(os.listdir(scene.directory)) == ["s", "s.tapped", "shadow"]
