"""What tests stand on: the kernel's one audit slot, root-owned folders, running daemons."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uvloop
from hypothesis import settings

from auditd_py.errors import KernelError
from auditd_py.netlink.uapi import StatusMask
from tests import slot
from tests.link import Link
from tests.programs import Auditd, DebianAuditd, Peers, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from auditd_py.netlink.control import Control

ROOT = Path(__file__).parent.parent
# what is slow is measured elsewhere: a busy machine fails no property
settings.register_profile("project", deadline=None)
settings.load_profile("project")


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every async test on both event loops."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def unavailable(reason: str) -> None:
    """Skip a test that cannot run here; where nothing may be skipped, fail it."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def root() -> None:
    """Need root."""
    if os.geteuid() != 0:
        unavailable("needs root")


@pytest.fixture
def log_dir(root: None) -> Iterator[Path]:
    """Give a folder that every part of the path belongs to root, as a log must have."""
    path = Path(tempfile.mkdtemp(prefix="auditd_py-test-", dir="/var/log"))
    path.chmod(0o700)
    try:
        yield path
    finally:
        shutil.rmtree(path)


@pytest.fixture
def audit(root: None) -> Iterator[Control]:
    """Hold the kernel's audit slot and rule list for one test; leave them as they were."""
    with contextlib.ExitStack() as stack:
        try:
            control = stack.enter_context(slot.taken())
        except (KernelError, slot.RefusedError) as error:
            unavailable(f"needs the kernel's audit for itself: {error}")
            raise
        control.set_status(StatusMask.BACKLOG_LIMIT, backlog_limit=slot.BACKLOG_LIMIT)
        control.set_status(
            StatusMask.BACKLOG_WAIT_TIME, backlog_wait_time=slot.BACKLOG_WAIT_JIFFIES
        )
        yield control
        wait_for(lambda: control.status().pid == 0, "the audit pid is given back")


@pytest.fixture
def auditd(log_dir: Path) -> Iterator[Callable[..., Auditd]]:
    """Start our daemon: auditd(*arguments, **settings of auditd.conf).

    With `commands` the actions single and halt write their command to that file and run nothing.
    `enter` goes before the command, see Link.enter.
    """
    with contextlib.ExitStack() as stack:

        def start(
            *arguments: str,
            ready: bool = True,
            commands: Path | None = None,
            enter: Sequence[str] = (),
            **settings: object,
        ) -> Auditd:
            daemon = Auditd(log_dir, arguments, settings)
            daemon.enter += enter
            if commands is not None:
                daemon.program = ("-m", "tests.actions.harmless_auditd", str(commands))
            stack.callback(daemon.end)
            daemon.start()
            if ready:
                daemon.wait_ready()
            return daemon

        yield start


@pytest.fixture
def link(root: None) -> Iterator[Link]:
    """Give two hosts joined by a line that can be bad."""
    line = Link()
    yield line
    line.close()


@pytest.fixture(scope="session")
def peers() -> Peers:
    """Give Debian's auditd and its tools."""
    place = Path(os.environ.get("PEERS", ROOT / ".cache" / "peers")).resolve()
    if not (place / "sbin" / "auditd").exists():
        subprocess.run(["sh", "tools/peers.sh"], cwd=ROOT, check=False, timeout=100)
    if not (place / "sbin" / "auditd").exists():
        unavailable("needs Debian's auditd in .cache/peers: sh tools/peers.sh")
    found = Peers(place)
    if missing := found.missing_library():
        unavailable(f"Debian's auditd lacks {missing}: make test installs it")
    return found


@pytest.fixture
def debian_auditd(
    log_dir: Path, peers: Peers, audit: Control
) -> Iterator[Callable[..., DebianAuditd]]:
    """Start Debian's daemon: debian_auditd(**settings)."""
    with contextlib.ExitStack() as stack:

        def start(**settings: object) -> DebianAuditd:
            daemon = DebianAuditd(log_dir / "debian", peers, settings)
            stack.callback(daemon.end)
            daemon.start(audit)
            return daemon

        yield start


@pytest.fixture
def loop_mount(log_dir: Path) -> Iterator[Callable[[int], Path]]:
    """Mount a new ext4 file system of so many MiB below /var/log."""
    mounted: list[Path] = []

    def mount(mib: int) -> Path:
        image, place = log_dir / "disk.img", log_dir / "disk"
        with image.open("wb") as file:
            file.truncate(mib << 20)
        place.mkdir()
        environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
        for command in (
            ["mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", str(image)],
            ["mount", "-o", "loop", str(image), str(place)],
        ):
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=30
            )
            if done.returncode:
                unavailable(f"needs loop devices: {' '.join(command)}: {done.stderr.strip()}")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        # lazily: a daemon of a failed test may still have its log there
        subprocess.run(["umount", "-l", str(place)], check=True, timeout=30)


@pytest.fixture
def tmpfs_mount(log_dir: Path) -> Iterator[Callable[[int], Path]]:
    """Mount a tmpfs of so many MiB below /var/log."""
    place = log_dir / "tmpfs"

    def mount(mib: int) -> Path:
        place.mkdir()
        options = f"size={mib}m,mode=0700"
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True, timeout=30
        )
        return place

    yield mount
    if place.exists():
        subprocess.run(["umount", "-l", str(place)], check=True, timeout=30)


class FaultFs:
    """A mounted file system that fails on demand, see fault_fs.py."""

    def __init__(self, folder: Path) -> None:
        self.place = folder / "faulty"
        self._mode = folder / "fault-mode"
        self._backing = folder / "backing"
        self.process: subprocess.Popen[bytes]

    def mount(self) -> None:
        """Mount it; nothing fails yet."""
        for path in (self.place, self._backing):
            path.mkdir(mode=0o700)
        self.fail("ok")
        self.process = subprocess.Popen(
            [sys.executable, "tests/fault_fs.py", self._backing, self.place, self._mode],
            cwd=ROOT, stderr=subprocess.PIPE,
        )  # fmt: skip
        wait_for(lambda: self.place.is_mount() or self.process.poll() is not None, "it is mounted")
        if self.process.poll() is not None:
            _, said = self.process.communicate()
            unavailable(f"needs FUSE: {said.decode()[-300:]}")

    def fail(self, mode: str) -> None:
        """Fail with the errno called `mode` from now on; `ok` and `block` as in fault_fs.py."""
        new = self._mode.with_suffix(".new")
        new.write_text(mode)
        new.replace(self._mode)

    def unmount(self) -> None:
        """End it."""
        self.fail("ok")
        subprocess.run(["umount", str(self.place)], check=False, capture_output=True, timeout=30)
        self.process.communicate(timeout=30)


@pytest.fixture
def fault_fs(log_dir: Path) -> Iterator[FaultFs]:
    """Give a file system that fails on demand."""
    fs = FaultFs(log_dir)
    fs.mount()
    yield fs
    fs.unmount()


assert sys.version_info >= (3, 11)
