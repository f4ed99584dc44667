"""Sources: kinds, spool files, damaged and hostile archives."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import sys
import zipfile
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
import zstandard

from ingestion.reader import (
    CorruptArchive,
    DecompressionLimit,
    ReaderError,
    Source,
    SourceUnavailable,
    UnsupportedArchive,
    open_source,
)

BODY = b"a,b\n" + b"".join(b"%d,%d\n" % (number, number * number) for number in range(50_000))


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


PACKED = {
    "plain": BODY,
    "gzip": gzip.compress(BODY),
    "gzip of two members": gzip.compress(BODY[:777]) + gzip.compress(BODY[777:]),
    "gzip padded with zeros": gzip.compress(BODY) + bytes(5000),
    "zstd": zstandard.compress(BODY),
    "zstd of two frames": zstandard.compress(BODY[:777]) + zstandard.compress(BODY[777:]),
    "zip": zipped({"orders.csv": BODY}),
    "zip with clutter": zipped({"in/orders.csv": BODY, "readme.md": b"hello", "__MACOSX/in/orders.csv": b"x"}),
}


def opened(tmp_path: Path, data: bytes, **options: float | None) -> Source:
    path = tmp_path / "data.bin"  # names tell nothing
    path.write_bytes(data)
    return open_source(path, spool_directory=tmp_path / "spool", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", PACKED)
def test_every_kind_gives_the_same_bytes(tmp_path: Path, kind: str) -> None:
    source = opened(tmp_path, PACKED[kind])
    assert source.kind == kind.split()[0]
    assert source.head(10) == BODY[:10]
    have = b""
    for block in source.blocks(1000):
        have += block
        if len(have) < 200_000:
            other = Source.from_descriptor(json.loads(json.dumps(source.descriptor())))
            assert other.read(len(have) - len(block), len(block)) == block
    assert have == BODY
    assert source.size == len(BODY)
    assert source.read(1234, 4321) == BODY[1234:5555]
    source.discard()


@pytest.mark.parametrize("kind", [kind for kind in PACKED if kind != "plain"])
@pytest.mark.parametrize("lost", [1, 10, 1000])
def test_an_archive_cut_short_is_refused(tmp_path: Path, kind: str, lost: int) -> None:
    data = PACKED[kind].rstrip(b"\0") if "padded" in kind else PACKED[kind]
    with pytest.raises(CorruptArchive) as caught:
        list(opened(tmp_path, data[:-lost]).blocks())
    assert caught.value.hint


@pytest.mark.parametrize("kind", [kind for kind in PACKED if kind != "plain"])
def test_a_damaged_archive_raises_only_reader_errors(tmp_path: Path, kind: str) -> None:
    choice = random.Random(kind)
    for _ in range(40):
        data = bytearray(PACKED[kind])
        for _ in range(3):
            data[choice.randrange(4, len(data))] = choice.randrange(256)
        with suppress(ReaderError):  # or nothing: damage may also hit padding or a name
            list(opened(tmp_path, bytes(data)).blocks())


@pytest.mark.parametrize(
    "data",
    [gzip.compress(bytes(300 << 20)), zstandard.compress(bytes(300 << 20)), zipped({"bomb.csv": bytes(300 << 20)})],
    ids=["gzip", "zstd", "zip"],
)
def test_bombs_are_stopped(tmp_path: Path, data: bytes) -> None:
    got: list[int] = []
    with pytest.raises(DecompressionLimit, match="times its size"):
        got.extend(map(len, opened(tmp_path, data).blocks()))
    assert sum(got) <= 150 << 20
    assert max(got) <= 33 << 20
    with pytest.raises(DecompressionLimit, match="more than 1,000,000 bytes"):
        list(opened(tmp_path, data, max_decompressed_bytes=1_000_000).blocks())


def test_high_ratios_of_small_files_are_fine(tmp_path: Path) -> None:
    data = b"1,2\n" * 10_000_000
    assert sum(map(len, opened(tmp_path, zstandard.compress(data)).blocks())) == len(data)


def test_a_zip_must_hold_one_csv(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedArchive, match=r"exactly one CSV file, but holds: a\.csv, b\.csv"):
        opened(tmp_path, zipped({"a.csv": b"1", "b.csv": b"2"}))
    with pytest.raises(UnsupportedArchive, match="holds: nothing"):
        opened(tmp_path, zipped({}))
    with pytest.raises(UnsupportedArchive, match="Excel workbook"):
        opened(tmp_path, zipped({"[Content_Types].xml": b""}))


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    data = bytearray(zipped({"a.csv": b"1,2"}))
    data[6] |= 1  # the flag in the local header, then in the directory
    data[data.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(UnsupportedArchive, match=r"a\.csv in .* is encrypted"):
        opened(tmp_path, bytes(data))


@pytest.mark.parametrize(("start", "what"), [(b"BZh9", "bzip2"), (b"\xfd7zXZ\x00", "xz"), (b"7z\xbc\xaf'\x1c", "7z")])
def test_other_archives_are_named(tmp_path: Path, start: bytes, what: str) -> None:
    with pytest.raises(UnsupportedArchive, match=what):
        opened(tmp_path, start + bytes(100))


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match="No such file"):
        open_source(tmp_path / "absent.csv", spool_directory=tmp_path)
    with pytest.raises(SourceUnavailable, match="not a regular file"):
        open_source(tmp_path, spool_directory=tmp_path)


def test_bytes_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match="cut short"):
        opened(tmp_path, b"abc").read(2, 5)


def test_standard_input_is_spooled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(BODY)))
    source = open_source("-", spool_directory=tmp_path)
    assert b"".join(source.blocks()) == BODY
    assert (source.kind, source.size, source.read(5, 10)) == ("stdin", len(BODY), BODY[5:15])
    assert source.identity() is None
    assert source.fingerprint() is None


def test_standard_input_has_limits_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(BODY)))
    with pytest.raises(DecompressionLimit, match="more than 1,000 bytes"):
        list(open_source("-", spool_directory=tmp_path, max_decompressed_bytes=1000).blocks())
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(gzip.compress(BODY))))
    with pytest.raises(UnsupportedArchive, match="Standard input is gzip data"):
        list(open_source("-", spool_directory=tmp_path).blocks())


def test_a_change_of_the_file_is_seen(tmp_path: Path) -> None:
    source = opened(tmp_path, BODY)
    identity, fingerprint = source.identity(), source.fingerprint()
    assert (source.identity(), source.fingerprint()) == (identity, fingerprint)
    path = Path(source.path)
    path.write_bytes(BODY.replace(b"a,b", b"a,c", 1))
    os.utime(path, ns=(1, 1))
    assert source.identity() != identity
    assert source.fingerprint() != fingerprint


def test_an_empty_file_is_a_source(tmp_path: Path) -> None:
    source = opened(tmp_path, b"")
    assert (list(source.blocks()), source.size, bool(source.fingerprint())) == ([], 0, True)
