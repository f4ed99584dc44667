"""Whatever the bytes, the vectorised reader says the same as the plain rules, however the file is cut."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings, strategies as st

from ingestion.reader import Dialect, ReaderError, detect
from tests.thorough import examples
from tests.unit.reader.oracle import Expected, records_of
from tests.unit.reader.reading import all_seen, batches_of, dialect_of, spans_of

TOKENS = [
    *('"', '""', '"""', ",", ",", ";", "\n", "\r\n", "\r", "'", "\\", " ", "\t", "a", "b,c", '"x"', '"x",', "a,b,c"),
    *("é", "€", "\xa0", "\0", "\ufeff", "\n1,2,3\n", '"l\n2"', ',"', '",', '"\n', "xyz" * 9),
]
NASTY = st.lists(st.sampled_from(TOKENS), max_size=40).map("".join)

DIALECTS = st.sampled_from(
    [
        dialect_of("a", "b", "c"),
        dialect_of("a", "b"),
        dialect_of("a"),
        dialect_of("a", "b", "c", has_header=False),
        dialect_of("a", "b", "c", quote="'"),
        dialect_of("a", "b", "c", quote=None),
        dialect_of("a", "b", "c", escape="\\"),
        dialect_of("a", "b", delimiter="\t"),
        dialect_of("a", "b", "c", delimiter=";"),
    ]
)
ENCODINGS = ["utf-8", "utf-16-le", "utf-16-be", "cp1252"]


def expected(text: str, dialect: Dialect, limit: int) -> list[Expected]:
    return records_of(text, dialect, limit=limit)


def fate(record: Expected) -> object:
    return record.row if record.row is not None else record.ignored or (record.code,)


def encodable(text: str, encoding: str) -> str:
    return text.encode(encoding, "ignore").decode(encoding)


@settings(max_examples=examples(1500), deadline=None)
@given(text=NASTY, dialect=DIALECTS, target=st.integers(1, 200), block=st.integers(1, 300))
def test_any_text_is_read_as_the_rules_say(text: str, dialect: Dialect, target: int, block: int) -> None:
    data = text.encode()
    seen = all_seen(data, dialect, target=target, block=block)
    assert [(record.raw.decode(), record.line, record.fate) for record in seen] == [
        (record.text, record.line, fate(record)) for record in expected(text, dialect, 1 << 20)
    ]


@settings(max_examples=examples(500), deadline=None)
@given(
    text=NASTY.filter(str.isascii), dialect=DIALECTS, target=st.integers(1, 60), block=st.integers(1, 60),
    limit=st.integers(4, 40),
)  # fmt: skip
def test_records_longer_than_allowed_cost_only_themselves(
    text: str, dialect: Dialect, target: int, block: int, limit: int
) -> None:
    seen = all_seen(text.encode(), dialect, target=target, block=block, limit=limit)
    assert [(record.raw.decode(), record.line, record.fate) for record in seen] == [
        (record.text, record.line, fate(record)) for record in expected(text, dialect, limit)
    ]


@settings(max_examples=examples(400), deadline=None)
@given(text=NASTY, encoding=st.sampled_from(ENCODINGS), target=st.integers(1, 200), block=st.integers(1, 99))
def test_encodings_only_change_the_bytes(text: str, encoding: str, target: int, block: int) -> None:
    dialect = dialect_of("a", "b", "c", encoding=encoding)
    text = encodable(text, encoding)
    seen = all_seen(text.encode(encoding), dialect, target=target, block=block)
    assert [(record.raw.decode(encoding), record.line, record.fate) for record in seen] == [
        (record.text, record.line, fate(record)) for record in expected(text, dialect, 1 << 20)
    ]


@settings(max_examples=examples(600), deadline=None)
@given(data=st.binary(max_size=200), dialect=DIALECTS, encoding=st.sampled_from([*ENCODINGS, "latin-1"]))
def test_random_bytes_are_tiled_by_records(data: bytes, dialect: Dialect, encoding: str) -> None:
    dialect = Dialect.from_dict(dialect.as_dict() | {"encoding": encoding})
    whole = all_seen(data, dialect)
    assert b"".join(record.raw for record in whole) == data
    assert whole == all_seen(data, dialect, target=7, block=5)
    for record in whole:
        if isinstance(record.fate, tuple) and "invalid_encoding" in record.fate:
            with pytest.raises(UnicodeDecodeError):
                record.raw.decode(encoding)


@settings(max_examples=examples(300), deadline=None)
@given(data=st.one_of(st.binary(max_size=300), NASTY.map(str.encode)), complete=st.booleans())
def test_detect_raises_nothing_but_its_own_errors(data: bytes, complete: bool) -> None:
    try:
        dialect = detect(data, complete=complete).dialect
    except ReaderError:
        return
    assert Dialect.from_dict(dialect.as_dict()) == dialect
    assert 0 <= dialect.body_offset <= len(data)
    body = all_seen(data, dialect)
    assert b"".join(record.raw for record in body) == data[dialect.body_offset :]


TABLES = st.integers(1, 5).flatmap(
    lambda width: st.lists(
        st.lists(
            st.text(st.sampled_from("ab1é€\"',;\t|\r\n \\\xa0"), max_size=6), min_size=width, max_size=width
        ).filter(lambda row: any(cell.strip(" \t\r\n\v\f\xa0") for cell in row)),
        min_size=1,
        max_size=12,
    )
)


