"""metrics_listen: what Prometheus gets, and what it cannot do to the daemon."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import stat
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import unavailable
from tests.daemon.test_collector import ACK, collector, port, sender  # noqa: F401  fixtures
from tests.programs import Auditd, wait_for

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parent.parent.parent / "docs"


@pytest.fixture
def where() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        unavailable("needs promtool (Debian's prometheus)")
    assert found
    return found


def scrape(where: str) -> str:
    with urllib.request.urlopen(f"http://{where}/metrics", timeout=10) as answer:
        return str(answer.read(), "utf-8")


def value(text: str, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
    assert found, f"no {name} in {text}"
    return float(found[1])


def over_unix(path: Path, request: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(20)
        client.connect(str(path))
        client.sendall(request)
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_the_counters_are_those_of_the_state_report(collector, sender, where):  # noqa: F811
    daemon, client = collector(metrics_listen=where), sender()
    wait_for(lambda: "serving metrics" in daemon.told(), "it listens")
    client.send(*range(10))
    assert client.reply() == (ACK, 0, b"")
    text, state = scrape(where), daemon.state()
    assert value(text, "auditd_records_written_total") == float(state["records written"])
    assert value(text, "auditd_log_written_bytes_total") == daemon.log.stat().st_size
    assert value(text, "auditd_clients_connected") == 1
    assert value(text, "auditd_log_suspended") == 0
    assert value(text, "process_resident_memory_bytes") > 1 << 20


@pytest.mark.slow
def test_promtool_finds_nothing_to_say(collector, where, promtool):  # noqa: F811
    daemon = collector(metrics_listen=where)
    wait_for(lambda: "serving metrics" in daemon.told(), "it listens")
    done = subprocess.run(
        [promtool, "check", "metrics"], input=scrape(where), capture_output=True, text=True
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.slow
def test_the_alert_rules_are_right(promtool, tmp_path):
    done = subprocess.run(
        [promtool, "check", "rules", "--lint=all", "--lint-fatal", str(DOCS / "alerts.yml")],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    rules = re.findall(r"alert: (\w+)", (DOCS / "alerts.yml").read_text())
    assert (
        re.findall(r"^\| (Audit\w+) \|", (DOCS / "metrics.md").read_text(), re.MULTILINE) == rules
    )
    case = tmp_path / "case.yml"
    case.write_text(
        f"rule_files: ['{DOCS / 'alerts.yml'}']\nevaluation_interval: 1m\ntests:\n"
        "  - interval: 1m\n    input_series:\n"
        "      - {series: 'auditd_registered{instance=\"a\"}', values: '1 1 0 0 0'}\n"
        "      - {series: 'auditd_lost_records_total{instance=\"a\"}', values: '0 0 7 7 7'}\n"
        "    alert_rule_test:\n"
        "      - {eval_time: 1m, alertname: AuditRecordsLost}\n"
        "      - {eval_time: 1m, alertname: AuditNotRegistered}\n"
        "      - {eval_time: 2m, alertname: AuditNotRegistered}\n"
        + "".join(
            f"      - eval_time: 4m\n        alertname: {name}\n        exp_alerts:\n"
            f"          - exp_labels: {{instance: a, severity: critical}}\n"
            f"            exp_annotations: {json.dumps(filled(name, 'a'))}\n"
            for name in ("AuditRecordsLost", "AuditNotRegistered")
        )
    )
    done = subprocess.run([promtool, "test", "rules", str(case)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def filled(name: str, instance: str) -> dict[str, str]:
    rule = (DOCS / "alerts.yml").read_text().partition(f"alert: {name}\n")[2]
    found = re.findall(r"(summary|description): '((?:[^']|'')*)'", rule)[:2]
    return {
        key: text.replace("''", "'").replace("{{ $labels.instance }}", instance)
        for key, text in found
    }


def test_rules_and_dashboard_name_metrics_that_exist(collector, where, log_dir):  # noqa: F811
    program = log_dir / "plugin"
    program.write_text("#!/bin/sh\nexec cat >/dev/null\n")
    program.chmod(0o750)
    folder = log_dir / "plugins.d"
    folder.mkdir()
    (folder / "cat.conf").write_text(f"active = yes\npath = {program}\n")
    daemon = collector(metrics_listen=where, plugin_dir=folder)
    wait_for(lambda: "serving metrics" in daemon.told(), "it listens")
    text = scrape(where)
    served = {s.name for family in text_string_to_metric_families(text) for s in family.samples}
    served |= {  # of a daemon with local events, see the test on the kernel
        "auditd_registered", "auditd_kernel_enabled", "auditd_kernel_backlog_records",
        "auditd_kernel_backlog_limit_records",
    }  # fmt: skip
    dashboard = json.loads((DOCS / "grafana-dashboard.json").read_text())
    expressions = [t["expr"] for panel in dashboard["panels"] for t in panel["targets"]]
    named = re.findall(r"\b(?:auditd|process)_\w+", " ".join(expressions))
    rules = re.findall(r"expr: (.*)", (DOCS / "alerts.yml").read_text())
    named += re.findall(r"\bauditd_\w+", " ".join(rules))
    assert len(named) > 30
    assert set(named) - served == set()


@pytest.mark.kernel
def test_the_kernels_side_is_there(audit, auditd, where):
    daemon = auditd(metrics_listen=where)
    wait_for(lambda: "serving metrics" in daemon.told(), "it listens")
    text = scrape(where)
    assert value(text, "auditd_registered") == 1
    assert value(text, "auditd_kernel_backlog_limit_records") == audit.status().backlog_limit
    assert value(text, "auditd_kernel_enabled") == 1
    assert value(text, "auditd_kernel_backlog_records") >= 0


def test_a_socket_is_for_root_and_the_group_of_the_log(collector, log_dir):  # noqa: F811
    path = log_dir / "metrics.sock"
    daemon = collector(metrics_listen=path)
    wait_for(path.exists, "it listens")
    found = path.stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o660, 0)
    assert b"auditd_build_info" in over_unix(path, b"GET /metrics HTTP/1.1\r\n\r\n")
    assert daemon.stop() == 0
    assert not path.exists()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"404 Not Found"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405 Method Not Allowed"),
        (b"\x16\x03\x01 hello\r\n\r\n", b"400 Bad Request"),
        (b"GET /metrics HTTP/1.1\r\nA: " + b"a" * 9000 + b"\r\n\r\n", b"431 Request Header"),
        (b"HEAD /metrics HTTP/1.0\r\n\r\n", b"200 OK"),
    ],
)
def test_a_request(collector, log_dir, request_bytes, status):  # noqa: F811
    path = log_dir / "metrics.sock"
    collector(metrics_listen=path)
    wait_for(path.exists, "it listens")
    assert over_unix(path, request_bytes).startswith(b"HTTP/1.1 " + status)


@pytest.mark.slow
def test_clients_that_say_nothing_do_not_stay(collector, log_dir):  # noqa: F811
    path = log_dir / "metrics.sock"
    daemon = collector(metrics_listen=path)
    wait_for(path.exists, "it listens")
    silent = []
    for _ in range(40):
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.settimeout(20)
        client.connect(str(path))
        silent.append(client)
    for client in silent:
        try:
            assert client.recv(1) == b""  # closed: at once, or after five seconds
        except ConnectionResetError:
            pass
        client.close()
    assert b" 200 OK" in over_unix(path, b"GET /metrics HTTP/1.1\r\n\r\n")
    assert daemon.state()["records written"]


def test_a_reload_begins_moves_and_ends_it(collector, where, log_dir, port):  # noqa: F811
    common = {"local_events": "no", "tcp_listen_port": port, "use_libwrap": "no"}
    daemon = collector()
    for setting in ({"metrics_listen": where}, {"metrics_listen": log_dir / "m.sock"}, {}):
        daemon.configure(**common, **setting)
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_state("READY=1")
        assert (log_dir / "m.sock").exists() == (setting.get("metrics_listen") != where
                                                 and bool(setting))  # fmt: skip
        if setting.get("metrics_listen") == where:
            assert "auditd_build_info" in scrape(where)
        else:
            with pytest.raises(urllib.error.URLError):
                scrape(where)


def test_a_port_in_use_stops_a_reload_and_not_a_start(collector, where, port):  # noqa: F811
    address, number = where.split(":")
    with socket.create_server((address, int(number))):
        daemon: Auditd = collector(metrics_listen=where)
        wait_for(lambda: "metrics are not served" in daemon.told(), "it is told")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_state("READY=1")
        assert "the settings are unchanged" in daemon.told()
    assert daemon.stop() == 0
