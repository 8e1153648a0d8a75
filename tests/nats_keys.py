"""What users of NATS show instead of a password: keys, and credentials that an operator signs."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import nkeys

if TYPE_CHECKING:
    from pathlib import Path

_LIMITS = {
    **dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1),
    "wildcards": True,
}
_JETSTREAM = dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), -1)


class Key:
    """A pair of keys: `public` is its name."""

    def __init__(self, prefix: int) -> None:
        self.seed = bytes(nkeys.encode_seed(os.urandom(32), prefix))
        self._pair = nkeys.from_seed(bytearray(self.seed))
        self.public = bytes(self._pair.public_key).decode()

    def sign(self, subject: Key, kind: str, **claims: Any) -> str:
        """Return a token that says what another may do."""
        header = {"typ": "JWT", "alg": "ed25519-nkey"}
        body = {
            "jti": subject.public, "iat": 1_700_000_000, "iss": self.public, "name": kind,
            "sub": subject.public, "nats": {"type": kind, "version": 2, **claims},
        }  # fmt: skip
        text = b".".join(_encoded(json.dumps(part).encode()) for part in (header, body))
        return b".".join((text, _encoded(self._pair.sign(text)))).decode()


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


@dataclass(frozen=True)
class Account:
    """An operator with an account: `server` is what its servers are told."""

    key: Key
    server: str

    def credentials(self, path: Path) -> Path:
        """Write a new user's file."""
        user = Key(nkeys.PREFIX_BYTE_USER)
        token = self.key.sign(user, "user", subs=-1, data=-1, payload=-1)
        path.write_text(
            f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n"
            "------END USER NKEY SEED------\n"
        )
        path.chmod(0o400)
        return path


def new_account() -> Account:
    """Return an account of its own."""
    operator = Key(nkeys.PREFIX_BYTE_OPERATOR)
    account, system = (Key(nkeys.PREFIX_BYTE_ACCOUNT) for _ in range(2))
    tokens = "".join(
        f'{key.public}: "{operator.sign(key, "account", limits=_LIMITS | more)}"\n'
        for key, more in ((account, _JETSTREAM), (system, {}))
    )
    return Account(
        account,
        f'operator: "{operator.sign(operator, "operator", system_account=system.public)}"\n'
        f'system_account: "{system.public}"\nresolver: MEMORY\n'
        f"resolver_preload: {{\n{tokens}}}\n",
    )
