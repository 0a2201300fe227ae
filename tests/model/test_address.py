"""The address grammar: what is written means one thing, and every address can be written back."""

from __future__ import annotations

import os
import pathlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from afunix.model.address import MAX_NAME_BYTES, Address, AddressKind
from afunix.model.errors import AddressError

PATHNAME, ABSTRACT, INHERITED = AddressKind.PATHNAME, AddressKind.ABSTRACT, AddressKind.INHERITED
TCP, SSH, STDIO = AddressKind.TCP, AddressKind.SSH, AddressKind.STDIO

MEANINGS = [
    ("/run/app.sock", PATHNAME, b"/run/app.sock"),
    ("hello.sock", PATHNAME, b"hello.sock"),
    ("./a b,c.sock", PATHNAME, b"./a b,c.sock"),
    ("./@x", PATHNAME, b"./@x"),
    ("%41\\n", PATHNAME, b"%41\\n"),
    ("a_b:c", PATHNAME, b"a_b:c"),
    ("./http:x", PATHNAME, b"./http:x"),
    ("http://x", PATHNAME, b"http://x"),
    ("C:/x", PATHNAME, b"C:/x"),
    ("unix:/run/app.sock", PATHNAME, b"/run/app.sock"),
    ("unix:fd:3", PATHNAME, b"fd:3"),
    ("unix:-", PATHNAME, b"-"),
    ("unix:unix:x", PATHNAME, b"unix:x"),
    ("é.sock", PATHNAME, "é.sock".encode()),
    ("\udcff", PATHNAME, b"\xff"),
    ("@name", ABSTRACT, b"name"),
    ("@@", ABSTRACT, b"@"),
    ("@a:b/c d%41", ABSTRACT, b"a:b/c d%41"),
    ("unix:@name", ABSTRACT, b"name"),
    ("unix-abstract:a%00b%ff%25", ABSTRACT, b"a\0b\xff%"),
    ("unix-abstract:@x", ABSTRACT, b"@x"),
    ("unix-abstract:é", ABSTRACT, "é".encode()),
    ("unix-abstract:", ABSTRACT, b""),
    ("fd:3", INHERITED, b"3"),
    ("fd:007", INHERITED, b"7"),
    ("fd:api", INHERITED, b"api"),
    ("tcp:localhost:80", TCP, b"localhost:80"),
    ("tcp:*:080", TCP, b"*:80"),
    ("tcp:[::1]:65535", TCP, b"[::1]:65535"),
    ("ssh:host:/run/x", SSH, b"host:/run/x"),
    ("ssh:ana@host:2222:/run/x:/y", SSH, b"ana@host:2222:/run/x:/y"),
    ("ssh:a@corp@[::1]:22:/", SSH, b"a@corp@[::1]:22:/"),
    ("-", STDIO, b""),
]

