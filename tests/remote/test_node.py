"""auditd_py.remote.node"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.remote.node import NodeCheck, folder_name, node_of


def record(node: bytes) -> bytes:
    return (b"node=%s " % node if node else b"") + b"type=TEST msg=audit(1.000:1): node=x "


def test_the_name_is_what_stands_before_the_record():
    assert node_of(record(b"web1")) == b"web1"
    assert node_of(record(b"")) == b""


def test_the_first_name_is_the_one_of_a_connection():
    check = NodeCheck()
    assert check.first_wrong([record(b"a"), record(b"a")], []) is None
    assert check.first_wrong([record(b"a"), record(b"ab"), record(b"a")], []) == 1
    assert check.first_wrong([record(b"")], []) == 0
    assert check.first_wrong([record(b"a")], [b"a"]) is None


def test_a_name_that_is_taken_is_wrong():
    assert NodeCheck().first_wrong([record(b"a")], [b"", b"a"]) == 0


@pytest.mark.parametrize(
    "identity", ["web1.example.com", "host/web1.example.com@EXAMPLE.COM", "CN=Web1.example.com"]
)
def test_who_proved_a_name_has_that_one(identity):
    check = NodeCheck(identity)
    assert check.first_wrong([record(b"web1"), record(b"web1.example.com")], [b"web1"]) is None
    assert check.first_wrong([record(b"web2")], []) == 0
    assert check.first_wrong([record(b"example.com")], []) == 0


def test_names_are_safe_as_file_names():
    assert folder_name(b"web1.example.com") == "web1.example.com"
    assert folder_name(b"..") == "%2E."
    assert folder_name(b"../x\x1d") == "%2E.%2Fx%1D"
    assert folder_name(b"::1") == "::1"


@given(st.binary(min_size=1, max_size=300), st.binary(min_size=1, max_size=300))
def test_different_nodes_have_different_files(one, other):
    assert (folder_name(one) == folder_name(other)) == (one == other)
    assert "/" not in folder_name(one)
    assert folder_name(one)[0] != "."
    assert len(folder_name(one)) < 200
