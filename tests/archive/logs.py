"""Logs for the tests of archives."""

from __future__ import annotations

import random
from typing import Any

from tests.report.logs import call, login, path

_MIDNIGHT = 1_700_006_400
_NODES = (b"", b"a", "b/é".encode(), b"a")
_AUTH = (
    b'type=USER_AUTH msg=audit(%b): pid=%d uid=0 auid=1000 ses=3 msg=\'op=PAM acct="carol" '
    b'exe="/bin/su" hostname=h%d addr=? terminal=pts/1 res=%b\'\n'
)
_OTHERS = b"""\
type=USER_AVC msg=audit(%b): pid=1 uid=0 auid=5 ses=1 subj=u:r:s:s0 msg='avc:  denied  { status } for auid=5 scontext=u:r:t:s0 tcontext=u:r:i:s0 tclass=service exe="/bin/dbus" hostname=? addr=? terminal=?'
type=AVC msg=audit(%b): avc:  denied  { read write } for  pid=1 comm="x" name="y" scontext=u:r:t:s0 tcontext=u:r:o:s0 tclass=file permissive=0
type=CONFIG_CHANGE msg=audit(%b): op=add_rule key="k1" list=4 res=1
type=ADD_USER msg=audit(%b): pid=1 uid=0 auid=0 ses=2 msg='op=adding user id=1001 exe="/usr/sbin/useradd" hostname=x addr=? terminal=pts/0 res=success'
type=DEL_GROUP msg=audit(%b): pid=1 uid=0 auid=0 ses=2 msg='op=delete acct="staff" exe="/usr/sbin/groupdel" hostname=? addr=? terminal=pts/0 res=failed'
type=TTY msg=audit(%b): tty pid=9 uid=0 auid=0 ses=2 major=4 minor=1 comm="bash" data=6C730A
type=ANOM_ABEND msg=audit(%b): auid=1 uid=1 gid=1 ses=1 pid=7 comm="c" exe="/bin/c" sig=11 res=1
type=ANOM_EXEC msg=audit(%b): user pid=1 uid=0 auid=7 msg='res=success'
type=RESP_ALERT msg=audit(%b): pid=1 uid=0 auid=7 ses=2 msg='res=success'
type=MAC_STATUS msg=audit(%b): enforcing=1 old_enforcing=0 auid=7 ses=2
type=INTEGRITY_DATA msg=audit(%b): pid=1 uid=0 auid=7 ses=2 op="x" res=0
type=VIRT_CONTROL msg=audit(%b): pid=1 uid=0 auid=7 ses=2 msg='op=start vm="v" exe="/usr/sbin/libvirtd" hostname=? addr=? terminal=? res=success'
type=CRYPTO_KEY_USER msg=audit(%b): pid=1 uid=0 auid=7 ses=2 msg='op=destroy kind=server exe="/usr/sbin/sshd" hostname=? addr=1.2.3.4 terminal=? res=success'
""".splitlines(keepends=True)


def generated(seed: int, events: int = 2500) -> bytes:
    """Return a log of three nodes over midnight: slow calls, clocks set back, records mixed."""
    chance = random.Random(seed)
    now = _MIDNIGHT - events // 2
    told: list[tuple[int, int, bytes]] = []
    for serial in range(100, 100 + events):
        now += chance.choice((0, 0, 0, 1, 1, 2, 5)) - 40 * (chance.random() < 0.003)
        began = now - chance.choice((0,) * 20 + (1, 3, 9))
        told.append(
            (
                now,
                began,
                _event(chance, serial, began, chance.choice(_NODES)),
            )
        )
    lines: list[bytes] = []
    for one, other in zip(told[::2], told[1::2], strict=True):
        parts = [one[2].splitlines(keepends=True), other[2].splitlines(keepends=True)]
        mixed = len({*one[:2], *other[:2]}) == 1 and chance.random() < 0.5
        while any(parts):
            there = [part for part in parts if part]
            lines.append((chance.choice(there) if mixed else there[0]).pop(0))
    return b"".join(lines)


def _event(chance: random.Random, serial: int, second: int, node: bytes) -> bytes:
    milli = chance.randrange(1000)
    kind = chance.random()
    if kind < 0.6:
        of_call: dict[str, Any] = {"second": second, "milli": milli, "node": node}
        names = (b'"/etc/f%d"' % chance.randrange(300), b"2F746D702F0AFF2241")
        return (
            call(
                serial, **of_call, auid=chance.choice((0, 1000, 1001, 4294967295)),
                exe=b'"/bin/%d"' % chance.randrange(40), success=chance.choice((b"yes", b"no")),
                key=chance.choice((b"(null)", b'"k1"', b"6B31016B32")),
                enriched=chance.choice((b"", b'\x1dARCH=x86_64 AUID="alice" UID="root"')),
            )
            + path(serial, b'"/etc/"', nametype=b"PARENT", **of_call)
            + path(serial, chance.choice(names), **of_call)
        )  # fmt: skip
    begin = b"node=" + node + b" " if node else b""
    if kind < 0.7:
        acct = chance.choice((b'"bob"', b'"eve"', b"2200FF"))
        return begin + login(serial, second=second, acct=acct)
    stamp = b"%d.%03d:%d" % (second, milli, serial)
    if kind < 0.75:
        result = chance.choice((b"success", b"failed"))
        return begin + _AUTH % (stamp, chance.randrange(99), chance.randrange(3), result)
    return begin + chance.choice(_OTHERS) % stamp
