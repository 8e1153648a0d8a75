"""auditd_py.netlink.messages."""

from __future__ import annotations

import struct
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.errors import WireError
from auditd_py.netlink.messages import parse_status, request, status_payload
from auditd_py.netlink.uapi import AUDIT_STATUS_FIELDS, Status, StatusMask

WORD = st.integers(0, 0xFFFFFFFF)


def test_a_request_is_a_header_and_its_payload():
    assert request(1011, 5, 7, b"payload") == struct.pack("=IHHII", 23, 1011, 5, 7, 0) + b"payload"


@given(st.fixed_dictionaries(dict.fromkeys(AUDIT_STATUS_FIELDS, WORD)))
def test_a_status_that_is_sent_can_be_read(values):
    assert parse_status(status_payload(values)) == Status(**values)


def test_what_is_not_set_is_0():
    payload = status_payload({"mask": StatusMask.PID, "pid": 42})
    assert payload == struct.pack("=11I", 4, 0, 0, 42, *[0] * 7)


def test_a_short_status_of_an_old_kernel_has_0_for_the_rest():
    assert parse_status(struct.pack("=8I", *range(1, 9))) == Status(1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0)


def test_a_longer_status_of_a_new_kernel_is_read_as_far_as_known():
    assert parse_status(struct.pack("=12I", *range(12))) == Status(*range(11))


@pytest.mark.parametrize("size", [0, 4, 31])
def test_a_status_cut_short_is_refused(size):
    with pytest.raises(WireError, match=f"audit_status of {size} bytes"):
        parse_status(bytes(size))


@given(st.binary(max_size=80))
def test_any_bytes_are_a_status_or_a_wire_error(payload):
    try:
        found = parse_status(payload)
    except WireError:
        assert len(payload) < 32
    else:
        assert (
            struct.pack("=8I", *[getattr(found, n) for n in AUDIT_STATUS_FIELDS[:8]])
            == (payload[:32])
        )


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_codec_imported_alone_is_the_class_of_the_whole_package():
    code = """
import sys
from auditd_py.netlink import messages
alone = messages._import_nlmsg()
print("pyroute2" in sys.modules)
import pyroute2
from pyroute2.netlink import nlmsg
print(alone is nlmsg, messages._import_nlmsg() is nlmsg, hasattr(pyroute2, "IPRoute"))
"""
    assert run(code).split() == ["False", "True", "True", "True"]


def test_the_codec_comes_from_the_package_where_that_is_there_already():
    code = """
import pyroute2
from auditd_py.netlink import messages
from pyroute2.netlink import nlmsg
print(messages._import_nlmsg() is nlmsg, pyroute2.__spec__.loader is not None)
"""
    assert run(code).split() == ["True", "True"]
