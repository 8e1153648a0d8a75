"""auditd_py.record.sockaddr: the texts are those of ausearch -i 3.0.9, or said to differ."""

from __future__ import annotations

import socket

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from auditd_py.record.sockaddr import ipv6_text, sockaddr_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"02000050010203040000000000000000", b"{ saddr_fam=inet laddr=1.2.3.4 lport=80 }"),
        (
            b"0200FFFFFFFFFFFF00000000000000000000",
            b"{ saddr_fam=inet laddr=255.255.255.255 lport=65535 }",
        ),
        (b"02", b"{ saddr_fam=inet sockaddr len too short }"),
        (b"0200005001020304", b"{ saddr_fam=inet sockaddr len too short }"),
        (b"0200005001020304000000000000000", b"{ saddr_fam=inet sockaddr len too short }"),
    ],
)
def test_an_internet_address(value: bytes, text: bytes) -> None:
    assert sockaddr_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (
            b"0A0000500000000020010DB8000000000000FF000042832900000000",
            b"{ saddr_fam=inet6 laddr=2001:db8::ff00:42:8329 lport=80 }",
        ),
        (
            b"0a000050000000000000000000000000000000000000000100000000",
            b"{ saddr_fam=inet6 laddr=::1 lport=80 }",
        ),
        (
            b"0A0000500000000000000000000000000000FFFF0102030400000000",
            b"{ saddr_fam=inet6 laddr=::ffff:1.2.3.4 lport=80 }",
        ),
        (
            b"0A0000500000000000010000000100000001000000010001ABCD0000",
            b"{ saddr_fam=inet6 laddr=1:0:1:0:1:0:1:1%52651 lport=80 }",
        ),
        (b"0A00", b"{ saddr_fam=inet6 sockaddr6 len too short }"),
        (
            b"0A0000500000000000000000000000000000FFFF01020304000000",
            b"{ saddr_fam=inet6 sockaddr6 len too short }",
        ),
    ],
)
def test_an_internet_address_of_version_6(value: bytes, text: bytes) -> None:
    assert sockaddr_text(value) == text


def test_the_zone_of_a_link_local_address_is_a_number_as_it_may_be_anothers_interface() -> None:
    value = b"0A00005000000000FE80000000000000000000000000000102000000"
    assert sockaddr_text(value) == b"{ saddr_fam=inet6 laddr=fe80::1%2 lport=80 }"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"01002F746D702F7800", b"{ saddr_fam=local path=/tmp/x }"),
        (b"01002F746D702F78", b"{ saddr_fam=local path=/tmp/x }"),
        (b"01002F746D702F78002F6162", b"{ saddr_fam=local path=/tmp/x }"),
        (b"0100002F746D702F78", b"{ saddr_fam=local path=/tmp/x }"),
        (b"0100612062", b"{ saddr_fam=local path=a b }"),
        (b"01000000", b"{ saddr_fam=local path= }"),
        (b"01", b"{ saddr_fam=local sockaddr len too short }"),
        (b"010000", b"{ saddr_fam=local sockaddr len too short }"),
    ],
)
def test_a_local_address(value: bytes, text: bytes) -> None:
    assert sockaddr_text(value) == text


def test_a_local_socket_without_a_name_is_called_so() -> None:
    assert sockaddr_text(b"0100") == b"{ saddr_fam=local unnamed socket }"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"100000000100000000000000", b"{ saddr_fam=netlink nlnk-fam=16 nlnk-pid=1 }"),
        (b"1000000001020304FFFFFFFF", b"{ saddr_fam=netlink nlnk-fam=16 nlnk-pid=67305985 }"),
        (b"1000000001000000", b"{ saddr_fam=netlink len too short }"),
    ],
)
def test_a_netlink_address(value: bytes, text: bytes) -> None:
    assert sockaddr_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"030041424344454600000000", b"{ saddr_fam=ax25 call=ABCDEF }"),
        (b"0800010002000304050607080910111213141516", b"{ saddr_fam=atmpvc int=2 }"),
        (b"0800", b"{ saddr_fam=atmpvc sockaddr len too short }"),
        (b"0900313233343536373839303132333435363738", b"{ saddr_fam=x25 laddr=123456789012345 }"),
        (b"0900", b"{ saddr_fam=x25 laddr= }"),
        (b"0400", b"{ saddr_fam=ipx (unsupported) }"),
        (b"1100080002000000010006000000000000000000", b"{ saddr_fam=packet (unsupported) }"),
    ],
)
def test_an_address_of_a_rare_family(value: bytes, text: bytes) -> None:
    assert sockaddr_text(value) == text


@pytest.mark.parametrize(
    ("value", "number"), [(b"00", 0), (b"0000", 0), (b"2E00", 46), (b"00FF", 65280)]
)
def test_a_family_without_a_name_is_written_with_its_number(value: bytes, number: int) -> None:
    assert sockaddr_text(value) == b"unknown-family(%d)" % number


@pytest.mark.parametrize(
    "value", [b"", b"0", b"?", b"zz", b"(null)", b'"abc"', b"127.0.0.1", b"0200zz50", b"02 00"]
)
def test_what_is_not_hex_is_malformed(value: bytes) -> None:
    assert sockaddr_text(value) == b"malformed-host(" + value + b")"


@given(st.binary() | st.binary().map(lambda address: address.hex().encode()))
def test_any_value_has_a_text(value: bytes) -> None:
    assert isinstance(sockaddr_text(value), bytes)


WORDS = st.sampled_from([b"\0\0", b"\0\1", b"\x12\x34", b"\xff\xff"])


@given(st.binary(min_size=16, max_size=16) | st.lists(WORDS, min_size=8, max_size=8).map(b"".join))
@example(bytes(16))
@example(bytes(12) + b"\1\2\3\4")
@example(bytes(10) + b"\xff\xff\1\2\3\4")
def test_the_text_of_an_ipv6_address_is_the_c_librarys(address: bytes) -> None:
    assert ipv6_text(address).decode() == socket.inet_ntop(socket.AF_INET6, address)
