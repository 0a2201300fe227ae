"""What is promised, name by name: tests/api.txt is every public name with its signature, and changes only on purpose.

After a change that is meant:  .venv/bin/python -m tests.test_api > tests/api.txt
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
import importlib
import inspect
import os
from collections.abc import Iterator
from typing import Any

import afunix

MODULES = (
    "afunix",
    "afunix.adapters.anyio",
    "afunix.adapters.trio",
    *(f"afunix.{name}" for name in afunix._MODULES),
)
SNAPSHOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "api.txt")

SPECIAL = {
    *("__enter__", "__exit__", "__aenter__", "__aexit__"),
    *("__iter__", "__next__", "__aiter__", "__anext__", "__call__", "__str__"),
}
"""What an object can be used for beside its methods."""


def api() -> Iterator[str]:
    """Every public name, one a line, with the members of classes indented below."""
    for name in sorted(MODULES):
        module = importlib.import_module(name)
        for each in sorted(module.__all__):
            yield from described(f"{name}.{each}", getattr(module, each))


def described(name: str, thing: Any) -> Iterator[str]:
    home = getattr(thing, "__module__", "").removeprefix("afunix.")
    if inspect.isclass(thing) and home != "typing":
        bases = ", ".join(base.__name__ for base in thing.__bases__ if base is not object)
        yield f"class {name}({bases})"
        yield from (f"    {line}" for line in members(thing))
    elif callable(thing) and inspect.isroutine(thing):
        yield function(name, thing)
    else:
        yield f"{name} = {thing}"


def members(kind: type) -> Iterator[str]:
    if issubclass(kind, enum.Enum):
        yield from (f"{each.name} = {each.value!r}" for each in kind)
        return
    if dataclasses.is_dataclass(kind):
        yield from (field(each) for each in dataclasses.fields(kind))
    elif not hidden_constructor(kind):
        yield function("__init__", kind.__init__)
    yield from (f"{name}: attribute" for name in sorted(attributes(kind)))
    for name in sorted({*dir(kind)}):
        owner = next(each for each in kind.__mro__ if name in vars(each))
        if owner.__module__.split(".")[0] != "afunix" or (name.startswith("_") and name not in SPECIAL):
            continue
        if line := member(name, vars(owner)[name]):
            yield line


def member(name: str, thing: Any) -> str | None:
    if isinstance(thing, property):
        can = "property, can be set" if thing.fset else "property"
        return f"{name}: {can}{returns(thing.fget)}"
    if isinstance(thing, classmethod | staticmethod):
        return f"{type(thing).__name__} {function(name, thing.__func__)}"
    if inspect.isfunction(thing):
        return function(name, thing)
    return None  # a slot, or a field that is told already


def hidden_constructor(kind: type) -> bool:
    """Made by this library only, or by whatever it inherits from."""
    words = kind.__init__.__doc__ or ""  # type: ignore[misc]  # as above
    return words.startswith("Not for users") or not inspect.isfunction(kind.__init__)  # type: ignore[misc]


def attributes(kind: type) -> Iterator[str]:
    """Public slots, which are attributes."""
    for each in kind.__mro__:
        slots = vars(each).get("__slots__", ())
        if each.__module__.startswith("afunix.") and not dataclasses.is_dataclass(each):
            yield from (name for name in slots if not name.startswith("_"))


def field(each: dataclasses.Field[Any]) -> str:
    default = "" if each.default is dataclasses.MISSING else f" = {each.default!r}"
    return f"{each.name}: {each.type}{default}"


def function(name: str, thing: Any) -> str:
    word = "async def" if inspect.iscoroutinefunction(thing) else "def"
    parameters = [parameter(each) for each in inspect.signature(thing).parameters.values()]
    kinds = [each.kind for each in inspect.signature(thing).parameters.values()]
    if inspect.Parameter.KEYWORD_ONLY in kinds and inspect.Parameter.VAR_POSITIONAL not in kinds:
        parameters.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "*")
    if inspect.Parameter.POSITIONAL_ONLY in kinds:
        parameters.insert(kinds.count(inspect.Parameter.POSITIONAL_ONLY), "/")
    return f"{word} {name}({', '.join(parameters)}){returns(thing)}"


def parameter(each: inspect.Parameter) -> str:
    stars = "*" * (each.kind is each.VAR_POSITIONAL) + "**" * (each.kind is each.VAR_KEYWORD)
    annotation = "" if each.annotation is each.empty else f": {spelt(each.annotation)}"
    default = "" if each.default is each.empty else f" = {each.default!r}"
    return f"{stars}{each.name}{annotation}{default}"


def returns(thing: Any) -> str:
    annotation = inspect.signature(thing).return_annotation
    return "" if annotation is inspect.Signature.empty else f" -> {spelt(annotation)}"


def spelt(annotation: Any) -> str:
    """As it is written in the source, whatever the version of Python makes of it."""
    return annotation.strip("'\"") if isinstance(annotation, str) else str(annotation)


def test_public_names_and_signatures_are_those_of_the_snapshot() -> None:
    with open(SNAPSHOT, encoding="utf-8") as file:
        promised = file.read().splitlines()
    difference = [*difflib.unified_diff(promised, [*api()], "promised", "found", lineterm="", n=1)]
    assert not difference, "\n".join(["meant? then: python -m tests.test_api > tests/api.txt", *difference])


if __name__ == "__main__":
    print(*api(), sep="\n")  # noqa: T201