REFUSED = {
    "": "the address is empty",
    "a\0b": "'a^@b' holds a NUL byte",
    "@a\0b": "'@a^@b' holds a NUL byte",
    "http:x": "'http:x' starts with 'http:', which is no kind of address",
    "c:": "'c:' starts with 'c:'",
    "UNIX:x": "'UNIX:x' starts with 'UNIX:'",
    "@": "'@' is an abstract name without a name",
    "unix:@": "'@' is an abstract name without a name",
    "unix:": "'unix:' names nothing",
    "unix-abstract:%": "'%': '%' must be followed by two hexadecimal digits",
    "unix-abstract:a%4": "'a%4': '%' must be followed",
    "unix-abstract:%zz": "'%zz': '%' must be followed",
    "unix-abstract:%+1": "'%+1': '%' must be followed",
    "@" + "x" * 108: "is 108 bytes long, an abstract name may have 107",
    "@" + "é" * 54: "is 108 bytes long, an abstract name may have 107",
    "unix-abstract:" + "%00" * 108: "is 108 bytes long, an abstract name may have 107",
    "fd:": "'fd:' names no descriptor",
    "fd:a:b": "'fd:a:b' names no descriptor",
    "tcp:": "'tcp:' is no TCP address: it has no host, or no port",
    "tcp:80": "'tcp:80' is no TCP address: it has no host, or no port",
    "tcp:host": "'tcp:host' is no TCP address: it has no host, or no port",
    "tcp::80": "'tcp::80' is no TCP address: it has no host, or no port",
    "tcp:::1:80": "'tcp:::1:80' is no TCP address: '::1' is no host, expected a name or an address (an IPv6",
    "tcp:[]:80": "'tcp:[]:80' is no TCP address: '[]' is no host",
    "tcp:a b:80": "'tcp:a b:80' is no TCP address: 'a b' is no host",
    "tcp:host:": "'tcp:host:' is no TCP address: it has no port, expected a number from 1 to 65535",
    "tcp:host:http": "is no TCP address: 'http' is no port, expected a number from 1 to 65535",
    "tcp:host:0": "is no TCP address: '0' is no port",
    "tcp:host:65536": "is no TCP address: '65536' is no port",
    "tcp:host:-1": "is no TCP address",
    "tcp:host:²": "is no TCP address",
    "tcp:host:٣": "is no TCP address",
    "tcp:host:" + "1" * 5000: "is no TCP address",
    "ssh:": "'ssh:' is no ssh address",
    "ssh:host": "'ssh:host' is no ssh address",
    "ssh:host:x": "is no ssh address",
    "ssh::/x": "is no ssh address",
    "ssh:@host:/x": "is no ssh address",
    "ssh:host:ten:/x": "is no ssh address",
    "ssh:-oProxyCommand=x:/y": "is no ssh address",
    "ssh:/a:/b": "is no ssh address",
}
"""Each comes with a hint."""

REFUSED_WITHOUT_HINT = {
    "fd:1234567890": "'fd:1234567890': no process has that many descriptors",
    "\ud800": "'\\ud800' cannot be written as bytes: it holds half of a character",
    "@\ud800": "cannot be written as bytes",
    "./\udfff": "cannot be written as bytes",
}

NAME_BYTES = st.binary(max_size=MAX_NAME_BYTES)
PATH_BYTES = st.binary(min_size=1).filter(lambda path: b"\0" not in path)
TRICKY_STARTS = st.sampled_from([b"@", b"./@", b"-", b"unix:", b"fd:", b"word:", b"a/b:", b"tcp:x:1", b"(un"])
ADDRESSES = st.one_of(
    PATH_BYTES.map(Address.pathname),
    st.builds(lambda start, path: Address.pathname(start + path), TRICKY_STARTS, PATH_BYTES),
    NAME_BYTES.map(Address.abstract),
    st.text(max_size=20).map(Address.abstract),
    st.integers(0, 999_999_999).map(Address.inherited),
    st.from_regex(r"[^:\0\ud800-\udfff]{1,20}", fullmatch=True)
    .filter(lambda n: not n.isdigit())
    .map(Address.inherited),
    PATH_BYTES.map(Address.from_kernel),
    NAME_BYTES.map(lambda name: Address.from_kernel(b"\0" + name)),
    st.sampled_from([written for written, _, _ in MEANINGS]).map(Address.parse),
)


@given(ADDRESSES)
def test_what_is_written_back_means_the_same(address: Address) -> None:
    assert Address.parse(address.format()) == address
    assert Address.parse(os.fsencode(address.format())) == address


@given(
    st.text(), st.sampled_from(["", "@", "unix:", "unix:@", "unix-abstract:", "fd:", "tcp:", "ssh:", "x:"])
)
@example("h:" + "9" * 5000, "tcp:")
def test_whatever_is_written_is_an_address_that_can_be_written_or_an_address_error(
    rest: str, start: str
) -> None:
    try:
        address = Address.parse(start + rest)
    except AddressError:
        return
    assert Address.parse(address.format()) == address


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_a_path_that_starts_with_a_dot_and_a_slash_is_always_literal(path: str) -> None:
    assert Address.parse(f"./{path}") == Address(PATHNAME, b"./" + path.encode())


@pytest.mark.parametrize(("written", "kind", "name"), MEANINGS)
def test_an_address_means(written: str, kind: AddressKind, name: bytes) -> None:
    assert Address.parse(written) == Address(kind, name)


