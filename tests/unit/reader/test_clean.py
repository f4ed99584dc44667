"""A cleaned file holds every readable record, and reads the same."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from hypothesis import given, settings, strategies as st

from ingestion.reader import Cleaned, Dialect, DialectOverrides, Source, clean, detect
from tests.thorough import examples
from tests.unit.reader.reading import all_seen, dialect_of


def cleaned(data: bytes, dialect: Dialect, folder: Path) -> tuple[str, Cleaned]:
    path = folder / "messy.csv"
    path.write_bytes(data)
    out = io.BytesIO()
    summary = clean(Source(str(path), "plain", str(path)), dialect, out)
    return out.getvalue().decode(), summary


def test_a_messy_file(tmp_path: Path) -> None:
    text = "Report\n\nid;name;price\n1;Zoë;1,5\n\n2;'x;y';\n3;z\n4;a;b;c\n5;'q'r;7\nid;name;price\n6;\"w\";8"
    data = text.encode("cp1252")
    dialect = detect(data, complete=True, overrides=DialectOverrides(quote="'")).dialect
    found, summary = cleaned(data, dialect, tmp_path)
    assert found == ('id,name,price\r\n1,Zoë,"1,5"\r\n2,x;y,\r\n3,z\r\n4,a,b,c\r\n6,"""w""",8\r\n')
    assert (summary.written, summary.records) == (5, 8)
    assert dict(summary.ragged) == {"missing_columns": 1, "too_many_columns": 1}
    assert dict(summary.omitted) == {"blank": 1, "stray_quote": 1, "repeated_header": 1}


TABLES = st.lists(
    st.tuples(*[st.text(st.sampled_from("ab1é\"',;\t|\r\n "), max_size=6)] * 3).filter(
        lambda row: any(cell.strip() for cell in row)
    ),
    max_size=8,
)


@settings(max_examples=examples(100), deadline=None)
@given(table=TABLES, quote=st.sampled_from("\"'"), encoding=st.sampled_from(["utf-8", "utf-16-le", "cp1252"]))
def test_the_fields_stay_as_they_are(
    tmp_path_factory: object, table: list[tuple[str, ...]], quote: str, encoding: str
) -> None:
    out = io.StringIO()
    csv.writer(out, delimiter=";", quotechar=quote, quoting=csv.QUOTE_ALL, lineterminator="\r").writerows(table)
    folder = Path(tmp_path_factory.mktemp("clean"))  # type: ignore[attr-defined]
    dialect = dialect_of("x", "y", "z", delimiter=";", quote=quote, encoding=encoding)
    found, summary = cleaned(out.getvalue().encode(encoding), dialect, folder)
    rows = [tuple(row) for row in csv.reader(io.StringIO(found, newline=""), strict=True)]
    assert rows == [("x", "y", "z"), *table]
    assert summary.written == len(table)
    again = all_seen(found.encode(), dialect_of("x", "y", "z", body_offset=len("x,y,z\r\n")))
    assert [record.fate for record in again] == table
