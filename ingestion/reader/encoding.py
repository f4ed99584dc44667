"""
Encodings and their "shadow": one byte per code unit, in which structure is looked for.

UTF-8 and the single-byte encodings are their own shadow, because delimiters, quotes and line ends are plain ASCII bytes
there. A UTF-16 unit becomes its low byte when it is ASCII and 0x80 otherwise, so shadow offset × 2 = byte offset.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator

import numpy as np

from ingestion.reader.errors import UnsupportedEncoding

NEITHER = 0x80  # a shadow byte that can be no delimiter, quote or line end
BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_NAMES = {
    "ascii": "utf-8",
    "utf-8-sig": "utf-8",
    "iso8859-1": "latin-1",
    "utf-16": "utf-16-le",
}
_ASCII = bytes(range(128))


def unit_bytes(encoding: str) -> int:
    """Bytes per code unit."""
    return 2 if encoding.startswith("utf-16") else 1


def canonical(encoding: str) -> str:
    """
    The name under which a dialect stores an encoding.

    Raises:
        UnsupportedEncoding: unknown, or delimiters could be part of another character (Shift-JIS, GB 18030, UTF-32…).
    """
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        raise UnsupportedEncoding(f"The encoding {encoding!r} is unknown.", hint="Use utf-8 or cp1252, say.") from None
    name = _NAMES.get(name, name)
    if name in ("utf-8", "utf-16-le", "utf-16-be", "latin-1", "cp1252", "mac-roman") or _is_single_byte(name):
        return name
    raise UnsupportedEncoding(
        f"The encoding {encoding!r} cannot be read.", hint="Convert the file to UTF-8 and load it again."
    )


def _is_single_byte(name: str) -> bool:
    try:
        if _ASCII.decode(name) != _ASCII.decode("ascii"):
            return False
        return all(len(bytes([code]).decode(name, "replace")) == 1 for code in range(128, 256)) and (
            len(bytes(range(128, 256)).decode(name, "replace")) == 128
        )
    except (LookupError, UnicodeError):
        return False


def shadow(data: bytes, *, encoding: str) -> bytes:
    """One byte per code unit; an odd last byte of UTF-16 is a unit of its own."""
    if unit_bytes(encoding) == 1:
        return data
    units = np.frombuffer(data, dtype="<u2" if encoding == "utf-16-le" else ">u2", count=len(data) // 2)
    narrow = np.where(units < 128, units, NEITHER).astype(np.uint8).tobytes()
    return narrow + bytes([NEITHER]) if len(data) % 2 else narrow


def shadow_blocks(blocks: Iterable[bytes], *, encoding: str) -> Iterator[bytes]:
    """`shadow` of a stream whose blocks may end inside a unit."""
    if unit_bytes(encoding) == 1:
        yield from blocks
        return
    odd = b""
    for block in blocks:
        joined = odd + block
        even = len(joined) & ~1
        odd = joined[even:]
        yield shadow(joined[:even], encoding=encoding)
    if odd:
        yield bytes([NEITHER])


def to_utf8(data: bytes, *, encoding: str) -> bytes:
    """
    The same text in UTF-8.

    Raises:
        UnicodeDecodeError: some bytes are invalid in the encoding.
    """
    if data.isascii() and unit_bytes(encoding) == 1:
        return data
    if encoding == "utf-8":
        check_utf8(data)
        return data
    return data.decode(encoding).encode()


def check_utf8(data: bytes, *, slice_bytes: int = 1 << 20) -> None:
    """Validate without holding more than a slice as text. Raises UnicodeDecodeError."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    view = memoryview(data)
    for start in range(0, len(data), slice_bytes):
        decoder.decode(view[start : start + slice_bytes])
    decoder.decode(b"", final=True)


def first_non_utf8(blocks: Iterable[bytes]) -> int | None:
    """
    Byte offset of the first byte that is not UTF-8, or None: judges a whole file while it is planned.

    Source: the decoder's own state machine, fed block by block; ASCII blocks are only scanned.
    """
    tail, offset = b"", 0
    for block in blocks:
        if tail or not block.isascii():
            joined = tail + block
            text_error = _utf8_error(joined)
            if text_error is not None and text_error[1]:
                return offset - len(tail) + text_error[0]
            cut = len(joined) if text_error is None else text_error[0]
            tail = joined[cut:]
        offset += len(block)
    return offset - len(tail) if tail else None


def _utf8_error(data: bytes) -> tuple[int, bool] | None:
    """(offset, certain): not certain when the data may merely end inside a character."""
    try:
        consumed = codecs.utf_8_decode(data, "strict", False)[1]
    except UnicodeDecodeError as error:
        return error.start, True
    return (consumed, False) if consumed < len(data) else None
