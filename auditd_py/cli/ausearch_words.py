"""The command line of ausearch as a value."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from auditd_py.errors import AuditError
from auditd_py.record.escape import Escape
from auditd_py.search.query import Query
from auditd_py.tables.record_types import NUMBERS, type_number

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditd_py.search.query import Who

FORMATS: Final = ("raw", "default", "interpret", "csv", "text", "json")


class UsageError(AuditError):
    """The command line makes no sense; the text says why, `more` what is allowed."""

    def __init__(self, text: str, more: str = "") -> None:
        super().__init__(text)
        self.more = more


class Options:
    """What a command line asks for."""

    def __init__(self) -> None:
        self.query: Query = Query()
        self.format: str = ""
        self.escape: Escape = Escape.TTY
        self.extra: set[str] = set()
        self.input: str = ""
        self.input_logs: bool = False
        self.just_one: bool = False
        self.line_buffered: bool = False
        self.archive: str = ""
        self.engine: str = ""
        self.skip_bad: bool = False
        self.checkpoint: str = ""
        self.from_checkpoint: bool = False
        self.timeout_s: int | None = None
        self.debug: bool = False
        self.follow: bool = False
        self.stats: bool = False
        self.sql: str = ""
        self.iso_time: bool = False
        self.color: str = "auto"
        self.pager: bool = True
        self.start: list[str] = []
        self.end: list[str] = []
        self.notes: list[str] = []
        self.help: bool = False
        self.version: bool = False


class Words:
    """The words of a command line, taken one by one."""

    def __init__(self, words: list[str]) -> None:
        self._words = words
        self._at = 0

    def next(self) -> str | None:
        """Return the next word, None at the end."""
        if self._at == len(self._words):
            return None
        self._at += 1
        return self._words[self._at - 1]

    def argument(self, option: str, *, negative: bool = False) -> str:
        """Return the argument of an option; raises UsageError if there is none."""
        word = self._words[self._at] if self._at < len(self._words) else ""
        if not word or (word[0] == "-" and not (negative and word[1:])):
            raise UsageError(f"Argument is required for {option}")
        self._at += 1
        return word

    def arguments(self, option: str, most: int) -> list[str]:
        """Return the words up to the next option: one at least, `most` at the most."""
        words = [self.argument(option)]
        while len(words) < most and self._at < len(self._words):
            if self._words[self._at].startswith("-"):
                break
            words.append(self.argument(option))
        return words


def parse_words(words: list[str]) -> Options:
    """Return what a command line asks for; raises UsageError."""
    options, rest = Options(), Words(words)
    while (word := rest.next()) is not None:
        option, equals, value = word.partition("=")
        if equals and option.startswith("--") and option in OPTIONS:
            OPTIONS[option](options, option, Words([value]))
        elif word in OPTIONS:
            OPTIONS[word](options, word, rest)
        else:
            raise UsageError(f"{word} is an unsupported option", _near(word))
    if options.from_checkpoint and not options.checkpoint:
        raise UsageError("-ts checkpoint needs --checkpoint FILE")
    if options.extra - {"obj2"} and options.format != "csv":
        raise UsageError("Error - extra options requires format to be csv")
    _check_archive(options)
    return options


def _check_archive(options: Options) -> None:
    if not options.archive:
        if options.engine or options.skip_bad:
            raise UsageError("--engine and --skip-bad need --archive")
        return
    for option, given in (
        ("--checkpoint", options.checkpoint),
        ("--eoe-timeout", options.timeout_s),
        ("--follow", options.follow),
        ("--input", options.input),
        ("--input-logs", options.input_logs),
    ):
        if given:
            raise UsageError(f"{option} is about log files: it excludes --archive")


def _near(word: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(word, OPTIONS, 1)
    return f"did you mean {near[0]}?" if near else "ausearch --help shows all options"


Setter = "Callable[[Options, str, Words], None]"


def _text(name: str) -> Callable[[Options, str, Words], None]:
    def take(options: Options, option: str, words: Words) -> None:
        setattr(options.query, name, os.fsencode(words.argument(option)))

    return take


def _number(name: str, *, negative: bool = False) -> Callable[[Options, str, Words], None]:
    def take(options: Options, option: str, words: Words) -> None:
        word = words.argument(option, negative=negative)
        digits = word[1:] if negative and word[0] == "-" else word
        if not (digits.isascii() and digits.isdecimal()) or len(digits) > 18:
            raise UsageError(f"{option} {word}: a number is required")
        setattr(options.query, name, int(word))

    return take


def _flag(name: str, value: object = True) -> Callable[[Options, str, Words], None]:  # noqa: FBT002
    def take(options: Options, _option: str, _words: Words) -> None:
        setattr(options, name, value)

    return take


def _own(name: str) -> Callable[[Options, str, Words], None]:
    def take(options: Options, option: str, words: Words) -> None:
        setattr(options, name, words.argument(option))

    return take


def _format(name: str) -> Callable[[Options, str, Words], None]:
    def take(options: Options, option: str, words: Words) -> None:
        wanted = name or words.argument(option)
        if wanted not in FORMATS:
            raise UsageError(f"{option} {wanted}: unknown output format", " ".join(FORMATS))
        if options.format not in ("", wanted):
            raise UsageError("Multiple output formats, only 1 can be used")
        options.format = wanted

    return take


def _who(name: str, *, negative: bool = False) -> Callable[[Options, str, Words], None]:
    def take(options: Options, option: str, words: Words) -> None:
        word = words.argument(option, negative=negative)
        setattr(options.query, name, _identity(options, option, word, group="gid" in name))

    return take


def _identity(options: Options, option: str, word: str, *, group: bool) -> Who:
    """Return the id that a word is or names; a name unknown here is looked for in records."""
    digits = word.removeprefix("-")
    if digits.isascii() and digits.isdecimal():
        if len(digits) > 10 or int(digits) > 0xFFFFFFFF:
            raise UsageError(f"{option} {word}: not a user or group id")
        return int(word)
    if word == "unset":
        return 0xFFFFFFFF
    try:
        if group:
            import grp

            return grp.getgrnam(word).gr_gid
        import pwd

        return pwd.getpwnam(word).pw_uid
    except KeyError:
        kind = "group" if group else "user"
        options.notes.append(
            f"{option} {word}: no {kind} of this system; looking for the name in enriched records"
        )
        return os.fsencode(word)


def _types(options: Options, option: str, words: Words) -> None:
    numbers: set[int] = set()
    for word in words.argument(option).split(","):
        if word.upper() == "ALL":
            return
        number = NUMBERS.get(word.upper()) or type_number(word)
        if number is None:
            names = " ".join(["ALL", *NUMBERS])
            raise UsageError(f"Unrecognized message type {word}", f"Valid types are: {names}")
        numbers.add(number)
    options.query.types |= numbers


def _nodes(options: Options, option: str, words: Words) -> None:
    options.query.nodes |= {os.fsencode(words.argument(option))}


def _success(options: Options, option: str, words: Words) -> None:
    word = words.argument(option)
    if word not in ("yes", "no"):
        raise UsageError(f"{option} {word}: yes or no is allowed")
    options.query.success = word == "yes"


def _exit(options: Options, option: str, words: Words) -> None:
    word = words.argument(option, negative=True)
    digits = word.removeprefix("-")
    if digits.isascii() and digits.isdecimal() and len(digits) < 19:
        options.query.exit = int(word)
        return
    from auditd_py.tables.rule_values import ERRNOS

    number = ERRNOS.get(digits.upper())
    if number is None:
        raise UsageError(f"{option} {word}: a number or an errno name is required")
    options.query.exit = -number if word[0] == "-" else number


def _arch(options: Options, option: str, words: Words) -> None:
    from auditd_py.tables.machines import ARCHES, AUDIT_ARCH_64BIT, MACHINES
    from auditd_py.tables.rule_names import COMPATIBLE

    if options.query.syscall is not None:
        raise UsageError(f"{option} must be before the syscall option")
    word = words.argument(option)
    own = ARCHES.get(os.uname().machine)
    by_name = {name: arch for arch, (name, _) in MACHINES.items()}
    if word in ("b32", "b64") and own is not None:
        for arch in (own, COMPATIBLE.get(own)):
            if arch is not None and bool(arch & AUDIT_ARCH_64BIT) == (word == "b64"):
                options.query.arch = arch
                return
    found = ARCHES.get(word) or by_name.get(word)
    if found is None:
        raise UsageError(f"{option} {word}: unknown machine", "b32 b64 " + " ".join(ARCHES))
    options.query.arch = found


def _syscall(options: Options, option: str, words: Words) -> None:
    word = words.argument(option)
    if word.isascii() and word.isdecimal() and len(word) < 10:
        options.query.syscall = int(word)
        return
    from auditd_py.tables.machines import MACHINES
    from auditd_py.tables.syscalls import names, numbers, syscall_number

    name = word.lower()
    if options.query.arch is not None:
        number = syscall_number(options.query.arch, name)
        known = number is not None
        options.query.syscall = number
    else:
        known = False
        for table in sorted({table for _, table in MACHINES.values()}):
            number = numbers(table).get(name)
            if number is not None:
                known = True
                options.query.syscall = names(table).get(number, name)  # of names that mean it
                break
    if not known:
        raise UsageError(f"Syscall {word} not found", "ausyscall shows names and numbers")


def _escape(options: Options, option: str, words: Words) -> None:
    word = words.argument(option)
    if word not in [str(mode) for mode in Escape]:
        raise UsageError(f"{option} {word}: unknown mode", " ".join(Escape))
    options.escape = Escape(word)


def _extra(name: str) -> Callable[[Options, str, Words], None]:
    def take(options: Options, _option: str, _words: Words) -> None:
        options.extra.add(name)

    return take


def _start(options: Options, option: str, words: Words) -> None:
    options.start = words.arguments(option, 2)
    if options.start == ["checkpoint"]:
        options.from_checkpoint, options.start = True, []


def _end(options: Options, option: str, words: Words) -> None:
    options.end = words.arguments(option, 2)


def _timeout(options: Options, option: str, words: Words) -> None:
    word = words.argument(option)
    if not (word.isascii() and word.isdecimal()) or not 0 < int(word[:9]) <= 86400:
        raise UsageError(f"{option} {word}: 1 to 86400 seconds are allowed")
    options.timeout_s = int(word)


def _exact(options: Options, _option: str, _words: Words) -> None:
    options.query.exact = True


def _color(options: Options, option: str, words: Words) -> None:
    word = words.argument(option)
    if word not in ("auto", "always", "never"):
        raise UsageError(f"{option} {word}: auto, always or never is allowed")
    options.color = word


# spelling of each option, and what takes it
OPTIONS: Final[dict[str, Callable[[Options, str, Words], None]]] = {
    option: take
    for spellings, take in (
        ("-a --event", _number("serial")),
        ("--arch", _arch),
        ("--archive", _own("archive")),
        ("-c --comm", _text("comm")),
        ("--checkpoint", _own("checkpoint")),
        ("--color", _color),
        ("--debug", _flag("debug")),
        ("-e --exit", _exit),
        ("--escape", _escape),
        ("--engine", _own("engine")),
        ("--eoe-timeout", _timeout),
        ("--extra-keys", _extra("keys")),
        ("--extra-labels", _extra("labels")),
        ("--extra-obj2", _extra("obj2")),
        ("--extra-time", _extra("time")),
        ("-f --file", _text("file")),
        ("--follow", _flag("follow")),
        ("--format", _format("")),
        ("-ga --gid-all", _who("any_gid")),
        ("-ge --gid-effective", _who("egid")),
        ("-gi --gid", _who("gid")),
        ("-h --help", _flag("help")),
        ("-hn --host", _text("host")),
        ("-i --interpret", _format("interpret")),
        ("-if --input", _own("input")),
        ("--input-logs", _flag("input_logs")),
        ("--iso-time", _flag("iso_time")),
        ("--json", _format("json")),
        ("--just-one", _flag("just_one")),
        ("-k --key", _text("key")),
        ("-l --line-buffered", _flag("line_buffered")),
        ("-m --message", _types),
        ("-n --node", _nodes),
        ("--no-pager", _flag("pager", value=False)),
        ("-o --object", _text("object")),
        ("-p --pid", _number("pid")),
        ("-pp --ppid", _number("ppid")),
        ("-r --raw", _format("raw")),
        ("-sc --syscall", _syscall),
        ("-se --context", _text("context")),
        ("--session", _number("session", negative=True)),
        ("--skip-bad", _flag("skip_bad")),
        ("--sql", _own("sql")),
        ("--stats", _flag("stats")),
        ("-su --subject", _text("subject")),
        ("-sv --success", _success),
        ("-te --end", _end),
        ("-tm --terminal", _text("terminal")),
        ("-ts --start", _start),
        ("-ua --uid-all", _who("any_uid", negative=True)),
        ("-ue --uid-effective", _who("euid")),
        ("-ui --uid", _who("uid")),
        ("-ul --loginuid", _who("auid", negative=True)),
        ("-uu --uuid", _text("vm_uuid")),
        ("-v --version", _flag("version")),
        ("-vm --vm-name", _text("vm")),
        ("-w --word", _exact),
        ("-x --executable", _text("exe")),
    )
    for option in spellings.split()
}
