"""auditd_py.record.serials."""

from __future__ import annotations

import json
import random

from hypothesis import given
from hypothesis import strategies as st

from auditd_py.record.serials import SerialGaps


def feed(gaps: SerialGaps, records: list[tuple[int, int]], size: int = 40) -> None:
    for start in range(0, len(records), size):
        part = records[start : start + size]
        texts = [b"audit(1700000000.123:%d): " % serial for _, serial in part]
        gaps.batch(
            [kind for kind, _ in part],
            [memoryview(bytes(16) + text) for text in texts],
            [16 + len(text) for text in texts],
        )


def event(serial: int) -> list[tuple[int, int]]:
    return [(1300, serial), (1327, serial), (1320, serial)]


def events(serials: range) -> list[tuple[int, int]]:
    return [record for serial in serials for record in event(serial)]


def test_an_unbroken_row_has_nothing_missing():
    gaps = SerialGaps()
    feed(gaps, events(range(100, 200)))
    gaps.end_window()
    feed(gaps, events(range(200, 5000)), size=256)
    assert gaps.end_window() == 0


def test_events_that_never_came_are_counted():
    gaps = SerialGaps()
    feed(gaps, events(range(100, 200)))
    gaps.end_window()
    feed(gaps, events(range(207, 300)))
    gaps.end_window()
    assert gaps.end_window() == 7


def test_events_that_end_out_of_order_are_not_missing():
    gaps = SerialGaps()
    rng = random.Random(1)
    feed(gaps, events(range(10)))
    gaps.end_window()
    for start in range(10, 5000, 10):
        serials = list(range(start, start + 10))
        rng.shuffle(serials)
        feed(gaps, [record for serial in serials for record in event(serial)], size=256)
    assert gaps.end_window() == 0


def test_an_event_under_way_is_not_missing_once_it_ends():
    gaps = SerialGaps()
    feed(gaps, events(range(10)))
    gaps.end_window()
    feed(gaps, [(1300, 10), *events(range(11, 20))])
    feed(gaps, [(1320, 10)])
    assert gaps.end_window() == 0


def test_records_without_an_end_count_as_events():
    gaps = SerialGaps()
    feed(gaps, events(range(10)))
    gaps.end_window()
    feed(gaps, [(1112, 10), (1113, 11), *events(range(12, 20)), (1100, 20)])
    gaps.end_window()
    assert gaps.end_window() == 0


def test_a_loose_record_inside_an_event_counts_once():
    gaps = SerialGaps()
    feed(gaps, events(range(10)))
    gaps.end_window()
    feed(gaps, [(1305, 10), *event(10), (1006, 11), *event(11)])
    feed(gaps, events(range(12, 400)), size=256)
    gaps.end_window()
    assert gaps.end_window() == 0


def test_excluded_end_records_make_it_say_nothing():
    gaps = SerialGaps()
    feed(gaps, events(range(10)))
    gaps.end_window()
    feed(gaps, [(1300, serial) for serial in range(10, 900)])
    gaps.end_window()
    feed(gaps, events(range(900, 1000)))
    gaps.end_window()
    assert gaps.end_window() == 0


def test_acknowledgements_before_the_first_record_do_not_count():
    gaps = SerialGaps()
    gaps.batch([2], [memoryview(bytes(36))], [36])
    gaps.end_window()
    feed(gaps, events(range(5_000_000, 5_000_100)))
    gaps.end_window()
    assert gaps.end_window() == 0


def test_a_counter_that_starts_again_is_not_a_loss():
    gaps = SerialGaps()
    feed(gaps, events(range(4_294_967_200, 4_294_967_290)))
    gaps.end_window()
    feed(gaps, events(range(1, 100)))
    gaps.end_window()
    assert gaps.end_window() == 0


def test_events_on_their_way_at_a_hand_over_are_not_missing():
    gaps = SerialGaps()
    feed(gaps, events(range(100)))
    gaps.end_window()
    gaps.end_window()
    feed(gaps, events(range(100, 110)))
    gaps.end_window()
    feed(gaps, events(range(111, 120)))  # another processor is not done with 110
    gaps.end_window()
    after = SerialGaps()
    after.go_on(json.loads(json.dumps(gaps.kept())))
    feed(after, events(range(110, 111)))
    feed(after, events(range(120, 130)))
    after.end_window()
    assert after.end_window() == 0
    feed(after, events(range(132, 140)))
    after.end_window()
    assert after.end_window() == 2


@given(st.sets(st.integers(20, 400), max_size=60), st.sampled_from([1, 7, 64, 256]))
def test_what_is_missing_is_what_was_left_out(missing, size):
    gaps = SerialGaps()
    feed(gaps, events(range(20)))
    gaps.end_window()
    feed(gaps, [r for s in range(20, 402) if s not in missing for r in event(s)], size)
    gaps.end_window()
    assert gaps.end_window() == len(missing)
