"""A virtual machine of qemu, driven through its serial console."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import subprocess
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.vm.image import Image

BOOT_S = 300.0  # emulated, on a busy machine; 20 s on an idle one
RUN_S = 120.0


class Machine:
    """A machine on a copy of the image's disk, which stays when the machine is gone."""

    def __init__(self, image: Image, folder: Path, ports: Sequence[tuple[int, int]] = ()) -> None:
        self.disks = [folder / "disk.img"]
        self._image = image
        self._ports = ports  # of this host, and of the machine
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread
        self._seen = bytearray()
        self._place = 0  # what is before it was expected already
        self._more = threading.Condition()
        subprocess.run(
            ["cp", "--sparse=always", str(image.disk), str(self.disks[0])], check=True, timeout=120
        )

    def add_disk(self, mib: int) -> None:
        """Give it another disk with an empty file system."""
        disk = self.disks[0].with_name(f"disk{len(self.disks)}.img")
        with disk.open("wb") as file:
            file.truncate(mib << 20)
        environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
        subprocess.run(["mkfs.ext4", "-q", "-F", str(disk)], check=True, env=environment)
        self.disks.append(disk)

    def boot(self) -> None:
        """Switch it on, and log in as root."""
        forwards = "".join(f",hostfwd=tcp:127.0.0.1:{ours}-:{its}" for ours, its in self._ports)
        disks = [
            word
            for disk in self.disks
            for word in ("-drive", f"file={disk},format=raw,if=virtio,cache=writeback")
        ]
        self._seen.clear()
        self._place = 0
        self._process = subprocess.Popen(
            [
                "qemu-system-x86_64", "-accel", os.environ.get("VM_ACCEL", "tcg"), "-m", "512",
                "-smp", "1", "-nodefaults", "-nographic", "-no-reboot", "-serial", "stdio",
                "-kernel", str(self._image.kernel), "-initrd", str(self._image.initrd),
                "-append", "root=/dev/vda rw console=ttyS0 audit=1 audit_backlog_limit=8192 quiet",
                "-netdev", f"user,id=net{forwards}", "-device", "virtio-net-pci,netdev=net",
                *disks,
            ],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        self.login()

    def login(self) -> None:
        """Log in as root."""
        self.expect(rb"login: ", BOOT_S)
        self.send("root")
        self.expect(rb"Password: ", RUN_S)
        self.send("root")
        self.expect(rb"# ", RUN_S)
        self.quieten()

    def quieten(self) -> None:
        """Have the shell show what commands say and nothing else."""
        self.send("exec sh")  # no line editor
        self.send("stty -echo cols 1000; PS1= PS2=; dmesg -n 1; echo rea''dy")
        self.expect(rb"ready\r?\n", RUN_S)

    def insist(self, line: str, pattern: bytes) -> None:
        """Type a line until it shows `pattern`: what comes before it listens is dropped."""
        for attempt in range(10):
            self.send(line)
            try:
                self.expect(pattern, 15)
            except AssertionError:
                if attempt == 9:
                    raise
            else:
                return

    def send(self, line: str) -> None:
        """Type a line."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def expect(self, pattern: bytes, limit_s: float = RUN_S) -> re.Match[bytes]:
        """Wait for the console to show `pattern`, after all that was expected before."""
        deadline = time.monotonic() + limit_s
        with self._more:
            while not (found := re.compile(pattern).search(self._seen, self._place)):
                left_s = deadline - time.monotonic()
                assert left_s > 0, f"not in {limit_s:.0f} s: {pattern!r} in:\n{self.console()}"
                assert self.running, f"it went off, without {pattern!r}:\n{self.console()}"
                self._more.wait(min(left_s, 1.0))
            self._place = found.end()
            # the buffer may grow: what is returned must not hold it
            return re.compile(pattern).search(bytes(found[0])) or found

    def run(self, command: str, limit_s: float = RUN_S, *, status: int | None = 0) -> str:
        """Run a command and return what it says; `status` None allows any."""
        self.send(f"{{ {command}\n}} 2>&1; echo '<<'$?'>>'")
        with self._more:
            start = self._place
        self.expect(rb"<<\d+>>\r?\n", limit_s)
        with self._more:
            said = bytes(self._seen[start : self._place])
        text, _, end = said.decode(errors="replace").replace("\r\n", "\n").rpartition("<<")
        found = int(end.partition(">>")[0])
        assert status in (None, found), f"{command}: exit status {found}: {text}"
        return text

    def python(self, program: str, limit_s: float = RUN_S) -> str:
        """Run a program of Python in it and return what it prints."""
        words = base64.b64encode(program.encode()).decode()
        self.run("rm -f /tmp/p")
        for place in range(0, len(words), 1000):  # a terminal takes lines of 4,095 bytes
            self.run(f"echo {words[place : place + 1000]} >> /tmp/p")
        return self.run("base64 -d /tmp/p | python3 -", limit_s)

    def cut_power(self) -> None:
        """End it as it stands."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(30)
        self._release()

    def wait_off(self, limit_s: float = BOOT_S) -> None:
        """Wait for it to switch itself off, or to begin to boot again."""
        assert self._process is not None
        try:
            status = self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it is still on:\n{self.console()}") from None
        assert status == 0
        self._release()

    @property
    def running(self) -> bool:
        """Whether it is switched on."""
        return self._process is not None and self._process.poll() is None

    def console(self) -> str:
        """Return the end of what the console showed."""
        return bytes(self._seen[-3000:]).decode(errors="replace")

    def close(self) -> None:
        """End it if it is on."""
        if self.running:
            self.cut_power()
        elif self._process is not None:
            self._release()

    def _release(self) -> None:
        assert self._process is not None
        self._reader.join(30)
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        while data := os.read(process.stdout.fileno(), 65536):
            with self._more:
                self._seen += data
                self._more.notify_all()
