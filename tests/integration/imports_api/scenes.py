"""
People, uploads and imports of the tests of the imports API.

Alice and Bob import files, each their own; Dora looks after the imports of all; Eve may look at all of them; Charlie is
an outsider. `load` does what workers do, in this process; `prepare`, `plan` and `work` do it step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Permission
from rest_framework.test import APIClient

from accounts.models import Role, User
from accounts.services.tokens import token_create
from ingestion.clock import utc_now
from ingestion.models import Import, Source as SourceRow, Upload
from ingestion.opening import source_of_upload
from ingestion.prepare import detect_source, prepared, settle_all
from ingestion.profiles import Profile
from ingestion.services import import_start, job_of
from ingestion.slices import ChunkWork
from ingestion.stages.plan import Planner
from ingestion.steps import run_steps
from ingestion.uploads.segments import SegmentWriter
from ingestion.uploads.services import Description, segments_store, upload_create, writer_take
from ingestion.worker import ChunkWorker, open_for_work

HEADER = "order_id,user_id,sku,quantity,unit_price"
IMPORTER = ("add_import", "add_upload", "view_storedprofile")
KEEPER = ("view_import", "change_import", "add_import", "view_storedprofile", "add_storedprofile",
          "change_storedprofile", "delete_storedprofile")  # fmt: skip
ROLES = {"alice": IMPORTER, "bob": IMPORTER, "dora": KEEPER, "eve": ("view_import",), "charlie": ()}


def csv(*rows: str, header: str = HEADER) -> bytes:
    """A file of these records."""
    return "".join(f"{line}\n" for line in (header, *rows)).encode()


GOOD = csv("o1,u1,lamp,1,9.50", "o2,u2,bank,2,249.00", "o3,u1,lamp,3,")
BAD = csv("o1,u1,lamp,1,9.50", "o2,u2,bank,none,249.00", "o3,u1,lamp,1,free", "o4,,lamp,1,1.00")


class People:
    """Everybody with their roles, and their ways to ask."""

    def __init__(self) -> None:
        self._clients: dict[str, APIClient] = {}
        for name, permissions in ROLES.items():
            user = User.objects.create_user(name, email=f"{name}@example.com", name=name.title())
            role = Role.objects.create(slug=f"role-of-{name}", name=name)
            found = Permission.objects.filter(content_type__app_label="ingestion", codename__in=permissions)
            role.permissions.set(found)
            assert len(found) == len(permissions)
            user.memberships.create(role=role)

    def __getitem__(self, name: str) -> APIClient:
        if name not in self._clients:
            client = APIClient()
            client.credentials(HTTP_AUTHORIZATION=f"Bearer {token_of(name)}")
            self._clients[name] = client
        return self._clients[name]


def token_of(name: str) -> str:
    """A bearer token."""
    return token_create(user=User.objects.get(pk=name), ttl=timedelta(hours=1), now=utc_now())[1]


def begun(owner: str = "alice", *, length: int | None = None, start: str = "manual", **described: Any) -> Upload:
    """An upload without any bytes yet."""
    description = Description(**{"filename": "orders.csv", "start": start, **described})
    return upload_create(owner_id=owner, description=description, length_bytes=length, now=utc_now())


def send(upload: Upload, data: bytes, *, last: bool = False, sha256: str = "") -> Upload:
    """Append bytes, as one request does."""
    writer = writer_take(upload_id=upload.pk)
    assert writer is not None
    with SegmentWriter(upload.pk, offset=Upload.objects.get(pk=upload.pk).offset_bytes) as segments:
        segments.write(data)
        return segments_store(writer=writer, segments=segments.finish(), last=last, sha256=sha256, now=utc_now())


def uploaded(data: bytes, owner: str = "alice", *, sha256: str = "", **described: Any) -> Upload:
    """A complete upload."""
    return send(begun(owner, **described), data, last=True, sha256=sha256)


def prepare(owner: Import) -> Import:
    """What the workers' first step does: sources, dialect, settlement."""
    assert owner.upload is not None
    profile = Profile.from_dict(owner.options)
    opened = [detect_source(source_of_upload(Upload.objects.get(imports=owner)), profile=profile)]
    (settlement,) = settle_all(opened, profile=profile)
    told = vars(prepared(opened[0], settlement))
    kept = {name: value for name, value in told.items() if name not in ("fingerprint", "identity")}
    SourceRow.objects.create(owner=owner, number=0, **kept)
    Import.objects.filter(pk=owner.pk).update(prepared_at=utc_now())
    import_start(import_id=owner.pk, now=utc_now())
    return Import.objects.get(pk=owner.pk)


def plan(owner: Import) -> Import:
    """All chunks."""
    Planner(owner=owner, now=utc_now, running=lambda: True).run()
    return Import.objects.get(pk=owner.pk)


def work(owner: Import, *, after_chunk: Callable[[], None] = lambda: None) -> None:
    """Merge chunks until there are none."""
    sources = {row.number: open_for_work(row) for row in SourceRow.objects.filter(owner=owner)}
    ChunkWorker(
        job=job_of(owner), sources=sources, name="test", now=utc_now, after_chunk=after_chunk, heartbeat=None
    ).run()


def load(import_id: int) -> dict[str, Any]:
    """Take an import to its end, as the workers of a deployment do; returns its certificate."""
    for _ in range(10):
        run_steps(import_id=import_id)
        ChunkWork().run()
        owner = Import.objects.get(pk=import_id)
        if owner.certificate is not None:
            certificate: dict[str, Any] = owner.certificate
            return certificate
    raise AssertionError(f"{owner} does not end: {owner.step_error}")


def asked(client: APIClient, upload: Upload, status: int = 202, **options: Any) -> dict[str, Any]:
    """POST /imports."""
    response = client.post("/imports", {"upload": str(upload.pk), **options}, format="json")
    assert response.status_code == status, response.content
    told: dict[str, Any] = response.json()
    return told


def loaded(client: APIClient, data: bytes, owner: str = "alice", **options: Any) -> int:
    """Upload, import, and load to the end; returns the import's id."""
    import_id: int = asked(client, uploaded(data, owner), **options)["id"]
    load(import_id)
    return import_id


def body_of(response: Any) -> bytes:
    """All of a streamed answer."""
    assert response.status_code == 200, response.content
    return b"".join(response.streaming_content)


def ids(page: Any) -> list[int]:
    """Of a page of imports."""
    return [entry["id"] for entry in page.json()["results"]]


def records(body: bytes) -> Sequence[bytes]:
    """The lines of a file but for its header."""
    return body.splitlines(keepends=True)[1:]


def codes(errors: Iterable[dict[str, Any]]) -> list[str]:
    """Of errors, in order."""
    return [error["code"] for error in errors]
