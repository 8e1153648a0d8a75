"""What finds records in a block: expressions, one for events in one piece, others for lines.

HOT: most of the time of a report is theirs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Key = bytes | tuple[bytes, bytes]  # the stamp, or node and stamp where lines have nodes
    File = tuple[bytes, bytes]  # its name, and what it was in the call

_TEXT: Final = rb"\"[^\"\n]*\"|[0-9A-F]+|\(null\)"
# the fields of a SYSCALL record in the kernel's order: column, and what they look like; `<`
# begins what is taken if the column is wanted. First those that differ from line to line
_CALL_FIELDS: Final = (
    ("arch", rb" arch=<[0-9a-f]{1,8})"),
    ("syscall", rb" syscall=<\d{1,9})(?: per=[0-9a-f]+)?"),
    ("success", rb"(?: success=<yes|no) exit=-?\d+)?"),
    ("", rb" a0=[0-9a-f]+ a1=[0-9a-f]+ a2=[0-9a-f]+ a3=[0-9a-f]+ items=\d+ ppid=\d+"),
    ("pid", rb" pid=<\d{1,10})"),
)
TAIL_FIELDS: Final = (
    ("auid", rb" auid=<\d{1,10})"),
    ("", rb" uid=\d+ gid=\d+ euid=\d+ suid=\d+ fsuid=\d+ egid=\d+ sgid=\d+ fsgid=\d+"),
    ("terminal", rb" tty=<[^ \n\x1d]+)"),
    ("session", rb" ses=<\d{1,10})"),
    ("comm", rb" comm=<" + _TEXT + rb")"),
    ("exe", rb" exe=<" + _TEXT + rb")"),
    ("keys", rb"(?: subj=[^ \n\x1d]+)? key=<" + _TEXT + rb")(?=\x1d|\Z)"),
    ("auid_name", rb"(?:\x1d(?:[^ \n]+ )*?AUID=<\"[^\"\n]*\"|[0-9A-F]+))?"),
)
_CALL_COLUMNS: Final = frozenset(name for name, _ in (*_CALL_FIELDS, *TAIL_FIELDS) if name)
_HEAD: Final = rb" msg=audit\(<[^)\n]*)\):"
_STRICT_HEAD: Final = rb" msg=audit\(<\d{10}\.\d{3}:\d{1,18})\):"
PATH_FIELDS: Final = (
    rb" item=\d+ name=(" + _TEXT + rb") (?:inode=\d+ dev=[^ \n]+ mode=\d+ ouid=\d+ ogid=\d+ "
    rb"rdev=[^ \n]+ )?nametype=([A-Z]+)"
)
_PATHS: Final = tuple((f"name {n}", f"kind {n}") for n in range(4))  # of an event in one piece
# records that have nothing for any column
_SILENT: Final = (b"CWD", b"PROCTITLE", b"EXECVE", b"EOE", b"BPRM_FCAPS", b"CAPSET", b"MMAP",
                  b"FD_PAIR", b"OBJ_PID")  # fmt: skip


@dataclass(slots=True)
class Expressions:
    """What finds things in a block."""

    nodes: bool
    key: Callable[[Any], Any]
    calls: re.Pattern[bytes] | None
    call_columns: list[str]
    paths: re.Pattern[bytes] | None
    odd: re.Pattern[bytes]
    lines: re.Pattern[bytes]
    heads: re.Pattern[bytes]
    call_heads: re.Pattern[bytes]
    path_heads: re.Pattern[bytes]
    details: re.Pattern[bytes]
    all_events: bool
    events: re.Pattern[bytes] | None
    groups: list[str]


def expressions(wanted: frozenset[str], *, nodes: bool) -> Expressions:
    node = rb"\n(?:node=([^ \n]+) )?" if nodes else rb"\n"
    head, strict = (part.replace(b"<", b"(") for part in (_HEAD, _STRICT_HEAD))
    silent = list(_SILENT)
    columns = [name for name, _ in _CALL_FIELDS if name in wanted]
    calls = paths = None
    if wanted & (_CALL_COLUMNS | {"type", "types"}):
        fields = fields_of(_CALL_FIELDS, wanted) + rb"( auid=[^\n]*)"
        calls = re.compile(node + b"type=SYSCALL" + strict + fields)
    silent.append(b"SYSCALL")
    if "files" in wanted:
        paths = re.compile(node + b"type=PATH" + strict + rb"( item=[^\n]*)")
    silent.append(b"PATH")
    if not wanted & {"files", "host"}:
        silent.append(b"SOCKADDR")
    no_node = b"(?:node=[^ \n]+ )?" if nodes else b""
    no_detail = b"(?!" + no_node + b"type=(?:" + b"|".join(silent) + rb") msg=audit\()"
    # a lone EOE is no event, and what `paths` finds needs no second look
    alone = [n for n in silent if n not in {b"SYSCALL", b"EOE", b"PATH" if paths else b""}]
    end = rb"[^\n]*"
    events, groups = _events(wanted, silent, nodes=nodes) if calls or paths else (None, [])
    return Expressions(
        nodes,
        itemgetter(0, 1) if nodes else itemgetter(0),
        calls,
        columns,
        paths,
        re.compile(rb"\n" + no_detail + node[2:] + rb"[^\n]*?audit\(([^)\n]*)\)" + end),
        re.compile(node + rb"[^\n]*?audit\(([^)\n]*)\)" + end),
        re.compile(node + rb"[^\n]*?audit\(([^)\n]*)\)"),
        re.compile(node + b"type=SYSCALL" + head),
        re.compile(node + b"type=PATH" + head),
        re.compile(node + b"type=(?:" + b"|".join(alone) + b")" + head),
        bool(wanted & {"type", "types"}),
        events,
        groups,
    )


def _events(
    wanted: frozenset[str], silent: list[bytes], *, nodes: bool
) -> tuple[re.Pattern[bytes], list[str]]:
    """Return the expression for a call whose records stand together, and the names of its groups.

    The records are in the kernel's order, all of them, and none but those of types in `silent`.
    """
    groups = ["node", "stamp"] if nodes else ["stamp"]
    node, same = (rb"(?:node=([^ \n]+) )?", rb"(?(1)node=\1 )") if nodes else (b"", b"")
    stamp = rb" msg=audit\(\%d\):" % len(groups)
    fields = rb"[^\n]*+"
    if wanted & (_CALL_COLUMNS | {"type", "types"}):
        fields = fields_of(_CALL_FIELDS, wanted) + rb"( auid=[^\n]*+)"
        groups += [*(name for name, _ in _CALL_FIELDS if name in wanted), "tail"]
    details = [name for name in silent if name not in (b"SYSCALL", b"EOE")]
    paths = b""
    if "files" in wanted:
        details.remove(b"PATH")
        path = rb"(?:\n" + same + b"type=PATH" + stamp + PATH_FIELDS + rb"(?= cap_|\x1d|\n)[^\n]*)?"
        paths = path * len(_PATHS)
        groups += chain.from_iterable(_PATHS)
    detail = rb"(?:\n" + same + b"type=(?:" + b"|".join(details) + b")" + stamp + rb"[^\n]*)*"
    return re.compile(
        rb"\n" + node + b"type=SYSCALL" + _STRICT_HEAD.replace(b"<", b"(") + fields
        + b"(?>" + detail + paths + detail
        + rb"(?:\n" + same + b"type=EOE" + stamp + rb"[^\n]*)?)"
        + rb"(?=\n(?!" + same + rb"type=[^ \n]+" + stamp + b"))"
    ), groups  # fmt: skip


def fields_of(fields: Iterable[tuple[str, bytes]], wanted: frozenset[str]) -> bytes:
    """Return the expression for fields of a call's record, with groups for what is wanted."""
    return b"".join(part.replace(b"<", b"(" if name in wanted else b"(?:") for name, part in fields)


