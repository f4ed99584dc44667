"""Spans: covering, numbering, boundaries, and records that are too long."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings, strategies as st

from ingestion.reader import Span, SpanMismatch, plan, read_span
from tests.thorough import examples
from tests.unit.reader.reading import all_seen, batches_of, dialect_of, in_blocks, spans_of

ABC = dialect_of("a", "b", "c")
PLAIN = b"".join(b"%d,x,y\n" % number for number in range(1000))


@settings(max_examples=examples(100), deadline=None)
@given(target=st.integers(1, 3000), block=st.integers(1, 3000))
def test_spans_cover_the_source_and_number_on(target: int, block: int) -> None:
    spans = spans_of(PLAIN, ABC, target=target, block=block)
    assert [span.number for span in spans] == list(range(len(spans)))
    record, line, offset = 1, 1, 0
    for span in spans:
        assert (span.first_record, span.first_line, span.offset) == (record, line, offset)
        assert span.length <= target or span.records == 1
        record, line, offset = record + span.records, line + span.lines, offset + span.length
    assert (record, offset) == (1001, len(PLAIN))


def test_no_room_is_wasted() -> None:
    spans = spans_of(PLAIN, ABC, target=500)
    longest = max(map(len, PLAIN.splitlines(keepends=True)))
    assert all(500 - longest < span.length <= 500 for span in spans[:-1])


def test_the_target_may_depend_on_the_offset() -> None:
    spans = spans_of(PLAIN, ABC, target=lambda offset: 2000 if offset < 4000 else 100)
    assert all(span.length > 1900 for span in spans if span.offset < 3900)
    assert all(span.length <= 100 for span in spans if span.offset >= 4000)


def test_what_is_before_the_body_is_left_out() -> None:
    data = "\ufeffTitle\na,b,c\n1,2,3\n".encode("utf-16-le")
    offset = len("\ufeffTitle\na,b,c\n") * 2
    dialect = dialect_of("a", "b", "c", encoding="utf-16-le", body_offset=offset)
    (span,) = spans_of(data, dialect, block=3)
    assert (span.offset, span.length, span.records) == (offset, len(data) - offset, 1)


@pytest.mark.parametrize(
    ("data", "quoting"),
    [
        (b"1,2,3\n4,5,6\n", "none"),
        (b'"1","2","3"\n4,5,6\n', "clean"),
        (b'"1","two\nlines","3"\n' * 40, "clean"),
        (b'1,5" pipe,3\n', "clean"),
        (b'"1",5" pipe,3\n', "clean"),
        (b'1,"2" ,3\n', "exact"),
        (b'"1"x,2,3\n', "exact"),
        (b'1,"2,3\n', "exact"),
    ],
)
def test_quoting_is_proved_or_not(data: bytes, quoting: str) -> None:
    assert [span.quoting for span in spans_of(data, ABC)] == [quoting]


def test_damage_confines_the_exact_way_to_its_span() -> None:
    good = b'"1","2","3"\n' * 100
    spans = spans_of(good + b'"1,2,3\n' + good, ABC, target=300)
    assert [span.quoting for span in spans].count("exact") == 1
    assert sum(span.records for span in spans) == 201


def test_a_crlf_is_never_split() -> None:
    data = b"1,2,3\r\n" * 50
    for target in range(1, 30):
        spans = spans_of(data, ABC, target=target, block=target)
        assert all(data[span.offset : span.offset + span.length].endswith(b"\r\n") for span in spans)
        assert sum(span.lines for span in spans) == 50


KEYED = b"".join(b'%d,"%d",z\n' % (number // 7, number) for number in range(500))


@pytest.mark.parametrize("data", [KEYED, KEYED.replace(b'"', b"")])
@pytest.mark.parametrize("target", [200, 333, 1000])
def test_spans_end_where_the_key_changes(data: bytes, target: int) -> None:
    spans = spans_of(data, ABC, target=target, key_column=0)
    keys = [batch.table["c0"].to_list() for batch in batches_of(data, ABC, spans)]
    assert all(before[-1] != after[0] for before, after in pairwise(keys))
    assert sum(map(len, keys)) == 500


def test_a_key_longer_than_a_span_does_not_stop_the_plan() -> None:
    data = b"1,x,y\n" * 1000
    spans = spans_of(data, ABC, target=100, key_column=0)
    assert sum(span.records for span in spans) == 1000


def test_a_line_that_is_too_long_is_a_span_and_a_defect() -> None:
    data = b"1,2,3\n" + b"4," + b"x" * 5000 + b",6\r\n7,8,9\n"
    spans = spans_of(data, ABC, limit=1000, block=77)
    assert [(span.quoting, span.records, span.lines) for span in spans] == [
        ("none", 1, 1), ("overlong", 1, 1), ("none", 1, 1),
    ]  # fmt: skip
    seen = all_seen(data, ABC, limit=1000)
    assert [record.fate for record in seen] == [("1", "2", "3"), ("record_too_long",), ("7", "8", "9")]
    assert [len(record.raw) for record in seen] == [6, 5006, 6]
    assert [record.line for record in seen] == [1, 2, 3]


@pytest.mark.parametrize("start", [b"", b'"'])
def test_a_huge_line_is_never_held(start: bytes) -> None:
    size = 200 << 20

    def blocks() -> Iterator[bytes]:
        yield b"1,2,3\n" + start
        yield from (b"x" * (1 << 20) for _ in range(size >> 20))
        yield b"\n4,5,6\n"

    tracemalloc.start()
    spans = list(plan(blocks(), dialect=ABC, target_bytes=12 << 20))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [span.quoting for span in spans][1] == "overlong"
    assert spans[1].length == size + len(start) + 1
    assert sum(span.records for span in spans) == 3
    assert peak < 24 << 20


def test_an_unclosed_quote_before_gigabytes_needs_little_memory() -> None:
    def blocks() -> Iterator[bytes]:
        yield b'1,"2,3\n'
        yield from (b"4,5,6\n" * 100_000 for _ in range(100))

    tracemalloc.start()
    records = sum(span.records for span in plan(blocks(), dialect=ABC, target_bytes=4 << 20))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert records == 1 + 100 * 100_000
    assert peak < 64 << 20


def test_a_changed_file_is_noticed() -> None:
    (span,) = spans_of(b"1,2,3\n4,5,6\n", ABC)
    with pytest.raises(SpanMismatch, match="12 bytes long, but 6"):
        read_span(b"1,2,3\n", span=span, dialect=ABC)
    with pytest.raises(SpanMismatch, match="planned with 2 records and has 3"):
        read_span(b"1,2,3\n4,5\n6\n", span=span, dialect=ABC)


def test_an_empty_body_has_no_spans() -> None:
    assert spans_of(b"", ABC) == []
    assert list(plan(in_blocks(b"a,b,c\n", 2), dialect=dialect_of("a", body_offset=6), target_bytes=10)) == []


def test_a_span_is_plain_data() -> None:
    span = spans_of(b"1,2,3\n", ABC)[0]
    assert Span(**vars(span)) == span
