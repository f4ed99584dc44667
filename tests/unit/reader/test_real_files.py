"""Files that others made are read as their makers say."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest

from ingestion.reader import detect, first_non_utf8, open_source, plan, read_span
from tests.unit.reader.reading import all_seen, batches_of, spans_of
from tests.unit.reader.real_files import FOLDER, real_file

SPECTRUM = sorted(path.stem for path in (FOLDER / "csv-spectrum" / "csvs").glob("*.csv")) or ["simple"]


@pytest.mark.parametrize("target", [1, 1 << 20])
@pytest.mark.parametrize("name", SPECTRUM)
def test_csv_spectrum(name: str, target: int) -> None:
    data = real_file(f"csv-spectrum/csvs/{name}.csv").read_bytes()
    expected = json.loads(real_file(f"csv-spectrum/json/{name}.json").read_text("utf-8"))
    if name == "location_coordinates":  # its JSON was made from another version of the file
        expected = list(csv.DictReader(io.StringIO(data.decode())))
    if name.endswith("_crlf"):  # they were stored with LF
        data = data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        expected = [{key: value.replace("\r\n", "\n") for key, value in record.items()} for record in expected]
    dialect = detect(data, complete=True).dialect
    rows = [record.fate for record in all_seen(data, dialect, target=target)]
    found = [dict(zip(dialect.header, row, strict=True)) for row in rows if isinstance(row, tuple)]
    if name.endswith("_crlf"):
        found = [{key: value.replace("\r\n", "\n") for key, value in record.items()} for record in found]
    assert found == expected
    assert len(rows) == len(expected)


@pytest.fixture(scope="module")
def retail() -> bytes:
    data = gzip.decompress(real_file("OnlineRetail.csv.gz").read_bytes())
    assert hashlib.sha256(data).hexdigest() == "d07aec9960083af2339975a3f9d3b26313b342dcd9f86cce0b919b1cde639a44"
    return data


def test_online_retail_is_read_whole(retail: bytes) -> None:
    later = [retail[at : at + 65536] for at in range(0, len(retail), 1 << 20)] + [retail[3_480_000:3_560_000]]
    found = detect(retail[: 1 << 20], complete=False, more_samples=later)
    dialect = found.dialect
    assert dialect.header == (
        "InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country",
    )  # fmt: skip
    spans = spans_of(retail, dialect, target=4 << 20)
    assert sum(span.records for span in spans) == 541_909
    batches = batches_of(retail, dialect, spans)
    table = pl.concat([batch.table for batch in batches])
    assert table.height == 541_909
    assert not any(batch.defects for batch in batches)
    assert [table["c0"].n_unique(), table["c1"].n_unique(), table["c7"].n_unique()] == [25_900, 4_070, 38]
    assert [int((table["c6"] == "").sum()), int((table["c2"] == "").sum())] == [135_080, 1_454]
    padded = table["c2"] != table["c2"].str.strip_chars(" ")
    assert int(padded.sum()) == 113_452
    assert any(batch.padded for batch in batches)


def test_a_retail_file_taken_for_utf8_loses_nothing(retail: bytes) -> None:
    dialect = detect(retail[: 1 << 20], complete=False).dialect
    assert dialect.encoding == "utf-8"
    assert first_non_utf8(iter([retail])) == retail.index(b"\xa3")
    batches = batches_of(retail, dialect, spans_of(retail, dialect, target=8 << 20))
    defects = [(batch.locate([defect.ordinal]).line[0], defect.code) for batch in batches for defect in batch.defects]
    assert len(defects) == 32
    assert defects[0] == (38_250, "invalid_encoding")
    assert sum(batch.table.height for batch in batches) == 541_909 - 32


def test_spans_end_between_invoices(retail: bytes) -> None:
    dialect = detect(retail[: 1 << 20], complete=False, more_samples=[b"Voucher \xa340.00"]).dialect
    spans = spans_of(retail, dialect, target=1 << 20, key_column=0)
    assert sum(span.records for span in spans) == 541_909
    batches = batches_of(retail, dialect, spans)
    edges = [(batch.table["c0"][0], batch.table["c0"][-1]) for batch in batches]
    assert len(edges) > 40
    assert all(before[1] != after[0] for before, after in pairwise(edges))


def test_the_packed_file_is_read_while_it_is_unpacked(tmp_path: Path) -> None:
    source = open_source(real_file("OnlineRetail.csv.gz"), spool_directory=tmp_path)
    dialect = detect(source.head(), complete=False, more_samples=[b"Voucher \xa340.00"]).dialect
    again = type(source).from_descriptor(json.loads(json.dumps(source.descriptor())))
    total = 0
    for span in plan(source.blocks(), dialect=dialect, target_bytes=4 << 20):
        total += read_span(again.read(span.offset, span.length), span=span, dialect=dialect).table.height
    assert total == 541_909
    assert source.size == 45_580_638
    source.discard()
    assert not list(tmp_path.iterdir())
