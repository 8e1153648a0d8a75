"""auditd_py.record.line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.record.enrich import Enricher
from auditd_py.record.line import HEADER, LineFormatter, printable


def batch(*records: tuple[int, bytes]) -> tuple[list[int], list[memoryview], list[int]]:
    slots = [memoryview(bytes(HEADER) + text + b"JUNK") for _, text in records]
    return [kind for kind, _ in records], slots, [HEADER + len(text) for _, text in records]


def test_a_line_is_type_and_text():
    lines = LineFormatter().batch(
        *batch((1300, b"audit(1.2:3): a=1"), (1327, b"audit(1.2:3): b=2"))
    )
    assert lines == (
        b"type=SYSCALL msg=audit(1.2:3): a=1\ntype=PROCTITLE msg=audit(1.2:3): b=2\n", 2
    )  # fmt: skip


def test_a_node_stands_first():
    lines, _ = LineFormatter(b"web-1").batch(*batch((1300, b"x")))
    assert lines == b"node=web-1 type=SYSCALL msg=x\n"


def test_an_unknown_type_is_numbered():
    lines, _ = LineFormatter().batch(*batch((2999, b"x")))
    assert lines == b"type=UNKNOWN[2999] msg=x\n"


@pytest.mark.parametrize("kind", [1, 2, 3, 1000, 1001, 1010, 1013, 1200, 1299, 1320, 1329])
def test_what_is_not_for_the_log_has_no_line(kind):
    assert LineFormatter().batch(*batch((kind, b"x"))) == (b"", 0)


def test_a_text_cannot_forge_a_line():
    lines, count = LineFormatter().batch(*batch((1112, b"a\ntype=USER_LOGIN msg=b\0c \n")))
    assert lines == b"type=USER_LOGIN msg=a type=USER_LOGIN msg=b c \n"
    assert count == 1


def test_one_trailing_space_is_dropped():
    assert LineFormatter().batch(*batch((1112, b"a  ")))[0] == b"type=USER_LOGIN msg=a \n"


def test_an_empty_text_is_called_lost():
    assert LineFormatter().batch(*batch((1112, b"")))[0] == b"type=USER_LOGIN msg=lost\n"


def test_the_daemons_own_records_are_logged_when_it_made_them():
    formatter = LineFormatter()
    formatter.batch(*batch((1200, b"forged")))
    lines = formatter.records([(1200, b"audit(1.2:3): op=start")])
    assert lines == (b"type=DAEMON_START msg=audit(1.2:3): op=start\n", 1)


def test_enriched_lines_carry_the_suffix():
    text = b"audit(1.2:3): ouid=0 ogid=0"
    lines, count = LineFormatter(enricher=Enricher()).batch(*batch((1302, text)))
    assert lines == b"type=PATH msg=" + text + b'\x1dOUID="root" OGID="root"\n'
    assert count == 1


@given(st.lists(st.tuples(st.sampled_from([1300, 1112, 1320, 1302, 2000]), st.binary(min_size=1))))
def test_a_batch_and_its_records_one_by_one_make_the_same_lines(records):
    # what the kernel sends of these types has no spaces or NULs at its ends
    records = [(kind, printable(b"a" + text + b"z")) for kind, text in records]
    whole, count = LineFormatter().batch(*batch(*records))
    single = [LineFormatter().records([record]) for record in records]
    assert whole == b"".join(lines for lines, _ in single)
    assert count == sum(n for _, n in single)
