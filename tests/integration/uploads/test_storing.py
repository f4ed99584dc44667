"""Segments in storage: durable, immutable, readable by offset; rows that say so; writers that do not mix."""

import errno
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db import connection
from pytest_django import Settings

from accounts.models import User
from ingestion.models import Segment, Upload
from ingestion.reader import SourceUnavailable, open_source
from ingestion.uploads.errors import (
    NoRoomToUnpackError,
    QuotaExceededError,
    StorageFullError,
    UploadGoneError,
    UploadTakenOverError,
    UploadTooLargeError,
)
from ingestion.uploads.reading import UploadReader, UploadWriter, upload_fingerprint
from ingestion.uploads.segments import SegmentWriter
from ingestion.uploads.services import (
    Description,
    segments_store,
    upload_concatenate,
    upload_create,
    upload_set_length,
    upload_terminate,
    writer_release,
    writer_renew,
    writer_stop,
    writer_take,
)
from ingestion.uploads.storage import blob_name, segment_storage

NOW = datetime(2026, 11, 25, tzinfo=UTC)
MANUAL = Description(filename="orders.csv", start="manual")


@pytest.fixture(autouse=True)
def _small_segments(settings: Settings) -> None:
    settings.UPLOAD_SEGMENT_BYTES = 1 << 20


def create(owner: User, *, length: int | None = None, partial: bool = False) -> Upload:
    return upload_create(owner_id=owner.pk, description=MANUAL, length_bytes=length, partial=partial, now=NOW)


def store(upload: Upload, data: bytes, *, last: bool = False) -> Upload:
    """Append by a writer of its own, as a request does."""
    writer = writer_take(upload_id=upload.pk)
    assert writer is not None
    with SegmentWriter(upload.pk, offset=UploadReader(upload.pk).stored_bytes()) as segments:
        segments.write(data)
        stored = segments_store(writer=writer, segments=segments.finish(), last=last, now=NOW)
    writer_release(writer)
    return stored


def test_bytes_come_back(stored: str, alice: User, data: bytes) -> None:
    upload = create(alice, length=len(data))
    store(upload, data[:1_000_000])
    reader = UploadReader(upload.pk)
    assert (reader.stored_bytes(), reader.size) == (1_000_000, None)
    assert store(upload, data[1_000_000:]).state == Upload.State.COMPLETE
    assert (reader.stored_bytes(), reader.size) == (len(data), len(data))
    assert b"".join(reader.blocks(100_000)) == data
    assert b"".join(reader.blocks(start=2_000_001)) == data[2_000_001:]
    assert reader.read(999_000, 1_500_000) == data[999_000:2_499_000]
    assert reader.read(5, 0) == b""


def test_what_is_not_there_is_not_read(stored: str, alice: User, data: bytes) -> None:
    upload = create(alice, length=len(data))
    store(upload, data[:10])
    with pytest.raises(SourceUnavailable, match="has no 11 bytes at 0"):
        UploadReader(upload.pk).read(0, 11)
    (segment,) = Segment.objects.filter(upload=upload)
    reader = UploadReader(upload.pk)
    reader.stored_bytes()
    segment_storage().delete(segment.name)
    with pytest.raises(SourceUnavailable, match="removed"):
        reader.read(0, 10)


def test_a_reader_sees_what_others_store_later(stored: str, alice: User) -> None:
    upload = create(alice)
    reader = UploadReader(upload.pk)
    assert reader.stored_bytes() == 0
    store(upload, b"one,")
    assert reader.read(0, 4) == b"one,"
    store(upload, b"two", last=True)
    assert reader.read(2, 5) == b"e,two"


def test_segments_are_small_and_in_a_row(on_files: Path, alice: User, data: bytes) -> None:
    upload = create(alice, length=len(data))
    store(upload, data)
    rows = list(Segment.objects.filter(upload=upload).order_by("number").values_list("offset_bytes", "length_bytes"))
    assert rows == [(0, 1 << 20), (1 << 20, 1 << 20), (2 << 20, 1 << 20), (3 << 20, 12_345)]
    files = [path for path in on_files.rglob("*") if path.is_file()]
    assert sorted(path.stat().st_size for path in files) == [12_345, 1 << 20, 1 << 20, 1 << 20]


