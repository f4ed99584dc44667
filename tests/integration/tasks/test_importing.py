"""An upload becomes orders: every step, what it leaves in the rows, and how it ends when it cannot be done."""

from __future__ import annotations

import gzip
import io
import zipfile

import pytest
import zstandard

from ingestion import states
from ingestion.clock import utc_now
from ingestion.control import import_call_off, import_hold, import_resume
from ingestion.models import Chunk, Import, Segment, Source as SourceRow
from ingestion.steps import run_steps
from ingestion.verification import import_verify
from orders.models import Order, OrderLine
from tests.integration.tasks.conftest import Desk, csv_text, settled_profile, work_off


def test_upload_becomes_orders(desk: Desk) -> None:
    owner = desk.load(csv_text(range(100), lines=2)[:500], csv_text(range(100), lines=2)[500:])
    assert (owner.state, owner.reason) == (states.COMPLETED, "")
    assert owner.prepared_at is not None
    assert owner.planned_at is not None
    assert owner.certificate is not None
    assert owner.certificate["loaded"] == 200
    assert owner.certificate["balanced"]
    assert owner.certificate["seconds"] > 0
    assert (Order.objects.count(), OrderLine.objects.count()) == (100, 200)
    assert owner.step_backend_pid is None
    assert import_verify(import_id=owner.pk).balanced


def _packed(kind: str, data: bytes) -> bytes:
    if kind == "gzip":
        return gzip.compress(data)
    if kind == "zstd":
        return zstandard.compress(data)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("__MACOSX/x", b"")
        archive.writestr("orders.csv", data)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["gzip", "zstd", "zip"])
def test_packed_upload_is_unpacked_once_into_segments(desk: Desk, kind: str) -> None:
    data = csv_text(range(500))
    owner = desk.load(_packed(kind, data))
    assert owner.state == states.COMPLETED, owner.reason
    assert Order.objects.count() == 500
    unpacked = Segment.objects.filter(upload=owner.upload, content="unpacked")
    assert sum(unpacked.values_list("length_bytes", flat=True)) == len(data)
    source = SourceRow.objects.get(owner=owner)
    assert (source.descriptor["kind"], source.size_bytes) == (kind, len(data))
    assert import_verify(import_id=owner.pk).balanced


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"name,colour\nx,red\n", "do not settle what to load"),
        (b"\x1f\x8b\x08\x00cut", "ends in the middle"),
        (b"", "empty"),
        (b"7z\xbc\xaf'\x1c", "7z archive"),
    ],
    ids=["header", "cut", "empty", "archive"],
)
def test_what_cannot_be_read_or_settled_fails_with_the_reason(desk: Desk, data: bytes, reason: str) -> None:
    owner = desk.load(data)
    assert owner.state == states.FAILED
    assert reason in owner.reason
    assert owner.certificate is not None, "a stopped import has a certificate, too"


def test_paused_import_goes_on_where_it_was(desk: Desk) -> None:
    owner = desk.start(desk.upload(csv_text(range(50))))
    run_steps()
    import_hold(import_id=owner.pk)
    work_off()
    assert Order.objects.count() == 0
    import_resume(import_id=owner.pk, now=utc_now())
    work_off()
    owner.refresh_from_db()
    assert owner.state == states.COMPLETED
    assert Order.objects.count() == 50


def test_cancelled_import_gets_a_certificate(desk: Desk) -> None:
    owner = desk.start(desk.upload(csv_text(range(50))))
    run_steps()
    import_call_off(import_id=owner.pk, now=utc_now())
    work_off()
    owner.refresh_from_db()
    assert owner.state == states.CANCELLED
    assert owner.certificate is not None
    assert owner.certificate["unprocessed"] == 50


def test_dry_run_predicts_and_writes_nothing_else(desk: Desk) -> None:
    data = csv_text(range(30)) + b"o99,u1,i1,many,1\n"
    owner = desk.load(data, dry_run=True)
    assert owner.state == states.COMPLETED_WITH_REJECTS, owner.reason
    assert owner.certificate is not None
    assert (owner.certificate["loaded"], owner.certificate["rejected"]) == (30, 1)
    assert (owner.certificate["dry_run"], owner.certificate["import_id"]) == (True, owner.pk)
    assert [example["code"] for example in owner.certificate["examples"]] == ["invalid_integer"]
    assert (Order.objects.count(), Chunk.objects.count()) == (0, 0)


def test_same_bytes_load_nothing_twice(desk: Desk, other_desk: Desk) -> None:
    data = csv_text(range(40))
    first = desk.load(data)
    again = desk.load(data)
    assert (again.state, again.duplicate_of_id) == (states.CANCELLED, first.pk)
    assert f"as import {first.pk}" in again.reason
    assert Chunk.objects.filter(owner=again).count() == 0
    forced = desk.load(data, force=True)
    assert (forced.state, forced.duplicate_of_id) == (states.COMPLETED, None)
    theirs = other_desk.load(data)
    assert theirs.duplicate_of_id is None, "what others import is not shown"


def test_alike_is_not_the_same(desk: Desk) -> None:
    """The quick fingerprint looks at some places only."""
    data = csv_text(range(120_000))
    between = (len(data) - 65_536) * 8 // 17 + 65_536 + 5_000  # behind one sample and before the next
    place = data.index(b"\n", between) + 1
    other = data[:place] + (b"p" if data[place : place + 1] == b"o" else b"o") + data[place + 1 :]
    first, second = desk.load(data), desk.load(other)
    assert first.fingerprint == second.fingerprint, "else this tests nothing"
    assert second.state == states.COMPLETED
    assert second.duplicate_of_id is None


def test_import_of_an_upload_that_still_arrives_begins_at_once(desk: Desk) -> None:
    data = csv_text(range(120_000))
    upload = desk.upload(data[: 3 << 19], complete=False, length=len(data))
    owner = desk.start(upload, profile=settled_profile(), while_uploading=True)
    assert owner.state == states.UPLOADING
    assert run_steps(steps=["prepare"]) == 1
    owner.refresh_from_db()
    assert owner.state == states.RUNNING
    desk.append(upload.pk, data[3 << 19 :])
    work_off()
    owner.refresh_from_db()
    assert owner.state == states.COMPLETED, owner.reason
    assert Order.objects.count() == 120_000
    assert import_verify(import_id=owner.pk).balanced


def test_import_of_a_packed_upload_waits_for_the_whole(desk: Desk) -> None:
    data = gzip.compress(csv_text(range(300_000)), 0)
    upload = desk.upload(data[: 2 << 20], complete=False, length=len(data))
    owner = desk.start(upload, profile=settled_profile(), while_uploading=True)
    work_off()
    owner.refresh_from_db()
    assert (owner.state, owner.while_uploading) == (states.UPLOADING, False)
    assert "packed" in owner.reason
    desk.append(upload.pk, data[2 << 20 :])
    work_off()
    owner.refresh_from_db()
    assert (owner.state, owner.reason) == (states.COMPLETED, "")


def test_import_of_a_person_whose_upload_is_gone_fails(desk: Desk) -> None:
    owner = desk.start(desk.upload(csv_text(range(5))))
    Segment.objects.all().delete()
    work_off()
    owner.refresh_from_db()
    assert owner.state == states.FAILED
    assert Import.objects.count() == 1
