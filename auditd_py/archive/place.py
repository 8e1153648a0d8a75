"""Where an archive is: a folder, or a bucket of S3. Files appear whole or not at all.

In a folder a file is written under a hidden name, forced to disk and then given its own. S3 shows
an object only when all of it is there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

import pyarrow as pa
import pyarrow.fs as pafs

from auditd_py.errors import AuditError

if TYPE_CHECKING:
    from collections.abc import Iterator

S3: Final = "s3://"
HIDDEN: Final = "."  # names of unfinished files begin with it

_LOCK: Final = ".lock"
_READERS: Final = ".readers"
_PATIENCE_S: Final = 2.0  # that a writer waits for readers
_LOOK_S: Final = 0.05
_MODE: Final = 0o640
_FOLDER_MODE: Final = 0o750


class ArchiveError(AuditError):
    """An archive cannot be used; the text names the file."""


class Place(Protocol):
    """The files of an archive; names are relative, with slashes."""

    root: str
    filesystem: pafs.FileSystem

    def readable(self, name: str) -> str:
        """Return where a finished file is, published or not, as `filesystem` wants it."""

    def lock(self) -> Any:  # noqa: ANN401  a context
        """Keep other writers out, as long as the context lasts. Raises ArchiveError."""

    def reading(self) -> Any:  # noqa: ANN401  a context
        """Keep files and their names as they are, as long as the context lasts."""

    def unread(self) -> Any:  # noqa: ANN401  a context
        """Wait until nobody reads; the context says whether it came to that, and lasts so long."""

    def names(self, folder: str = "") -> list[str]:
        """Return all files below a folder, hidden ones too, sorted."""

    def read(self, name: str) -> bytes:
        """Return what a file has."""

    def create(self, name: str, data: bytes) -> bool:
        """Make a file with contents; False if it is there already."""

    def prepare(self, name: str) -> Any:  # noqa: ANN401  a file of pyarrow
        """Open a file to be written; nobody takes it for finished before `publish`."""

    def finish(self, name: str) -> None:
        """Force what was written to the file of `prepare` to disk."""

    def publish(self, name: str) -> None:
        """Give a finished file its name; nothing happens if it has it already."""

    def settle(self, name: str) -> None:
        """Take the hidden name from a published file."""

    def remove(self, name: str) -> None:
        """Remove a file; nothing happens if it is gone."""


def place(destination: str) -> Place:
    """Return the place of an archive's name, a path or `s3://bucket/prefix`. Raises ArchiveError."""
    try:
        return Bucket(destination) if destination.startswith(S3) else Folder(destination)
    except (OSError, pa.ArrowException) as error:
        raise ArchiveError(f"{destination}: {error}") from error


