"""The fields of a record's text: names and values as they are written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from auditd_py.tables.fields import TYPES

if TYPE_CHECKING:
    from auditd_py.record.record import Record

# name, then a value in quotes with any spaces, or up to the next space
_fields = re.compile(rb"(?:(?<= )|^)(?:msg=')?\(?([^ =\"']+)=(?:(\"[^\"]*\")[^ ]*|([^ ]+))").findall
# the same, quotes being bytes like others
_words = re.compile(rb"(?:(?<= )|^)(?:msg=')?\(?([^ =\"']+)=()([^ ]+)").findall
_access = re.compile(rb"\b(denied|granted)\b(?: *\{([^}]*)\})?").search
_pairs = re.compile(rb"(?:(?<= )|^)([^ =]+)=(\"[^\"]*\"|[^ ]*)").findall

_AVC: Final = frozenset({b"AVC", b"USER_AVC"})
_NAMES: Final = frozenset(name for name, kind in TYPES.items() if kind in {"uid", "gid"})


def fields(record: Record, *, quoted_spaces: bool = True) -> list[tuple[bytes, bytes]]:
    """Return name and value of each field, in order; values as written, quotes and hex too.

    What a program wrote into msg='…' counts as the record's own. Words that are no fields are
    left out, but for an AVC's, which give `seresult` and `seperms`. A key that is many keys
    becomes as many fields. With `quoted_spaces` false a value ends at a space even inside
    quotes, as the C tools split.
    """
    text = record.text
    found = (_fields if quoted_spaces else _words)(text)
    pairs = [(name, quoted or _trimmed(value)) for name, quoted, value in found]
    if record.type_name in _AVC and (access := _access(text)):
        result, permissions = access.groups()
        pairs.insert(0, (b"seresult", result))
        if permissions:
            pairs.insert(1, (b"seperms", b",".join(permissions.split())))
    if b"msg='" in text:
        pairs = _without_message(record, pairs)
    if b"key=" in text:
        return [split for pair in pairs for split in _split_keys(*pair)]
    return pairs


def enriched_names(record: Record) -> dict[bytes, bytes]:
    """Return what the daemon called a field's value, by the field's name in small letters.

    Of a name that is there twice the first counts. What the daemon did not know by name
    (`unknown-…`) is left out.
    """
    return names_of(record.enriched)


def names_of(enriched: bytes) -> dict[bytes, bytes]:
    """Return the same from the bytes that stand after 0x1D."""
    if enriched.startswith(b"SADDR="):
        return {b"saddr": enriched[6:]}
    names: dict[bytes, bytes] = {}
    for upper, value in _pairs(enriched):
        name = upper.lower()
        if value and not value.startswith(b"unknown-") and name not in names:
            text = name.decode("ascii", "replace")
            names[name] = decoded(value) if text in _NAMES else value
    return names


def decoded(value: bytes) -> bytes:
    """Return what a value stands for: without quotes, or from hex, or as it is.

    The kernel and libaudit quote what is plain and write all else as hex. A name that begins
    with NUL is of an abstract socket; any other ends at a NUL.
    """
    if value[:1] == b'"':
        end = value.find(b'"', 1)
        return value[1:end] if end > 0 else value
    raw = from_hex(value)
    if raw is None:
        return value
    return raw[raw[:1] == b"\0" :].partition(b"\0")[0]


def from_hex(value: bytes) -> bytes | None:
    """Return the bytes that `value` is the hex of; None if it is not hex."""
    if not value.isalnum():
        return None
    try:
        return bytes.fromhex(value.decode("ascii"))
    except ValueError:
        return None


def full_path(name: bytes, cwd: bytes) -> bytes:
    """Return a path from the root: a relative name after the working folder of its event.

    Names with `..` are made straight; symbolic links are not followed.
    """
    path = name if name[:1] == b"/" or not cwd else cwd.rstrip(b"/") + b"/" + name
    if b".." not in path.split(b"/"):
        return path
    parts: list[bytes] = []
    for part in path.split(b"/"):
        if part == b"..":
            del parts[-1:]
        elif part not in {b"", b"."}:
            parts.append(part)
    return b"/" + b"/".join(parts)


def _trimmed(value: bytes) -> bytes:
    """Return an unquoted value without the punctuation of the sentence around it."""
    if value[-1] not in b":,')":
        return value
    bare = value.rstrip(b"',")
    if not bare.endswith(b"::"):  # an address may end with them
        bare = bare.rstrip(b":,'")
    return bare if b"(" in bare else bare.rstrip(b")")


def _without_message(record: Record, pairs: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Leave out `msg` where its value is the text around other fields."""
    terminal = record.type_name == b"USER_TTY"
    return [
        (name, value[1:] if name == b"msg" and value[:1] == b"'" else value)
        for name, value in pairs
        if name != b"msg" or value[:1] != b"'" or (terminal and len(value) > 1)
    ]


def _split_keys(name: bytes, value: bytes) -> list[tuple[bytes, bytes]]:
    if name != b"key" or value[:1] == b'"':
        return [(name, value)]
    return [(name, key) for key in keys_of(value)]


def keys_of(value: bytes) -> list[bytes]:
    """Return the keys in the value of a `key` field, each quoted or as hex; `(null)` as it is."""
    raw = None if value[:1] == b'"' else from_hex(value)
    if raw is None:
        return [value]
    return [_encoded(key) for key in raw.split(b"\x01")]


def _encoded(text: bytes) -> bytes:
    plain = text.isascii() and not any(c < 0x21 or c in b'"\x7f' for c in text)
    return b'"' + text + b'"' if plain else text.hex().upper().encode("ascii")
