"""Which encoding a file is written in: byte order mark, NUL pattern, UTF-8 validity, then Windows-1252 or Latin-1."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence

import numpy as np

from ingestion.reader.encoding import BOMS, canonical
from ingestion.reader.errors import UnsupportedEncoding

NUL_SHARE = 0.3  # of the units of UTF-16 text in Western languages, at the least
CREDIBLE = 10  # valid multi-byte characters for each invalid byte, to call a damaged file UTF-8
_NOT_IN_CP1252 = frozenset(b"\x81\x8d\x8f\x90\x9d")
_ESCAPED = re.compile("[\udc80-\udcff]")  # what surrogateescape makes of invalid bytes
_UTF32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)


def byte_order_mark(sample: bytes) -> tuple[int, str | None]:
    """Length of the byte order mark and the encoding it tells of. Raises UnsupportedEncoding for UTF-32."""
    if sample.startswith(_UTF32) and not sample.startswith(codecs.BOM_UTF16_LE + b"\0\0\0\0"):
        raise UnsupportedEncoding("The file is written in UTF-32.", hint="Save it as UTF-8 and load it again.")
    for mark, encoding in BOMS:
        if sample.startswith(mark):
            return len(mark), encoding
    return 0, None


def settle_encoding(samples: Sequence[bytes], *, wanted: str | None) -> tuple[str, int, str]:
    """
    Encoding, length of the byte order mark, and why.

    Args:
        samples: the first bytes of the file, then bytes from later places; they may begin and end inside a character.
    """
    length, marked = byte_order_mark(samples[0])
    if wanted is not None:
        encoding = canonical(wanted)
        if wanted.lower().replace("_", "-") in ("utf-16", "utf16") and marked is not None and "16" in marked:
            encoding = marked
        return encoding, length if marked == encoding else 0, f"{encoding}, as told."
    if marked is not None:
        return marked, length, f"{marked}: the file begins with its byte order mark."
    wide = _unmarked_utf16(samples[0])
    if wide is not None:
        return wide, 0, f"{wide}: every second byte is NUL, as in Western text in UTF-16."
    encoding, reason = _narrow(samples)
    return encoding, 0, reason


def _unmarked_utf16(sample: bytes) -> str | None:
    values = np.frombuffer(sample[: 1 << 16], dtype=np.uint8)
    if len(values) < 2:
        return None
    units = len(values) // 2
    high = int(np.count_nonzero(values[: 2 * units : 2] == 0)) / units
    low = int(np.count_nonzero(values[1 : 2 * units : 2] == 0)) / units
    if low > NUL_SHARE and high < NUL_SHARE / 10:
        return "utf-16-le"
    return "utf-16-be" if high > NUL_SHARE and low < NUL_SHARE / 10 else None


def _narrow(samples: Sequence[bytes]) -> tuple[str, str]:
    if all(sample.isascii() for sample in samples):
        return "utf-8", "utf-8: only ASCII characters were seen."
    counts = [_utf8_counts(sample) for sample in samples]
    valid, invalid = sum(good for good, _ in counts), sum(bad for _, bad in counts)
    if not invalid:
        return "utf-8", "utf-8: all bytes seen are valid UTF-8."
    if valid > CREDIBLE * invalid:
        return (
            "utf-8",
            f"utf-8: {valid} characters are valid UTF-8; {invalid} byte sequences are not and will be rejected.",
        )
    undefined = sorted(_NOT_IN_CP1252.intersection(*[set().union(*samples)]))
    if undefined:
        return "latin-1", f"latin-1: not valid UTF-8, and byte 0x{undefined[0]:02X} does not exist in Windows-1252."
    return (
        "cp1252",
        "cp1252: not valid UTF-8, so taken for the usual Windows encoding (Latin-1 with € and typographic quotes).",
    )


def _utf8_counts(sample: bytes) -> tuple[int, int]:
    """Non-ASCII characters that are valid, and sequences that are not; cut-off ones at the edges do not count."""
    if sample.isascii():
        return 0, 0
    start = next((at for at in range(min(4, len(sample))) if sample[at] & 0xC0 != 0x80), 0)
    text = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode(sample[start:])
    invalid = sum(1 for _ in _ESCAPED.finditer(text))
    narrow = int(np.count_nonzero(np.frombuffer(sample, dtype=np.uint8, offset=start) < 128))
    return len(text) - narrow - invalid, invalid
