"""The reader and the validator find exactly what the manifest says, though both were written apart."""

import io
from collections.abc import Iterator

import pytest

from ingestion.profiles import FIELDS, load_profile, settle
from ingestion.reader import Batch, Dialect, DialectOverrides, Span, detect, plan, read_span
from ingestion.sample import Manifest, SampleSpec, write_sample
from ingestion.sample.wishes import with_defects
from ingestion.validation import Validator

HEAD_BYTES = 1 << 20
# Found out in the database only.
RESOLVED = {"duplicate_email", "role_not_allowed"}
Found = dict[int, list[tuple[str | None, str | None]]]

SPECS = [
    SampleSpec(rows=400),
    SampleSpec(rows=400, quoting="all", delimiter=";", newline="\r\n"),
    SampleSpec(rows=400, quoting="none", delimiter="|", newline="\r"),
    SampleSpec(rows=400, encoding="utf-8-sig", quoting="all"),
    SampleSpec(rows=400, encoding="utf-16-le", newline="\r\n"),
    SampleSpec(rows=400, encoding="utf-16-be", delimiter="\t"),
    SampleSpec(rows=400, encoding="cp1252", delimiter=";"),
    SampleSpec(rows=400, encoding="latin-1"),
    SampleSpec(rows=400, encoding="mac-roman", newline="\r"),
    SampleSpec(rows=25_000, seed=5),
]


def made(spec: SampleSpec) -> tuple[bytes, Manifest, Dialect]:
    # Whether a name may go over two lines is the profile's business, not the file's.
    spec = with_defects(spec, "all")
    spec = SampleSpec(**{**vars(spec), "defects": tuple(d for d in spec.defects if d[0] != "embedded_newline")})
    sink = io.BytesIO()
    manifest = write_sample(spec, sink)
    raw = sink.getvalue()
    # What is tested here is reading, not guessing: so many damaged quotes at once could stand for another style.
    told = DialectOverrides(encoding="mac-roman" if spec.encoding == "mac-roman" else None, quote='"')
    complete = len(raw) <= HEAD_BYTES
    found = detect(raw[:HEAD_BYTES], complete=complete, overrides=told, known_names=list(FIELDS))
    return raw, manifest, found.dialect


def batches(raw: bytes, dialect: Dialect) -> Iterator[tuple[Span, Batch]]:
    for span in plan([raw], dialect=dialect, target_bytes=HEAD_BYTES):
        yield span, read_span(raw[span.offset : span.offset + span.length], span=span, dialect=dialect)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.encoding}-{spec.quoting}-{spec.rows}")
def test_rejects_and_ignored_records_are_those_of_the_manifest(spec: SampleSpec) -> None:
    raw, manifest, dialect = made(spec)
    validator: Validator | None = None
    found: Found = {}
    for span, batch in batches(raw, dialect):
        validator = validator or Validator(settle(load_profile("sluice"), dialect, [batch.table]))
        for error in validator.validate(batch).errors:
            found.setdefault(span.first_record + error.ordinal, []).append((error.code, error.column_name))
        for reason, ordinals in batch.ignored.items():
            found.update({span.first_record + int(ordinal): [(reason, None)] for ordinal in ordinals})
    assert found == {
        record.record: [(record.code, record.column if record.outcome == "rejected" else None)]
        for record in manifest.planted
        if record.outcome != "loaded" and record.code not in RESOLVED
    }


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.encoding}-{spec.quoting}-{spec.rows}")
def test_records_lie_where_the_manifest_says(spec: SampleSpec) -> None:
    raw, manifest, dialect = made(spec)
    planted = {record.record: (record.offset, record.length, record.line) for record in manifest.planted}
    places: dict[int, tuple[int, int, int]] = {}
    for span, batch in batches(raw, dialect):
        located = batch.locate(range(batch.records))
        for ordinal in range(batch.records):
            place = (int(located.offset[ordinal]), int(located.length[ordinal]), int(located.line[ordinal]))
            places[span.first_record + ordinal] = place
    assert len(places) == manifest.expected.records
    assert {record: places[record] for record in planted} == planted
