"""What is removed, and what is not: expired uploads, what crashes left, old keys, dead tokens."""

import os
import signal
import time
from datetime import timedelta
from pathlib import Path

import pytest
from knox.models import AuthToken

from accounts.models import User
from config.kernel.models import IdempotencyKey
from ingestion import states
from ingestion.clock import utc_now
from ingestion.models import Import, Segment, Upload
from ingestion.uploads.pruning import orphans_delete, uploads_expire
from ingestion.uploads.segments import SegmentWriter
from ingestion.uploads.services import Description, segments_store, upload_concatenate, upload_create, writer_take
from ingestion.uploads.storage import blob_name, segment_storage
from tests.conftest import Manage

NOW = utc_now()


def upload_of(owner: User, data: bytes, *, length: int | None = None, partial: bool = False) -> Upload:
    upload = upload_create(
        owner_id=owner.pk, description=Description(start="manual"), length_bytes=length or len(data), partial=partial,
        now=NOW,
    )  # fmt: skip
    writer = writer_take(upload_id=upload.pk)
    assert writer is not None
    with SegmentWriter(upload.pk, offset=0) as segments:
        segments.write(data)
        return segments_store(writer=writer, segments=segments.finish(), now=NOW)


def blobs() -> list[str]:
    return list(segment_storage().names(before=utc_now() + timedelta(hours=1)))


def state_of(upload: Upload) -> str:
    return Upload.objects.get(pk=upload.pk).state


def test_lifetimes(stored: str, alice: User) -> None:
    unfinished, finished = upload_of(alice, b"abc", length=6), upload_of(alice, b"abcdef")
    assert uploads_expire(now=NOW + timedelta(hours=23)) == 0
    assert uploads_expire(now=NOW + timedelta(hours=25)) == 1
    assert (state_of(unfinished), state_of(finished)) == ("expired", "complete")
    assert len(blobs()) == 1
    assert uploads_expire(now=NOW + timedelta(days=31)) == 1
    assert state_of(finished) == "expired"
    assert blobs() == []
    assert not Segment.objects.exists()


@pytest.mark.parametrize("state", sorted(states.ALL))
def test_never_while_an_import_reads_it(on_files: Path, alice: User, state: str) -> None:
    upload = upload_of(alice, b"abc")
    Import.objects.create(state=state, options_hash="", fingerprint="", created_at=NOW, upload=upload)
    removed = uploads_expire(now=NOW + timedelta(days=31))
    assert removed == (1 if state in states.ENDED else 0)


@pytest.mark.parametrize("state", sorted(states.ALL))
def test_an_abandoned_upload_expires_whatever_waits_for_it(on_files: Path, alice: User, state: str) -> None:
    """An import of it would wait for ever, and so would the upload."""
    upload = upload_of(alice, b"abc", length=6)
    Import.objects.create(state=state, options_hash="", fingerprint="", created_at=NOW, upload=upload)
    assert uploads_expire(now=NOW + timedelta(hours=23)) == 0
    assert uploads_expire(now=NOW + timedelta(hours=25)) == 1
    assert (state_of(upload), blobs()) == ("expired", [])


def test_many(on_files: Path, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingestion.uploads.pruning.BATCH", 2)
    for _ in range(5):
        upload_of(alice, b"abc")
    assert uploads_expire(now=NOW + timedelta(days=31)) == 5


def test_blobs_of_a_concatenation_stay_with_it(on_files: Path, alice: User) -> None:
    part = upload_of(alice, b"abc", partial=True)
    final = upload_concatenate(owner_id=alice.pk, parts=[part.pk], description=Description(start="manual"), now=NOW)
    Upload.objects.filter(pk=part.pk).update(expires_at=NOW)
    assert uploads_expire(now=NOW) == 1
    assert len(blobs()) == 1
    Upload.objects.filter(pk=final.pk).update(expires_at=NOW)
    assert uploads_expire(now=NOW) == 1
    assert blobs() == []


def test_what_a_crash_left(on_files: Path, alice: User) -> None:
    """A blob without a row, and half a blob; but not what somebody may be about to name."""
    kept = upload_of(alice, b"abc")
    begun, sealed = (segment_storage().begin(blob_name(kept.pk, "stored", 3)) for _ in range(2))
    for blob in (begun, sealed):
        blob.write(b"def")
    sealed.seal()
    assert len(blobs()) == 3
    assert orphans_delete(now=utc_now() + timedelta(hours=23)) == 0
    assert orphans_delete(now=utc_now() + timedelta(hours=25)) == 2
    assert len(blobs()) == 1
    begun.discard()


def test_orphans_in_a_bucket(on_s3: str, alice: User) -> None:
    kept = upload_of(alice, b"abc")
    blob = segment_storage().begin(blob_name(kept.pk, "stored", 3))
    blob.write(b"def")
    blob.seal()
    assert orphans_delete(now=utc_now() + timedelta(hours=25)) == 1
    assert blobs() == [Segment.objects.get().name]


class TestCommand:
    def test_keys_and_tokens(
        self, on_files: Path, alice: User, capsys: pytest.CaptureFixture[str], settings: object
    ) -> None:
        from django.core.management import call_command

        old = IdempotencyKey.objects.create(
            owner_id="alice", key="old", request_hash="", status=201, body=None, headers={}, created_at=NOW
        )
        IdempotencyKey.objects.filter(pk=old.pk).update(created_at=NOW - timedelta(days=2))
        dead, _ = AuthToken.objects.create(user=alice, expiry=timedelta(seconds=-1))
        alive, _ = AuthToken.objects.create(user=alice)
        call_command("prune_uploads")
        assert capsys.readouterr().out == "0 uploads, 0 orphans, 1 idempotency keys, 1 tokens removed\n"
        assert list(AuthToken.objects.values_list("pk", flat=True)) == [alive.pk]
        assert dead.pk != alive.pk

    def test_again_and_again_until_it_is_told_to_stop(self, manage: Manage) -> None:
        process = manage.start("prune_uploads", "--every", "0.2", env={"PYTHONUNBUFFERED": "1"})
        assert process.stdout is not None
        assert [process.stdout.readline().startswith("0 uploads") for _ in range(3)] == [True] * 3
        started = time.monotonic()
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(30) == 0
        assert time.monotonic() - started < 10
