"""The words of a command line, and where in it they stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from auditd_py.errors import RuleError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

# options and whether they take an argument, as getopt knows them
SHORT_OPTIONS: Final = {
    **dict.fromkeys("hicslDvt", False),
    **dict.fromkeys("CefrbaAdSFmRwWkpq", True),
}
LONG_OPTIONS: Final = {
    "help": False,
    "loginuid-immutable": False,
    "reset-lost": False,
    "reset_backlog_wait_time_actual": False,
    "backlog_wait_time": True,
    "signal": True,
}


@dataclass(slots=True)
class Line:
    """A command line: its text, its words, and from where to where in the text each stands."""

    text: str
    words: list[str]
    spans: list[tuple[int, int]]

    @classmethod
    def of_words(cls, words: Sequence[str]) -> Line:
        """Return the line of an argument vector; words with spaces are shown in quotes."""
        text, spans = "", []
        for word in words:
            shown = f"'{word}'" if not word or " " in word else word
            start = len(text) + (len(shown) > len(word))
            spans.append((start, start + len(word)))
            text += shown + " "
        return cls(text.rstrip(" "), list(words), spans)

    def error(
        self, reason: str, span: tuple[int, int], word: str = "", known: Iterable[str] = ()
    ) -> RuleError:
        """Return the error with the nearest of the words that are allowed."""
        return RuleError(reason, self.text, span, nearest(word, known))


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its name without dashes, its argument and where that begins and ends.

    A word that is no option has the name "".
    """

    name: str
    value: str
    span: tuple[int, int]
    value_span: tuple[int, int]

    def part(self, offset: int, length: int) -> tuple[int, int]:
        """Return where a part of the argument stands."""
        start, end = self.value_span
        if end - start != len(self.value):
            return self.value_span  # written with escapes
        return start + offset, start + offset + length


def options(line: Line) -> Iterator[Option]:
    """Give the options of a line as getopt_long finds them, stray words included.

    Raises RuleError for an option that does not exist or lacks its argument.
    """
    words, spans = line.words, line.spans
    i = 0
    only_words = False
    while i < len(words):
        word, span = words[i], spans[i]
        i += 1
        if only_words or len(word) < 2 or word[0] != "-":
            yield Option("", word, span, span)
        elif word == "--":
            only_words = True
        elif word[1] == "-":
            name, equals, value = word[2:].partition("=")
            name = _long_name(name)
            takes = LONG_OPTIONS.get(name)
            separate = takes is True and not equals
            if takes is not (separate or bool(equals)) or i + separate > len(words):
                known = [f"--{option}" for option in LONG_OPTIONS]
                raise line.error(f"Option {word} is invalid", span, f"--{name}", known)
            value_span = (span[1] - len(value), span[1])
            if separate:
                value, value_span = words[i], spans[i]
                i += 1
            yield Option(name, value, span, value_span)
        else:
            at = 1
            while at < len(word) and SHORT_OPTIONS.get(word[at]) is False:
                yield Option(word[at], "", span, span)
                at += 1
            if at < len(word):
                value, value_span = word[at + 1 :], (span[0] + at + 1, span[1])
                if word[at] not in SHORT_OPTIONS or (not value and i == len(words)):
                    raise line.error(f"Option -{word[at]} is invalid", span)
                if not value:
                    value, value_span = words[i], spans[i]
                    i += 1
                yield Option(word[at], value, span, value_span)


def _long_name(word: str) -> str:
    """Return the long option that begins with `word`, `word` itself unless there is just one."""
    if word in LONG_OPTIONS:
        return word
    found = [name for name in LONG_OPTIONS if name.startswith(word)]
    return found[0] if len(found) == 1 else word


def nearest(word: str, known: Iterable[str]) -> str:
    """Return which of the `known` words `word` was probably meant to be, empty if none is near."""
    if not word or len(word) > 64:
        return ""
    from difflib import get_close_matches  # takes longer to import than a command line to parse

    found = get_close_matches(word, list(known), 1, 0.6)
    return found[0] if found else ""
