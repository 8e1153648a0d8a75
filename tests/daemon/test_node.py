"""auditd_py.daemon.node."""

from __future__ import annotations

import ipaddress
import os
import subprocess
import sys

import pytest

from auditd_py.daemon.node import NodeError, node_name


def test_none_is_no_name():
    assert node_name("none", "ignored") == b""


def test_hostname_is_the_kernels():
    assert node_name("hostname", None) == os.uname().nodename.encode()


def test_a_name_of_ones_own_has_no_spaces():
    assert node_name("user", "web server 1") == b"web_server_1"


def in_a_host_called(name: str, hosts: str, code: str) -> subprocess.CompletedProcess[str]:
    # a name space of its own: the real host name and /etc/hosts stay as they are
    script = (
        f"hostname {name} && mkdir -p /run/lock && f=$(mktemp /run/lock/hosts.XXXXXX) && "
        f"printf '%s\\n' '{hosts}' > $f && mount --bind $f /etc/hosts && rm -f $f; "
        f'exec "$0" -c "$1"'
    )
    return subprocess.run(
        ["unshare", "--uts", "--mount", "--net", "sh", "-c", script, sys.executable, code],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


CODE = "from auditd_py.daemon.node import node_name; print(node_name('{}', None).decode())"


@pytest.mark.usefixtures("root")
def test_fqd_is_the_canonical_name():
    done = in_a_host_called("web", "192.0.2.7 web.example.com web", CODE.format("fqd"))
    assert done.stdout == "web.example.com\n", done.stderr


@pytest.mark.usefixtures("root")
def test_numeric_is_the_first_address():
    done = in_a_host_called("web", "192.0.2.7 web.example.com web", CODE.format("numeric"))
    assert ipaddress.ip_address(done.stdout.strip()) == ipaddress.ip_address("192.0.2.7")


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("word", ["fqd", "numeric"])
def test_a_host_nobody_knows_is_told_what_to_mend(word):
    done = in_a_host_called("nowhere-4711", "127.0.0.1 localhost", CODE.format(word))
    assert f"name_format = {word}" in done.stderr
    assert "/etc/hosts" in done.stderr


def test_a_user_name_that_is_empty_is_refused():
    with pytest.raises(NodeError, match="name_format = user"):
        node_name("user", "")
