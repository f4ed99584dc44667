"""The file that is written, and the books about it."""

import csv
import hashlib
import io
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings, strategies as st

from ingestion.sample import KINDS, Manifest, SampleError, SampleSpec, available_kinds, write_sample
from ingestion.sample.clean import BLOCK_RECORDS
from ingestion.sample.spec import ALL_COLUMNS, DELIMITERS, ENCODINGS, NEWLINES, QUOTINGS, REQUIRED_COLUMNS
from ingestion.sample.structural import MAX_RECORD_BYTES

# Makes megabytes; kept out of the property tests for speed.
HEAVY = "record_too_long"


def made(spec: SampleSpec) -> tuple[bytes, Manifest]:
    sink = io.BytesIO()
    manifest = write_sample(spec, sink)
    return sink.getvalue(), manifest


def rows_of(raw: bytes, spec: SampleSpec) -> list[dict[str, str]]:
    text = raw.decode(spec.codec).removeprefix("\ufeff")
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=spec.delimiter))


def every_kind(spec: SampleSpec, *, count: int = 1) -> SampleSpec:
    return replace(spec, defects=tuple((kind, count) for kind in available_kinds(spec)))


specs = st.builds(
    SampleSpec,
    rows=st.integers(150, 400),
    seed=st.integers(0, 1 << 32),
    columns=st.sets(st.sampled_from(ALL_COLUMNS)).map(lambda more: tuple(dict.fromkeys((*REQUIRED_COLUMNS, *more)))),
    lines_per_order=st.integers(1, 5),
    records_per_user=st.integers(1, 30),
    items=st.integers(1, 50),
    delimiter=st.sampled_from(DELIMITERS),
    encoding=st.sampled_from(sorted(ENCODINGS)),
    newline=st.sampled_from(sorted(NEWLINES.values())),
    quoting=st.sampled_from(QUOTINGS),
)


@pytest.fixture(scope="module")
def benchmark_file() -> tuple[list[dict[str, str]], Manifest, int]:
    spec = SampleSpec(rows=20_000)
    raw, manifest = made(spec)
    return rows_of(raw, spec), manifest, len(raw)


def test_the_default_shape_is_that_of_the_benchmark(
    benchmark_file: tuple[list[dict[str, str]], Manifest, int],
) -> None:
    rows, manifest, size = benchmark_file
    assert len(rows) == 20_000
    assert 135.5 < size / 20_000 < 136.5
    assert Counter(Counter(row["order_id"] for row in rows).values()) == {2: 10_000}
    assert len({row["user_id"] for row in rows}) == 2_000 == manifest.expected.users
    assert len({row["sku"] for row in rows}) == manifest.expected.items <= 10_000
    assert manifest.expected.orders == 10_000


def test_order_ids_and_times_ascend(benchmark_file: tuple[list[dict[str, str]], Manifest, int]) -> None:
    ids = [row["order_id"] for row in benchmark_file[0]]
    days = [row["ordered_at"][:7] for row in benchmark_file[0]]
    assert ids == sorted(ids)
    assert days == sorted(days)


@pytest.mark.parametrize(
    ("key", "attributes"),
    [
        ("user_id", ("user_name", "user_email", "country")),
        ("sku", ("item_name",)),
        ("order_id", ("user_id", "ordered_at", "country", "currency")),
        ("user_email", ("user_id",)),
    ],
)
def test_nobody_changes_between_records(
    benchmark_file: tuple[list[dict[str, str]], Manifest, int], key: str, attributes: tuple[str, ...]
) -> None:
    said = {(row[key], *(row[name] for name in attributes)) for row in benchmark_file[0]}
    assert len(said) == len({row[key] for row in benchmark_file[0]})


def test_users_come_back_late_and_prices_vary(
    benchmark_file: tuple[list[dict[str, str]], Manifest, int],
) -> None:
    rows = benchmark_file[0]
    late = {row["user_id"] for row in rows[-1_000:]} & {row["user_id"] for row in rows[:5_000]}
    prices = {(row["sku"], row["unit_price"]) for row in rows}
    assert len(late) > 10
    assert len(prices) > len({row["sku"] for row in rows})


