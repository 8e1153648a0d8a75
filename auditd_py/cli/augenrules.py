"""augenrules: the files of rules.d as one rule file, and that file into the kernel."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from auditd_py.errors import ConfigError, KernelError, Problem, RuleError
from auditd_py.rules.merge import merge, merged_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RULES_DIR: Final = "/etc/auditd_py/rules.d"
TARGET: Final = "/etc/auditd_py/audit.rules"
CONFIG: Final = "/etc/auditd_py/augenrules.conf"

USAGE: Final = """\
Usage: augenrules [--check|--load]
  --check              say whether the rule file has to be made anew
  --load               make it if need be and load it into the kernel
  --rules-dir DIR      default /etc/auditd_py/rules.d
  --output FILE        the rule file, default /etc/auditd_py/audit.rules
  --transaction        with --load: load all or leave the kernel as it was
  --no-transaction     with --load: line by line, whatever augenrules.conf says
  --config FILE        default /etc/auditd_py/augenrules.conf
"""

DONE: Final = 0
FAILED: Final = 1
LOCKED: Final = 2  # audit_status.enabled: no change before a reboot

_MODE: Final = 0o640
_GO_ON: Final = (b"-c", b"-i")  # lines that let a file go on after errors
_RESTORECON: Final = ("/sbin/restorecon", "/usr/sbin/restorecon")


@dataclass(slots=True)
class Request:
    """What the command line asks for; `transaction` is None if it says nothing of it."""

    check: bool = False
    load: bool = False
    rules_dir: str = RULES_DIR
    target: str = TARGET
    config: str = CONFIG
    transaction: bool | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run augenrules with `arguments`, the process's own by default; return the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    request = _request(words)
    if request is None:
        sys.stdout.write(USAGE)
        return DONE if words in (["-h"], ["--help"]) else FAILED
    try:
        return _run(request)
    except RuleError as error:
        _tell(str(error))
    except OSError as error:
        _tell(f"{error.filename or request.target}: {error.strerror}")
    return FAILED


def _request(words: list[str]) -> Request | None:
    request = Request()
    left = iter(words)
    for word in left:
        if word == "--check":
            request.check = True
        elif word == "--load":
            request.load = True
        elif word in ("--transaction", "--no-transaction"):
            request.transaction = word == "--transaction"
        elif word in _PLACES and (value := next(left, "")):
            setattr(request, _PLACES[word], value)
        else:
            return None
    return request


_PLACES: Final = {"--rules-dir": "rules_dir", "--output": "target", "--config": "config"}


def _run(request: Request) -> int:
    if not os.path.isdir(request.rules_dir):
        _say(f"No rules directory - {request.rules_dir}")
        if request.load and not request.check:
            _load(request)
        return FAILED
    try:
        new = merge(_contents(request.rules_dir), request.rules_dir)
    except RuleError as error:
        # part of the rules would look like all of them: the last whole set stays in force
        _tell(f"{error}\naugenrules: {request.target} stays as it was")
        if request.load and not request.check:
            _load(request)
        return FAILED
    old = _old(request.target)
    if request.check:
        _say("No change" if new == old else "Rules have changed and should be updated")
        return DONE
    if _locked():
        _say("The audit system is in immutable mode, no rule changes allowed before a reboot")
        return DONE
    if new == old:
        _say("No change")
    else:
        _replace(request.target, new)
    return _load(request, new) if request.load else DONE


def _contents(folder: str) -> Iterator[bytes]:
    """Give the contents of the rule files of a folder; raises RuleError if one is no use."""
    for name in merged_names(os.listdir(folder)):
        path = os.path.join(folder, name)
        if os.path.isdir(path):
            _tell(f"{path} is a directory: left out")
            continue
        try:
            # O_NONBLOCK: a FIFO must not hold up the start of the system
            with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                if not stat.S_ISREG(mode):
                    raise RuleError("not a regular file", where=path)
                if mode & stat.S_IWOTH:
                    raise RuleError(f"world writable: chmod o-w {path}", where=path)
                yield file.read()
        except OSError as error:
            raise RuleError(str(error.strerror), where=path) from None


def _old(path: str) -> bytes | None:
    """Return what the rule file has, None if there is none; raises OSError, also for a link."""
    try:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        with open(os.open(path, flags), "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _locked() -> bool:
    # late: --check needs no kernel
    from auditd_py.netlink.control import Control

    try:
        with Control() as kernel:
            return kernel.status().enabled == LOCKED
    except KernelError:
        return False  # no audit or no right to ask: loading will say so


def _replace(path: str, data: bytes) -> None:
    """Put `data` in place of the rule file, which stays beside it as `.prev`."""
    old = _old(path)
    if old is not None:
        _write(f"{path}.prev", old, stat.S_IMODE(os.stat(path).st_mode))
    _write(path, data, _MODE)
    label = next((place for place in _RESTORECON if os.access(place, os.X_OK)), None)
    if label is not None:
        import subprocess

        # the path is ours, and a label that cannot be set is no reason to go without rules
        subprocess.run([label, path], check=False)  # noqa: S603


def _write(path: str, data: bytes, mode: int) -> None:
    """Make a file appear whole or not at all; raises OSError."""
    folder = os.path.dirname(path) or "."
    descriptor, new = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=folder)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
        os.rename(new, path)
    except BaseException:
        os.unlink(new)
        raise
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(place)
    finally:
        os.close(place)


def _load(request: Request, rules: bytes | None = None) -> int:
    """Load the rule file as auditctl -R does; return its exit status."""
    from auditd_py.cli import auditctl

    status, whole = DONE, request.transaction
    if whole is None:
        try:
            whole = _configured(request.config)
        except ConfigError as error:
            _tell(f"{error}\naugenrules: loading line by line")
            status, whole = FAILED, False
        lines = (_old(request.target) or b"") if rules is None else rules
        if whole and any(line.strip() in _GO_ON for line in lines.split(b"\n")):
            _tell("the rules have -c or -i, to go on after errors: loading line by line")
            whole = False
    words = ["-R", request.target, *(["--transaction"] if whole else [])]
    return auditctl.main(words) or status


def _configured(path: str) -> bool:
    """Return whether augenrules.conf asks for all or nothing; raises ConfigError."""
    from auditd_py.config.nv import read_lines, read_settings

    data = read_settings(path, allow_links=False)
    entries, problems = read_lines(data or b"", path)
    whole = False
    for entry in entries:
        if entry.keyword != "transaction":
            problems.append(Problem(path, entry.line, entry.keyword, "only transaction is known"))
        elif entry.value.lower() not in ("yes", "no") or entry.options:
            problems.append(Problem(path, entry.line, entry.keyword, "must be yes or no"))
        else:
            whole = entry.value.lower() == "yes"
    if problems:
        raise ConfigError(problems)
    return whole


def _say(text: str) -> None:
    sys.stdout.write(f"augenrules: {_shown(text)}\n")
    sys.stdout.flush()


def _tell(text: str) -> None:
    sys.stderr.write(f"augenrules: {_shown(text)}\n")


def _shown(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


if __name__ == "__main__":
    sys.exit(main())
