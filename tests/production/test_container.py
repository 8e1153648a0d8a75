"""The container: an unprivileged collector, and the host's own daemon."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.daemon.test_collector import text
from tests.production.container import Container, Store, documented_command
from tests.programs import GETPGID, Actor, parse_log, settings_text, syscall_rule, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from auditd_py.netlink.control import Control
    from tests.programs import Peers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]

PID = 0
SYS_RESOURCE = 24  # linux/capability.h
COLLECTOR, LOCAL = "The collector:", "The host's own audit daemon:"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, package: Path) -> Iterator[Store]:
    """Give the image with the package that was just built."""
    made = Store(tmp_path_factory.mktemp("store"))
    yield made
    made.close()


@pytest.fixture
def container(store: Store, tmp_path: Path, root: None) -> Iterator[Callable[..., Container]]:
    """Start a container of the image: container(volumes, **arguments of Container)."""
    running: list[Container] = []

    def start(volumes: dict[str, Path], **arguments: Any) -> Container:
        running.append(Container(tmp_path / f"c{len(running)}", store, volumes, **arguments))
        return running[-1]

    yield start
    for one in running:
        one.close()


def test_the_image_is_a_collector_of_an_ordinary_user(store: Store):
    config = store.config
    assert config["User"] == "10001:10001"
    assert list(config["ExposedPorts"]) == ["6000/tcp"]
    assert list(config["Volumes"]) == ["/var/log/audit"]
    assert config["Healthcheck"]["Test"] == ["CMD", "/usr/bin/auditd-py", "auditd", "--clients"]
    assert config["Cmd"] == ["/usr/bin/auditd-py", "auditd", "-n"]
    assert {"--read-only", "--cap-drop=ALL"} <= set(documented_command(COLLECTOR))


def test_the_collector_takes_records_and_tells_its_health(
    store: Store, container: Callable[..., Container], log_dir: Path, peers: Peers, tmp_path: Path
):
    uid = int(store.config["User"].partition(":")[0])
    os.chown(log_dir, uid, uid)
    one = container({"/var/log/audit": log_dir})
    log = log_dir / "audit.log"
    one.wait_for_text(log, b"type=DAEMON_START")
    status = Path(f"/proc/{one.pid}/status").read_text()
    assert re.search(rf"^Uid:\s{uid}\s{uid}\s{uid}\s{uid}$", status, re.MULTILINE)
    assert len(re.findall(r"^Cap(?:Prm|Eff|Bnd):\s0+$", status, re.MULTILINE)) == 3
    assert one.execute("touch", "/etc/x").returncode
    assert one.execute("touch", "/usr/bin/x").returncode

    healthy = store.config["Healthcheck"]["Test"][1:]
    done = one.execute(*healthy)
    assert done.returncode == 0, done.stderr
    send(peers, one, tmp_path, range(2000))
    wait_for(lambda: received(log) == list(range(2000)), "all have come")
    assert (log.stat().st_uid, log.stat().st_mode & 0o777) == (uid, 0o600)

    assert one.stop() == 0
    assert parse_log(log.read_bytes())[-1].type == "DAEMON_END"
    assert one.execute(*healthy).returncode

    without = container({"/var/log/audit": log_dir}, command=healthy)
    assert without.process.wait(30) == 1
    assert "auditd:" in without.messages.read_text()


@pytest.mark.kernel
def test_the_hosts_daemon_runs_with_the_documented_capabilities(
    audit: Control, container: Callable[..., Container], log_dir: Path, tmp_path: Path
):
    words = documented_command(LOCAL)
    assert {"--cap-drop=ALL", "--pid=host", "--net=host", "--user=0:0"} <= set(words)
    capabilities = [w.partition("=")[2] for w in words if w.startswith("--cap-add=")]
    assert "AUDIT_CONTROL" in capabilities
    if not held(SYS_RESOURCE):  # only protects it from the OOM killer
        capabilities.remove("SYS_RESOURCE")
    conf = tmp_path / "conf"
    conf.mkdir()
    (conf / "auditd.conf").write_text(
        settings_text(
            {"log_group": "adm", "priority_boost": 4, "receive_buffer": 16,
             "space_left": 2, "admin_space_left": 1, "name_format": "none"}
        )
    )  # fmt: skip
    log = log_dir / "audit.log"
    one = container(
        {"/var/log/audit": log_dir, "/etc/auditd_py": conf},
        user="0:0", capabilities=capabilities, host_namespaces=True,
    )  # fmt: skip
    one.wait_for_text(log, b"type=DAEMON_START")
    wait_for(lambda: audit.status().pid == one.pid, "it is the kernel's daemon")
    actor = Actor("for _ in range(100): os.getpgid(0)")
    audit.add_rule(syscall_rule(GETPGID, (PID, actor.pid), key=b"container"))
    actor.run()
    wait_for(lambda: log.read_bytes().count(b'key="container"') >= 100, "its events")
    assert os.getpriority(os.PRIO_PROCESS, one.pid) == -4
    assert log.stat().st_mode & 0o777 == 0o640
    assert one.stop() == 0
    assert parse_log(log.read_bytes())[-1].type == "DAEMON_END"
    assert "error" not in one.messages.read_text().lower()


def held(capability: int) -> bool:
    """Say whether this process may give a capability on."""
    status = Path("/proc/self/status").read_text()
    bounds = int(status.partition("CapBnd:")[2].split()[0], 16)
    return bool(bounds >> capability & 1)


def received(log: Path) -> list[int]:
    return [line.serial for line in parse_log(log.read_bytes()) if line.type == "TEST"]


def send(peers: Peers, to: Container, place: Path, numbers: range) -> None:
    """Have Debian's audisp-remote send records to the container's port."""
    upper, work = place / "upper", place / "work"
    (upper / "audit").mkdir(parents=True)
    work.mkdir()
    conf = upper / "audit" / "audisp-remote.conf"
    conf.write_text("remote_server = 127.0.0.1\nport = 6000\nmode = immediate\nformat = managed\n")
    conf.chmod(0o640)
    overlay = f"lowerdir=/etc,upperdir={upper},workdir={work}"
    command = f"mount -t overlay overlay -o {overlay} /etc && exec {peers.tool('audisp-remote')}"
    done = subprocess.run(
        ["nsenter", f"--net=/proc/{to.pid}/ns/net", "unshare", "-m", "sh", "-c", command],
        input=b"".join(text(n) + b"\n" for n in numbers), env=peers.environment, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0
