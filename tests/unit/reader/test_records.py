"""What becomes of single records, told one by one."""

from __future__ import annotations

import pytest

from ingestion.reader import fields_as_read
from tests.unit.reader.reading import all_seen, batches_of, dialect_of, spans_of

ABC = dialect_of("a", "b", "c")


def fates(data: bytes | str, **options: object) -> list[object]:
    dialect = dialect_of("a", "b", "c", **options)  # type: ignore[arg-type]
    raw = data.encode(dialect.encoding) if isinstance(data, str) else data
    return [record.fate for record in all_seen(raw, dialect)]


@pytest.mark.parametrize(
    ("line", "fate"),
    [
        ('1,5" pipe,3', ("1", '5" pipe', "3")),
        ('1, "x",3', ("1", ' "x"', "3")),
        ('1,"x" \t,3', ("1", "x", "3")),
        ('1,"x""y",3', ("1", 'x"y', "3")),
        ('1,"",3', ("1", "", "3")),
        ('1,"""",3', ("1", '"', "3")),
        ('1,"x"y,3', ("stray_quote",)),
        ('1,"x" y,3', ("stray_quote",)),
        ('1,"x,3', ("unterminated_quote",)),
        ("1,2", ("missing_columns",)),
        ("1,2,3,4", ("too_many_columns",)),
        ("1,2,3,, \t", ("1", "2", "3")),
        ("1,2,3,,x", ("too_many_columns",)),
        ("1,\0,3", ("nul_byte",)),
        ("", "blank"),
        (" ,\t,\xa0", "blank"),
        (",,,,,,,", "blank"),
        (",", "blank"),
        ('"","",""', "blank"),
        ("a,b,c", "repeated_header"),
        (' a ,"b",c,,', "repeated_header"),
        ("a,b,C", ("a", "b", "C")),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-be", "cp1252"])
def test_one_record_among_good_ones(line: str, fate: object, end: str, encoding: str) -> None:
    text = end.join(["1,2,3", line, "4,5,6", ""])
    assert fates(text, encoding=encoding) == [("1", "2", "3"), fate, ("4", "5", "6")]


def test_a_header_line_is_data_where_there_is_no_header() -> None:
    assert fates("a,b,c\n", has_header=False) == [("a", "b", "c")]


def test_a_stray_quote_costs_one_line() -> None:
    assert fates('1,"x"y,3\n4,5,6\n7,8,"9\n"\n') == [("stray_quote",), ("4", "5", "6"), ("7", "8", "9\n")]


def test_an_unclosed_quote_costs_one_line() -> None:
    text = '1,"x,3\n4,"5",6\n7,8,9\n'
    assert fates(text) == [("unterminated_quote",), ("4", "5", "6"), ("7", "8", "9")]


def test_lines_swallowed_by_an_unclosed_quote_come_back_when_the_width_is_wrong() -> None:
    text = '1,"x,3\n4,5,6\n7,8,"9"\n'
    assert fates(text) == [("unterminated_quote",), ("4", "5", "6"), ("7", "8", "9")]
    text = '1,"x,3\n4,",6,7\n'
    assert fates(text) == [("unterminated_quote",), ("unterminated_quote",)]


def test_a_stray_quote_behind_a_field_of_two_lines_costs_the_record() -> None:
    assert fates('1,"two\nlines","x"y\n4,5,6\n') == [("stray_quote",), ("4", "5", "6")]


def test_many_columns_in_a_runaway_record_do_not_take_for_ever() -> None:
    data = b'"\n",' * 20_000
    seen = all_seen(data, ABC)
    assert b"".join(record.raw for record in seen) == data


def test_defects_say_what_where_and_how_to_mend_it() -> None:
    data = b'1,"x"y,3\n1,2\n\xff,2,3\n1,2,3,x\n'
    (batch,) = batches_of(data, ABC, spans_of(data, ABC))
    stray, missing, invalid, surplus = batch.defects
    assert (stray.code, stray.column, stray.value) == ("stray_quote", 1, '"x"y,3')
    assert stray.message.startswith("Column 2: text follows the closing quote; write")
    assert missing.message == ("The record has 2 of 3 columns; add what is missing, or quote a line break in a field.")
    assert (invalid.column, invalid.value) == (0, "\\xff")
    assert "byte 0xFF at byte 0 of the record is not valid utf-8" in invalid.message
    assert (surplus.column, surplus.value) == (3, "x")


def test_each_error_of_a_record_has_an_entry() -> None:
    data = b"\xff,\0,3\n"
    (batch,) = batches_of(data, ABC, spans_of(data, ABC))
    assert [(defect.ordinal, defect.code, defect.column) for defect in batch.defects] == [
        (0, "nul_byte", 1), (0, "invalid_encoding", 0),
    ]  # fmt: skip


def test_a_byte_order_mark_inside_the_file_is_text() -> None:
    assert fates("\ufeff1,2,3\n4,5,6\n") == [("\ufeff1", "2", "3"), ("4", "5", "6")]


def test_lines_that_all_end_in_blank_columns_are_fine() -> None:
    text = "1,2,3,,\n" * 50 + "4,5,6,x,\n" + "7,8,9\n"
    assert fates(text) == [("1", "2", "3")] * 50 + [("too_many_columns",), ("7", "8", "9")]


def test_utf16_with_half_a_unit_at_the_end() -> None:
    data = "1,2,3\n4,5,6".encode("utf-16-le") + b"x"
    assert fates(data, encoding="utf-16-le") == [("1", "2", "3"), ("invalid_encoding",)]


def test_positions_and_original_bytes() -> None:
    data = 'é,"two\nlines",3\r\n\r\n4,5,6'.encode()
    (batch,) = batches_of(data, ABC, spans_of(data, ABC))
    found = batch.locate([0, 1, 2])
    assert found.line.tolist() == [1, 3, 4]
    assert found.offset.tolist() == [0, 18, 20]
    assert found.length.tolist() == [18, 2, 5]
    assert batch.raw(0) == 'é,"two\nlines",3\r\n'.encode()
    assert fields_as_read(batch.raw(0), dialect=ABC) == ["é", "two\nlines", "3"]
    with pytest.raises(ValueError, match="stray_quote"):
        fields_as_read(b'"x"y', dialect=ABC)


@pytest.mark.parametrize(
    ("text", "ascii_only", "controls", "padded"),
    [
        ("1,2,3\n", True, False, False),
        ("é,2,3\n", False, False, False),
        ("1,2 3,4\n", True, False, False),
        ("1, 2,3\n", True, False, True),
        ('1,"2 ",3\n', True, False, True),
        ("1,\xa02,3\n", False, False, True),
        ("1,\t2,3\n", True, True, False),
        ("1,\x7f2,3\n", True, True, False),
        ("1,\x852,3\n", False, True, False),
        ('1,"2\n2",3\n', True, True, False),
        ('1,"2\n2"x,3\n4, 5,"6\x07" \n', True, True, True),
    ],
)
def test_flags(text: str, ascii_only: bool, controls: bool, padded: bool) -> None:
    data = text.encode()
    (batch,) = batches_of(data, ABC, spans_of(data, ABC))
    assert (batch.ascii, batch.controls, batch.padded) == (ascii_only, controls, padded)