def test_fingerprint_is_that_of_the_file(stored: str, alice: User, data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_bytes(data)
    expected = open_source(path, spool_directory=tmp_path).fingerprint()
    upload = create(alice, length=len(data))
    store(upload, data[:2_000_000])
    assert store(upload, data[2_000_000:]).fingerprint == expected
    assert upload_fingerprint(upload.pk) == expected


def test_empty_upload_is_complete_at_once(on_files: Path, alice: User, tmp_path: Path) -> None:
    upload = create(alice, length=0)
    (tmp_path / "empty").touch()
    assert upload.state == Upload.State.COMPLETE
    assert upload.fingerprint == open_source(tmp_path / "empty", spool_directory=tmp_path).fingerprint()


class TestWriters:
    def test_a_late_writer_stores_nothing(self, stored: str, alice: User) -> None:
        upload = create(alice, length=100)
        late = writer_take(upload_id=upload.pk)
        assert late is not None
        with SegmentWriter(upload.pk, offset=0) as segments:
            segments.write(b"late")
            durable = segments.finish()
        assert writer_take(upload_id=upload.pk, wait_seconds=0) is not None
        with pytest.raises(UploadTakenOverError):
            segments_store(writer=late, segments=durable, now=NOW)
        assert UploadReader(upload.pk).stored_bytes() == 0
        assert list(segment_storage().names(before=datetime.now(UTC) + timedelta(hours=1))) == []

    def test_storing_the_same_offset_twice_is_refused(self, on_files: Path, alice: User) -> None:
        upload = create(alice, length=100)
        writer = writer_take(upload_id=upload.pk)
        assert writer is not None
        for allowed in (True, False):
            with SegmentWriter(upload.pk, offset=0) as segments:
                segments.write(b"abc")
                durable = segments.finish()
            if allowed:
                segments_store(writer=writer, segments=durable, now=NOW)
            else:
                with pytest.raises(UploadTakenOverError):
                    segments_store(writer=writer, segments=durable, now=NOW)

    def test_renewing_tells_of_those_who_wait(self, on_files: Path, alice: User) -> None:
        upload = create(alice, length=100)
        writer = writer_take(upload_id=upload.pk)
        assert writer is not None
        assert writer_renew(writer) is False
        writer_stop(upload_id=upload.pk, wait_seconds=0)  # asks, and evicts at once
        with pytest.raises(UploadTakenOverError):
            writer_renew(writer)

    def test_a_writer_that_was_asked_saves_first(self, database: str, on_files: Path) -> None:
        alice = User.objects.create(id="alice")
        upload = create(alice, length=100)
        writer = writer_take(upload_id=upload.pk)
        assert writer is not None

        def write() -> None:
            try:
                with SegmentWriter(upload.pk, offset=0) as segments:
                    segments.write(b"saved")
                    while not writer_renew(writer):
                        time.sleep(0.02)
                    segments_store(writer=writer, segments=segments.finish(), now=NOW)
                    writer_release(writer)
            finally:
                connection.close()

        thread = threading.Thread(target=write)
        thread.start()
        started = time.monotonic()
        writer_stop(upload_id=upload.pk, wait_seconds=20)
        thread.join()
        assert UploadReader(upload.pk).stored_bytes() == 5
        assert time.monotonic() - started < 10

    def test_a_free_upload_is_taken_without_waiting(self, on_files: Path, alice: User) -> None:
        upload = create(alice, length=100)
        first = writer_take(upload_id=upload.pk)
        assert first is not None
        writer_release(first)
        started = time.monotonic()
        second = writer_take(upload_id=upload.pk, wait_seconds=20)
        assert second is not None
        assert second.token > first.token
        assert time.monotonic() - started < 5

    def test_a_complete_upload_has_no_writer(self, on_files: Path, alice: User) -> None:
        upload = create(alice, length=3)
        store(upload, b"abc")
        assert writer_take(upload_id=upload.pk) is None


class TestRoom:
    def test_too_large(self, on_files: Path, alice: User, settings: Settings) -> None:
        settings.UPLOAD_MAX_BYTES = 10
        create(alice, length=10)
        with pytest.raises(UploadTooLargeError):
            create(alice, length=11)

    def test_what_is_announced_counts(
        self, on_files: Path, person: Callable[[str], User], alice: User, settings: Settings
    ) -> None:
        settings.UPLOAD_QUOTA_BYTES = 10
        first = create(alice, length=8)
        with pytest.raises(QuotaExceededError):
            create(alice, length=3)
        create(person("bob"), length=10)  # a quota is one's own
        create(alice, length=2)
        with pytest.raises(QuotaExceededError):
            create(alice, length=None)
        upload_terminate(upload_id=first.pk)
        create(alice, length=8)

    def test_a_late_length_counts(self, on_files: Path, alice: User, settings: Settings) -> None:
        settings.UPLOAD_QUOTA_BYTES = 10
        upload = create(alice)
        store(upload, b"12345")
        with pytest.raises(QuotaExceededError):
            upload_set_length(upload_id=upload.pk, length_bytes=11)
        upload_set_length(upload_id=upload.pk, length_bytes=10)

    def test_a_concatenation_counts_once(self, on_files: Path, alice: User, settings: Settings) -> None:
        settings.UPLOAD_QUOTA_BYTES = 10
        part = create(alice, length=5, partial=True)
        store(part, b"12345")
        upload_concatenate(owner_id=alice.pk, parts=[part.pk], description=MANUAL, now=NOW)
        create(alice, length=5)

    def test_a_part_counts_as_often_as_it_is_named(self, on_files: Path, alice: User, settings: Settings) -> None:
        settings.UPLOAD_QUOTA_BYTES = 10
        part = create(alice, length=4, partial=True)
        store(part, b"1234")
        with pytest.raises(QuotaExceededError):
            upload_concatenate(owner_id=alice.pk, parts=[part.pk] * 3, description=MANUAL, now=NOW)
        upload_concatenate(owner_id=alice.pk, parts=[part.pk] * 2, description=MANUAL, now=NOW)
        with pytest.raises(QuotaExceededError) as refused:  # another final one counts in full
            upload_concatenate(owner_id=alice.pk, parts=[part.pk], description=MANUAL, now=NOW)
        assert refused.value.data["used_bytes"] == 8

    def test_a_concatenation_that_adds_nothing_fits(self, on_files: Path, alice: User, settings: Settings) -> None:
        settings.UPLOAD_QUOTA_BYTES = 10
        parts = [create(alice, length=5, partial=True) for _ in range(2)]
        for part in parts:
            store(part, b"12345")
        upload_concatenate(owner_id=alice.pk, parts=[part.pk for part in parts], description=MANUAL, now=NOW)
        with pytest.raises(QuotaExceededError):
            create(alice, length=1)

    def test_what_is_unpacked_counts(self, stored: str, alice: User, settings: Settings, data: bytes) -> None:
        settings.UPLOAD_QUOTA_BYTES = (5 << 20) // 2
        upload = create(alice, length=5)
        with UploadWriter(upload.pk) as writer:
            for begin in range(0, 2 << 20, 1 << 20):
                writer.write(data[begin : begin + (1 << 20)])
                writer.flush()
            writer.write(data[2 << 20 : (3 << 20) - 1])
            with pytest.raises(NoRoomToUnpackError):
                writer.flush()
        assert UploadReader(upload.pk, "unpacked").stored_bytes() == 2 << 20
        assert len(list(segment_storage().names(before=datetime.max.replace(tzinfo=UTC)))) == 2
        with pytest.raises(QuotaExceededError):
            create(alice, length=1 << 20)

        settings.UPLOAD_QUOTA_BYTES = 4 << 20
        with UploadWriter(upload.pk) as writer:
            writer.write(data[writer.offset :])
            writer.finish()
        assert b"".join(UploadReader(upload.pk, "unpacked").blocks()) == data


class TestBlobs:
    def test_shared_blobs_live_as_long_as_one_upload_names_them(self, stored: str, alice: User) -> None:
        part = create(alice, length=5, partial=True)
        store(part, b"12345")
        final = upload_concatenate(owner_id=alice.pk, parts=[part.pk, part.pk], description=MANUAL, now=NOW)
        upload_terminate(upload_id=part.pk)
        assert UploadReader(final.pk).read(0, 10) == b"1234512345"
        upload_terminate(upload_id=final.pk)
        assert list(segment_storage().names(before=datetime.now(UTC) + timedelta(hours=1))) == []

    def test_gone_is_gone(self, on_files: Path, alice: User) -> None:
        upload = create(alice, length=5)
        upload_terminate(upload_id=upload.pk)
        with pytest.raises(UploadGoneError):
            writer_take(upload_id=upload.pk)
        with pytest.raises(UploadGoneError):
            upload_terminate(upload_id=upload.pk)

    def test_unsealed_blob_is_not_seen(self, stored: str, alice: User) -> None:
        blob = segment_storage().begin(blob_name(create(alice).pk, "stored", 0))
        blob.write(b"abc")
        with pytest.raises(FileNotFoundError):
            segment_storage().read_range(blob.name, 0, 3)
        blob.seal()
        assert segment_storage().read_range(blob.name, 1, 10) == b"bc"
        assert segment_storage().read_range(blob.name, 3, 1) == b""

    def test_a_writer_that_fails_leaves_nothing(self, stored: str, alice: User, data: bytes) -> None:
        with SegmentWriter(create(alice).pk, offset=0) as segments:
            segments.write(data)  # and then something else fails
        assert list(segment_storage().names(before=datetime.now(UTC) + timedelta(hours=1))) == []

    def test_what_fits_on_a_full_disk_is_kept(
        self, on_files: Path, alice: User, data: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write, room = os.write, 2_550_000

        def write_until_full(descriptor: int, part: bytes) -> int:
            nonlocal room
            if not room:
                raise OSError(errno.ENOSPC, "full")
            written = write(descriptor, part[:room])
            room -= written
            return written

        monkeypatch.setattr(os, "write", write_until_full)
        with SegmentWriter(create(alice).pk, offset=0) as segments:
            for start in range(0, 2_500_000, 100_000):
                segments.write(data[start : start + 100_000])
            with pytest.raises(StorageFullError):
                segments.write(data[2_500_000:])
            saved = segments.salvage()
        end = saved[-1].end_bytes
        assert end == 2_500_000
        read = b"".join(segment_storage().read_range(part.name, 0, 1 << 30) for part in saved)
        assert read == data[:end]


class TestUnpacked:
    def test_goes_on_where_it_stopped(self, stored: str, alice: User, data: bytes) -> None:
        upload = create(alice, length=5)
        with UploadWriter(upload.pk) as writer:
            writer.write(data[:1_500_000])
            writer.flush()
            writer.write(b"lost")
        reader = UploadReader(upload.pk, "unpacked")
        assert (reader.stored_bytes(), reader.size) == (1_500_000, None)
        with UploadWriter(upload.pk) as writer:
            writer.write(data[writer.offset :])
            writer.finish()
        assert b"".join(reader.blocks()) == data
        assert reader.size == len(data)

    def test_two_writers_do_not_mix(self, on_files: Path, alice: User) -> None:
        upload = create(alice, length=5)
        with UploadWriter(upload.pk) as late, UploadWriter(upload.pk) as other:
            other.write(b"abc")
            other.flush()
            late.write(b"xyz")
            with pytest.raises(UploadTakenOverError):
                late.flush()
        assert UploadReader(upload.pk, "unpacked").read(0, 3) == b"abc"
