"""One node of the stream, while this collector has it: its consumer, from messages to the log.

Three things go on at a time: the next messages are fetched, those before them are claimed, and
those before these are written and flushed; then they are acknowledged. All in blocks: no record
becomes an object. HOT: benchmark fleet.

What a claim is, and why, is in remote/claims. The consumer is made anew whenever the order of its
messages is in doubt: it then begins with the first one that is not acknowledged.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import structlog
from nats.js import api
from nats.js.errors import APIError, NotFoundError

from auditd_py.daemon.fleet_bucket import AWAY, Inbox, LostError, place_of
from auditd_py.daemon.fleet_log import Chunk
from auditd_py.errors import WireError
from auditd_py.remote.claims import NodeKey, pack_key, parse_key
from auditd_py.remote.fleet import read_run

if TYPE_CHECKING:
    from nats.aio.msg import Msg

    from auditd_py.daemon.fleet import Fleet
    from auditd_py.daemon.positions import Stream
    from auditd_py.remote.claims import Claim
    from auditd_py.remote.fleet import Run

MOST_MESSAGES: Final = 256  # of a block
MOST_BYTES: Final = 2 << 20
ACK_WAIT_S: Final = 60.0  # after which the server sends a message again
_MOST_UNACKED: Final = 4096  # also those that wait for other collectors are among them
_LINGER_S: Final = 30.0  # of a request for the next message
_BEAT_S: Final = 2.0
_SILENCE_S: Final = 5.0
_CLEAR_S: Final = 5.0  # of rest, after which the key has no claims any more
_PATIENCE_S: Final = 5.0  # with messages that are in the stream and do not come
_RETRY_S: Final = 0.5
_GONE_TRIES: Final = 20  # looks for messages that should be in the stream
_NOT_UNIQUE: Final = 10100  # api error code: another consumer of these subjects

log = structlog.get_logger()


class _AnewError(Exception):
    """The consumer has to be made anew."""


@dataclass(slots=True)
class Block:
    """Messages that are handled together; `answers` are sent when `chunks` are written."""

    chunks: list[Chunk] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    answers: list[tuple[str, bytes]] = field(default_factory=list)
    rejected: list[tuple[Msg, str]] = field(default_factory=list)


class Node:
    """The messages of `subject`, written by this collector from `run` on until it ends.

    `key` and `revision` are what the bucket has of it.
    """

    def __init__(self, fleet: Fleet, subject: str, key: NodeKey, revision: int) -> None:
        self.subject = subject
        self.key = key
        self.waiting = 0  # messages in the stream, when the last one came
        self.ready = False
        self._fleet = fleet
        self._revision = revision
        self._leaving = False
        self._task: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._writing: asyncio.Task[None] | None = None
        self._unsettled: list[Claim] = []  # claimed by this process and not yet flushed
        self._streams: dict[bytes, Stream] = {}  # by slot
        self._following: dict[bytes, int] = {}  # by slot, what may be written without asking
        self._delivery = 0
        self._claims_stored = False
        self._busy_at = 0.0

    async def run(self) -> None:
        """Take the node and write its records until it is given back, or lost."""
        fleet = self._fleet
        try:
            self.key.take_over(fleet.name, fleet.session)
            await self._store()
            fleet.counters.taken += 1
            await self._settle()
            while not self._leaving:
                try:
                    await self._session()
                except _AnewError as error:
                    log.debug("the consumer is made anew", node=self.subject, reason=str(error))
                except AWAY as error:
                    fleet.told_once(f"no messages of {self.subject}: {error!r}")
                    await asyncio.sleep(_RETRY_S)
            await self._give_back()
        except LostError:
            fleet.counters.lost += 1
            log.info("another collector has taken the node", node=self.subject)
            if self._writing is not None:
                await asyncio.wait({self._writing})
        finally:
            await self._end_reader()
            if self._writing is not None:
                self._writing.cancel()  # what the log has of it is written all the same
            fleet.ended(self.subject)

    def begin(self) -> None:
        """Have `run` run."""
        self._task = self._fleet.spawn(self.run())

    async def left(self) -> None:
        """Return when it has ended."""
        if self._task is not None:
            await asyncio.wait({self._task})

    def leave(self) -> None:
        """Give the node back when what is being written is written."""
        self._leaving = True
        if self._reader is not None:
            self._reader.cancel()

    def look(self, key: NodeKey, messages: int) -> None:
        """Begin with a new consumer if somebody else changed the key, or this one left messages.

        `messages` are in the stream. After the loss of a server some can stay there that the
        consumer knows as acknowledged (seen with 2.9.10); it sends what is not only after ACK_WAIT_S.
        """
        now = asyncio.get_running_loop().time()
        patience_s = ACK_WAIT_S if self.key.pending else _PATIENCE_S
        left = messages and not self._unsettled and now - self._busy_at > patience_s
        if self.ready and self._reader is not None and (left or key.by != self._fleet.session):
            self._busy_at = now
            self._reader.cancel()

    # the key

    async def _store(self) -> None:
        """Store the key. Raises LostError if the node is not this collector's any more."""
        fleet, key = self._fleet, self.key
        key.updates += 1
        key.by = fleet.session
        try:
            self._revision = await fleet.bucket.update(
                fleet.key_name(self.subject), pack_key(key), self._revision
            )
        except LostError:
            await self._adopt()
            raise _AnewError("the key was changed") from None
        self._claims_stored = bool(key.claims)

    async def _adopt(self) -> None:
        """Go on from what somebody else stored. Raises LostError if the node is somebody else's."""
        fleet = self._fleet
        found = await fleet.bucket.get(fleet.key_name(self.subject))
        if found is None:
            raise LostError(self.subject)
        try:
            key = parse_key(found[1])
        except WireError:
            raise LostError(self.subject) from None
        if (key.owner, key.session) != (fleet.name, fleet.session):
            raise LostError(self.subject)
        self._revision, self.key = found[0], key

    async def _settle(self) -> None:
        """Write what is missing of this collector's own claims."""
        while await settle(self._fleet, self.subject, self.key):
            try:
                await self._store()
            except _AnewError:
                continue
            return

    async def _give_back(self) -> None:
        if self._writing is not None:
            await self._writing
        await self._fleet.delete_consumer(self.key.consumer)
        while True:
            self.key.owner = self.key.session = self.key.consumer = ""
            self.key.claims = []
            with contextlib.suppress(_AnewError):  # somebody settled a claim meanwhile
                await self._store()
                self._fleet.counters.given += 1
                return

    # messages

    async def _session(self) -> None:
        """Write what a new consumer brings. Raises _AnewError when another one is needed."""
        if self._writing is not None:
            await self._writing
        fleet = self._fleet
        former, self.key.consumer = self.key.consumer, _consumer_name(self.subject)
        # of what was claimed and, after a fault, not written, the log knows how much it has
        self.key.pending += [(fleet.name, claim) for claim in self._unsettled]
        self.key.claims, self._unsettled = [], []
        await self._store()
        await self._settle()
        async with fleet.making:
            await self._make_consumer(former)
        inbox = Inbox(fleet.connection)
        blocks: asyncio.Queue[list[Msg] | None] = asyncio.Queue(1)
        try:
            await inbox.open()
            self._delivery, self._busy_at = 0, asyncio.get_running_loop().time()
            self._reader = asyncio.create_task(self._read(inbox, blocks))
            self.ready = True
            await self._pass_on(blocks)
        finally:
            self.ready = False
            await self._end_reader()
            while not blocks.empty():
                if blocks.get_nowait() is not None:
                    fleet.slots.release()
            await inbox.close()

    async def _pass_on(self, blocks: asyncio.Queue[list[Msg] | None]) -> None:
        while not self._leaving:
            if blocks.empty() and (self._reader is None or self._reader.done()):
                raise _AnewError("messages do not come")
            try:
                async with asyncio.timeout(_CLEAR_S if self._claims_stored else None):
                    messages = await blocks.get()
            except TimeoutError:
                if not self._unsettled:
                    self.key.claims = []
                    await self._store()
                continue
            if messages is None:
                continue
            try:
                block, key = self._sorted(messages)
                if block.claims:
                    await self._claim(block, key)
                if self._writing is not None:
                    await self._writing
            except BaseException:
                self._fleet.slots.release()
                raise
            self._writing = asyncio.create_task(self._write(block))

    async def _claim(self, block: Block, key: NodeKey) -> None:
        key.claims = self._unsettled + block.claims
        self.key = key
        await self._store()
        self._unsettled += block.claims

    async def _make_consumer(self, former: str) -> None:
        fleet = self._fleet
        await fleet.delete_consumer(former)
        while True:
            try:
                await fleet.js.add_consumer(
                    fleet.stream,
                    durable_name=self.key.consumer,
                    ack_policy=api.AckPolicy.EXPLICIT,
                    deliver_policy=api.DeliverPolicy.ALL,
                    filter_subject=self.subject,
                    ack_wait=ACK_WAIT_S,
                    max_ack_pending=_MOST_UNACKED,
                    max_waiting=8,
                )
            except APIError as error:
                if error.err_code != _NOT_UNIQUE:
                    fleet.told_once(f"no consumer for {self.subject}: {error.description}")
                else:
                    await fleet.delete_consumers_of(self.subject)
                await asyncio.sleep(_RETRY_S)
            except AWAY:
                await asyncio.sleep(_RETRY_S)
            else:
                return

    async def _end_reader(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait({self._reader})
            self._reader = None

    async def _read(self, inbox: Inbox, blocks: asyncio.Queue[list[Msg] | None]) -> None:
        """Fetch blocks: the next message whenever it comes, and all that wait behind it at once."""
        number = 0
        slots = self._fleet.slots
        held = False
        try:
            while True:
                number += 1
                if self.waiting:
                    await slots.acquire()
                    held = True
                    amount = min(self.waiting, MOST_MESSAGES)
                    request: dict[str, object] = {"max_bytes": MOST_BYTES, "no_wait": True}
                else:
                    amount = 1
                    request = {
                        "expires": int(_LINGER_S * 1e9),
                        "idle_heartbeat": int(_BEAT_S * 1e9),
                    }
                messages = await self._fetch(inbox, f"{inbox.subject}.{number}", amount, request)
                if not messages:
                    self.waiting = 0  # what there is comes with the next request
                    if held:
                        slots.release()
                        held = False
                    continue
                if not held:
                    await slots.acquire()
                    held = True
                await blocks.put(messages)
                held = False
        except (*AWAY, _AnewError) as error:
            log.debug("messages do not come", node=self.subject, reason=repr(error))
            await asyncio.sleep(_RETRY_S)
        finally:
            if held:
                slots.release()
            with contextlib.suppress(asyncio.QueueFull):
                blocks.put_nowait(None)

    async def _fetch(
        self, inbox: Inbox, reply: str, amount: int, request: dict[str, object]
    ) -> list[Msg]:
        """Return up to `amount` messages. Raises _AnewError if any before them was missed."""
        fleet = self._fleet
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{fleet.stream}.{self.key.consumer}"
        text = json.dumps({"batch": amount, **request}).encode()
        await fleet.connection.publish(subject, text, reply)
        messages: list[Msg] = []
        while len(messages) < amount:
            message = await inbox.next(_SILENCE_S)
            place = place_of(message)
            if place is not None:
                self._delivery += 1
                if place.delivery != self._delivery:
                    raise _AnewError(f"delivery {place.delivery}, not {self._delivery}")
                self.waiting = place.pending
                fleet.counters.redelivered += place.deliveries > 1
                messages.append(message)
                continue
            status = (message.headers or {}).get("Status")
            if message.subject != reply or status == "100":
                continue  # the end of an earlier request, or a beat
            if status not in ("404", "408", "409"):
                raise _AnewError(f"status {status}")
            if "Deleted" in (message.headers or {}).get("Description", ""):
                raise _AnewError("the consumer was deleted")
            break
        return messages

    # records

    def _sorted(self, messages: list[Msg]) -> tuple[Block, NodeKey]:
        """Return what is to be written of messages, and the key that has it claimed."""
        fleet, key, block = self._fleet, self.key.copy(), Block()
        self.key.claims = list(self._unsettled)
        for message in messages:
            place = place_of(message)
            assert place is not None
            try:
                run = read_run(message.headers, message.data)
                fleet.log.check(self.subject, run)
            except WireError as error:
                block.rejected.append((message, str(error)))
                block.answers.append((message.reply, b"+TERM"))
                continue
            last = run.first + run.count - 1
            if not self.key.blocked(run.stream, run.first, last):
                block.answers.append((message.reply, b"+ACK"))
            if run.first > key.following.get(run.stream, run.first):
                fleet.counters.gaps += 1
                log.warning(
                    "records are missing in the stream", node=self.subject, before=run.first
                )
            fresh = 0
            for part in key.take(run.stream, run.first, last, place.sequence, block.claims):
                fresh += part.last - part.first + 1
                block.chunks += fleet.log.chunks(
                    self.subject, run, part.first, part.last, part.slot
                )
            fleet.counters.messages += 1
            fleet.counters.duplicates += run.count - fresh
        return block, key

    async def _write(self, block: Block) -> None:
        fleet = self._fleet
        try:
            for chunk in _joined(block.chunks):
                await self._write_chunk(chunk)
            for message, reason in block.rejected:
                await fleet.log.reject(self.subject, message, reason)
            if block.chunks:
                await fleet.log.flush()
            for reply, answer in block.answers:
                with contextlib.suppress(*AWAY):  # it comes again, and is known
                    await fleet.connection.publish(reply, answer)
            self._unsettled = self._unsettled[len(block.claims) :]
            self._busy_at = asyncio.get_running_loop().time()
        finally:
            fleet.slots.release()

    async def _write_chunk(self, chunk: Chunk) -> None:
        stream = self._streams.get(chunk.slot)
        if stream is None or self._following.get(chunk.slot) != chunk.first or stream.broken:
            stream = None
        self._streams.pop(chunk.slot, None)
        found = await self._fleet.log.write(chunk, stream)
        if found is not None:
            self._streams[chunk.slot] = found
            self._following[chunk.slot] = chunk.first + chunk.count


async def settle(fleet: Fleet, subject: str, key: NodeKey) -> bool:
    """Write what is missing of the claims pending for this collector; return whether there were.

    They are taken out of `key`, which has to be stored then.
    """
    mine = [claim for owner, claim in key.pending if owner == fleet.name]
    for claim in sorted(mine, key=lambda claim: (claim.stream, claim.first)):
        await _finish(fleet, subject, claim)
    if mine:
        await fleet.log.flush()
        key.pending = [one for one in key.pending if one[0] != fleet.name]
        fleet.counters.settled += len(mine)
        log.info("claims of an earlier time are settled", node=subject, claims=len(mine))
    return bool(mine)


async def _finish(fleet: Fleet, subject: str, claim: Claim) -> None:
    """Write the records of a claim that are not in the log; their messages are in the stream."""
    at = await fleet.log.position(claim.slot, claim.first)
    need = max(claim.first, at[1].last + 1) if at is not None else claim.first
    sequence, tries = claim.lowest, 0
    while need <= claim.last:
        found = await _stored(fleet, subject, sequence)
        run = None
        if found is not None and found[0] <= claim.highest:
            sequence = found[0] + 1
            run = found[1]
        else:
            # nobody acknowledged it: a server that lags behind, or it was removed by hand
            tries += 1
            if tries > _GONE_TRIES:
                fleet.counters.vanished += claim.last - need + 1
                log.error(
                    "records are no longer in the stream", node=subject, first=need, last=claim.last
                )
                return
            sequence = claim.lowest
            await asyncio.sleep(_RETRY_S)
            continue
        if run is None or run.stream != claim.stream:
            continue
        last = min(claim.last, run.first + run.count - 1)
        if run.first > need or last < need:
            continue
        for chunk in fleet.log.chunks(subject, run, need, last, claim.slot):
            await fleet.log.write(chunk, None)
        need = last + 1


async def _stored(fleet: Fleet, subject: str, sequence: int) -> tuple[int, Run | None] | None:
    """Return sequence and records of the first message from `sequence` on; None: there is none."""
    while True:
        try:
            found = await fleet.js.get_msg(fleet.stream, seq=sequence, subject=subject, next=True)
        except NotFoundError:
            return None
        except AWAY:
            await asyncio.sleep(_RETRY_S)
            continue
        try:
            return found.seq or sequence, read_run(found.headers, found.data or b"")
        except WireError:
            return found.seq or sequence, None


def _joined(chunks: list[Chunk]) -> list[Chunk]:
    """Put chunks together that follow each other in the same log."""
    joined: list[list[Chunk]] = []
    for chunk in chunks:
        former = joined[-1][-1] if joined else None
        if (
            former is not None
            and former.slot == chunk.slot
            and former.folder == chunk.folder
            and former.first + former.count == chunk.first
        ):
            joined[-1].append(chunk)
        else:
            joined.append([chunk])
    return [
        group[0] if len(group) == 1 else Chunk(
            group[0].slot, group[0].first, sum(chunk.count for chunk in group),
            b"".join([chunk.lines for chunk in group]), group[0].folder,
        )
        for group in joined
    ]  # fmt: skip


def _consumer_name(subject: str) -> str:
    plain = "".join(letter if letter.isalnum() else "_" for letter in subject)[:64]
    return f"auditd-{plain}-{secrets.token_hex(4)}"
