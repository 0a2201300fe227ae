"""What an observer is told: `afunix.serve(…, observer=tell)` calls `tell(event)` with one of these for each thing.

Frozen values in the past tense, each with `fd`, the descriptor of the socket it happened to. An observer is called in
the step in which it happened: it must not wait. What it raises goes to the loop's exception handler (asyncio) or to
`sys.unraisablehook`, never into an operation. What they mean is written in `model.events`.
"""

from .model.events import (
    Accepted,
    AcceptPaused,
    AcceptResumed,
    Bound,
    BytesRead,
    BytesWritten,
    CallFailed,
    Closed,
    Connected,
    Created,
    DescriptorsReceived,
    DescriptorsSent,
    Direction,
    Dropped,
    Event,
    HalfClosed,
    HandlerFailed,
    Listening,
    LiveReplaced,
    Observer,
    Queued,
    Refused,
    StaleRemoved,
    Stopping,
    Unlinked,
    WentIdle,
)

__all__ = [
    "Accepted",
    "AcceptPaused",
    "AcceptResumed",
    "Bound",
    "BytesRead",
    "BytesWritten",
    "CallFailed",
    "Closed",
    "Connected",
    "Created",
    "DescriptorsReceived",
    "DescriptorsSent",
    "Direction",
    "Dropped",
    "Event",
    "HalfClosed",
    "HandlerFailed",
    "Listening",
    "LiveReplaced",
    "Observer",
    "Queued",
    "Refused",
    "StaleRemoved",
    "Stopping",
    "Unlinked",
    "WentIdle",
]
