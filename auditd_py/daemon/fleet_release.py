"""Gives up the claims of a collector that never comes back: others write those records then."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from nats.js.errors import NotFoundError

from auditd_py.daemon.fleet_bucket import (
    ALIVE,
    AWAY,
    NODE,
    Bucket,
    Copy,
    LostError,
    bucket_name,
)
from auditd_py.daemon.fleet_connection import SecureClient, connection_options, end, is_secure
from auditd_py.errors import AuditError, WireError
from auditd_py.remote.claims import pack_key, parse_key

if TYPE_CHECKING:
    from nats.aio.client import Client

    from auditd_py.config.keywords import DaemonConfig

_CONNECT_S: Final = 10.0


class ReleaseError(AuditError):
    """Nothing was given up; the text says why."""


async def release_claims(config: DaemonConfig, collector: str) -> tuple[int, int]:
    """Return how many claims of how many nodes were given up.

    Takes the time of a lease: a collector that says it lives keeps its claims. Raises
    ReleaseError, and ConfigError.
    """
    options = {**connection_options(config), "max_reconnect_attempts": 3}
    connection = SecureClient(secure=is_secure(config))
    try:
        async with asyncio.timeout(_CONNECT_S):
            await connection.connect(**options, error_cb=_ignore)
        return await _release(connection, config, collector)
    except TimeoutError:
        raise ReleaseError("no server answers") from None
    except NotFoundError:
        raise ReleaseError(f"the stream {config.jetstream_stream} has no collectors") from None
    except AWAY as error:
        raise ReleaseError(str(error) or type(error).__name__) from None
    finally:
        with contextlib.suppress(*AWAY):
            await connection.close()


async def _release(connection: Client, config: DaemonConfig, collector: str) -> tuple[int, int]:
    bucket = Bucket(connection, bucket_name(config.jetstream_stream))
    await connection.jetstream().stream_info(bucket.stream)
    before = await bucket.get(ALIVE + collector)
    await asyncio.sleep(config.jetstream_lease)
    now = await bucket.get(ALIVE + collector)
    if now is not None and now[1] and now != before:
        raise ReleaseError(f"{collector} lives: stop it first, or let it settle its claims")
    copy = Copy(connection, bucket, 1, _silent)
    following = asyncio.create_task(copy.run())
    try:
        async with asyncio.timeout(_CONNECT_S):
            await copy.fresh.wait()
        names = [name for name in copy.entries if name.startswith(NODE)]
    finally:
        await end((following,))
    given = [await _release_node(bucket, name, collector) for name in names]
    return sum(given), sum(map(bool, given))


async def _release_node(bucket: Bucket, name: str, collector: str) -> int:
    while (found := await bucket.get(name)) is not None:
        try:
            key = parse_key(found[1])
        except WireError:
            return 0  # of another version: a collector tells
        amount = key.release(collector)
        if not amount:
            return 0
        key.updates, key.by = key.updates + 1, "released"
        with contextlib.suppress(LostError):
            await bucket.update(name, pack_key(key), found[0])
            return amount
    return 0


async def _ignore(_: Exception) -> None:
    pass


def _silent(_: str) -> None:
    pass
