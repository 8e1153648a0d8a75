"""The kernel's audit socket on the event loop. HOT: one wake-up for many records.

An idle socket is watched; the first record wakes the loop and is passed on at once. After that
the socket is looked at every few milliseconds for as long as records come, which costs one
wake-up for all that arrived meanwhile; its buffer holds them. Benchmarks: rows `raw`, `openat`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from auditd_py.errors import KernelError
from auditd_py.netlink import messages
from auditd_py.netlink.control import open_socket
from auditd_py.netlink.datagram import SLOTS, Batch
from auditd_py.netlink.uapi import (
    NETLINK_NO_ENOBUFS,
    NLM_F_ACK,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    NLMSG_HDRLEN,
    SO_MEMINFO,
    SO_RCVBUFFORCE,
    SOL_NETLINK,
    Meminfo,
    Request,
    StatusMask,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_SHORTEST_PAUSE_S: Final = 0.002  # the rest of an event whose first record woke the loop
_LONGEST_PAUSE_S: Final = 0.020  # while records keep coming
_MANY: Final = 8 * SLOTS  # found in one look: the socket fills fast, and cold records cost more
_MAX_RECEIVES: Final = 16  # in one go: signals and timers get their turn


@dataclass(slots=True)
class SourceCounters:
    """What came from the kernel. `congested` counts sends that found the socket full."""

    records: int = 0
    batches: int = 0
    wakeups: int = 0
    congested: int = 0


class Source:
    """Reads the event socket and gives each batch to `take`.

    `take(batch)` returns false when no more may come for now; call `resume()` when it may.
    `on_failure(error)` is told when the socket cannot be read any more.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        take: Callable[[Batch], bool],
        on_failure: Callable[[OSError], None],
    ) -> None:
        self.counters = SourceCounters()
        self._loop = loop
        self._take = take
        self._on_failure = on_failure
        self._batch = Batch()
        self._socket: socket.socket | None = None
        self._fd = -1
        self._watching = False
        self._timer: asyncio.TimerHandle | None = None
        self._pause_s = _SHORTEST_PAUSE_S / 2
        self._empty_at = 0.0  # when a look found nothing, loop time; 0 when the last one did
        self._receive_buffer = 0
        self._started = False
        self._held = False
        self._seq = 0
        self._ack: asyncio.Future[int] | None = None
        self._drops_before = 0
        self._enlarged = False  # beyond the usual size

    def open(self, receive_buffer: int, groups: int = 0) -> None:
        """Open the socket, with `receive_buffer` bytes for records nobody has read yet.

        `groups` as in `open_socket`. Raises KernelError.
        """
        sock = open_socket(groups)
        sock.setblocking(False)
        half = receive_buffer // 2  # the kernel doubles what is asked for (sock_setsockopt)
        try:
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, half)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, half)
        if not groups:
            # a full socket then makes the kernel wait and send again; without this it would
            # refuse everything until the socket is empty
            sock.setsockopt(SOL_NETLINK, NETLINK_NO_ENOBUFS, 1)
        self.close()
        self._receive_buffer = receive_buffer
        self._socket, self._fd, self._drops_before = sock, sock.fileno(), self.counters.congested

    def adopt(self, sock: socket.socket, receive_buffer: int, drops_before: int) -> None:
        """Use a socket that was opened, and perhaps registered, by the process before this one.

        `receive_buffer` as in `open`, `drops_before` as in `kept`. The socket may be larger and
        gets this size when it was read to its end: below what waits in it, it would be full, and
        the kernel drops what it cannot send for half a second.
        """
        sock.setblocking(False)
        self.close()
        self._receive_buffer = receive_buffer
        self._socket, self._fd, self._drops_before = sock, sock.fileno(), drops_before
        self._enlarged = True

    @property
    def kept(self) -> tuple[int, int] | None:
        """The socket's descriptor and what `adopt` is to know of it; None without a socket."""
        return (self._fd, self._drops_before) if self._socket is not None else None

    def enlarge(self, receive_buffer: int) -> None:
        """Let so many bytes wait in the socket until it was read to its end."""
        self._resize(receive_buffer)
        self._enlarged = True

    def _resize(self, receive_buffer: int) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, receive_buffer // 2)

    def start(self) -> None:
        """Begin to read."""
        self._started = True
        self._watch()

    def stop(self) -> None:
        """Read no more of its own accord; `drain` still does."""
        self._started = False
        self._unwatch()

    def close(self) -> None:
        """Stop and close the socket."""
        self._unwatch()
        if self._socket is not None:
            self.count_congestion()
            self._socket.close()
            self._socket, self._fd = None, -1

    def resume(self) -> None:
        """Go on after `take` returned false."""
        if self._held:
            self._held = False
            if self._started:
                self._look()

    def drain(self) -> bool:
        """Take all that is waiting now; return false if `take` stopped it before the end."""
        while not self._held:
            if self._receive() < SLOTS:
                return not self._held
        return False

    async def register(self, pid: int, timeout_s: float = 10.0) -> None:
        """Make `pid` the kernel's audit daemon and this socket the one records come to.

        The acknowledgement comes among the records. A socket that was closed is opened again.
        Raises KernelError: EEXIST when another daemon is alive, EPERM without the right or with
        the settings locked.
        """
        if self._socket is None:
            self.open(self._receive_buffer)
            self.start()
        assert self._socket is not None
        name = "AUDIT_SET pid"
        self._seq += 1
        payload = messages.status_payload({"mask": StatusMask.PID, "pid": pid})
        self._ack = self._loop.create_future()
        try:
            self._socket.send(
                messages.request(Request.SET, NLM_F_REQUEST | NLM_F_ACK, self._seq, payload)
            )
            async with asyncio.timeout(timeout_s):
                code = await self._ack
        except TimeoutError:
            raise KernelError(errno.ETIMEDOUT, name) from None
        except OSError as error:
            raise KernelError(error.errno or errno.EIO, name) from None
        finally:
            self._ack = None
        if code:
            raise KernelError(code, name)

    def count_congestion(self) -> int:
        """Ask the socket how many sends found it full; return the bytes waiting in it."""
        if self._socket is None:
            return 0
        try:
            values = struct.unpack(
                "=9I", self._socket.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36)
            )
        except OSError:
            return 0
        self.counters.congested = self._drops_before + values[Meminfo.DROPS]
        waiting: int = values[Meminfo.RMEM_ALLOC]
        return waiting

    def _watch(self) -> None:
        if self._socket is not None and not self._watching:
            self._watching = True
            self._loop.add_reader(self._fd, self._look)

    def _unwatch(self) -> None:
        if self._watching:
            self._watching = False
            self._loop.remove_reader(self._fd)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        self.counters.wakeups += 1
        found = 0
        for _ in range(_MAX_RECEIVES):
            count = self._receive()
            found += count
            if count < SLOTS or self._held:
                break
        if self._enlarged and not self._held and count < SLOTS:
            self._enlarged = False
            self._resize(self._receive_buffer)
        if self._held or not self._started or self._socket is None:
            self._unwatch()
        elif found == 0:
            self._empty_at = self._loop.time()
            self._watch()
        else:
            if self._watching:
                self._watching = False
                self._loop.remove_reader(self._fd)
            if self._empty_at:
                # events that come at the pace of the pauses find it empty each time without
                # being few: only a silence longer than any pause makes the machine idle
                if self._loop.time() - self._empty_at > _LONGEST_PAUSE_S:
                    self._pause_s = _SHORTEST_PAUSE_S / 2
                self._empty_at = 0.0
            self._pause_s = (
                _SHORTEST_PAUSE_S if found >= _MANY else min(2 * self._pause_s, _LONGEST_PAUSE_S)
            )
            self._timer = self._loop.call_later(self._pause_s, self._look)

    def _receive(self) -> int:
        if self._socket is None:
            return 0
        try:
            count = self._batch.receive(self._fd)
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                self.counters.congested += 1
                self._drops_before += 1
                return 0
            self.stop()
            self._on_failure(error)
            return 0
        if count:
            self.counters.records += count
            self.counters.batches += 1
            if self._ack is not None and NLMSG_ERROR in self._batch.types:
                self._answer()
            if not self._take(self._batch):
                self._held = True
        return count

    def _answer(self) -> None:
        # struct nlmsgerr: the negative errno, then the header of the request
        batch = self._batch
        for kind, slot, length in zip(batch.types, batch.slots, batch.lengths, strict=False):
            if kind == NLMSG_ERROR and length >= NLMSG_HDRLEN + 4:
                (seq,) = struct.unpack_from("=I", slot, 8)
                (code,) = struct.unpack_from("=i", slot, NLMSG_HDRLEN)
                if seq == self._seq and self._ack is not None and not self._ack.done():
                    self._ack.set_result(-code)