@settings(max_examples=examples(500), deadline=None)
@given(
    table=TABLES,
    delimiter=st.sampled_from(",;\t|"),
    quote=st.sampled_from("\"'"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    ends=st.lists(st.sampled_from(["\n", "\r\n", "\r"]), min_size=1, max_size=3),
    encoding=st.sampled_from(ENCODINGS),
    terminated=st.booleans(),
    target=st.integers(1, 400),
)  # fmt: skip
def test_what_csv_writes_is_read_back(
    table: list[list[str]], delimiter: str, quote: str, quoting: int, ends: list[str], encoding: str, terminated: bool,
    target: int,
) -> None:  # fmt: skip
    if any(set("\r\n") & set(cell) for row in table for cell in row):
        quoting = csv.QUOTE_ALL  # the writer leaves line ends other than its own unquoted
    out = io.StringIO()
    for index, row in enumerate(table):
        end = ends[index % len(ends)]
        writer = csv.writer(out, delimiter=delimiter, quotechar=quote, quoting=quoting, lineterminator=end)  # type: ignore[arg-type]
        writer.writerow(row)
    text = out.getvalue() if terminated else out.getvalue().rstrip("\r\n")
    names = [f"column {index}" for index in range(len(table[0]))]
    dialect = dialect_of(*names, delimiter=delimiter, quote=quote, encoding=encoding)
    seen = all_seen(text.encode(encoding), dialect, target=target)
    assert [record.fate for record in seen] == [tuple(row) for row in table]


@settings(max_examples=examples(300), deadline=None)
@given(table=TABLES, target=st.integers(1, 400))
def test_backslash_escapes_are_read_back(table: list[list[str]], target: int) -> None:
    out = io.StringIO()
    csv.writer(out, doublequote=False, escapechar="\\", quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(table)
    dialect = dialect_of(*[f"column {index}" for index in range(len(table[0]))], escape="\\")
    seen = all_seen(out.getvalue().encode(), dialect, target=target)
    assert [record.fate for record in seen] == [tuple(row) for row in table]


def good_lines(count: int, seed: int) -> list[str]:
    choice = random.Random(seed)
    kinds: list[Callable[[int], str]] = [
        lambda n: f"o{n},u{n % 7},plain\n",
        lambda n: f'"o{n}","u{n % 7}","quoted, with ""quotes"""\r\n',
        lambda n: f'o{n},"two\nlines",x\n',
    ]
    return [choice.choice(kinds)(number) for number in range(count)]


@settings(max_examples=examples(150), deadline=None)
@given(
    seed=st.integers(0, 10**6),
    places=st.lists(st.integers(0, 10**6), min_size=1, max_size=3),
    what=st.sampled_from([b'"', b'""', b"\0", b"\xff", b",", b"\n", b'"\n', b""]),
    removed=st.integers(0, 3),
    target=st.integers(50, 5000),
)  # fmt: skip
def test_damage_costs_only_its_neighbourhood(
    seed: int, places: list[int], what: bytes, removed: int, target: int
) -> None:
    lines = [line.encode() for line in good_lines(300, seed)]
    hit = sorted({place % len(lines) for place in places})
    damaged = list(lines)
    for index in hit:
        cut = seed % len(lines[index])
        damaged[index] = lines[index][:cut] + what + lines[index][cut + removed :]
    dialect = dialect_of("a", "b", "c")
    data = b"".join(damaged)
    seen = all_seen(data, dialect, target=target, block=997)
    assert b"".join(record.raw for record in seen) == data
    assert seen == all_seen(data, dialect)
    survivors = {record.raw for record in seen if isinstance(record.fate, tuple) and len(record.fate) == 3}
    near = {index + step for index in hit for step in (-1, 0, 1, 2)}
    assert not {line for index, line in enumerate(lines) if index not in near} - survivors


def by_python(text: str) -> list[tuple[str, ...]]:
    return [tuple(row) for row in csv.reader(io.StringIO(text, newline=""), strict=True)]


@settings(max_examples=examples(200), deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 400))
def test_well_formed_text_is_read_as_python_reads_it(seed: int, count: int) -> None:
    text = "".join(good_lines(count, seed))
    seen = all_seen(text.encode(), dialect_of("a", "b", "c"), target=4096)
    assert [record.fate for record in seen] == by_python(text)


@settings(max_examples=examples(100), deadline=None)
@given(seed=st.integers(0, 10**6), text=NASTY, place=st.integers(0, 300))
def test_the_fast_way_and_the_exact_way_agree(seed: int, text: str, place: int) -> None:
    lines = good_lines(300, seed)
    lines.insert(place, text)
    data = "".join(lines).encode()
    dialect = dialect_of("a", "b", "c")
    (span,) = spans_of(data, dialect)
    (batch,) = batches_of(data, dialect, [span])
    (exact,) = batches_of(data, dialect, [type(span)(**(vars(span) | {"quoting": "exact"}))])
    assert batch.table.equals(exact.table)
    assert batch.defects == exact.defects
    assert batch.ordinals.tolist() == exact.ordinals.tolist()
    assert {kind: found.tolist() for kind, found in batch.ignored.items()} == {
        kind: found.tolist() for kind, found in exact.ignored.items()
    }
