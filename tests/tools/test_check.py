"""`check` as the tool does it: real sockets, and the kernel's own connect(2) as the referee of every judgement."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import signal
import socket
import stat
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kernel.conftest import NOBODY, _run_in_child
from tests.peers import require
from tests.tools.test_standing import Counted

from afunix.kernel import dial
from afunix.model.address import Address
from afunix.model.errors import AddressError, TimedOutError
from afunix.model.findings import Code, Finding, Report, Severity
from afunix.model.reachability import judge
from afunix.tools.check import check, gather, wait_until_ready

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody without rights")

ACL = "system.posix_acl_access"


@contextmanager
def listening(path: str, kind: int = socket.SOCK_STREAM, backlog: int = 16) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, kind) as sock:
        sock.bind(path)
        if kind != socket.SOCK_DGRAM:
            sock.listen(backlog)
        yield sock


def codes(address: str | Address, **options: Any) -> list[Code]:
    return [finding.code for finding in check(Address.of(address), **options).findings]


def finding(address: str, code: Code, **options: Any) -> Finding:
    return next(found for found in check(Address.of(address), **options).findings if found.code is code)


def mount(*args: str) -> None:
    subprocess.run([require("mount"), *args], check=True)


# The referee


@dataclass(frozen=True)
class Rights:
    """Modes, owners and access control lists at random."""

    mode: int
    uid: int
    gid: int
    acl: tuple[tuple[int, int], ...]  # the user entry, the group entry: id and bits
    mask: int

    def put_on(self, path: str) -> None:
        os.chown(path, self.uid, self.gid)
        os.chmod(path, self.mode)
        if self.acl:
            (user, ubits), (group, gbits) = self.acl
            entries = [
                (0x01, self.mode >> 6 & 7, 0xFFFFFFFF),
                (0x02, ubits, user),
                (0x04, self.mode >> 3 & 7, 0xFFFFFFFF),
                (0x08, gbits, group),
                (0x10, self.mask, 0xFFFFFFFF),
                (0x20, self.mode & 7, 0xFFFFFFFF),
            ]
            raw = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
            os.setxattr(path, ACL, raw)


ids = st.sampled_from([0, NOBODY, 60001])
bits = st.integers(0, 7)
acls = st.one_of(st.just(()), st.tuples(st.tuples(ids, bits), st.tuples(ids, bits)))
rights = st.builds(
    Rights,
    st.one_of(st.integers(0, 0o777), st.sampled_from([0o755, 0o777, 0o711, 0o622])),
    ids,
    ids,
    acls,
    bits,
)
ends = st.sampled_from(
    ["live", "live", "live", "stale", "bound", "file", "directory", "fifo", "missing", "dgram"]
)


@dataclass(frozen=True)
class Asker:
    """Somebody who connects: ids, groups, and for root the capabilities that are left to it."""

    uid: int
    groups: tuple[int, ...]
    capabilities: int

    def become(self) -> None:
        os.setgroups(self.groups)
        os.setresgid(self.uid, self.uid, self.uid)
        if self.uid:
            os.setresuid(self.uid, self.uid, self.uid)
        elif self.capabilities != 6:
            _keep_capabilities(self.capabilities)


def _keep_capabilities(kept: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)(kept, kept, 0, 0, 0, 0)
    assert libc.capset(header, data) == 0


askers = st.builds(
    Asker, st.sampled_from([0, NOBODY]), st.lists(ids, max_size=2).map(tuple), st.sampled_from([0, 2, 4, 6])
)


@needs_root
@settings(max_examples=150)
@given(
    asker=askers, way=st.lists(rights, min_size=1, max_size=2), file=rights, end=ends, linked=st.booleans()
)
def test_the_first_problem_is_what_connect_runs_into(
    asker: Asker, way: list[Rights], file: Rights, end: str, linked: bool
) -> None:
    root = tempfile.mkdtemp(prefix="af-")
    try:
        os.chmod(root, 0o755)
        path = root + "".join(f"/{n}" for n in range(len(way))) + "/s"
        os.makedirs(os.path.dirname(path))
        with made(path, end):
            if end != "missing":
                file.put_on(path)
            for depth, one in enumerate(way):
                one.put_on(root + "".join(f"/{n}" for n in range(depth + 1)))
            if linked:
                os.symlink(path, f"{root}/link")
                path = f"{root}/link"

            def both() -> tuple[int | None, int, list[tuple[Code, str]]]:
                asker.become()
                said, words = first_problem(path)
                return said, connect(path), words

            said, answered, words = _run_in_child(both)
            assert said == answered, words
            assert Code.DENIED_OTHERWISE not in [code for code, _ in words], "a rule that we do not know"
            if asker == Asker(NOBODY, (NOBODY,), asker.capabilities):
                assert first_problem(path, as_user="nobody")[0] == answered
    finally:
        shutil.rmtree(root)


def first_problem(path: str, **options: Any) -> tuple[int | None, list[tuple[Code, str]]]:
    """Its errno, 0 if there is none, and all words."""
    facts = gather(Address.pathname(path), thorough=False, **options)
    report = Report(facts, judge(facts))
    return report.problems[0].errno if report.problems else 0, [
        (found.code, found.what) for found in report.findings
    ]


def connect(path: str) -> int:
    """What `connect` would end with: the types in turn, as it tries them."""
    answer = 0
    for word in ("stream", "seqpacket", "dgram"):
        sock = dial.open_socket(word)
        answer = dial.try_connect(sock, Address.pathname(path))
        sock.close()
        if answer != errno.EPROTOTYPE:
            break
    return answer


@contextmanager
def made(path: str, end: str) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM if end == "dgram" else socket.SOCK_STREAM) as sock:
        if end in ("live", "stale", "bound", "dgram"):
            sock.bind(path)
        if end == "live":
            sock.listen(3)
        if end == "stale":
            sock.close()
        if end == "file":
            with open(path, "w"):
                pass
        if end == "directory":
            os.mkdir(path)
        if end == "fifo":
            os.mkfifo(path)
        yield


# What is found


def test_a_listener_is_live_and_its_process_named(sock_dir: str) -> None:
    with listening(f"{sock_dir}/s", backlog=7):
        report = check(Address.pathname(f"{sock_dir}/s"))
    assert [found.code for found in report.findings] == [Code.LIVE]
    assert report.is_reachable
    assert f"pid {os.getpid()} (" in report.verdict.what
    assert "0 in its backlog of 7" in report.verdict.what


def test_the_server_does_not_notice(sock_dir: str) -> None:
    with listening(f"{sock_dir}/s") as sock:
        check(Address.pathname(f"{sock_dir}/s"))
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.accept()


def test_a_probe_is_a_real_connect_and_tells_who_answered(sock_dir: str) -> None:
    with listening(f"{sock_dir}/s") as sock:
        report = check(Address.pathname(f"{sock_dir}/s"), probe=True)
        sock.accept()[0].close()
    assert [found.code for found in report.findings] == [Code.ANSWERED, Code.LIVE]
    assert f"pid {os.getpid()} (" in report.verdict.what
    assert report.facts.answer is not None
    assert (report.facts.answer.uid, report.facts.answer.type) == (os.geteuid(), "stream")


def test_a_socket_that_was_renamed_is_still_known(sock_dir: str) -> None:
    with listening(f"{sock_dir}/old"):
        os.rename(f"{sock_dir}/old", f"{sock_dir}/new")
        assert codes(f"{sock_dir}/new") == [Code.LIVE]
        assert codes(f"{sock_dir}/old") == [Code.MISSING, Code.REMOVED]


def test_bound_and_not_listening(sock_dir: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{sock_dir}/s")
        assert codes(f"{sock_dir}/s") == [Code.NOT_LISTENING]
        sock.listen()
        sock.shutdown(socket.SHUT_RD)
        found = finding(f"{sock_dir}/s", Code.NOT_LISTENING)
    assert found.why is not None
    assert "shut it down" in found.why


def test_a_bound_client_does_not_listen(sock_dir: str) -> None:
    with listening(f"{sock_dir}/server"), socket.socket(socket.AF_UNIX) as client:
        client.bind(f"{sock_dir}/s")
        client.connect(f"{sock_dir}/server")
        assert codes(f"{sock_dir}/s") == [Code.NOT_LISTENING]


def test_stale_although_what_it_accepted_lives_on(sock_dir: str) -> None:
    with listening(f"{sock_dir}/s") as sock, socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{sock_dir}/s")
        conversation = sock.accept()[0]
        sock.close()
        assert codes(f"{sock_dir}/s") == [Code.STALE]
        conversation.close()


def test_a_tap_that_was_killed_with_its_guardian_is_told_and_cured(sock_dir: str) -> None:
    with listening(f"{sock_dir}/a b.tapped"):
        with listening(f"{sock_dir}/a b"):
            before = codes(f"{sock_dir}/a b")
        assert (before, codes(f"{sock_dir}/a b")) == ([Code.LIVE], [Code.STALE])
        found = finding(f"{sock_dir}/a b", Code.STALE)
        assert found.why is not None and "a tap was killed" in found.why
        assert found.command == f"mv '{sock_dir}/a b.tapped' '{sock_dir}/a b'"
        subprocess.run(found.command, shell=True, check=True)
        assert codes(f"{sock_dir}/a b") == [Code.LIVE]


def test_what_a_tap_has_left_and_nobody_has_open_is_no_cure(sock_dir: str) -> None:
    for name in ("s", "s.tapped"):
        with listening(f"{sock_dir}/{name}"):
            pass
    assert finding(f"{sock_dir}/s", Code.STALE).command == f"rm {sock_dir}/s"


@pytest.mark.parametrize(
    ("kind", "wanted", "code"),
    [
        (socket.SOCK_STREAM, "dgram", Code.WRONG_TYPE),
        (socket.SOCK_SEQPACKET, "stream", Code.WRONG_TYPE),
        (socket.SOCK_DGRAM, "stream", Code.WRONG_TYPE),
        (socket.SOCK_SEQPACKET, "seqpacket", Code.LIVE),
        (socket.SOCK_SEQPACKET, None, Code.LIVE),
        (socket.SOCK_DGRAM, None, Code.LIVE),
    ],
)
def test_the_type_is_compared_where_one_is_wanted(
    sock_dir: str, kind: int, wanted: str | None, code: Code
) -> None:
    with listening(f"{sock_dir}/s", kind):
        assert codes(f"{sock_dir}/s", wanted_type=wanted) == [code]


def test_a_datagram_socket_that_has_its_peer(sock_dir: str) -> None:
    with listening(f"{sock_dir}/s", socket.SOCK_DGRAM) as sock, listening(f"{sock_dir}/t", socket.SOCK_DGRAM):
        sock.connect(f"{sock_dir}/t")
        assert codes(f"{sock_dir}/s") == [Code.HAS_ITS_PEER]


def test_a_full_backlog_names_who_waits_in_it(sock_dir: str) -> None:
    with listening(f"{sock_dir}/s", backlog=0), socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{sock_dir}/s")
        found = finding(f"{sock_dir}/s", Code.BACKLOG_FULL)
    assert found.why is not None
    assert "1 wait in a backlog of 0, which lets one more in" in found.why


def test_a_stopped_server_is_to_be_continued(sock_dir: str) -> None:
    with listening(f"{sock_dir}/s") as sock:
        server = subprocess.Popen(["sleep", "60"], pass_fds=[sock.fileno()])
        sock.close()
        try:
            server.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, server.pid, os.WSTOPPED | os.WNOWAIT)
            report = check(Address.pathname(f"{sock_dir}/s"))
        finally:
            server.kill()
            server.wait()
    assert [found.code for found in report.findings] == [Code.LIVE, Code.STOPPED]
    assert report.findings[1].command == f"kill -CONT {server.pid}"


def test_a_near_miss_is_offered(sock_dir: str) -> None:
    with listening(f"{sock_dir}/app.sock"):
        found = finding(f"{sock_dir}/ap.sock", Code.NEAR_MISS)
    assert found.command == f"afunix connect {sock_dir}/app.sock"


def test_an_abstract_name_and_a_file_of_that_name_are_near(
    sock_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sock_dir)
    name = f"af-{os.getpid()}"
    with listening(f"\0{name}"):
        assert finding(name, Code.NEAR_MISS).command == f"afunix connect @{name}"
        assert codes(f"@{name}") == [Code.LIVE]
    with listening(name):
        assert finding(f"@{name}", Code.NEAR_MISS).command == f"afunix connect {name}"


def test_a_dangling_link_and_a_link_in_a_circle(sock_dir: str) -> None:
    os.symlink("gone", f"{sock_dir}/s")
    os.symlink("loop", f"{sock_dir}/loop")
    assert codes(f"{sock_dir}/s") == [Code.DANGLING_LINK]
    assert codes(f"{sock_dir}/loop") == [Code.LINK_LOOP]
    assert codes(f"{sock_dir}/no/s")[0] is Code.MISSING_PARENT


def test_an_empty_directory_is_to_be_removed(sock_dir: str) -> None:
    os.mkdir(f"{sock_dir}/docker.sock")
    assert finding(f"{sock_dir}/docker.sock", Code.IS_A_DIRECTORY).command == f"rmdir {sock_dir}/docker.sock"


@needs_root
def test_a_mounted_directory_and_a_read_only_mount_are_known(sock_dir: str) -> None:
    def in_own_mounts() -> list[Any]:
        ctypes.CDLL(None).unshare(0x00020000)
        mount("--make-rprivate", "/")
        os.mkdir(f"{sock_dir}/docker.sock")
        mount("-t", "tmpfs", "tmpfs", f"{sock_dir}/docker.sock")
        trap = finding(f"{sock_dir}/docker.sock", Code.IS_A_DIRECTORY).why
        mount("-o", "remount,ro", f"{sock_dir}/docker.sock")
        return [trap, codes(f"{sock_dir}/docker.sock/s")]

    why, found = _run_in_child(in_own_mounts)
    assert why.startswith("it is mounted there: ")
    assert found == [Code.MISSING, Code.READ_ONLY]


@needs_root
def test_a_mounted_socket_whose_server_made_a_new_one_is_stale_for_that_reason(sock_dir: str) -> None:
    def in_own_mounts() -> Any:
        ctypes.CDLL(None).unshare(0x00020000)
        mount("--make-rprivate", "/")
        with open(f"{sock_dir}/inside", "w"):
            pass
        with listening(f"{sock_dir}/s"):
            mount("--bind", f"{sock_dir}/s", f"{sock_dir}/inside")
            os.unlink(f"{sock_dir}/s")
        with listening(f"{sock_dir}/s"):
            facts = gather(Address.pathname(f"{sock_dir}/inside"))
            (found,) = (one for one in judge(facts) if one.code is Code.STALE)
        return found.why

    why = _run_in_child(in_own_mounts)
    assert "keeps the socket that" in why


def test_a_long_path_is_reached_and_said_to_be_long(sock_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = f"{sock_dir}/{'d' * 120}"
    os.mkdir(deep)
    monkeypatch.chdir(deep)
    with listening("s"):
        assert codes(f"{deep}/s") == [Code.LIVE, Code.LONG_PATH]
    assert codes(f"{sock_dir}/{'x' * 150}") == [Code.TOO_LONG]
    assert codes("/" + "x" * 5000) == [Code.TOO_LONG]


def test_what_is_no_name_cannot_be_checked() -> None:
    with pytest.raises(AddressError, match=r"expected a path or @name"):
        check(Address.parse("fd:3"))
    with pytest.raises(AddressError, match=r"there is no user 'nobody-has-this-name'"):
        check(Address.parse("/s"), as_user="nobody-has-this-name")


@needs_root
def test_who_may_not_look_says_so_and_root_says_why(sock_dir: str) -> None:
    os.chmod(sock_dir, 0o700)
    with listening(f"{sock_dir}/s"):
        seen = _run_in_child(lambda: codes(f"{sock_dir}/s"), uid=NOBODY)
        for_root = _run_in_child(lambda: codes(f"{sock_dir}/s", as_user="root"), uid=NOBODY)
        assert codes(f"{sock_dir}/s", as_user="nobody") == [Code.DENIED_SEARCH, Code.DENIED_WRITE, Code.LIVE]
    assert seen == [Code.DENIED_SEARCH]
    assert for_root == [Code.UNSEEN]


@needs_root
def test_root_of_a_user_namespace_has_no_say_over_files_that_it_does_not_know(sock_dir: str) -> None:
    def as_root_of_its_own() -> Any:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        ctypes.CDLL(None).prctl(4, 1)  # PR_SET_DUMPABLE: else /proc/self is root's
        if ctypes.CDLL(None).unshare(0x10000000):
            return None  # not allowed here
        with open("/proc/self/uid_map", "wb") as table:
            table.write(b"0 %d 1" % NOBODY)
        return os.geteuid(), codes(f"{sock_dir}/s"), connect(f"{sock_dir}/s")

    os.chmod(sock_dir, 0o755)
    with listening(f"{sock_dir}/s"):
        os.chmod(f"{sock_dir}/s", 0o600)
        seen = _run_in_child(as_root_of_its_own)
    if seen is None:
        pytest.skip("user namespaces are not for everybody here")
    assert seen == (0, [Code.DENIED_WRITE, Code.LIVE], errno.EACCES)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_where_sock_diag_is_refused_a_server_is_live_all_the_same(
    sock_dir: str, monkeypatch: pytest.MonkeyPatch, kind: int
) -> None:
    monkeypatch.setattr("afunix.kernel.socket_table.is_forced", lambda name: True)
    monkeypatch.chdir(sock_dir)
    with listening("s", kind):
        report = check(Address.pathname(f"{sock_dir}/s"))
    assert [found.code for found in report.findings] == [Code.LIVE]
    assert not report.facts.is_complete


def test_a_descriptor_is_no_name(sock_dir: str) -> None:
    with listening(f"{sock_dir}/s") as sock:
        report = check(Address.pathname(f"/proc/self/fd/{sock.fileno()}"))
    assert [(found.code, found.command) for found in report.findings] == [(Code.DESCRIPTOR, None)]


@needs_root
def test_a_link_that_only_its_owner_may_follow_leads_to_the_socket_all_the_same(sock_dir: str) -> None:
    os.chmod(sock_dir, 0o1777)
    with listening(f"{sock_dir}/s"), protected_links():
        os.chmod(f"{sock_dir}/s", 0o666)
        os.symlink("s", f"{sock_dir}/link")
        os.lchown(f"{sock_dir}/link", NOBODY, NOBODY)
        assert connect(f"{sock_dir}/link") == errno.EACCES
        assert codes(f"{sock_dir}/link") == [Code.DENIED_LINK, Code.LIVE]
        assert codes(f"{sock_dir}/link", as_user="nobody") == [Code.LIVE]


@contextmanager
def protected_links() -> Iterator[None]:
    with open("/proc/sys/fs/protected_symlinks", "r+") as setting:
        before = setting.read()
        try:
            setting.seek(0)
            setting.write("1")
            setting.flush()
        except OSError:
            pytest.skip("fs.protected_symlinks cannot be set here")
        try:
            yield
        finally:
            setting.seek(0)
            setting.write(before)


@needs_root
def test_an_owner_that_a_user_namespace_has_no_number_for_is_not_us(sock_dir: str) -> None:
    def without_a_map() -> Any:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        if ctypes.CDLL(None).unshare(0x10000000):
            return None  # not allowed here
        return first_problem(f"{sock_dir}/s")[0], connect(f"{sock_dir}/s")

    os.chmod(sock_dir, 0o755)
    with listening(f"{sock_dir}/s"):
        os.chown(f"{sock_dir}/s", 1234, 1234)
        os.chmod(f"{sock_dir}/s", 0o077)
        seen = _run_in_child(without_a_map)
    if seen is None:
        pytest.skip("user namespaces are not for everybody here")
    assert seen == (0, 0)


@needs_root
def test_a_file_on_a_read_only_file_system_is_refused_for_that_first(sock_dir: str) -> None:
    def in_own_mounts() -> Any:
        ctypes.CDLL(None).unshare(0x00020000)
        mount("--make-rprivate", "/")
        mount("-t", "tmpfs", "tmpfs", sock_dir)
        os.makedirs(f"{sock_dir}/a/d", 0o700)
        with open(f"{sock_dir}/f", "w"):
            pass
        with listening(f"{sock_dir}/s"):
            mount("-o", "remount,ro", sock_dir)
            return [
                (first_problem(f"{sock_dir}/{n}")[0], connect(f"{sock_dir}/{n}")) for n in ("a/d", "f", "s")
            ]

    assert _run_in_child(in_own_mounts) == [(errno.EROFS, errno.EROFS)] * 2 + [(0, 0)]


@needs_root
def test_an_immutable_directory_is_refused_for_that_first(sock_dir: str) -> None:
    os.mkdir(f"{sock_dir}/d")
    fd = os.open(f"{sock_dir}/d", os.O_RDONLY)
    try:
        flags = fcntl.ioctl(fd, 0x80086601, bytes(8))  # FS_IOC_GETFLAGS
        fcntl.ioctl(fd, 0x40086602, bytes([flags[0] | 0x10, *flags[1:]]))  # FS_IOC_SETFLAGS
    except OSError:
        os.close(fd)
        pytest.skip("this file system has no immutable files")
    try:
        said, answered = first_problem(f"{sock_dir}/d"), connect(f"{sock_dir}/d")
    finally:
        fcntl.ioctl(fd, 0x40086602, flags)
        os.close(fd)
    assert (said[0], said[1][0][0]) == (answered, Code.IS_A_DIRECTORY)
    assert answered == errno.EPERM


@needs_root
def test_a_server_beneath_an_overlay_is_named_and_its_file_not_to_be_removed(sock_dir: str) -> None:
    def in_own_mounts() -> Any:
        ctypes.CDLL(None).unshare(0x00020000)
        mount("--make-rprivate", "/")
        mount("-t", "tmpfs", "tmpfs", sock_dir)
        for name in ("lower", "upper", "work", "merged"):
            os.mkdir(f"{sock_dir}/{name}")
        with listening(f"{sock_dir}/lower/s"):
            layers = ",".join(f"{word}dir={sock_dir}/{word}" for word in ("lower", "upper", "work"))
            if subprocess.run(
                [require("mount"), "-t", "overlay", "overlay", "-o", layers, f"{sock_dir}/merged"]
            ).returncode:
                return None
            found = finding(f"{sock_dir}/merged/s", Code.STALE)
            return connect(f"{sock_dir}/merged/s"), found.why, found.command

    seen = _run_in_child(in_own_mounts)
    if seen is None:
        pytest.skip("overlayfs cannot be mounted here")
    assert (seen[0], seen[2]) == (errno.ECONNREFUSED, None)
    assert f"as '{sock_dir}/lower/s'" in seen[1]


# Another namespace


@pytest.fixture
def elsewhere(sock_dir: str) -> Iterator[Callable[[str], int]]:
    """Runs lines of Python in network and mount namespaces of their own; the pid of that process."""
    running: list[subprocess.Popen[bytes]] = []

    def start(lines: str) -> int:
        program = f"import os, socket, subprocess, sys\n{lines}\nprint(flush=True)\nsys.stdin.read()"
        command = [require("unshare"), "--net", "--mount", require("python3"), "-c", program]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        return process.pid

    yield start
    for process in running:
        process.communicate()


LISTEN = "s = socket.socket(socket.AF_UNIX); s.bind({!r}); s.listen()"


@needs_root
def test_an_abstract_name_in_another_network_namespace_is_found(elsewhere: Callable[[str], int]) -> None:
    name = f"af-{os.getpid()}-there"
    pid = elsewhere(LISTEN.format(f"\0{name}"))
    found = finding(f"@{name}", Code.OTHER_NETWORK_NAMESPACE)
    assert found.what.startswith(f"pid {pid} (python3")
    assert found.command == f"nsenter --net=/proc/{pid}/ns/net afunix connect @{name}"


@needs_root
def test_a_path_leads_into_another_network_namespace(sock_dir: str, elsewhere: Callable[[str], int]) -> None:
    pid = elsewhere(LISTEN.format(f"{sock_dir}/s"))
    found = finding(f"{sock_dir}/s", Code.LIVE_UNSEEN)
    assert f"pid {pid} (python3" in found.what
    assert found.what.endswith("(stream)")
    assert codes(f"{sock_dir}/s", wanted_type="dgram") == [Code.WRONG_TYPE]
    assert codes(f"{sock_dir}/s", wanted_type="seqpacket") == [Code.WRONG_TYPE]


@needs_root
def test_a_path_in_another_mount_namespace_is_reached_through_its_process(
    sock_dir: str, elsewhere: Callable[[str], int]
) -> None:
    os.mkdir(f"{sock_dir}/d")
    mount = f"subprocess.run(['mount', '-t', 'tmpfs', 'tmpfs', {sock_dir + '/d'!r}], check=True)"
    pid = elsewhere(f"{mount}\n{LISTEN.format(f'{sock_dir}/d/s')}")
    found = finding(f"{sock_dir}/d/s", Code.OTHER_MOUNT_NAMESPACE)
    assert found.what.startswith(f"pid {pid} (python3")
    way = f"/proc/{pid}/root{sock_dir}/d/s"
    assert found.command == f"afunix connect {way}"
    assert codes(way) == [Code.LIVE_UNSEEN]


# Waiting


class Clock:
    """Time that passes only in `sleep`, and what happens meanwhile."""

    def __init__(self, *happenings: Callable[[], object]) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self.happenings = list(happenings)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)
        if self.happenings:
            self.happenings.pop(0)()


def wait(address: str, clock: Clock, within: float = 10.0, **options: Any) -> Report:
    return wait_until_ready(Address.of(address), within, clock=clock, sleep=clock.sleep, **options)


def test_waiting_ends_when_the_server_listens(sock_dir: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        clock = Clock(lambda: sock.bind(f"{sock_dir}/s"), lambda: None, sock.listen)
        report = wait(f"{sock_dir}/s", clock)
    assert (report.verdict.code, report.waited) == (Code.LIVE, None)
    assert len(clock.slept) == 3
    assert clock.slept == sorted(clock.slept)


def test_waiting_ends_when_the_time_is_up(sock_dir: str) -> None:
    clock = Clock()
    report = wait(f"{sock_dir}/s", clock, within=1.0)
    error = report.error()
    assert clock.now == pytest.approx(1.0)
    assert isinstance(error, TimedOutError)
    assert str(error).startswith("not reachable within 1 s: ")


def test_the_pauses_are_short(sock_dir: str) -> None:
    clock = Clock()
    wait(f"{sock_dir}/s", clock, within=1.0)
    assert max(clock.slept) <= 0.025


@pytest.mark.parametrize("kind", ["missing", "stale", "bound", "abstract"])
def test_the_whole_table_is_not_read_at_every_look(
    sock_dir: str, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    counted = Counted(monkeypatch)
    with socket.socket(socket.AF_UNIX) as sock:
        if kind in ("stale", "bound"):
            sock.bind(f"{sock_dir}/s")
        if kind == "stale":
            sock.close()
        clock = Clock()
        report = wait(
            f"@{sock_dir}" if kind == "abstract" else f"{sock_dir}/s", clock, within=1.0, thorough=False
        )
    assert report.waited == 1.0
    assert len(clock.slept) > 40
    assert counted.times <= 2  # the first look, and the last one


def test_a_quick_wait_leaves_out_who_it_is(sock_dir: str) -> None:
    with listening(f"{sock_dir}/s"):
        report = wait(f"{sock_dir}/s", Clock(), thorough=False)
    assert report.is_reachable
    assert [bound.owners for bound in report.facts.bound] == [()]


def test_nothing_is_waited_for_that_will_not_pass(sock_dir: str) -> None:
    clock = Clock()
    with listening(f"{sock_dir}/s"):
        assert wait(f"{sock_dir}/s", clock, wanted_type="dgram").verdict.code is Code.WRONG_TYPE
        assert wait(f"{sock_dir}/s", clock).is_reachable
    assert clock.slept == []


def test_a_probe_is_made_once_when_it_is_ready(sock_dir: str) -> None:
    with listening(f"{sock_dir}/s") as sock:
        assert wait(f"{sock_dir}/s", Clock(), probe=True).verdict.code is Code.ANSWERED
        sock.accept()[0].close()
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.accept()


def test_a_hostile_name_is_escaped_everywhere_and_its_command_works(sock_dir: str) -> None:
    with listening(f"{sock_dir}/a\n\x1b[31m'b") as sock:
        sock.close()
        report = check(Address.pathname(f"{sock_dir}/a\n\x1b[31m'b"))
    texts = [text for found in report.findings for text in (found.what, found.why, found.hint, found.command)]
    assert not any("\n" in text or "\x1b" in text for text in texts if text)
    assert report.verdict.command is not None
    subprocess.run([require("bash"), "-c", report.verdict.command], check=True)
    assert os.listdir(sock_dir) == []
    assert report.verdict.severity is Severity.PROBLEM
    assert stat.S_ISDIR(os.stat(sock_dir).st_mode)
