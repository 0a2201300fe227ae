"""What a stream sends, as steps: bytes, buffers, files, descriptors. The counterpart of `receive_steps`.

A send that is interrupted before its first byte has done nothing; one that is broken off in its middle cuts the
sending, for what came next would be taken for its rest.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

from .descriptors import Descriptor, explain_not_open, explain_unreadable, numbers_of
from .endpoint import Endpoint
from .steps import FILE_CHUNK_BYTES, Data, Need, NoProgressError, Steps, as_bytes_view, must_be_count

_IOV_MAX = 1024
"""As many buffers as one sendmsg(2) takes."""


class SendSteps(Endpoint):
    """The sending side of a stream as steps; see the faces for what each promises."""

    __slots__ = ()

    def _try_send(self, view: memoryview, sent: int) -> int:
        """One attempt to send what is left after `sent` bytes; how many went."""
        channel = self._channel
        if channel.fd < 0:
            raise self._closed_error()
        try:
            return channel.try_send(view)
        except OSError as error:
            raise self._send_failed(error, sent) from None

    def _send_steps(self, data: Data, sent: int = 0) -> Steps[None]:
        """Send `data` from its `sent`-th byte on."""
        with as_bytes_view(data) as view:  # a bytearray can be changed again as soon as this has failed, too
            self._begin_sending()
            try:
                yield from self._send_rest(view, sent)
            finally:
                self._sending = False

    def _send_rest(self, view: memoryview, sent: int) -> Steps[None]:
        size = len(view)
        try:
            while sent < size:
                with view[sent:] as rest:
                    sent += self._try_send(rest, sent)
                if sent < size:  # the kernel took what it had room for
                    yield Need.WRITABLE
        except NoProgressError:
            raise self._no_progress(sent, size) from None
        finally:
            if 0 < sent < size:
                self._cut_at(sent, size)

    def _send_many_steps(self, buffers: Sequence[Data]) -> Steps[None]:
        views: list[memoryview] = []
        try:
            for buffer in buffers:
                views.append(as_bytes_view(buffer))
            self._begin_sending()
            try:
                yield from self._send_views(views)
            finally:
                self._sending = False
        finally:  # a bytearray can be changed again as soon as this has failed, too
            for view in views:
                view.release()

    def _send_views(self, views: list[memoryview]) -> Steps[None]:
        size = sum(map(len, views))
        sent = 0
        first = skip_sent(views, 0, 0)
        try:
            while sent < size:
                count = self._try_send_many(views[first : first + _IOV_MAX], sent)
                sent += count
                first = skip_sent(views, first, count)
                if sent < size:
                    yield Need.WRITABLE
        except NoProgressError:
            raise self._no_progress(sent, size) from None
        finally:
            if 0 < sent < size:
                self._cut_at(sent, size)

    def _try_send_many(self, views: Sequence[memoryview], sent: int) -> int:
        if self._channel.fd < 0:
            raise self._closed_error()
        try:
            return self._channel.try_send_many(views)
        except OSError as error:
            raise self._send_failed(error, sent) from None

    def _send_fds_steps(self, data: Data, descriptors: Sequence[Descriptor]) -> Steps[None]:
        fds = numbers_of(descriptors)
        yield from self._send_fds_rest(data, fds, self._send_fds_now(data, fds))

    def _send_fds_now(self, data: Data, fds: Sequence[int]) -> int:
        """One attempt; how many bytes went, with `fds` if it was any."""
        if not data:
            raise ValueError("descriptors need at least one byte to travel with: data is empty")
        self._must_be_sendable()
        with as_bytes_view(data) as view:  # let go of also when it fails: a bytearray is its owner's again
            return self._try_send_fds(view, fds)

    def _send_fds_rest(self, data: Data, fds: Sequence[int], sent: int) -> Steps[None]:
        """What is left of `data` after `sent` bytes; `fds` went with the first of them."""
        self._begin_sending()
        try:
            with as_bytes_view(data) as view:
                while not sent:
                    yield from self._wait_for_room(len(view))
                    sent = self._try_send_fds(view, fds)
                yield from self._send_rest(view, sent)
        finally:
            self._sending = False

    def _wait_for_room(self, size: int) -> Steps[None]:
        try:
            yield Need.WRITABLE
        except NoProgressError:
            raise self._no_progress(0, size) from None

    def _try_send_fds(self, view: memoryview, fds: Sequence[int]) -> int:
        self._open_socket()
        try:
            return self._channel.try_send_fds(view, fds)
        except OSError as error:
            raise self._send_failed(explain_not_open(error, fds), 0) from None

    def _send_file_steps(self, fd: int, offset: int, count: int | None, zero_copy: bool) -> Steps[int]:
        must_be_count(offset, "offset")
        if count is not None:
            must_be_count(count, "count")
        self._begin_sending()
        before = self._channel.bytes_sent
        is_whole = False
        try:
            move = self._send_pages if zero_copy and self._can_send_pages() else self._send_copy
            sent = 0
            while count is None or sent < count:
                if sent:
                    yield Need.TURN
                wanted = FILE_CHUNK_BYTES if count is None else min(FILE_CHUNK_BYTES, count - sent)
                moved = yield from move(fd, offset + sent, wanted, sent)
                sent += moved
                if not moved or (moved < wanted and not zero_copy):
                    break  # the end of the file
            is_whole = True
            return sent
        except NoProgressError:
            raise self._no_progress(self._channel.bytes_sent - before, count) from None
        finally:
            self._sending = False
            gone = self._channel.bytes_sent - before
            if gone and not is_whole:
                self._cut_at(gone, count)

    def _can_send_pages(self) -> bool:
        """sendfile(2) knows no MSG_DONTWAIT: a blocking socket, if its flag is not ours, would hold everybody up.
        Nor MSG_NOSIGNAL: with SIGPIPE as it is by default, or as we cannot know, a peer that left would kill us.
        """
        if signal.getsignal(signal.SIGPIPE) in (signal.SIG_DFL, None):
            return False
        channel = self._channel
        if os.get_blocking(channel.fd):
            if not channel.is_ours:
                return False
            os.set_blocking(channel.fd, False)  # until `detach`
        return True

    def _send_copy(self, fd: int, offset: int, count: int, sent: int) -> Steps[int]:
        try:
            view = memoryview(os.pread(fd, count, offset))
        except OSError as error:
            raise explain_unreadable(error, fd) from None
        moved = 0
        while moved < len(view):
            moved += self._try_send(view[moved:], sent + moved)
            if moved < len(view):
                yield Need.WRITABLE
        return moved

    def _send_pages(self, fd: int, offset: int, count: int, sent: int) -> Steps[int]:
        while True:
            self._open_socket()
            try:
                moved = os.sendfile(self._channel.fd, fd, offset, count)
            except BlockingIOError:
                yield Need.WRITABLE
            except OSError as error:
                raise self._send_failed(explain_unreadable(error, fd), sent) from None
            else:
                self._channel.note_sent(moved)
                return moved


def skip_sent(views: list[memoryview], first: int, count: int) -> int:
    """From the `first` of `views` on, `count` bytes more are gone: which is now the first, of which only the rest
    stays there. Those that are empty are gone, too.
    """
    while first < len(views):
        view = views[first]
        if count < len(view):
            if count:
                views[first] = view[count:]
                view.release()
            break
        count -= len(view)
        first += 1
    return first
