"""Uploads and imports as the API makes them, and steps and chunks in this process."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.files.storage import storages

from accounts.models import User
from ingestion import shutdown
from ingestion.clock import utc_now
from ingestion.intake import Wishes, import_from_upload
from ingestion.models import Import, Upload
from ingestion.profiles import Profile, load_profile
from ingestion.slices import ChunkWork
from ingestion.steps import run_steps
from ingestion.uploads.segments import SegmentWriter
from ingestion.uploads.services import Description, segments_store, upload_create, writer_release, writer_take

SETTLED = {
    "reading": {"encoding": "utf-8"},
    "formats": {
        "day_first": False,
        "date_formats": ["%Y-%m-%d"],
        "decimal_separator": ".",
        "thousands_separators": [],
        "currency_signs": [],
    },
}
"""What a profile must say so that an import may begin before its file is complete."""


def settled_profile(**rules: Any) -> Profile:
    """The built-in profile with every format settled."""
    data = load_profile("sluice").as_dict()
    for section, values in SETTLED.items():
        data[section] |= values
    return Profile.from_mapping(data, source="a test").with_rules(**rules)


def csv_text(orders: range, *, lines: int = 1, prefix: str = "o") -> bytes:
    """Orders with a line or more each, in our own layout."""
    made = ["order_id,user_id,sku,quantity,line_no\n"]
    for order in orders:
        made += [f"{prefix}{order},u{order % 50},i{order % 20},{line + 2},{line + 1}\n" for line in range(lines)]
    return "".join(made).encode()


@dataclass
class Desk:
    """Makes uploads and imports for a person."""

    owner: User

    def upload(self, *parts: bytes, complete: bool = True, length: int | None = None, name: str = "f.csv") -> Upload:
        """An upload with these bytes, a segment each; it starts no import by itself."""
        total = sum(map(len, parts)) if complete else length
        made = upload_create(
            owner_id=self.owner.pk,
            description=Description(filename=name, start="manual"),
            length_bytes=total,
            now=utc_now(),
        )
        for part in parts:
            self.append(made.pk, part)
        made.refresh_from_db()
        return made

    def append(self, upload_id: uuid.UUID, data: bytes, *, last: bool = False) -> None:
        """More bytes of an upload, as a request would store them."""
        if not data and not last:
            return
        writer = writer_take(upload_id=upload_id)
        assert writer is not None
        offset = Upload.objects.get(pk=upload_id).offset_bytes
        with SegmentWriter(upload_id, offset=offset) as segments:
            segments.write(data)
            segments_store(writer=writer, segments=segments.finish(), last=last, now=utc_now())
        writer_release(writer)

    def start(self, upload: Upload, **options: Any) -> Import:
        """An import of it, started."""
        options = {"profile": load_profile("sluice"), "created_by_id": self.owner.pk, "now": utc_now()} | options
        wishes = Wishes(**{name: options.pop(name) for name in vars(Wishes()).keys() & options.keys()})
        owner, _ = import_from_upload(upload=upload, wishes=wishes, **options)
        return owner

    def load(self, *parts: bytes, **options: Any) -> Import:
        """Upload, import, and work until nothing is left to do."""
        owner = self.start(self.upload(*parts), **options)
        work_off()
        owner.refresh_from_db()
        return owner


def work_off() -> None:
    """Everything that waits, in this thread."""
    for _ in range(20):
        work = ChunkWork()
        done = run_steps()
        work.run()
        if not done:
            return


@pytest.fixture
def _media(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings.STORAGES["uploads"].setdefault("OPTIONS", {}), "location", str(tmp_path / "media"))
    monkeypatch.delitem(storages._storages, "uploads", raising=False)  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def _not_ending() -> Iterator[None]:
    shutdown.ending.clear()
    yield
    shutdown.ending.clear()


@pytest.fixture
def desk(_media: None) -> Desk:
    """Alice's."""
    return desk_of("alice")


@pytest.fixture
def other_desk(_media: None) -> Desk:
    """Bob's."""
    return desk_of("bob")


def desk_of(name: str) -> Desk:
    owner, _ = User.objects.get_or_create(
        id=name, defaults={"email": f"{name}@example.com", "name": name.title(), "password": "!", "is_superuser": True}
    )
    return Desk(owner)


Made = Callable[..., Import]
