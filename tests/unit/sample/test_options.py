"""Sizes, wishes for defects, and compressed files."""

import gzip
import io
import json
import zipfile
from pathlib import Path

import pytest
import zstandard

from ingestion.sample import SampleError, SampleSpec, open_sink, write_sample
from ingestion.sample.sizing import parse_size, rows_for_bytes
from ingestion.sample.wishes import with_defects


@pytest.mark.parametrize(
    ("text", "size"),
    [("10G", 10**10), ("500M", 5 * 10**8), ("1.5k", 1500), ("16MiB", 16 << 20), ("16 Mi", 16 << 20), ("12345", 12345)],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "big", "-1", "10T", "1e9", "1I"])
def test_other_texts_are_no_sizes(text: str) -> None:
    with pytest.raises(SampleError, match="no size"):
        parse_size(text)


@pytest.mark.parametrize("change", [{}, {"encoding": "utf-16-le"}, {"quoting": "all", "newline": "\r\n"}])
def test_a_size_in_bytes_is_met_within_one_percent(change: dict[str, str]) -> None:
    spec = SampleSpec(rows=1, **change)  # type: ignore[arg-type]
    rows = rows_for_bytes(3_000_000, spec=spec)
    manifest = write_sample(SampleSpec(rows=rows, **change), io.BytesIO())  # type: ignore[arg-type]
    assert manifest.bytes == pytest.approx(3_000_000, rel=0.01)


def test_wishes_name_kinds_and_counts() -> None:
    spec = with_defects(SampleSpec(rows=100), "blank:5, required")
    assert spec.defects == (("blank", 5), ("required", 1))


def test_all_means_what_the_file_can_have_and_later_counts_win() -> None:
    spec = with_defects(SampleSpec(rows=100, quoting="none"), "all:2,blank:7")
    counts = dict(spec.defects)
    assert counts["blank"] == 7
    assert counts["required"] == 2
    assert not {"stray_quote", "role_not_allowed", "email_holder"} & set(counts)


def test_a_count_that_is_no_number_is_refused() -> None:
    with pytest.raises(SampleError, match="whole number"):
        with_defects(SampleSpec(rows=100), "blank:many")


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.csv.zst", "a.csv.zip", "a.zip"])
def test_files_are_compressed_as_their_name_says(tmp_path: Path, name: str) -> None:
    plain = io.BytesIO()
    write_sample(SampleSpec(rows=50), plain)
    with open_sink(tmp_path / name) as sink:
        write_sample(SampleSpec(rows=50), sink)
    assert _decompressed(tmp_path / name) == plain.getvalue()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_that_breaks_off_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(SampleError), open_sink(tmp_path / "a.csv") as sink:
        write_sample(SampleSpec(rows=9, defects=(("typo", 1),)), sink)
    assert list(tmp_path.iterdir()) == []


def test_the_manifest_is_json() -> None:
    spec = SampleSpec(rows=60, defects=(("blank", 2), ("non_ascii", 1), ("required", 3)))
    manifest = write_sample(spec, io.BytesIO())
    document = json.loads(manifest.as_json())
    assert document["expected"]["ignored"] == {"blank": 2}
    assert document["expected"]["errors"] == {"required": 3}
    assert len(document["planted"]) == 6
    assert document["spec"]["rows"] == 60


def _decompressed(path: Path) -> bytes:
    raw = path.read_bytes()
    if path.suffix == ".gz":
        return gzip.decompress(raw)
    if path.suffix == ".zst":
        return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(raw)).read()
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            (name,) = archive.namelist()
            return archive.read(name)
    return raw