class Folder:
    """An archive on a disk."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.filesystem = pafs.LocalFileSystem()
        self._patience_s = _PATIENCE_S

    def full(self, name: str) -> str:
        """Return a path."""
        return os.path.join(self.root, name)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other writers out."""
        try:
            os.makedirs(self.root, _FOLDER_MODE, exist_ok=True)
            descriptor = os.open(self.full(_LOCK), os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise ArchiveError(f"{self.root}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise ArchiveError(f"{self.root}: another program writes to it") from None
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Keep files as they are; where nobody has written since there are such locks, nothing."""
        try:
            descriptor = os.open(self.full(_READERS), os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            yield
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def unread(self) -> Iterator[bool]:
        """Wait a while for readers; if that was in vain not again."""
        flags = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW
        descriptor = os.open(self.full(_READERS), flags, _MODE)
        try:
            begun = time.monotonic()
            while not (alone := _locked(descriptor)):
                if time.monotonic() - begun >= self._patience_s:
                    self._patience_s = 0
                    break
                time.sleep(_LOOK_S)
            yield alone
        finally:
            os.close(descriptor)

    def hidden(self, name: str) -> str:
        """Return the path of a file that is not published yet."""
        folder, base = os.path.split(self.full(name))
        return os.path.join(folder, HIDDEN + base)

    def readable(self, name: str) -> str:
        """Return the path under which a finished file is, published or not."""
        path = self.full(name)
        return path if os.path.lexists(path) else self.hidden(name)

    def names(self, folder: str = "") -> list[str]:
        """Return all files below a folder."""
        found = []
        for path, folders, files in os.walk(self.full(folder)):
            folders.sort()
            found += [os.path.relpath(os.path.join(path, file), self.root) for file in files]
        return sorted(found)

    def read(self, name: str) -> bytes:
        """Return what a file has."""
        with open(self.readable(name), "rb") as file:
            return file.read()

    def create(self, name: str, data: bytes) -> bool:
        """Make a file; a link is made only where there is none of that name."""
        with self._opened(name) as file:
            file.write(data)
            _force(file.fileno())
        try:
            os.link(self.hidden(name), self.full(name))
        except FileExistsError:
            return False
        finally:
            os.unlink(self.hidden(name))
        self._force_folder(name)
        return True

    def prepare(self, name: str) -> Any:  # noqa: ANN401
        """Open a file to be written."""
        return self._opened(name)

    def finish(self, name: str) -> None:
        """Force a file to disk."""
        descriptor = os.open(self.hidden(name), os.O_RDONLY | os.O_NOFOLLOW)
        try:
            _force(descriptor)
        finally:
            os.close(descriptor)
        self._force_folder(name)

    def publish(self, name: str) -> None:
        """Give a file its name beside the hidden one, under which somebody may read it."""
        with contextlib.suppress(FileExistsError, FileNotFoundError):
            os.link(self.hidden(name), self.full(name))
            self._force_folder(name)

    def settle(self, name: str) -> None:
        """Take the hidden name away."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.hidden(name))

    def remove(self, name: str) -> None:
        """Remove a file."""
        for path in (self.full(name), self.hidden(name)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def _opened(self, name: str) -> Any:  # noqa: ANN401
        path = self.hidden(name)
        os.makedirs(os.path.dirname(path), _FOLDER_MODE, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return open(
            os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, _MODE), "wb"
        )

    def _force_folder(self, name: str) -> None:
        descriptor = os.open(os.path.dirname(self.full(name)), os.O_RDONLY | os.O_DIRECTORY)
        try:
            _force(descriptor)
        finally:
            os.close(descriptor)


class Bucket:
    """An archive on S3. The endpoint and the keys are what the environment says (AWS_…)."""

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")
        self._prefix = self.root.removeprefix(S3)
        if not self._prefix.partition("/")[0]:
            raise ArchiveError(f"{root}: s3://BUCKET/PREFIX is needed")
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        scheme, _, host = (endpoint or "").partition("://")
        options = {"endpoint_override": host, "scheme": scheme} if host else {}
        self.filesystem = pafs.S3FileSystem(**options)

    def full(self, name: str) -> str:
        """Return bucket and key."""
        return f"{self._prefix}/{name}" if name else self._prefix

    def lock(self) -> contextlib.AbstractContextManager[None]:
        """Do nothing: S3 knows no locks. Only one program may write."""
        return contextlib.nullcontext()

    reading = lock

    def unread(self) -> contextlib.AbstractContextManager[bool]:
        """Say yes: what is removed is gone for readers too."""
        return contextlib.nullcontext(True)

    def names(self, folder: str = "") -> list[str]:
        """Return all objects below a folder."""
        chosen = pafs.FileSelector(self.full(folder), allow_not_found=True, recursive=True)
        start = len(self._prefix) + 1
        return sorted(
            found.path[start:]
            for found in self.filesystem.get_file_info(chosen)
            if found.type == pafs.FileType.File
        )

    def readable(self, name: str) -> str:
        """Return bucket and key."""
        return self.full(name)

    def read(self, name: str) -> bytes:
        """Return what an object has."""
        with self.filesystem.open_input_stream(self.full(name)) as file:
            return bytes(file.read())

    def create(self, name: str, data: bytes) -> bool:
        """Make an object; who comes second at the same moment is not noticed."""
        if self.filesystem.get_file_info(self.full(name)).type != pafs.FileType.NotFound:
            return False
        with self.filesystem.open_output_stream(self.full(name)) as file:
            file.write(data)
        return True

    def prepare(self, name: str) -> Any:  # noqa: ANN401
        """Open an object to be written."""
        return self.filesystem.open_output_stream(self.full(name))

    def finish(self, name: str) -> None:
        """Do nothing: it is there."""

    def publish(self, name: str) -> None:
        """Do nothing: it is there."""

    settle = publish

    def remove(self, name: str) -> None:
        """Remove an object."""
        with contextlib.suppress(FileNotFoundError):
            self.filesystem.delete_file(self.full(name))


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _force(descriptor: int) -> None:
    os.fsync(descriptor)
