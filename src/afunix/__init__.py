"""Unix domain sockets for Python: correct by default, and fast. This file is the map of the public names.

    connect, serve, listen  streams: a client, a server with a task for each client, a listener of one's own
    relay                   a server that stands between its clients and another one
    Stream                  one connection: receive, send, descriptors, who is there
    connect_packets, listen_packets, attach_packets, open_datagrams    where boundaries are kept: SOCK_SEQPACKET, SOCK_DGRAM
    Address                 where a socket is named: `Address.parse("/run/app.sock")`
    PeerCredentials, Rules  who is at the other end, and who may be
    connect_socket          a connected socket for somebody else's client: httpx, redis, asyncpg
    bind_socket             a socket for somebody else's server: uvicorn, aiohttp, socketserver
    blocking                the same names without await: for scripts and threads
    events                  what an observer is told
    systemd                 inherited sockets, readiness, watchdog, descriptors kept over a restart
    testing                 for tests: connected streams, a recorder of events, everything that can go wrong
    AfunixError, …          every error that is raised on purpose; each also is the built-in that people catch

Nothing is imported until its name is used (PEP 562): `import afunix` costs no event loop and no drawing.
`_HOMES` says where each name lives; a name that is not in `__all__` is not promised.
"""

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` for the name would cost 3 ms
if TYPE_CHECKING:
    from . import blocking as blocking
    from . import events as events
    from . import systemd as systemd
    from . import testing as testing
    from .blocking.dialling import connect_socket
    from .kernel.bound_socket import BoundSocket, bind_socket
    from .kernel.datagram_channel import Datagram
    from .kernel.descriptors import Fd, Received
    from .kernel.written_rules import Rules
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
        MessageTooLongError,
        NobodyListensError,
        NoSuchSocketError,
        NotASocketError,
        PeerMismatchError,
        TimedOutError,
        TruncatedError,
        WrongLoopError,
        WrongTypeError,
    )
    from .model.retry import Retry
    from .model.rules import RuleError
    from .model.stream_state import ServerStats, State, Stats
    from .streams.bridge import as_asyncio
    from .streams.datagrams import DatagramSocket, open_datagrams
    from .streams.listener_opening import listen
    from .streams.listening import Listener
    from .streams.opening import attach, connect, pair
    from .streams.packet_opening import PacketListener, attach_packets, connect_packets, listen_packets
    from .streams.packets import PacketStream
    from .streams.relaying import relay
    from .streams.server import Server
    from .streams.serving import serve
    from .streams.stream import Stream

__version__ = "0.1.0"

__all__ = [
    # streams
    "Listener",
    "Server",
    "Stream",
    "as_asyncio",
    "attach",
    "connect",
    "listen",
    "pair",
    "relay",
    "serve",
    # packets and datagrams
    "DatagramSocket",
    "PacketListener",
    "PacketStream",
    "attach_packets",
    "connect_packets",
    "listen_packets",
    "open_datagrams",
    # what they give
    "Datagram",
    "Fd",
    "Received",
    "ServerStats",
    "State",
    "Stats",
    # where a socket is, and who is there
    "Address",
    "PeerCredentials",
    "Retry",
    "Rules",
    # sockets for other libraries
    "BoundSocket",
    "bind_socket",
    "connect_socket",
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
    "MessageTooLongError",
    "NoSuchSocketError",
    "NobodyListensError",
    "NotASocketError",
    "PeerMismatchError",
    "RuleError",
    "TimedOutError",
    "TruncatedError",
    "WrongLoopError",
    "WrongTypeError",
]

_HOMES = dict.fromkeys(__all__, "model.errors") | {
    "Address": "model.address",
    "PeerCredentials": "model.credentials",
    "Retry": "model.retry",
    "RuleError": "model.rules",
    "Rules": "kernel.written_rules",
    "Listener": "streams.listening",
    "listen": "streams.listener_opening",
    "Server": "streams.server",
    "serve": "streams.serving",
    "relay": "streams.relaying",
    "Stream": "streams.stream",
    "as_asyncio": "streams.bridge",
    "attach": "streams.opening",
    "connect": "streams.opening",
    "pair": "streams.opening",
    "DatagramSocket": "streams.datagrams",
    "open_datagrams": "streams.datagrams",
    "PacketListener": "streams.packet_opening",
    "attach_packets": "streams.packet_opening",
    "connect_packets": "streams.packet_opening",
    "listen_packets": "streams.packet_opening",
    "PacketStream": "streams.packets",
    "Datagram": "kernel.datagram_channel",
    "Fd": "kernel.descriptors",
    "Received": "kernel.descriptors",
    "ServerStats": "model.stream_state",
    "State": "model.stream_state",
    "Stats": "model.stream_state",
    "BoundSocket": "kernel.bound_socket",
    "bind_socket": "kernel.bound_socket",
    "connect_socket": "blocking.dialling",
}
_MODULES = {
    "blocking": "blocking",
    "events": "events",
    "systemd": "systemd",
    "testing": "testing",
}  # promised whole: `afunix.systemd.notify` after `import afunix`

if not TYPE_CHECKING:  # so that a misspelt name stays an error for type checkers

    def __getattr__(name):
        """Import a public name when it is first used; afterwards it is an ordinary global."""
        home = _HOMES.get(name) or _MODULES.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
        from importlib import import_module

        module = import_module(f".{home}", __name__)
        value = module if name in _MODULES else getattr(module, name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES, "__version__", "__doc__"])