@pytest.mark.parametrize(("written", "said"), REFUSED.items(), ids=range(len(REFUSED)))
def test_what_is_no_address_is_refused_with_the_next_step(written: str, said: str) -> None:
    with pytest.raises(AddressError) as caught:
        Address.parse(written)
    assert said in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("written", "said"), REFUSED_WITHOUT_HINT.items(), ids=range(len(REFUSED_WITHOUT_HINT))
)
def test_what_nobody_can_mean_is_refused(written: str, said: str) -> None:
    with pytest.raises(AddressError) as caught:
        Address.parse(written)
    assert said in str(caught.value)


def test_the_hint_for_an_unknown_word_is_the_file_of_that_name() -> None:
    with pytest.raises(AddressError) as caught:
        Address.parse("http:x")
    assert caught.value.hint == "for a file of that name write ./http:x"
    assert "(those are fd:, ssh:, tcp:, unix-abstract:, unix:)" in str(caught.value)


def test_a_refusal_cannot_write_to_the_terminal() -> None:
    with pytest.raises(AddressError) as caught:
        Address.parse("word:\x1b[2J\n")
    assert f"{caught.value} {caught.value.hint}".isprintable()


@pytest.mark.parametrize("written", [b"/a\xff", pathlib.Path("/a\udcff")])
def test_bytes_and_paths_are_read_too(written: bytes | pathlib.Path) -> None:
    assert Address.parse(written) == Address(PATHNAME, b"/a\xff")


@pytest.mark.parametrize(
    ("path", "written"), [("@x", "./@x"), ("-", "unix:-"), ("fd:3", "unix:fd:3"), ("a:/b", "unix:a:/b")]
)
def test_a_path_from_a_program_is_never_anything_else(path: str, written: str) -> None:
    address = Address.pathname(path)
    assert address.kind is PATHNAME
    assert str(address) == address.format() == written


@pytest.mark.parametrize("path", ["", b"", "a\0b", b"\0"])
def test_what_no_path_can_be_is_refused_from_a_program(path: str | bytes) -> None:
    with pytest.raises(AddressError, match="is no path: it is empty or holds a NUL byte"):
        Address.pathname(path)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        (b"app", "@app"),
        (b"a b", "@a b"),
        ("é".encode(), "@é"),
        (b"@", "@@"),
        (b"", "unix-abstract:"),
        (b"a\0%\n ", "unix-abstract:a%00%25%0A%20"),
        (b"\xff", "unix-abstract:%FF"),
    ],
)
def test_an_abstract_name_is_written(name: bytes, written: str) -> None:
    assert Address.abstract(name).format() == written


def test_the_longest_abstract_name_is_no_longer_than_the_kernel_has_room_for() -> None:
    assert Address.parse("@" + "x" * 107).name == b"x" * 107


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("", Address(AddressKind.UNNAMED)),
        (None, Address(AddressKind.UNNAMED)),
        (b"\0a\0", Address(ABSTRACT, b"a\0")),
        (b"\0", Address(ABSTRACT, b"")),
        ("/run/x", Address(PATHNAME, b"/run/x")),
        ("/run/\udcff", Address(PATHNAME, b"/run/\xff")),
        ("@x", Address(PATHNAME, b"./@x")),
    ],
)
def test_a_name_from_the_kernel_is(name: str | bytes | None, address: Address) -> None:
    assert Address.from_kernel(name) == address


def test_an_unnamed_socket_is_shown_and_not_written() -> None:
    assert Address.from_kernel("").format() == "(unnamed)"
    assert Address.parse("(unnamed)").kind is PATHNAME


@pytest.mark.parametrize(
    ("written", "number"), [("fd:12", 12), ("fd:api", None), ("fd:²", None), ("12", None), ("@12", None)]
)
def test_only_an_inherited_number_is_a_descriptor(written: str, number: int | None) -> None:
    assert Address.parse(written).descriptor == number


def test_an_inherited_socket_is_named_by_number_or_name() -> None:
    assert Address.inherited(3) == Address.inherited("3") == Address.parse("fd:3")
    assert Address.inherited("api") == Address.parse("fd:api")


@pytest.mark.parametrize(
    ("written", "is_unix"), [("x", True), ("@x", True), ("fd:3", False), ("tcp:h:1", False), ("-", False)]
)
def test_only_paths_and_abstract_names_are_unix_addresses(written: str, is_unix: bool) -> None:
    assert Address.parse(written).is_unix is is_unix
