"""Rule files: lines of auditctl's options."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from auditd_py.errors import RuleError
from auditd_py.rules.command import Command, Setting, Verb
from auditd_py.rules.parse import parse_command
from auditd_py.rules.rule import Rule
from auditd_py.rules.words import Line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from auditd_py.rules.host import Host

MAX_LINE: Final = 6144


@dataclass(slots=True)
class FileLine:
    """One line that is not empty and no comment: what it asks for, or what is wrong with it."""

    path: str
    number: int
    line: Line
    command: Command | None = None
    error: RuleError | None = None

    @property
    def where(self) -> str:
        """The line as messages name it."""
        return f"{self.path}:{self.number}"


@dataclass(slots=True)
class Wanted:
    """What a kernel holds after a file was loaded into it, if nothing fails.

    The rules are by filter list, in the order in which the kernel lists them. `settings` has
    the last value of each, in the order in which they are set. `duplicates` are rules that are
    there already, `missing` those to delete that are not.
    """

    rules: list[Rule]
    settings: dict[str, Setting] = field(default_factory=dict)
    duplicates: list[FileLine] = field(default_factory=list)
    missing: list[FileLine] = field(default_factory=list)


def parse_file(data: bytes, path: str, host: Host) -> list[FileLine]:
    """Return the lines of a rule file; each has a command or an error."""
    return [_parsed(found, host) for found in lex(data, path)]


def lex(data: bytes, path: str) -> Iterator[FileLine]:
    r"""Give the lines of a rule file as words.

    Words stand between spaces; `\ ` is a space in a word and `\\` a backslash. There are no
    quotes, and tabs do not separate.
    """
    for number, raw in enumerate(data.split(b"\n"), 1):
        stripped = raw.lstrip(b" ")
        if not stripped or stripped.startswith(b"#") or stripped == b"\r":
            continue
        text = stripped.decode("utf-8", "surrogateescape").rstrip("\r")
        found = FileLine(path, number, _words(text))
        if len(raw) > MAX_LINE:
            reason = f"the line has {len(raw)} bytes, {MAX_LINE} are allowed"
            found.error = RuleError(reason, where=found.where)
        yield found


def errors(lines: Sequence[FileLine]) -> list[RuleError]:
    """Return everything that is wrong with the lines."""
    return [found.error for found in lines if found.error is not None]


def wanted(lines: Sequence[FileLine], live: Sequence[Rule] = ()) -> Wanted:
    """Return what a kernel that holds `live` holds after the lines were loaded."""
    rules = [rule.canonical() for rule in live]
    known = set(rules)
    found = Wanted(rules)
    for line in lines:
        for verb, what in line.command.steps if line.command else ():
            if verb is Verb.DELETE_ALL and line.command:
                key = line.command.key.encode("utf-8", "surrogateescape")
                rules[:] = [rule for rule in rules if key not in rule.key]
                known = set(rules)
            elif isinstance(what, Setting):
                found.settings.pop(what.name, None)
                found.settings[what.name] = what
            elif isinstance(what, Rule):
                _apply(verb, what, line, found, known)
    rules.sort(key=lambda rule: rule.list)
    return found


def merged(lines: Sequence[FileLine]) -> list[FileLine]:
    """Return the lines of several files as augenrules merges them: a plain -D comes first."""
    first = [line for line in lines if line.line.words == ["-D"]]
    return first[:1] + [line for line in lines if line.line.words != ["-D"]]


def _apply(verb: Verb, rule: Rule, line: FileLine, found: Wanted, known: set[Rule]) -> None:
    canonical = rule.canonical()
    if verb is Verb.ADD and canonical in known:
        found.duplicates.append(line)
    elif verb is Verb.ADD:
        known.add(canonical)
        if rule.prepend:
            found.rules.insert(0, canonical)
        else:
            found.rules.append(canonical)
    elif canonical in known:
        known.remove(canonical)
        found.rules.remove(canonical)
    else:
        found.missing.append(line)


def _parsed(found: FileLine, host: Host) -> FileLine:
    if found.error is not None:
        return found
    try:
        command = parse_command(found.line, host)
        if command.does(Verb.READ_FILE):
            raise found.line.error("-R is not allowed in a rule file", found.line.spans[0])
        found.command = command
    except RuleError as error:
        error.where = found.where
        found.error = error
    return found


def _words(text: str) -> Line:
    words: list[str] = []
    spans: list[tuple[int, int]] = []
    if "\\" not in text:
        at = 0
        for word in text.split(" "):
            if word:
                words.append(word)
                spans.append((at, at + len(word)))
            at += len(word) + 1
        return Line(text, words, spans)
    word, start, i = "", 0, 0
    while i <= len(text):
        c = text[i : i + 1]
        if c in ("", " "):
            if i > start:
                words.append(word)
                spans.append((start, i))
            word, start = "", i + 1
        elif c == "\\" and text[i + 1 : i + 2] in ("\\", " ") and i + 1 < len(text):
            i += 1
            word += text[i]
        else:
            word += c
        i += 1
    return Line(text, words, spans)
