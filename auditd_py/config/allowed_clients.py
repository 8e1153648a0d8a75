"""tls_allowed_clients: which clients may send records, a line each.

    # identity        status     notes
    web1.example.com  enabled    rack 4
    web2.example.com  disabled
    db1               enabled    key=/etc/auditd_py/db1.psk

An identity is a name in a client's certificate, or that of a pre-shared key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from auditd_py.config.secret import WRITERS, SecretError, read_private
from auditd_py.errors import ConfigError, Problem

_IDENTITY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_STATUS: Final = {"enabled": True, "disabled": False}


@dataclass(frozen=True, slots=True)
class AllowedClient:
    """One line. `key_file` is None where the common key counts."""

    enabled: bool
    key_file: str | None = None


def read_allowed_clients(path: str) -> dict[str, AllowedClient]:
    """Read the file, which must be root's and writable for root alone. Raises ConfigError."""
    try:
        text = read_private(path, WRITERS).decode()
    except SecretError as error:
        raise ConfigError([Problem(path, 0, "", str(error).removeprefix(f"{path}: "))]) from None
    except UnicodeDecodeError:
        raise ConfigError([Problem(path, 0, "", "not UTF-8 text")]) from None
    return parse_allowed_clients(text, path)


def parse_allowed_clients(text: str, path: str) -> dict[str, AllowedClient]:
    """Return clients by identity. Raises ConfigError with everything that is wrong."""
    found: dict[str, AllowedClient] = {}
    problems: list[Problem] = []
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        identity, status = words[0], words[1].lower() if len(words) > 1 else ""
        keys = [word.removeprefix("key=") for word in words[2:] if word.startswith("key=")]
        if not _IDENTITY.fullmatch(identity):
            wrong = "an identity has 1 to 255 printable characters of ASCII"
        elif status not in _STATUS:
            wrong = f"{identity}: enabled or disabled must follow"
        elif identity in found:
            wrong = f"{identity}: is in an earlier line, too"
        elif len(keys) > 1 or (keys and not keys[0].startswith("/")):
            wrong = f"{identity}: one key= with an absolute path is allowed"
        else:
            found[identity] = AllowedClient(_STATUS[status], keys[0] if keys else None)
            continue
        problems.append(Problem(path, number, "", wrong))
    if problems:
        raise ConfigError(problems)
    return found
