"""A Channel for sockets to which descriptors can be sent although nobody takes them from it.

Where the kernel refuses them at the sender's (`peercred.refuse_descriptors`, Linux 6.16) a plain Channel will do.
Everywhere else a receive without room for control data makes the kernel drop what came, unseen: nothing is ever
opened here, and MSG_CTRUNC tells that something was.
"""

from __future__ import annotations

from socket import MSG_CTRUNC, MSG_DONTWAIT

from .channel import Channel

_CONTROL_CUT = int(MSG_CTRUNC)


class DiscardingChannel(Channel):
    """Counts in `descriptors_closed` each receive that came with descriptors which nobody asked for."""

    __slots__ = ()

    def try_receive(self, max_bytes: int) -> bytes | None:
        if self.put_back is not None:
            return self._take_back(self.put_back, max_bytes)
        try:
            data, _, flags, _ = self.socket.recvmsg(max_bytes, 0, MSG_DONTWAIT)
        except BlockingIOError:
            return None
        self._note(len(data), flags)
        return data

    def try_receive_into(self, buffer: memoryview) -> int | None:
        if self.put_back is not None:
            return super().try_receive_into(buffer)
        try:
            count, _, flags, _ = self.socket.recvmsg_into((buffer,), 0, MSG_DONTWAIT)
        except BlockingIOError:
            return None
        self._note(count, flags)
        return count

    def _note(self, count: int, flags: int) -> None:
        self.bytes_received += count
        if not count:
            self.receive_ended = True
        if flags & _CONTROL_CUT:
            self.descriptors_closed += 1
