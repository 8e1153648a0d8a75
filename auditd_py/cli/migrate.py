"""auditd-py migrate: the settings of the C daemon become ours, or ours the C daemon's."""

from __future__ import annotations

import argparse
import os
import stat
import sys
import tempfile
from typing import TYPE_CHECKING, Final

from auditd_py.errors import AuditError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditd_py.config.migrate import Migrated

DONE: Final = 0
FAILED: Final = 1
LOSSES: Final = 3  # done, but lines were switched off

_C_FOLDER: Final = "/etc/audit"
_OUR_FOLDER: Final = "/etc/auditd_py"
_SBIN: Final = ("/usr/sbin", "/usr/local/sbin", "/sbin")
_FOLDERS: Final = {"": (".conf", ".rules"), "plugins.d": (".conf",), "rules.d": (".rules",)}
_MAX_FILE: Final = 1 << 24  # 16 MiB of rules: more is something else


class MigrateError(AuditError):
    """Nothing was written; the text says why."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="auditd-py migrate",
        description="Read the settings and rules of /etc/audit and write /etc/auditd_py.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--back", action="store_true", help="the other way: from /etc/auditd_py to /etc/audit")
    add("--dry-run", action="store_true", help="say what would change and write nothing")
    add("--force", action="store_true", help="replace files that differ, keeping them as FILE.bak")
    add("--from", dest="source", metavar="DIR", help="read DIR")
    add("--to", dest="target", metavar="DIR", help="write DIR")
    add("--sbin", metavar="DIR", help="where our plugins are (default: beside this program)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run migrate with `arguments`, the process's own by default; return the exit status."""
    options = _parser().parse_args(arguments)
    folders = (_OUR_FOLDER, _C_FOLDER) if options.back else (_C_FOLDER, _OUR_FOLDER)
    source, target = options.source or folders[0], options.target or folders[1]
    from auditd_py.config.migrate import migrate

    try:
        files, left = _read(source)
        made = migrate(
            files, options.sbin or _sbin(), back=options.back, builtin=_has_builtin(target)
        )
        pending = _pending(made, target, force=options.force)
        if not options.dry_run:
            _write_all(made, pending, target)
    except MigrateError as error:
        print(f"auditd-py migrate: {error}", file=sys.stderr)
        return FAILED
    except OSError as error:
        print(f"auditd-py migrate: {error.filename}: {error.strerror}", file=sys.stderr)
        return FAILED
    _tell(made, pending, target, dry_run=options.dry_run)
    for path in left:
        print(f"left     {path}: is no file of settings or rules")
    return LOSSES if made.losses else DONE


def _sbin() -> str:
    beside = os.path.dirname(os.path.abspath(sys.argv[0]))
    places = (os.path.join(os.path.dirname(beside), "sbin"), beside, *_SBIN)
    return next((p for p in places if os.path.exists(os.path.join(p, "audisp-syslog"))), _SBIN[0])


def _has_builtin(folder: str) -> bool:
    """Return whether the C daemon whose settings are there has af_unix built in."""
    path = os.path.join(folder, "plugins.d", "af_unix.conf")
    return os.path.exists(path) and b"builtin_af_unix" in _read_file(path)


def _read(folder: str) -> tuple[dict[str, bytes], list[str]]:
    """Return the settings and rules of a folder by relative path, and the paths of what else is there.

    Raises MigrateError, OSError.
    """
    found, left = {}, []
    for below, endings in _FOLDERS.items():
        place = os.path.join(folder, below) if below else folder
        try:
            names = sorted(os.listdir(place))
        except FileNotFoundError:
            if not below:
                raise MigrateError(f"{folder} does not exist: nothing to take over") from None
            continue
        for name in names:
            path, relative = os.path.join(place, name), os.path.join(below, name)
            if not name.startswith(".") and name.endswith(endings) and not os.path.isdir(path):
                found[relative] = _read_file(path)
            elif relative not in _FOLDERS:
                left.append(path)
    if not found:
        raise MigrateError(f"{folder} has no settings: nothing to take over")
    return found, left


def _read_file(path: str) -> bytes:
    with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise MigrateError(f"{path} is not a regular file")
        data = file.read(_MAX_FILE + 1)
    if len(data) > _MAX_FILE:
        raise MigrateError(f"{path} is longer than {_MAX_FILE} bytes: these are no settings")
    return data


def _pending(made: Migrated, target: str, *, force: bool) -> dict[str, bool]:
    """Return the files to write and whether each replaces one; raises MigrateError."""
    pending = {}
    for name, data in made.files.items():
        path = os.path.join(target, name)
        if os.path.islink(path):
            raise MigrateError(f"{path} is a symbolic link: put a plain file in its place")
        if not os.path.exists(path):
            pending[name] = False
        elif _read_file(path) != data:
            pending[name] = True
    replaced = [os.path.join(target, name) for name, there in pending.items() if there]
    if replaced and not force:
        raise MigrateError(
            f"nothing was written, these differ: {', '.join(replaced)}\n"
            "  --force replaces them and keeps each as FILE.bak; --dry-run --force shows what comes"
        )
    return pending


def _write_all(made: Migrated, pending: dict[str, bool], target: str) -> None:
    for name, there in pending.items():
        path = os.path.join(target, name)
        os.makedirs(os.path.dirname(path), mode=0o750, exist_ok=True)
        if there:
            _keep(path)
        _write(path, made.files[name])


def _keep(path: str) -> None:
    """Give the file a second name that no backup has yet."""
    number = 0
    while True:
        try:
            os.link(path, f"{path}.bak{f'.{number}' if number else ''}", follow_symlinks=False)
            return
        except FileExistsError:
            number += 1


def _write(path: str, data: bytes) -> None:
    """Put a new file in the place of `path`: at no time is there half of one."""
    descriptor, temporary = tempfile.mkstemp(prefix=".migrate-", dir=os.path.dirname(path))
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o640)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _tell(made: Migrated, pending: dict[str, bool], target: str, *, dry_run: bool) -> None:
    for note in made.notes:
        print(f"changed  {note}")
    for loss in made.losses:
        print(f"LOST     {loss}")
    for name in made.files:
        word = "same    " if name not in pending else "replaced" if pending[name] else "written "
        print(f"{word} {os.path.join(target, name)}")
    if dry_run:
        print("nothing was written (--dry-run)")
