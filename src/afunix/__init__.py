"""Unix domain sockets for Python: correct by default, and fast. This file is the map of the public names.

    Address                 where a socket is named: `Address.parse("/run/app.sock")`
    PeerCredentials, Rules  who is at the other end, and who may be
    AfunixError, …          every error that is raised on purpose; each also is the built-in that people catch

Nothing is imported until its name is used (PEP 562): `import afunix` costs no event loop and no drawing.
`_HOMES` says where each name lives; a name that is not in `__all__` is not promised.
"""

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` for the name would cost 3 ms
if TYPE_CHECKING:
    from .model.address import Address
    from .model.credentials import PeerCredentials
    from .model.errors import (
        AddressError,
        AddressInUseError,
        AfunixError,
        BrokenStreamError,
        BusyError,
        ClosedError,
        DeniedError,
        DescriptorsNotAcceptedError,
        EndOfStream,
        LineTooLongError,
        NobodyListensError,
        NoSuchSocketError,
        NotASocketError,
        PeerMismatchError,
        TimedOutError,
        TruncatedError,
        WrongTypeError,
    )
    from .model.rules import Rules

__version__ = "0.1.0"

__all__ = [
    # where a socket is, and who is there
    "Address",
    "PeerCredentials",
    "Rules",
    # errors
    "AfunixError",
    "AddressError",
    "AddressInUseError",
    "BrokenStreamError",
    "BusyError",
    "ClosedError",
    "DeniedError",
    "DescriptorsNotAcceptedError",
    "EndOfStream",
    "LineTooLongError",
    "NoSuchSocketError",
    "NobodyListensError",
    "NotASocketError",
    "PeerMismatchError",
    "TimedOutError",
    "TruncatedError",
    "WrongTypeError",
]

_HOMES = dict.fromkeys(__all__, "model.errors") | {
    "Address": "model.address",
    "PeerCredentials": "model.credentials",
    "Rules": "model.rules",
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
    return sorted([*__all__, "__version__", "__doc__"])
