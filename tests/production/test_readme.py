"""A stranger's path: the README's commands, as they are shown, on a clean Debian 12."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.production.debian import ENVIRONMENT, ROOT, Debian
from tests.programs import wait_for
from tests.shown import shown

if TYPE_CHECKING:
    from auditd_py.netlink.control import Control

pytestmark = [pytest.mark.slow, pytest.mark.timeout(580)]

SOURCE = "/root/auditd_py"
RUNNING = re.compile(r"make run(?: |$)")


def checkout(tree: Debian) -> None:
    """Put the source into a tree, as it is in the repository."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.strip("\0").split("\0")  # fmt: skip
    for name in names:
        target = tree.root / SOURCE.lstrip("/") / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)


def packages_for_python(tree: Debian) -> dict[str, str]:
    """Let pip in a tree find what it finds on this machine; return the environment for that."""
    environment, folders = dict(ENVIRONMENT), set[Path]()
    told = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    for name, value in re.findall(r"^[^.\n]*\.([\w.-]+)='(.*)'$", told, re.MULTILINE):
        environment[f"PIP_{name.removeprefix('.').replace('-', '_').upper()}"] = value
        for word in value.split():
            place = Path(word.removeprefix("file://"))
            if place.is_absolute() and place.is_file():  # certificates
                shutil.copyfile(place, debian_path(tree, place))
            elif place.is_absolute() and place.is_dir():
                folders.add(place.parent if place.name == "simple" else place)
    for folder in folders:
        tree.bind(folder, str(folder))
    return environment


def debian_path(tree: Debian, place: Path) -> Path:
    path = tree.root / str(place).lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def in_foreground(tree: Debian, command: str, environment: dict[str, str], audit: Control) -> str:
    """Run the daemon until a record is written, then press Ctrl-C; return what it says."""
    log, output = tree.root / "var/log/audit/audit.log", tree.root / "said"
    observed = "--observe" in command
    before = log.stat().st_size if log.exists() else 0
    with output.open("w") as target:
        process = subprocess.Popen(
            ["chroot", tree.root, "bash", "-c", f"cd {SOURCE} && exec {command}"], env=environment,
            cwd="/", stdout=target, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def written() -> bool:
        assert process.poll() is None, output.read_text()
        if observed:
            audit.user_message(b"op=seen")
            return "op=seen" in output.read_text()
        return log.exists() and log.stat().st_size > before

    try:
        wait_for(written, "a record", limit_s=240)
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=60)
    return output.read_text()


def test_the_commands_lead_from_a_clean_debian_to_an_installed_package(
    debian: Debian, audit: Control
):
    checkout(debian)
    environment = packages_for_python(debian)
    debian.apt("update")
    ran = []
    for block in shown(ROOT / "README.md"):
        if block.reason:
            continue
        for line in block.commands.splitlines():
            command = line.partition("#")[0].strip()
            ran.append(command)
            if RUNNING.match(command):
                said = in_foreground(debian, command, environment, audit)
                wait_for(lambda: audit.status().pid == 0, "it has ended")
                assert "settings: " in said, said
                continue
            words = command.replace("apt-get install", "apt-get -y install")
            done = subprocess.run(
                ["chroot", debian.root, "bash", "-ec", f"cd {SOURCE} && {words}"], env=environment,
                cwd="/", capture_output=True, text=True, timeout=400, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    assert ran == [
        "make run", "make run ARGS=--observe", "make deb",
        "apt-get install ./build/auditd-py_*.deb",
    ]  # fmt: skip
    log = (debian.root / "var/log/audit/audit.log").read_text()
    assert "type=DAEMON_START" in log
    assert "type=DAEMON_END" in log
    assert "no errors" in debian.run("auditd", "--check-config").stdout
