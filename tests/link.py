"""A bad line between two hosts: two network namespaces, and a process that passes packets on.

Each namespace has a TUN device; the process reads what one host sends, loses, delays or holds back
what it was told to, and writes the rest to the other. The namespaces end with the process, and it
ends with its standard input: whatever happens to a test, nothing is left.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import json
import os
import random
import select
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000

HERE, THERE = 0, 1  # the hosts; a direction is called after the host that sends
IPV4 = ("10.99.0.1", "10.99.0.2")
IPV6 = ("fd99::1", "fd99::2")
LINK_LOCAL = ("fe80::1", "fe80::2")  # with %line


class Link:
    """The line, and what it is to do with packets from now on.

    In the environment of a test, `enter(host)` goes before a command that is to run on a host.
    """

    def __init__(self, seed: int = 1) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(seed)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._namespaces: list[int] = self._answer()["namespaces"]

    def enter(self, host: int) -> list[str]:
        """Return what to put before a command."""
        path = f"/proc/{self._process.pid}/fd/{self._namespaces[host]}"
        return ["nsenter", f"--net={path}"]

    def set(self, *directions: int, **settings: float) -> dict[str, int]:
        """Treat packets otherwise, in both directions or those given; return the counts so far.

        `loss` and `reorder` are shares of all packets, `delay` and `late` seconds: late is how
        much longer a packet takes that others overtake. `cut` is 1 for a line that is dead.
        """
        self._ask({"directions": directions or (HERE, THERE), **settings})
        return self._answer()

    def close(self) -> None:
        """End it; packets that wait are lost."""
        self._process.communicate(timeout=10)

    def _ask(self, what: dict[str, Any]) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found


class Direction:
    """One way of the line: from the device `source` to the device `target`."""

    def __init__(self, source: int, target: int, seed: int) -> None:
        self.source = source
        self.settings = {"loss": 0.0, "reorder": 0.0, "delay": 0.0, "late": 0.0, "cut": 0.0}
        self.counts = {"passed": 0, "lost": 0, "late": 0}
        self._target = target
        self._random = random.Random(seed)
        self._waiting: list[tuple[float, int, bytes]] = []
        self._number = 0

    def take(self, now: float) -> None:
        """Read one packet and decide what happens to it."""
        packet = os.read(self.source, 65536)
        settings, draw = self.settings, self._random.random()
        if settings["cut"] or draw < settings["loss"]:
            self.counts["lost"] += 1
            return
        due = now + settings["delay"]
        if self._random.random() < settings["reorder"]:
            self.counts["late"] += 1
            due += settings["late"]
        self._number += 1
        heapq.heappush(self._waiting, (due, self._number, packet))

    def pass_on(self, now: float) -> float | None:
        """Write what is due; return when the next packet is."""
        waiting = self._waiting
        while waiting and waiting[0][0] <= now:
            packet = heapq.heappop(waiting)[2]
            if not self.settings["cut"]:
                os.write(self._target, packet)
                self.counts["passed"] += 1
        return waiting[0][0] if waiting else None


def new_host(host: int) -> tuple[int, int]:
    """Move into a new namespace; return descriptors of it and of its device."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    namespace = os.open("/proc/self/ns/net", os.O_RDONLY)
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", b"line", IFF_TUN | IFF_NO_PI))
    for words in (
        "link set lo up",
        "link set line addrgenmode none",
        f"addr add {IPV4[host]}/24 dev line",
        f"addr add {IPV6[host]}/64 dev line nodad",
        f"addr add {LINK_LOCAL[host]}/64 dev line nodad",
        "link set line up",
    ):
        subprocess.run(["ip", *words.split()], check=True, stdout=subprocess.DEVNULL)
    return namespace, device


def lines(data: bytes) -> Iterator[dict[str, Any]]:
    """Return what the test wants."""
    for line in data.splitlines():
        yield json.loads(line)


def serve(directions: list[Direction]) -> None:
    """Pass packets on until standard input ends."""
    while True:
        now = time.monotonic()
        dues = [direction.pass_on(now) for direction in directions]
        due = min((due for due in dues if due is not None), default=None)
        limit_s = None if due is None else max(0.0, due - now)
        ready = select.select([0, *(d.source for d in directions)], [], [], limit_s)[0]
        for direction in directions:
            if direction.source in ready:
                direction.take(time.monotonic())
        if 0 in ready:
            data = os.read(0, 65536)
            if not data:
                return
            for wanted in lines(data):
                for number in wanted.pop("directions"):
                    directions[number].settings.update(wanted)
                totals = {n: sum(d.counts[n] for d in directions) for n in directions[0].counts}
                say(totals)


def say(what: dict[str, Any]) -> None:
    """Answer the test."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Be the line."""
    seed = int(sys.argv[1])
    (first, here), (second, there) = new_host(HERE), new_host(THERE)
    say({"namespaces": [first, second]})
    serve([Direction(here, there, seed), Direction(there, here, seed + 1)])


if __name__ == "__main__":
    assert Path("/dev/net/tun").exists(), "no /dev/net/tun"
    main()
