"""The disk of the virtual machine: Debian 12 with its own kernel, systemd and our package.

Two steps, each kept in .cache/vm: the base, which debootstrap makes, and the disk, which is the
base with the package and Debian's tools to read the log with.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SUITE = "bookworm"
PACKAGES = (
    "systemd-sysv", "dbus", "libpam-systemd", "login", "passwd", "sudo", "kmod", "udev", "procps",
    "iproute2", "e2fsprogs", "python3", "init-system-helpers", "linux-image-cloud-amd64",
)  # fmt: skip
USERS = "root:root\nalice:alice\n"
WATCHED = "/etc/watched"
DISK_MIB = 1400

_BASE = f"""
useradd -m -s /bin/bash alice
printf '{USERS}' | chpasswd
echo 'alice ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/alice
echo '/dev/vda / ext4 defaults 0 1' > /etc/fstab
echo vm > /etc/hostname
echo '127.0.0.1 localhost vm' > /etc/hosts
touch {WATCHED}
systemctl mask apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service \\
    fstrim.timer dpkg-db-backup.timer getty@tty1.service systemd-timesyncd.service
systemctl enable serial-getty@ttyS0
rm -rf /var/cache/apt/archives/*.deb /var/lib/apt/lists/* /usr/share/doc/* /usr/share/locale/*
"""
_RULES = f"-b 8192\n-w {WATCHED} -p wa -k watched\n"


@dataclass(frozen=True, slots=True)
class Image:
    """What a machine boots."""

    kernel: Path
    initrd: Path
    disk: Path


def image(cache: Path, package: Path, peers: Path) -> Image:
    """Return the image with the Debian package `package`, made if it is not there yet."""
    cache.mkdir(parents=True, exist_ok=True)
    key = sha256(repr((SUITE, PACKAGES, _BASE)).encode()).hexdigest()[:12]
    base = cache / f"base-{key}"
    if not base.exists():
        _make(base, _make_base)
    contents = package.read_bytes() + Path(__file__).read_bytes()
    disk = cache / f"disk-{sha256(contents).hexdigest()[:12]}.img"
    if not disk.exists():
        for old in cache.glob("disk-*"):
            old.unlink()
        _make(disk, lambda place: _make_disk(place, base, package, peers))
    (kernel,) = (base / "boot").glob("vmlinuz-*")
    (initrd,) = (base / "boot").glob("initrd.img-*")
    return Image(kernel, initrd, disk)


def _make(place: Path, work: object) -> None:
    """Have `work(new)` make what is then called `place`, so that half of it is never used."""
    new = place.with_name(place.name + ".new")
    _remove(new)
    work(new)  # type: ignore[operator]
    new.rename(place)


def _remove(place: Path) -> None:
    if place.is_dir():
        subprocess.run(["rm", "-rf", "--one-file-system", str(place)], check=True)
    else:
        place.unlink(missing_ok=True)


def _make_base(root: Path) -> None:
    _run(
        "debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(root),
        *_mirror(), limit_s=1200,
    )  # fmt: skip
    _in(root, _BASE)


def _make_disk(disk: Path, base: Path, package: Path, peers: Path) -> None:
    root = disk.with_name("root")
    _remove(root)
    try:
        _run("cp", "-a", "--reflink=auto", str(base), str(root))
        shutil.copy(package, root / "package.deb")
        shutil.copytree(peers, root / "opt" / "c", symlinks=True)
        policy = root / "usr" / "sbin" / "policy-rc.d"
        policy.write_text("#!/bin/sh\nexit 101\n")  # nothing is started in a chroot
        policy.chmod(0o755)
        _in(root, "dpkg -i /package.deb && rm /package.deb /usr/sbin/policy-rc.d")
        rules = root / "etc" / "auditd_py" / "rules.d"
        (rules / "vm.rules").write_text(_RULES)
        (rules / "vm.rules").chmod(0o640)
        with disk.open("wb") as file:
            file.truncate(DISK_MIB << 20)
        _run("mkfs.ext4", "-q", "-F", "-d", str(root), str(disk))
    finally:
        _remove(root)


def _in(root: Path, script: str) -> None:
    with _proc(root):
        _run("chroot", str(root), "sh", "-euc", script)


@contextmanager
def _proc(root: Path) -> Iterator[None]:
    _run("mount", "-t", "proc", "proc", str(root / "proc"))
    try:
        yield
    finally:
        _run("umount", "-l", str(root / "proc"))


def _mirror() -> list[str]:
    """Return the archive that this machine's apt uses for the suite; none: debootstrap's own."""
    found = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Identifier: Packages",
         f"Codename: {SUITE}"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return found.stdout.split()[:1]


def _run(*command: str, limit_s: float = 300) -> None:
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C",
        "DEBIAN_FRONTEND": "noninteractive",
        **{name: value for name, value in os.environ.items() if name.endswith("_proxy")},
    }
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace", timeout=limit_s,
    )  # fmt: skip
    assert done.returncode == 0, f"{' '.join(command)[:200]}:\n{done.stdout[-3000:]}"


if __name__ == "__main__":  # before tests run beside it: some of its packages make audit records
    image(Path(".cache/vm"), Path(sys.argv[1]), Path(".cache/peers"))
