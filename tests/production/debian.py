"""A clean Debian 12 to install into: a copy, by overlay, of a tree that is made once."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parent.parent.parent
TREE = Path(os.environ.get("DEBIAN_TREE", ROOT / ".cache" / "debian12")).resolve()


class Debian:
    """A tree that commands run in; nothing done there outlives it. No service starts in it."""

    def __init__(self, place: Path) -> None:
        subprocess.run(["sh", "tools/debian_tree.sh"], cwd=ROOT, check=True, timeout=300)
        self.root = place / "root"
        self._mounts: list[Path] = []
        for name in ("root", "up", "work"):
            (place / name).mkdir()
        layers = f"lowerdir={TREE},upperdir={place}/up,workdir={place}/work"
        self._mount("-t", "overlay", "overlay", "-o", layers, self.root)
        self._mount("-t", "proc", "proc", self.root / "proc")
        shutil.copyfile("/etc/resolv.conf", self.root / "etc" / "resolv.conf")

    def bind(self, source: Path, place: str) -> None:
        """Show a folder of this machine in the tree, read-only."""
        target = self.root / place.lstrip("/")
        target.mkdir(parents=True, exist_ok=True)
        self._mount("--bind", source, target)
        subprocess.run(["mount", "-o", "remount,bind,ro", target], check=True)

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command as root in the tree."""
        done = subprocess.run(
            ["chroot", self.root, *command], capture_output=True, text=True, check=False,
            timeout=240, env=ENVIRONMENT,
        )  # fmt: skip
        assert done.returncode == 0 or not check, done.stdout + done.stderr
        return done

    def apt(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run apt-get in the tree."""
        return self.run("apt-get", "-y", "-q", "--no-install-recommends", *words)

    def close(self) -> None:
        """Take it away."""
        for place in reversed(self._mounts):
            subprocess.run(["umount", place], check=True, timeout=30)

    def _mount(self, *words: str | Path) -> None:
        subprocess.run(["mount", *words], check=True, timeout=30)
        assert isinstance(words[-1], Path)
        self._mounts.append(words[-1])


ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}


def make(*words: str, environment: Sequence[tuple[str, str]] = ()) -> str:
    """Run make in the source; return its last line."""
    done = subprocess.run(
        ["make", "--no-print-directory", *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=240,
        env={**os.environ, **dict(environment)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]
