"""What is measured, under which settings, and what is wanted of it: the one table to edit."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Who(StrEnum):
    """What takes the records."""

    C = "c"
    OURS = "ours"
    FLOOR = "floor"


class Metric(StrEnum):
    """What a target is about: the name of the figure in a Sample."""

    RATE = "events_per_s"
    CPU = "cpu_s"
    RSS = "rss_mib"
    CLIENT = "client_kib"


@dataclass(frozen=True, slots=True)
class Target:
    """Ours must be at least (or at most) `limit` times what `against` did.

    Without `against`, `limit` is the figure itself.
    """

    metric: Metric
    limit: float
    against: Who | None = None

    @property
    def at_least(self) -> bool:
        return self.metric is Metric.RATE

    def met(self, ratio: float) -> bool:
        return ratio >= self.limit if self.at_least else ratio <= self.limit

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        if self.against is None:
            return f"{sign} {self.limit:g}"
        return f"{sign} {self.limit:g} x {'C' if self.against is Who.C else self.against}"


class Kind(StrEnum):
    """What a row between hosts is about."""

    COLLECT = "collect"  # a collector and its senders
    FORWARD = "forward"  # a forwarder before the C daemon


@dataclass(frozen=True, slots=True)
class Network:
    """The load of a row between hosts: records of 300 bytes, so many of each client.

    `window` records of each client are on the way at a time; a forwarder has its own. Without
    `records` the clients are connected and say nothing. `delay_ms` is a round trip's.
    """

    kind: Kind
    records: dict[Who, int]
    clients: int = 1
    window: int = 1
    delay_ms: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One load under one setting of the daemons.

    `rate` 0 is N getpgid calls as fast as they go, in `stages` equal parts with a look at the
    memory after each; otherwise it is openat calls a second for `seconds`. `events` 0 means as
    many as keep a daemon that flushes each record busy for some seconds on this disk.
    """

    name: str
    title: str
    who: tuple[Who, ...]
    targets: tuple[Target, ...]
    events: int = 0
    stages: int = 1
    rate: int = 0
    seconds: int = 0
    log_format: str = "RAW"
    flush: str = "INCREMENTAL_ASYNC"
    max_log_file: int = 0  # MiB, with rotation; 0 = nothing rotates
    network: Network | None = None
    plugin: bool = False  # with one that counts; an event is done when it has it too


BOTH = (Who.C, Who.OURS)

ROWS = (
    Row(
        "raw",
        "100,000 getpgid, RAW",
        (Who.C, Who.OURS, Who.FLOOR),
        (
            Target(Metric.RATE, 1.6, Who.C),
            Target(Metric.RATE, 0.9, Who.FLOOR),
            Target(Metric.CPU, 0.55, Who.C),
        ),
        events=100_000,
    ),
    Row(
        "enriched",
        "100,000 getpgid, ENRICHED",
        BOTH,
        (Target(Metric.RATE, 2, Who.C), Target(Metric.CPU, 0.45, Who.C)),
        events=100_000,
        log_format="ENRICHED",
    ),
    Row(
        "steady-raw",
        "5,000 openat/s for 8 s, RAW",
        BOTH,
        (Target(Metric.CPU, 0.4, Who.C),),
        rate=5000,
        seconds=8,
    ),
    Row(
        "steady-enriched",
        "5,000 openat/s for 8 s, ENRICHED",
        BOTH,
        (Target(Metric.CPU, 0.4, Who.C),),
        rate=5000,
        seconds=8,
        log_format="ENRICHED",
    ),
    Row(
        "quiet",
        "200 openat/s for 20 s, RAW",
        BOTH,
        (Target(Metric.CPU, 2, Who.C),),
        rate=200,
        seconds=20,
    ),
    Row(
        "sync",
        "getpgid, RAW, flush = sync",
        BOTH,
        (Target(Metric.RATE, 5, Who.C),),
        flush="SYNC",
    ),
    Row(
        "rotate",
        "100,000 getpgid, RAW, max_log_file = 1",
        BOTH,
        (Target(Metric.RATE, 1.5, Who.C),),
        events=100_000,
        max_log_file=1,
    ),
    Row(
        "plugin",
        "100,000 getpgid, RAW, a plugin that counts",
        BOTH,
        (Target(Metric.RATE, 1.5, Who.C), Target(Metric.CPU, 0.6, Who.C)),
        events=100_000,
        plugin=True,
    ),
    Row(
        "memory",
        "memory after 1,000,000 getpgid, RAW",
        BOTH,
        (Target(Metric.RSS, 45),),
        events=1_000_000,
        stages=4,
    ),
    Row(
        "collect-64",
        "collector, 50 clients, 64 in flight",
        BOTH,
        (Target(Metric.RATE, 1.3, Who.C),),
        network=Network(Kind.COLLECT, {Who.C: 2000, Who.OURS: 6000}, 50, 64),
    ),
    Row(
        "collect-1",
        "collector, 50 clients, one in flight",
        BOTH,
        (Target(Metric.RATE, 0.8, Who.C),),
        network=Network(Kind.COLLECT, {Who.C: 1000, Who.OURS: 1000}, 50, 1),
    ),
    Row(
        "collect-sync",
        "collector, 50 clients, one in flight, flush = sync",
        BOTH,
        (Target(Metric.RATE, 5, Who.C),),
        flush="SYNC",
        network=Network(Kind.COLLECT, {Who.C: 60, Who.OURS: 400}, 50, 1),
    ),
    Row(
        "collect-idle",
        "collector, memory of each of 2,000 idle clients",
        (Who.OURS,),
        (Target(Metric.CLIENT, 20),),
        network=Network(Kind.COLLECT, {}, 2000),
    ),
    Row(
        "forward",
        "forwarder to the C daemon, loopback",
        BOTH,
        (Target(Metric.RATE, 5, Who.C),),
        flush="NONE",
        network=Network(Kind.FORWARD, {Who.C: 30_000, Who.OURS: 200_000}),
    ),
    Row(
        "forward-20ms",
        "forwarder to the C daemon, 20 ms round trip",
        BOTH,
        (Target(Metric.RATE, 100, Who.C),),
        flush="NONE",
        network=Network(Kind.FORWARD, {Who.C: 100, Who.OURS: 40_000}, delay_ms=20),
    ),
)
