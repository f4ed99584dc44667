"""What is found out about files as people really write them, and why."""

from __future__ import annotations

import pytest

from ingestion.reader import (
    Dialect,
    DialectOverrides,
    EmptySource,
    InvalidDialect,
    UnreadableHeader,
    UnsupportedEncoding,
    detect,
    first_non_utf8,
)

OURS = ("order_id", "user_id", "sku", "quantity")


def found(data: bytes | str, **overrides: object) -> Dialect:
    raw = data.encode() if isinstance(data, str) else data
    return detect(raw, complete=True, overrides=DialectOverrides(**overrides)).dialect  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "delimiter", "header", "body"),
    [
        ("a,b,c\n1,2,3\n", ",", ("a", "b", "c"), "1,2,3\n"),
        ("a;b;c\n1,5;2,5;x\n", ";", ("a", "b", "c"), "1,5;2,5;x\n"),
        ("a\tb c\n1\t2, 3\n", "\t", ("a", "b c"), "1\t2, 3\n"),
        ("a|b\r1|2\r", "|", ("a", "b"), "1|2\r"),
        ("sep=;\r\na;b\r\n1;2\r\n", ";", ("a", "b"), "1;2\r\n"),
        ("name\nAnna\nBob\n", ",", ("name",), "Anna\nBob\n"),
        ("a,b", ",", ("a", "b"), ""),
        ('a,"b\nb"\n1,2', ",", ("a", "b\nb"), "1,2"),
        ("1,2,3\n4,5,6\n", ",", ("column_1", "column_2", "column_3"), "1,2,3\n4,5,6\n"),
        ("1,5;2,5;3,5\n1,5;2,5;3,5\n", ";", ("column_1", "column_2", "column_3"), "1,5;2,5;3,5\n1,5;2,5;3,5\n"),
        ("Report 2024\n\nid,qty\n1,2\n", ",", ("id", "qty"), "1,2\n"),
        ("Report,,,\n,,,\nid,name,qty,price\n1,x,2,3.5\n", ",", ("id", "name", "qty", "price"), "1,x,2,3.5\n"),
        ("# note\n# more, with, commas\nid,name\n1,x\n", ",", ("id", "name"), "1,x\n"),
        ("a,b,\n1,2,\n", ",", ("a", "b"), "1,2,\n"),
        ("a,b,\n1,2,x\n", ",", ("a", "b", "column_3"), "1,2,x\n"),
        ("id, id ,,x\n1,2,3,4\n", ",", ("id", "id (2)", "column_3", "x"), "1,2,3,4\n"),
        ("country,2019,2020\nDE,12.5,13\n", ",", ("country", "2019", "2020"), "DE,12.5,13\n"),
        ("a,b,c\n1,x,y,z\n2,x,y,z\n", ",", ("a", "b", "c"), "1,x,y,z\n2,x,y,z\n"),
        ("\n\nid,qty\n1,2\n", ",", ("id", "qty"), "1,2\n"),
        ("id,name\n1,a\nid,name\n2,b\n", ",", ("id", "name"), "1,a\nid,name\n2,b\n"),
        ("a,b,c\n1,x,y\n2,x,y,z\n3,x,y,z\n", ",", ("a", "b", "c"), "1,x,y\n2,x,y,z\n3,x,y,z\n"),
        ("Anna,Berlin\nAnna,Paris\n", ",", ("column_1", "column_2"), "Anna,Berlin\nAnna,Paris\n"),
        ("Shop,Hamburg\nYear,2024\nid,qty,price,note\n1,2,3,x\n", ",", ("id", "qty", "price", "note"), "1,2,3,x\n"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_structure(text: str, delimiter: str, header: tuple[str, ...], body: str, encoding: str) -> None:
    data = text.encode(encoding)
    dialect = found(data)
    assert (dialect.delimiter, dialect.header) == (delimiter, header)
    assert data[dialect.body_offset :].decode(dialect.encoding) == body
    before = text[: len(text) - len(body)]
    assert dialect.body_line == 1 + len(before.splitlines())


@pytest.mark.parametrize(
    ("text", "quote", "escape"),
    [
        ('a,b\n1,"x, y"\n', '"', None),
        ("id,'name, x'\n1,'Smith, J'\n2,'Doe, J'\n", "'", None),
        ("'id','name'\n'1','A'\n", "'", None),
        ("id,name\n1,O'Brien\n2,'tis\n", '"', None),
        ('id,name\n1,"say \\"hi\\", x"\n2,"b \\"q\\""\n', '"', "\\"),
        ('id,path\n1,"C:\\dir\\"\n2,"say ""hi"""\n', '"', None),
    ],
)
def test_quoting(text: str, quote: str, escape: str | None) -> None:
    assert (found(text).quote, found(text).escape) == (quote, escape)


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (b"a,b\n1,2\n", "utf-8"),
        ("a,b\n1,é\n".encode(), "utf-8"),
        ("a,b\n1,\ufffd\n".encode(), "utf-8"),
        ("a,b\n1,é€\n".encode("cp1252"), "cp1252"),
        (b"a,b\n1,\x81\xe9\n", "latin-1"),
        ("\ufeffa,b\n1,é\n".encode("utf-16-be"), "utf-16-be"),
        ("a,b\n1,2\n".encode("utf-16-le"), "utf-16-le"),
        (("a,b\n" + "1,é\n" * 40).encode() + b"2,\xe9\n", "utf-8"),
    ],
)
def test_encoding(data: bytes, encoding: str) -> None:
    detection = detect(data, complete=True)
    assert detection.dialect.encoding == encoding
    assert detection.evidence["encoding"].startswith(encoding)


