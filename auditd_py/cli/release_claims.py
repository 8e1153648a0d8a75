"""auditd --release-claims: have others write what a collector of a fleet claimed and left."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from auditd_py.errors import ConfigError

if TYPE_CHECKING:
    from auditd_py.config.keywords import DaemonConfig


def release(config: DaemonConfig, collector: str) -> int:
    """Give up the claims of `collector` and say how many those were; return the exit status."""
    if not config.jetstream_url:
        print("auditd: jetstream_url is not set", file=sys.stderr)
        return 1
    from auditd_py.daemon.fleet_release import ReleaseError, release_claims

    try:
        claims, nodes = asyncio.run(release_claims(config, collector))
    except (ReleaseError, ConfigError) as error:
        print(f"auditd: {error}", file=sys.stderr)
        return 1
    print(f"{collector}: {claims} claims of {nodes} nodes given to other collectors")
    return 0
