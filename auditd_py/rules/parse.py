"""A command line of auditctl as what it asks for."""

from __future__ import annotations

from typing import Final

from auditd_py.netlink.uapi import StatusMask
from auditd_py.rules.build import RuleBuilder
from auditd_py.rules.command import Command, Setting, Verb
from auditd_py.rules.fields import number_value
from auditd_py.rules.host import Host
from auditd_py.rules.words import Line, Option, options

_U32: Final = 0xFFFFFFFF

_SETTINGS: Final = {
    "b": (StatusMask.BACKLOG_LIMIT, "backlog_limit", "Backlog", None),
    "r": (StatusMask.RATE_LIMIT, "rate_limit", "Rate", None),
    "f": (StatusMask.FAILURE, "failure", "Failure", 2),
    "e": (StatusMask.ENABLED, "enabled", "Enable", 2),
    "backlog_wait_time": (
        StatusMask.BACKLOG_WAIT_TIME,
        "backlog_wait_time",
        "Backlog_wait_time",
        None,
    ),
}


def parse_command(line: Line, host: Host) -> Command:
    """Return what the words of a command line ask for; raises RuleError."""
    parser = _Parser(line, host)
    for option in options(line):
        parser.take(option)
    return parser.finish()


def parse_words(text: str, host: Host | None = None) -> Command:
    """Return what a command line with single spaces asks for; raises RuleError."""
    return parse_command(Line.of_words(text.split(" ")), host or Host())


class _Parser:
    """The state between the options of one command line."""

    def __init__(self, line: Line, host: Host) -> None:
        self._line = line
        self._command = Command()
        self._rule = RuleBuilder(line, host, self._command)
        self._count = 0
        self._alone: str | None = None
        self._machine: Option | None = None  # -F arch= without a rule; -t takes it and needs none

    def take(self, option: Option) -> None:
        """Take the next option."""
        self._count += 1
        if option.name == "":
            raise self._line.error("an option is missing before this word", option.span)
        if option.name in _SETTINGS:
            self._set(option)
        elif option.name in _FLAGS:
            self._command.steps.append((_FLAGS[option.name], None))
        elif option.name == "F" and self._rule.verb is None and option.value.startswith("arch="):
            self._machine = option
        elif option.name in _RULE_OPTIONS:
            self._rule_option(option)
        else:
            self._other(option)
        if self._alone is not None and self._count > 1:
            raise self._line.error(f"{self._alone} has to stand alone", option.span)
        several = self._rule.verb or len(self._command.steps) > 1
        if several and self._command.does(Verb.LIST):
            raise self._line.error("Only -k or -i options are allowed", option.span)

    def finish(self) -> Command:
        """Return the command after the last option."""
        command = self._command
        if self._machine is not None and not command.does(Verb.TRIM):
            raise self._line.error("List must be given before field", self._machine.span)
        if self._rule.verb is None:
            command.key = "\1".join(self._rule.keys)
            command.ignore_errors = command.interpret and not command.steps
        else:
            command.steps.append((self._rule.verb, self._rule.rule()))
        return command

    def _rule_option(self, option: Option) -> None:
        command = self._command
        if option.name == "k" and (command.does(Verb.LIST) or command.does(Verb.DELETE_ALL)):
            self._rule.add_key(option.value, option)
        else:
            _RULE_OPTIONS[option.name](self._rule, option)

    def _set(self, option: Option) -> None:
        mask, name, title, largest = _SETTINGS[option.name]
        digits = option.value.isascii() and option.value.isdecimal()
        number = number_value(option.value) if digits else None
        limit = _U32 if largest is None else largest
        if number is None or number > limit:
            allowed = "a numeric value" if largest is None else "0, 1, or 2"
            reason = f"{title} must be {allowed} was {option.value}"
            raise self._line.error(reason, option.value_span)
        self._command.steps.append((Verb.SET, Setting(mask, name, number)))

    def _other(self, option: Option) -> None:
        command, value = self._command, option.value
        if option.name == "i":
            command.interpret = True
        elif option.name == "c":
            command.continue_on_error = True
        elif option.name == "signal":
            command.steps.append((Verb.SIGNAL, value))
        elif option.name == "q":
            command.steps.append((Verb.EQUIVALENT, self._two_paths(option)))
        elif option.name == "R":
            self._alone = "-R"
            command.steps.append((Verb.READ_FILE, value))
        else:
            self._alone = "-m"
            if any(ord(c) < 0x20 or ord(c) == 0x7F for c in value):
                reason = "control characters are not allowed in a message"
                raise self._line.error(reason, option.value_span)
            command.steps.append((Verb.MESSAGE, value))

    def _two_paths(self, option: Option) -> tuple[bytes, bytes]:
        mounted, _, subtree = option.value.encode("utf-8", "surrogateescape").partition(b",")
        if not mounted or not subtree:
            reason = "two paths with a comma between them are needed"
            raise self._line.error(reason, option.value_span)
        return mounted, subtree


_FLAGS: Final = {
    "h": Verb.HELP,
    "help": Verb.HELP,
    "s": Verb.STATUS,
    "l": Verb.LIST,
    "D": Verb.DELETE_ALL,
    "v": Verb.VERSION,
    "t": Verb.TRIM,
    "reset-lost": Verb.RESET_LOST,
    "reset_backlog_wait_time_actual": Verb.RESET_WAIT,
    "loginuid-immutable": Verb.LOGINUID_IMMUTABLE,
}

_RULE_OPTIONS: Final = {
    **dict.fromkeys("aAd", RuleBuilder.add_or_delete),
    **dict.fromkeys("wW", RuleBuilder.watch),
    "F": RuleBuilder.field,
    "C": RuleBuilder.comparison,
    "S": RuleBuilder.syscalls,
    "p": RuleBuilder.permission,
    "k": RuleBuilder.key,
}
