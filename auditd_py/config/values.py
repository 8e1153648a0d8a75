"""Values of auditd.conf that are more than a number, a word or a path; str() is how to write them.

They are the types of the settings; how text becomes one of them is in forms.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Action:
    """What to do: one of the ActionWords, or the name of an action a site installed.

    `path` is the program of exec, or the one word that follows a site's action.
    """

    word: str
    path: str = ""

    def __str__(self) -> str:
        return f"{self.word} {self.path}" if self.path else str(self.word)


@dataclass(frozen=True, slots=True)
class Space:
    """Free disk space: MiB, or a share of the log's file system in percent."""

    amount: int
    percent: bool = False

    def __str__(self) -> str:
        return f"{self.amount}%" if self.percent else str(self.amount)


@dataclass(frozen=True, slots=True)
class PortRange:
    """The ports from `first` to `last`, both included."""

    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to listen: a socket's `path`, or if that is empty an address and a port."""

    address: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return self.path
        return (
            f"[{self.address}]:{self.port}"
            if ":" in self.address
            else f"{self.address}:{self.port}"
        )


@dataclass(frozen=True, slots=True)
class Group:
    """A group: its number counts, its name is only how the file wrote it."""

    gid: int
    name: str = field(default="", compare=False)

    def __str__(self) -> str:
        return self.name or str(self.gid)


def written(value: object) -> str:
    """Return a setting's value as auditd.conf writes it, empty for one that is unset."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return " ".join(value)
    return str(value)