@settings(deadline=None, max_examples=60)
@given(specs)
def test_clean_files_read_by_csv_are_what_the_books_say(spec: SampleSpec) -> None:
    raw, manifest = made(spec)
    rows = rows_of(raw, spec)
    assert manifest.bytes == len(raw)
    assert manifest.sha256 == hashlib.sha256(raw).hexdigest()
    assert [tuple(row) for row in rows] == [spec.columns] * spec.rows
    assert not any(None in row.values() for row in rows)
    expected = manifest.expected
    assert (expected.records, expected.loaded, expected.rejected) == (spec.rows, spec.rows, 0)
    assert expected.orders == len({row["order_id"] for row in rows})
    assert expected.users == len({row["user_id"] for row in rows})
    assert expected.items == len({row["sku"] for row in rows})


@settings(deadline=None, max_examples=60)
@given(specs)
def test_every_planted_record_lies_where_the_manifest_says(spec: SampleSpec) -> None:
    spec = every_kind(replace(spec, defects=()), count=2)
    spec = replace(spec, defects=tuple(pair for pair in spec.defects if pair[0] != HEAVY))
    raw, manifest = made(spec)
    newline = spec.newline.encode(spec.codec)
    assert [record.record for record in manifest.planted] == sorted({r.record for r in manifest.planted})
    for planted in manifest.planted:
        line = raw[planted.offset : planted.offset + planted.length]
        assert line.endswith(newline)
        assert raw[: planted.offset].count(newline) == planted.line - 1
        assert raw[: planted.offset].endswith(newline)
        assert line.count(newline) == (2 if planted.kind == "embedded_newline" else 1)
        if planted.column is not None:
            assert spec.columns[(planted.column_number or 0) - 1] == planted.column


@settings(deadline=None, max_examples=60)
@given(specs)
def test_the_figures_balance_and_planted_records_keep_to_themselves(spec: SampleSpec) -> None:
    spec = replace(every_kind(spec), defects=tuple(pair for pair in every_kind(spec).defects if pair[0] != HEAVY))
    raw, manifest = made(spec)
    expected = manifest.expected
    assert expected.records == spec.rows == expected.loaded + expected.rejected + sum(expected.ignored.values())
    assert sum(expected.errors.values()) == expected.rejected
    assert expected.loaded == spec.rows - len(manifest.planted) + sum(
        record.outcome == "loaded" for record in manifest.planted
    )
    without = raw
    for planted in reversed(manifest.planted):
        without = without[: planted.offset] + without[planted.offset + planted.length :]
    clean = rows_of(without, spec)
    assert len(clean) == spec.rows - len(manifest.planted)
    loaded = [record for record in manifest.planted if record.outcome == "loaded"]
    assert expected.users == len({row["user_id"] for row in clean}) + len(loaded)
    assert expected.orders == len({row["order_id"] for row in clean}) + len(loaded)


@settings(deadline=None, max_examples=25)
@given(specs)
def test_awkward_records_that_are_fine_read_back(spec: SampleSpec) -> None:
    fine = ("embedded_newline", "doubled_quotes", "quoted_delimiter", "non_ascii")
    spec = replace(spec, defects=tuple((kind, 3) for kind in available_kinds(spec) if kind in fine))
    raw, manifest = made(spec)
    rows = rows_of(raw, spec)
    assert len(rows) == spec.rows
    assert manifest.expected.items == len({row["sku"] for row in rows})
    for planted in manifest.planted:
        assert rows[planted.record - 1][planted.column or ""] == planted.value


def test_the_same_spec_gives_the_same_bytes_and_another_seed_others() -> None:
    spec = every_kind(SampleSpec(rows=300, seed=7))
    assert made(spec)[0] == made(spec)[0]
    assert made(spec)[0] != made(replace(spec, seed=8))[0]


