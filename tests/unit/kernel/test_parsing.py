"""JSON bodies: what is read is what was sent, and what cannot be kept is refused."""

import json
import time
from typing import Any

import pytest
from hypothesis import given, strategies as st
from rest_framework.exceptions import ParseError

from config.kernel.api.parsing import MAX_DEPTH, ExactNumber, parse_json

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES, st.booleans())
def test_what_is_read_is_what_was_sent(value: Any, ascii_only: bool) -> None:
    assert parse_json(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(st.binary())
def test_anything_else_is_refused(raw: bytes) -> None:
    try:
        value = parse_json(raw)
    except ParseError:
        return
    json.dumps(value).encode()


def test_numbers_remember_how_they_were_written() -> None:
    (number,) = parse_json(b"[99999999999999.9999]")
    assert isinstance(number, ExactNumber)
    assert (str(number), json.dumps(number)) == ("99999999999999.9999", "100000000000000.0")


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "'c' is given twice"),
        (b"[1e999]", "too large"),
        (b"[-1e999]", "too large"),
        (b"[NaN]", "NaN"),
        (b"[-Infinity]", "-Infinity"),
        (rb'["\u0000"]', "U+0000"),
        (rb'["\u00e9\u0000"]', "U+0000"),
        (rb'{"\u0000": 1}', "U+0000"),
        (rb'["\udc00\ud800"]', "surrogate"),
        (b'["\xed\xa0\x80"]', "UTF-8"),
        ("[1]".encode("utf-16"), "UTF-8"),
        (b"", "not JSON"),
        (b"[1] 2", "not JSON"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "levels"),
        (b"[" * 200_000, "levels"),
        (b"9" * 5_000, "not JSON"),
    ],
)
def test_refusals(raw: bytes, words: str) -> None:
    with pytest.raises(ParseError, match=words.replace("+", r"\+")):
        parse_json(raw)


def test_pairs_of_surrogates_and_byte_order_marks_are_read() -> None:
    assert parse_json(rb'["\ud83d\ude00"]') == ["😀"]
    assert parse_json(b"\xef\xbb\xbf[1]") == [1]
    assert parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)


def test_finding_a_name_given_twice_takes_no_longer_than_reading() -> None:
    names = [f'"{number}":1' for number in range(40_000)]
    started = time.process_time()
    with pytest.raises(ParseError, match="given twice"):
        parse_json(f"{{{','.join([*names, names[-1]])}}}".encode())
    assert time.process_time() - started < 3  # comparing each name with all takes half a minute
