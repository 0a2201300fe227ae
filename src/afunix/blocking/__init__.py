r"""For scripts and threads: the names of `Stream` and `Listener` without await, driven by poll(2).

    with afunix.blocking.connect("/run/app.sock", timeout=3) as stream:
        stream.send(b"ping\n")
        print(stream.receive())

`opening` and `listening` make streams, `waiting` waits for them; `dialling` makes a connection with a deadline. The
shell's `afunix connect` takes only `dialling` and `conversation`, which moves bytes both ways until it is over; so
nothing is imported here until its name is used (PEP 562).
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it for true
if TYPE_CHECKING:
    from .listening import Listener, listen
    from .opening import attach, connect, pair
    from .stream import Stream

__all__ = ["Listener", "Stream", "attach", "connect", "listen", "pair"]

_HOMES = dict.fromkeys(("attach", "connect", "pair"), "opening") | {
    "Listener": "listening",
    "listen": "listening",
    "Stream": "stream",
}

if not TYPE_CHECKING:  # so that a misspelt name stays an error for type checkers

    def __getattr__(name):
        """Import a public name when it is first used; afterwards it is an ordinary global."""
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
        from importlib import import_module

        value = getattr(import_module(f".{home}", __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__doc__"])
