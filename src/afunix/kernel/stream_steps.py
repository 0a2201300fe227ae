"""What a stream does, as steps: each operation is a generator that moves what can be moved and yields what it needs.

The faces only wait: `streams.waiting` in an asyncio task, `blocking.waiting` in poll(2), `adapters.anyio_waiting` in
`wait_readable`. A face that is interrupted throws that into the generator, which leaves everything in order. What
that is, `receive_steps` and `send_steps` say, each for its direction.
"""

from __future__ import annotations

from .receive_steps import ReceiveSteps
from .send_steps import SendSteps


class StreamSteps(ReceiveSteps, SendSteps):
    """The operations of a stream as steps, both ways."""

    __slots__ = ()