class Whole:
    """The calls of a block that stand in one piece, and the pieces between them.

    A piece comes before the event that has its place.
    """

    __slots__ = ("_paths", "columns", "keys", "pieces", "tails")

    def __init__(self, look: Expressions, block: bytes) -> None:
        parts = look.events.split(block) if look.events else [block]
        width = len(look.groups) + 1
        self.pieces = parts[::width]
        taken = {name: parts[place::width] for place, name in enumerate(look.groups, 1)}
        self._paths = [
            (taken.pop(name), taken.pop(kind))
            for name, kind in _PATHS
            if name in taken and any(taken[kind])
        ]
        self.columns = {name: taken[name] for name in look.call_columns if name in taken}
        self.tails: list[bytes] = taken.get("tail", [])
        stamps = taken.get("stamp", [])
        self.keys: list[Key] = list(stamps)
        if look.nodes:
            both = zip(taken.get("node", []), stamps, strict=True)
            self.keys = [(node or b"", stamp) for node, stamp in both]

    def files(self, read: dict[bytes, dict[bytes, tuple[File]]]) -> list[tuple[File, ...]]:
        """Return the files of each event; `read` gives one by its kind and its name."""
        files: list[tuple[File, ...]] = [()] * len(self.keys)
        for names, kinds in self._paths:
            of_each = zip(files, names, kinds, strict=True)
            files = [
                former if name is None else former + read[kind][name]
                for former, name, kind in of_each
            ]
        return files

    def begun(self, heads: re.Pattern[bytes]) -> Iterable[Key]:
        """Return all events of the block in the order in which they began."""
        keys: list[Key] = []
        last = 0
        for place, piece in enumerate(self.pieces):
            if len(piece) > 1:
                keys += self.keys[last:place]
                keys += heads.findall(piece)
                last = place
        keys += self.keys[last:]
        return dict.fromkeys(keys)

    def behind(self, heads: re.Pattern[bytes]) -> Iterable[Key]:
        """Return the events of which the pieces before them have records too."""
        places = {key: place for place, key in enumerate(self.keys)}
        for place, piece in enumerate(self.pieces):
            if len(piece) > 1:
                yield from (k for k in heads.findall(piece) if places.get(k, -1) >= place)