def test_blocks_join_without_a_seam() -> None:
    spec = SampleSpec(rows=BLOCK_RECORDS + 11, lines_per_order=3, defects=(("blank", 3), ("required", 2)))
    raw, manifest = made(spec)
    lines = raw.splitlines(keepends=True)
    assert len(lines) == spec.rows + 1
    assert all(
        lines[planted.record] == raw[planted.offset : planted.offset + planted.length] for planted in manifest.planted
    )
    assert max(Counter(line[:10] for line in lines if line.startswith(b"o0")).values()) <= 4


def test_over_long_records_are_one_line_each() -> None:
    raw, manifest = made(SampleSpec(rows=20, defects=((HEAVY, 2),)))
    assert [planted.length > MAX_RECORD_BYTES for planted in manifest.planted] == [True, True]
    assert raw.count(b"\n") == 21


def test_the_pair_of_a_duplicate_email_is_in_order_and_alone() -> None:
    raw, manifest = made(SampleSpec(rows=200, defects=(("duplicate_email", 3),)))
    kinds: dict[str | None, list[str]] = {}
    for planted in manifest.planted:
        kinds.setdefault(planted.value, []).append(planted.kind)
    assert list(kinds.values()) == [["email_holder", "duplicate_email"]] * 3
    assert all(raw.count((email or "").encode()) == 2 for email in kinds)
    assert manifest.expected.errors == {"duplicate_email": 3}


@pytest.mark.parametrize("quoting", ["minimal", "all"])
def test_a_quote_left_open_is_the_last_one_of_its_line(quoting: str) -> None:
    raw, manifest = made(SampleSpec(rows=100, quoting=quoting, defects=(("unterminated_quote", 2),)))
    for planted in manifest.planted:
        line = raw[planted.offset : planted.offset + planted.length]
        assert line.count(b'"') % 2 == 1
        assert (planted.value or "").encode() in line


def test_every_code_of_the_manifest_is_planted_somewhere() -> None:
    spec = replace(SampleSpec(rows=500), columns=ALL_COLUMNS)
    manifest = made(every_kind(spec))[1]
    wanted = {kind.code for kind in KINDS.values()} - {None}
    assert {planted.code for planted in manifest.planted} - {None} == wanted


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "mac-roman"])
def test_single_byte_encodings_show_themselves_at_once(encoding: str) -> None:
    raw, manifest = made(SampleSpec(rows=5_000, encoding=encoding, defects=(("non_ascii", 1), ("blank", 3))))
    assert (manifest.planted[0].kind, manifest.planted[0].record) == ("non_ascii", 4)
    assert "crème".encode(encoding) in raw


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (SampleSpec(rows=10, defects=(("typo", 1),)), "unknown kind"),
        (SampleSpec(rows=10, defects=(("blank", 8),)), "too few"),
        (SampleSpec(rows=10, defects=(("blank", 0),)), "between 1 and"),
        (SampleSpec(rows=10, quoting="none", defects=(("stray_quote", 1),)), "needs quotes"),
        (SampleSpec(rows=10, encoding="latin-1", defects=(("invalid_encoding", 1),)), "cannot be told in latin-1"),
        (SampleSpec(rows=10, defects=(("role_not_allowed", 1),)), "needs the column roles"),
    ],
)
def test_what_cannot_be_made_is_refused_with_the_reason(spec: SampleSpec, said: str) -> None:
    with pytest.raises(SampleError, match=said):
        made(spec)


@pytest.mark.parametrize(
    "change",
    [
        {"rows": 0},
        {"seed": -1},
        {"columns": ("order_id",)},
        {"columns": (*REQUIRED_COLUMNS, "colour")},
        {"columns": (*REQUIRED_COLUMNS, "sku")},
        {"lines_per_order": 0},
        {"records_per_user": 0},
        {"items": 0},
        {"delimiter": "x"},
        {"encoding": "ebcdic"},
        {"newline": "\v"},
        {"quoting": "some"},
    ],
)
def test_a_spec_refuses_values_outside_its_documentation(change: dict[str, object]) -> None:
    with pytest.raises(SampleError):
        SampleSpec(**{"rows": 10, **change})  # type: ignore[arg-type]
