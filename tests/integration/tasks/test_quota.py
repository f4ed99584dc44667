"""What an import unpacks counts towards the quota of whoever owns the upload."""

import gzip

import pytest
from django.conf import settings

from ingestion import states
from ingestion.clock import utc_now
from ingestion.services import import_start
from tests.integration.tasks.conftest import Desk, csv_text, work_off


def test_no_room_to_unpack_pauses_the_import(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    data = csv_text(range(5000))
    upload = desk.upload(gzip.compress(data), name="f.csv.gz")
    owner = desk.start(upload)
    with monkeypatch.context() as patch:
        patch.setattr(settings, "UPLOAD_QUOTA_BYTES", len(data))
        work_off()
    owner.refresh_from_db()
    assert owner.state == states.PAUSED
    assert f"{upload.offset_bytes} of {len(data)} bytes stored, announced or unpacked" in owner.reason
    import_start(import_id=owner.pk, now=utc_now())
    work_off()
    owner.refresh_from_db()
    assert (owner.state, owner.reason) == (states.COMPLETED, "")
