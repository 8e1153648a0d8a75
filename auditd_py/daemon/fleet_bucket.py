"""The bucket of keys by which collectors share nodes, and a copy of it that follows it.

An update of a key succeeds only if it is the first one after the revision it was made from. That
two are not taken at once is left to the server's detection of duplicates, which is decided in the
order of the stream; the check of the last sequence of a subject is made before that, and two
updates under way at a time both pass it (servers before 2.9.21). Together they hold.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import nats.errors
from nats.js import api
from nats.js.errors import APIError, BadRequestError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription
    from nats.js.client import JetStreamContext

_ANSWER_S: Final = 3.0  # for the server to store an update
_PAUSE_S: Final = 0.2
_WRONG_LAST: Final = frozenset({10071, 10164})  # api error codes
_DEDUPE_S: Final = 120
_BEAT_S: Final = 2.0  # of the server to a copy
_SILENCE_S: Final = 5.0

AWAY: Final = (nats.errors.Error, APIError, OSError, TimeoutError)
"""What is raised while servers are away, or change their leader."""


NODE: Final = "node."  # keys of nodes, and of collectors
ALIVE: Final = "alive."


class LostError(Exception):
    """Somebody else changed the key."""


def bucket_name(stream: str) -> str:
    """Return the name of the bucket in which the nodes of a stream are shared."""
    return f"auditd_{stream}"


class Bucket:
    """The keys of one bucket. Methods wait while no server answers."""

    def __init__(self, connection: Client, name: str) -> None:
        self.name = name
        self.stream = f"KV_{name}"
        self._connection = connection
        self._js: JetStreamContext = connection.jetstream(timeout=_ANSWER_S)

    async def make(self, replicas: int) -> None:
        """Make the bucket if there is none. Raises what AWAY has."""
        try:
            await self._js.stream_info(self.stream)
        except NotFoundError:
            config = api.KeyValueConfig(
                bucket=self.name, history=1, replicas=replicas, storage=api.StorageType.FILE,
                description="auditd: which collector has which node",
            )  # fmt: skip
            with contextlib.suppress(BadRequestError):  # another collector was first
                await self._js.create_key_value(config)

    def subject(self, key: str) -> str:
        """Return the subject of a key."""
        return f"$KV.{self.name}.{key}"

    async def put(self, key: str, value: bytes) -> int:
        """Store a value whatever is there; return its revision. Raises what AWAY has."""
        stored = await self._js.publish(
            self.subject(key), value, timeout=_ANSWER_S, stream=self.stream
        )
        return stored.seq

    async def delete(self, key: str) -> None:
        """Remove a key. Raises what AWAY has."""
        await self._js.publish(
            self.subject(key), b"", timeout=_ANSWER_S, headers={"KV-Operation": "DEL"}
        )

    async def update(self, key: str, value: bytes, revision: int) -> int:
        """Store a value in place of `revision`, 0 for none; return the new revision.

        No two values may be the same. Raises LostError if the key has another revision.
        """
        headers = {
            "Nats-Msg-Id": f"{key}@{revision}",
            "Nats-Expected-Last-Subject-Sequence": str(revision),
        }
        while True:
            try:
                stored = await self._js.publish(
                    self.subject(key), value, timeout=_ANSWER_S, headers=headers
                )
                if not stored.duplicate:
                    return stored.seq
            except APIError as error:
                if error.err_code not in _WRONG_LAST:
                    await asyncio.sleep(_PAUSE_S)
                    continue
            except AWAY:
                await asyncio.sleep(_PAUSE_S)
                continue
            # somebody else was first, or an attempt of ours whose answer did not come
            found = await self.get(key)
            if found is not None and found[1] == value:
                return found[0]
            if found is None or found[0] != revision:
                raise LostError(key)
            await asyncio.sleep(_PAUSE_S)  # the server that answered lags behind

    async def get(self, key: str) -> tuple[int, bytes] | None:
        """Return revision and value of a key."""
        while True:
            try:
                found = await self._js.get_last_msg(self.stream, self.subject(key))
            except NotFoundError:
                return None
            except AWAY:
                await asyncio.sleep(_PAUSE_S)
                continue
            deleted = (found.headers or {}).get("KV-Operation")
            return found.seq or 0, b"" if deleted else found.data or b""


class Copy:
    """What the bucket holds, as the server tells it. The bucket is made if there is none.

    `entries` has revision and value by key, without those that were removed. `tell` is told of
    faults.
    """

    def __init__(
        self, connection: Client, bucket: Bucket, replicas: int, tell: Callable[[str], None]
    ) -> None:
        self.entries: dict[str, tuple[int, bytes]] = {}
        self.revisions: dict[str, int] = {}  # also of those that were removed
        self.heard: dict[str, float] = {}  # when a key was stored last, by this host's clock
        self.fresh = asyncio.Event()  # all that there is has come
        self._connection = connection
        self._bucket = bucket
        self._replicas = replicas
        self._tell = tell
        self._waiting: dict[str, tuple[int, bytes]] = {}
        self._expected = 0

    async def run(self) -> None:
        """Follow the bucket until cancelled."""
        while True:
            try:
                await self._bucket.make(self._replicas)
                await self._follow()
            except AWAY as error:
                self._tell(f"the bucket {self._bucket.name} cannot be followed: {error}")
            self.fresh.clear()
            await asyncio.sleep(_PAUSE_S)

    async def _follow(self) -> None:
        inbox = Inbox(self._connection)
        try:
            await inbox.open()
            self._waiting, self._expected = {}, 1
            made = await self._connection.jetstream(timeout=_ANSWER_S).add_consumer(
                self._bucket.stream,
                deliver_subject=inbox.subject,
                deliver_policy=api.DeliverPolicy.LAST_PER_SUBJECT,
                ack_policy=api.AckPolicy.NONE,
                filter_subject=self._bucket.subject(">"),
                idle_heartbeat=_BEAT_S,
                mem_storage=True,
                num_replicas=1,
                inactive_threshold=60.0,
            )
            if not made.num_pending and not (made.delivered and made.delivered.consumer_seq):
                self._complete()
            while await self._next(inbox):
                pass
        finally:
            await inbox.close()

    async def _next(self, inbox: Inbox) -> bool:
        message = await inbox.next(_SILENCE_S)
        place = place_of(message)
        if place is None:
            return (message.headers or {}).get("Status") == "100"
        if place.delivery != self._expected:
            return False  # something was missed
        self._expected += 1
        key = message.subject.removeprefix(self._bucket.subject(""))
        entry = (place.sequence, message.data)
        if (message.headers or {}).get("KV-Operation"):
            entry = (place.sequence, b"")
        if self.fresh.is_set():
            self._note(key, entry)
        else:
            self._waiting[key] = entry
            if not place.pending:
                self._complete()
        return True

    def _complete(self) -> None:
        # nobody is given up for a time in which nothing was heard
        self.revisions = {key: revision for key, (revision, _) in self._waiting.items()}
        self.entries = {key: entry for key, entry in self._waiting.items() if entry[1]}
        self.heard = dict.fromkeys(self.entries, asyncio.get_running_loop().time())
        self.fresh.set()

    def _note(self, key: str, entry: tuple[int, bytes]) -> None:
        self.revisions[key] = entry[0]
        if entry[1]:
            self.entries[key] = entry
            self.heard[key] = asyncio.get_running_loop().time()
        else:
            self.entries.pop(key, None)
            self.heard.pop(key, None)


class Inbox:
    """A subject of this connection's own, and those below it, for messages it asks for.

    nats-py's next_msg is not used: cancelled when a message comes, it goes on (Python 3.11).
    """

    def __init__(self, connection: Client) -> None:
        self.subject = connection.new_inbox()
        self._connection = connection
        self._messages: asyncio.Queue[Msg] = asyncio.Queue()
        self._subscriptions: list[Subscription] = []

    async def open(self) -> None:
        """Begin to listen. Raises what AWAY has."""
        for subject in (self.subject, f"{self.subject}.*"):
            self._subscriptions.append(
                await self._connection.subscribe(subject, cb=self._messages.put)
            )

    async def next(self, limit_s: float) -> Msg:
        """Return the next message. Raises TimeoutError."""
        async with asyncio.timeout(limit_s):
            return await self._messages.get()

    async def close(self) -> None:
        """Listen no more."""
        for subscription in self._subscriptions:
            with contextlib.suppress(*AWAY):
                await subscription.unsubscribe()


class Place:
    """Where a message stands: what the subject that acknowledges it says."""

    __slots__ = ("deliveries", "delivery", "pending", "sequence")

    def __init__(self, words: list[str]) -> None:
        self.deliveries = int(words[0])
        self.sequence = int(words[1])  # in the stream
        self.delivery = int(words[2])  # of the consumer
        self.pending = int(words[4])  # messages behind it


def place_of(message: Msg) -> Place | None:
    """Return where a message stands; None if it is a word of the server's."""
    words = message.reply.split(".")
    if not message.reply.startswith("$JS.ACK.") or len(words) < 9:
        return None
    return Place(words[4:] if len(words) == 9 else words[6:])
