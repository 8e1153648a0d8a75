"""Our package on Debian 12, from boot to power cut, in a virtual machine."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT, unavailable
from tests.daemon.test_collector import ACK, Sender, port  # noqa: F401  a fixture
from tests.programs import wait_for
from tests.vm.image import Image, image
from tests.vm.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.programs import Peers

pytestmark = [pytest.mark.vm, pytest.mark.slow, pytest.mark.timeout(1500)]

C = (
    "LD_LIBRARY_PATH=/opt/c/lib/x86_64-linux-gnu:/opt/c/usr/lib/x86_64-linux-gnu LC_ALL=C "
    "/opt/c/sbin/ausearch --input-logs"
)
WATCHED = rb'node=vm type=SYSCALL .*key="watched"'
# prints the first and the last serial in the log, and how many between them are not there
SERIALS = """
import glob, re
found = set()
for path in glob.glob('/var/log/audit/audit.log*'):
    for line in open(path, errors='replace'):
        if line.endswith('\\n') and not line.startswith('type=DAEMON_'):
            found.add(int(re.search(r':(\\d+)\\)', line)[1]))
boots = sorted(found)
print(boots[0], boots[-1], boots[-1] - boots[0] + 1 - len(boots))
"""


@pytest.fixture(scope="session")
def vm_image(peers: Peers) -> Image:
    missing = [
        name
        for name in ("qemu-system-x86_64", "debootstrap", "mkfs.ext4")
        if subprocess.run(["sh", "-c", f"PATH=$PATH:/usr/sbin:/sbin command -v {name}"],
                          capture_output=True).returncode
    ]  # fmt: skip
    if missing or os.geteuid():
        unavailable(f"needs root and {' '.join(missing)}: make vm-test")
    package = os.environ.get("VM_PACKAGE")
    if package is None:
        subprocess.run(["make", "deb"], cwd=ROOT, check=True, timeout=600)
        (package,) = map(str, (ROOT / "build").glob("auditd-py_*.deb"))
    return image(ROOT / ".cache" / "vm", Path(package), peers.place)


@pytest.fixture
def machine(vm_image: Image, tmp_path: Path) -> Iterator[Callable[..., Machine]]:
    with contextlib.ExitStack() as stack:

        def make(**arguments: object) -> Machine:
            one = Machine(vm_image, tmp_path, **arguments)  # type: ignore[arg-type]
            stack.callback(one.close)
            return one

        yield make
    for disk in tmp_path.glob("*.img"):
        disk.unlink()


def configure(machine: Machine, **settings: object) -> None:
    for key, value in settings.items():
        machine.run(f"sed -i '/^#*{key} =/d' /etc/auditd_py/auditd.conf")
        machine.run(f"echo '{key} = {value}' >> /etc/auditd_py/auditd.conf")


def ends(machine: Machine) -> list[str]:
    said = machine.run("grep -h ^type=DAEMON_END /var/log/audit/audit.log")
    return said.strip("\n").split("\n")


def test_a_host_from_boot_to_reboot(machine):
    one = machine()
    one.boot()

    # rules are loaded, and nothing was lost between the kernel's start and the daemon's
    assert "-w /etc/watched -p wa -k watched" in one.run("auditctl -l")
    status = one.run("auditctl -s")
    assert re.search(r"^lost 0$", status, re.MULTILINE), status
    first, last, missing = map(int, one.python(SERIALS).split())
    assert (first, missing) == (1, 0)
    assert last > 20
    assert "state=initialized" in one.run("grep ^type=KERNEL /var/log/audit/audit.log")

    # what people do is in the log, and the C package's ausearch reads it
    one.run("su - alice -c 'sudo -n true'")
    one.run("echo wrong | setsid su alice -c 'su root -c id'", status=None)
    one.run("echo x >> /etc/watched")
    login = one.run(f"{C} -m USER_LOGIN -i")
    assert re.search(r"terminal=\S*ttyS0 res=success", login), login
    sudo = one.run(f"{C} -m USER_CMD -i")
    assert re.search(r"auid=root .*cmd=.*true", sudo), sudo
    failed = one.run(f"{C} -m USER_AUTH -sv no -i")
    assert re.search(r"acct=root exe=\S*/su .*res=failed", failed), failed
    watched = one.run(f"{C} -k watched -i")
    assert "name=/etc/watched" in watched
    assert "type=SYSCALL" in watched

    # who stopped it
    one.run("systemctl stop auditd-py")
    assert re.search(r" auid=0 uid=0 ses=4294967295 pid=1\b.* res=success", ends(one)[-1])
    one.run("systemctl start auditd-py")
    session = one.run("cat /proc/self/sessionid").strip()
    one.run("auditctl --signal stop")
    one.run("while systemctl -q is-active auditd-py; do sleep 0.1; done")
    assert re.search(rf" auid=0 uid=0 ses={session} pid=\d+.* res=success", ends(one)[-1])
    one.run("systemctl start auditd-py")
    one.run("auditctl -m 'kept over the reboot'")

    # a reboot keeps everything
    size = int(one.run("cat /var/log/audit/audit.log | wc -c"))
    digest = one.run(f"head -c {size} /var/log/audit/audit.log | sha256sum")
    one.send("systemctl reboot")
    one.wait_off()
    one.boot()
    assert one.run(f"head -c {size} /var/log/audit/audit.log | sha256sum") == digest
    assert "kept over the reboot" in one.run(f"{C} -m USER")
    assert len(ends(one)) == 3  # one of them says that the host went down
    assert "-k watched" in one.run("auditctl -l")


def test_a_new_version_takes_over_under_systemd_and_locked_rules_stay(machine):
    one = machine()
    one.boot()
    show = "systemctl --no-pager show auditd-py -P MainPID -P ActiveState -P NRestarts -P ActiveEnterTimestampMonotonic"
    before = one.run(show)
    one.run(
        "(while :; do echo x >> /etc/watched; sleep 0.05; done) >/dev/null 2>&1 & echo $! > /tmp/load"
    )
    for _ in range(2):
        one.run("auditd --reexec")
        assert one.run(show) == before
    assert one.run("grep -c 'op=reexec.*res=success' /var/log/audit/audit.log").strip() == "2"
    # systemd hears of the watchdog from the new version too
    beat = "$(systemctl --no-pager show auditd-py -P WatchdogTimestampMonotonic)"
    one.run(f"old={beat}; while [ {beat} = $old ]; do sleep 0.5; done")
    assert one.run(show) == before
    one.run("kill $(cat /tmp/load)")
    first, _, missing = map(int, one.python(SERIALS).split())
    assert (first, missing) == (1, 0)

    one.run("auditctl -e 2")
    assert re.search(r"^enabled 2$", one.run("auditctl -s"), re.MULTILINE)
    for command in ("auditctl -D", "auditctl -w /etc/passwd -p wa", "auditctl -e 0"):
        assert "The audit system is in immutable mode" in one.run(command, status=None)
    assert "-w /etc/watched -p wa -k watched" in one.run("auditctl -l")
    one.run("auditctl --signal stop")
    one.run("while systemctl -q is-active auditd-py; do sleep 0.1; done")
    one.run("systemctl start auditd-py")  # a daemon is admitted all the same
    assert one.run("systemctl is-active auditd-py").strip() == "active"


def test_after_a_power_cut_all_that_was_acknowledged_is_there(machine, port):  # noqa: F811
    one = machine(ports=[(port, 60)])
    one.boot()
    network(one)
    configure(one, flush="sync", tcp_listen_port=60, use_libwrap="no", max_log_file=500)
    one.run("systemctl restart auditd-py")
    one.run("(while :; do echo x >> /etc/watched; done) >/dev/null 2>&1 &")
    client = Sender(port)
    client.socket.settimeout(60)
    sent = acknowledged = 0
    began = time.monotonic()
    while time.monotonic() - began < 8:
        client.send(*range(sent, sent + 50))
        sent += 50
        while acknowledged < sent - 200:
            assert client.reply() == (ACK, acknowledged, b"")
            acknowledged += 1
    one.cut_power()
    client.close()
    assert 0 < acknowledged < sent
    one.boot()
    program = (
        "import re\n"
        "found = [int(n) for n in re.findall(rb'type=TEST msg=audit\\(1.000:(\\d+)\\)',"
        " open('/var/log/audit/audit.log', 'rb').read())]\n"
        "print(found == list(range(len(found))), len(found))"
    )
    whole, count = one.python(program).split()
    assert whole == "True"
    assert acknowledged <= int(count) <= sent


def test_after_a_power_cut_both_ends_of_a_forwarder_have_the_same_records(
    machine,
    auditd,
    port,  # noqa: F811
):
    outside = auditd(local_events="no", tcp_listen_port=port, use_libwrap="no", flush="SYNC")
    one = machine()
    one.boot()
    network(one)
    one.run(
        f"sed -i -e 's/^#*remote_server.*/remote_server = 10.0.2.2/' "
        f"-e 's/^#*port.*/port = {port}/' /etc/auditd_py/audisp-remote.conf"
    )
    one.run("sed -i 's/^active.*/active = yes/' /etc/auditd_py/plugins.d/au-remote.conf")
    configure(one, flush="sync", name_format="hostname", max_log_file=500, q_depth=99999)
    one.run("systemctl restart auditd-py")
    one.run("(while :; do echo x >> /etc/watched; sleep 0.02; done) >/dev/null 2>&1 &")
    wait_for(lambda: len(watched(outside.log.read_bytes())) > 500, "records outside", 240)
    one.cut_power()
    there = watched(outside.log.read_bytes())
    assert len(there) == len(set(there))
    one.boot()
    program = (
        "import hashlib, re\n"
        f"lines = [l for l in open('/var/log/audit/audit.log', 'rb') if re.match({WATCHED!r}, l)]\n"
        f"both = min(len(lines), {len(there)})\n"
        "print(both, hashlib.sha256(b''.join(lines[:both])).hexdigest())"
    )
    count, digest = one.python(program).split()
    # neither side waits for the other: the newest may be in one log only
    both = int(count)
    assert both > 400
    assert digest == sha256(b"".join(there[:both])).hexdigest()


def watched(log: bytes) -> list[bytes]:
    return [line + b"\n" for line in log.split(b"\n")[:-1] if re.match(WATCHED, line)]


def test_admin_space_left_action_single_reaches_rescue_mode(machine):
    one = machine()
    small_log_disk(one, admin_space_left=20, admin_space_left_action="single")
    one.run("dd if=/dev/zero of=/var/log/audit/fill bs=1M count=40 2>&1", status=None)
    one.expect(rb"(?i)press enter for maintenance|password for maintenance", 180)
    one.insist("root", rb"# ")
    one.quieten()
    assert one.run("systemctl is-active rescue.target").strip() == "active"
    assert one.run("systemctl is-active auditd-py", status=None).strip() == "inactive"


def test_disk_full_action_halt_powers_off(machine):
    one = machine()
    small_log_disk(one, disk_full_action="halt")
    one.send("dd if=/dev/zero of=/var/log/audit/fill bs=1M count=100; sync")
    one.send("while :; do echo x >> /etc/watched; done &")
    one.wait_off()


def network(machine: Machine) -> None:
    machine.run(
        "set -- /sys/class/net/e*; d=${1##*/}; ip addr add 10.0.2.15/24 dev $d; ip link set $d up"
    )


def small_log_disk(machine: Machine, **settings: object) -> None:
    machine.add_disk(64)
    machine.boot()
    machine.run("systemctl stop auditd-py")
    machine.run("mount /dev/vdb /var/log/audit && chmod 700 /var/log/audit")
    quiet = {
        "space_left": 30, "space_left_action": "ignore", "admin_space_left": 1,
        "admin_space_left_action": "ignore", "disk_full_action": "ignore",
    }  # fmt: skip
    configure(machine, **{**quiet, **settings})
    machine.run("systemctl start auditd-py")