def test_a_cut_off_character_is_no_evidence() -> None:
    data = "a,b\n1,é".encode()[:-1]
    later = ["é".encode()[1:] + b"x", b"x" + "€".encode()[:2]]
    assert detect(data, complete=False, more_samples=later).dialect.encoding == "utf-8"


def test_later_samples_decide_too() -> None:
    assert detect(b"a,b\n1,2\n", complete=False, more_samples=[b"x \xa3 3\n"]).dialect.encoding == "cp1252"


def test_the_first_byte_that_is_not_utf8() -> None:
    assert first_non_utf8([b"abc", "é".encode()[:1], "é".encode()[1:] + b"x\xa3", b"y"]) == 6
    assert first_non_utf8([b"abc", "é€".encode()]) is None
    assert first_non_utf8([b"ab", "€".encode()[:2]]) == 2


def test_known_names_find_the_header() -> None:
    data = b"x,y\n1,2\n3,4\nOrder ID;user-id;SKU;2019\n1;2;3;4\n5;6;7;8\n9;9;9;9\n"
    dialect = detect(data, complete=True, known_names=OURS).dialect
    assert dialect.header == ("Order ID", "user-id", "SKU", "2019")
    assert (dialect.body_line, dialect.preamble_lines) == (5, 3)


def test_what_is_told_is_believed() -> None:
    text = "x;y\na,b;c\n1,2;3\n"
    assert found(text, delimiter=",").delimiter == ","
    assert found(text, has_header=False).header == ("column_1", "column_2")
    assert found(text, has_header=False).body_offset == 0
    assert found(text, header_row=2, delimiter=";").header == ("a,b", "c")
    assert found(text, header_row=2, delimiter=";").body_line == 3
    assert found(text, columns=("one", "two")).header == ("one", "two")
    assert found(text, quote="").quote is None
    assert found(b"a,b\n1,\x8e\n", encoding="mac_roman").encoding == "mac-roman"
    assert found(b"a,b\n1,\xe9\n", encoding="ISO-8859-1").encoding == "latin-1"
    assert found(b"a,b\n1,\xe9\n", encoding="cp1251").encoding == "cp1251"
    assert found("\ufeffa,b\n".encode("utf-16-be"), encoding="utf-16").encoding == "utf-16-be"


def test_what_cannot_be() -> None:
    with pytest.raises(UnsupportedEncoding, match="unknown"):
        found(b"a", encoding="klingon")
    with pytest.raises(UnsupportedEncoding, match="cannot be read"):
        found(b"a", encoding="shift_jis")
    with pytest.raises(UnsupportedEncoding, match="UTF-32"):
        found("\ufeffa,b\n".encode("utf-32-le"))
    with pytest.raises(InvalidDialect, match="one ASCII character"):
        found(b"a||b\n", delimiter="||")
    with pytest.raises(UnreadableHeader, match="no line 9"):
        found(b"a,b\n", header_row=9)
    with pytest.raises(UnreadableHeader, match="No header"):
        found(b'"' + b"x" * 300_000)


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf", b"\n\r\n  \n", b"\xff\xfe"])
def test_nothing_in_it(data: bytes) -> None:
    with pytest.raises(EmptySource):
        found(data)


@pytest.mark.parametrize(
    ("text", "newline"), [("a\n1\n", "\n"), ("a\r\n1", "\r\n"), ("a\r1\r", "\r"), ("a\r\n1\n", "mixed"), ("a", "\n")]
)
def test_newlines(text: str, newline: str) -> None:
    assert found(text).newline == newline


def test_line_ends_in_quotes_are_not_mixed_with_those_of_records() -> None:
    assert found('a,b\r\n1,"x\ny"\r\n').newline == "\r\n"


def test_evidence_is_told_in_sentences() -> None:
    evidence = detect(b"Title\n\nid;qty\n1;2\n", complete=True).evidence
    assert evidence == {
        "encoding": "utf-8: only ASCII characters were seen.",
        "delimiter": "semicolon: 67% of the first 4 records have 2 fields with it.",
        "quote": "Fields may be quoted with the double quote; inside a field, they are doubled.",
        "newline": "Records end with LF.",
        "header": "Line 3 reads like column names.",
        "preamble": "The first 2 lines stand before the table and are left out.",
    }
