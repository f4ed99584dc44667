"""The admin's pages of imports, as staff see and use them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from accounts.models import Role, RoleMembership, User
from config.kernel.admin import COUNTED_AT_MOST, BoundedPaginator
from ingestion.clock import utc_now
from ingestion.models import Chunk, Import, Reject, Source, Upload

pytestmark = pytest.mark.django_db


def staff(user_id: str, *permissions: str) -> User:
    """Somebody who may enter the admin, with a role of these permissions."""
    user = User.objects.create_user(user_id, email=f"{user_id}@example.com", password="a long enough one", name=user_id)
    user.is_staff = True
    user.save()
    role = Role.objects.create(slug=f"role-of-{user_id}", name=user_id)
    role.permissions.set(Permission.objects.filter(codename__in=[name.partition(".")[2] for name in permissions]))
    RoleMembership.objects.create(user=user, role=role)
    return user


@pytest.fixture
def running() -> Import:
    """An import of an upload, half done, with one reject."""
    now = utc_now()
    owner = User.objects.create_user("alice", email="alice@example.com", name="Alice")
    upload = Upload.objects.create(
        owner=owner, state="complete", filename="orders.csv", length_bytes=200, offset_bytes=200,
        created_at=now, expires_at=now + timedelta(days=1),
    )  # fmt: skip
    found = Import.objects.create(
        state="running", profile="sluice", options_hash="o", fingerprint="f", created_by=owner, created_at=now,
        started_at=now, planned_at=now, prepared_at=now, upload=upload, queue="small",
    )  # fmt: skip
    Source.objects.create(owner=found, number=0, name="orders.csv", size_bytes=200, dialect={"encoding": "utf-8"})
    came_of_it = {"outcomes": {"loaded": 9, "rejected": 1}, "errors": {"required": 1}}
    done: dict[str, Any] = {"state": "done", "merged_at": now, **came_of_it}
    for number, work in enumerate((done, {"state": "planned"})):
        Chunk.objects.create(
            owner=found, number=number, source=0, offset=100 * number, length=100, first_record=1 + 10 * number,
            records=10, first_line=2, lines=10, quoting="clean", **work,
        )  # fmt: skip
    Reject.objects.create(
        owner=found, chunk=0, source=0, record=3, position=0, line=4, offset=20, length=8, code="required",
        message="<b>needed</b>", value="=1+2", raw=b"a,b,c,d\n",
    )  # fmt: skip
    return found


@pytest.fixture
def signed_in(client: Client) -> Callable[..., Client]:
    """Signs somebody in."""

    def sign_in(user: User) -> Client:
        client.force_login(user)
        return client

    return sign_in


def test_list_tells_how_far_and_what_came_of_it(running: Import, signed_in: Callable[..., Client]) -> None:
    page = signed_in(staff("bob", "ingestion.view_import")).get("/admin/ingestion/import/").content.decode()
    assert "orders.csv" in page
    assert "50 %" in page
    assert f'data-import="{running.pk}" data-cell="loaded" data-moving="1">9<' in page


def test_list_asks_as_much_for_fifty_imports_as_for_one(
    running: Import, signed_in: Callable[..., Client], django_assert_max_num_queries: Any
) -> None:
    client = signed_in(staff("bob", "ingestion.view_import"))
    for number in range(50):
        Import.objects.create(state="queued", options_hash=str(number), fingerprint="f", created_at=utc_now())
    with django_assert_max_num_queries(20):
        client.get("/admin/ingestion/import/")


def test_page_of_an_import_explains_its_rejects(running: Import, signed_in: Callable[..., Client]) -> None:
    client = signed_in(staff("bob", "ingestion.view_import", "ingestion.view_reject"))
    page = client.get(f"/admin/ingestion/import/{running.pk}/change/").content.decode()
    assert "required" in page
    assert "Please correct" not in page
    assert "Pause" not in page  # looking is not controlling
    rejects = client.get(f"/admin/ingestion/reject/?owner__id__exact={running.pk}&code=required").content.decode()
    assert "&lt;b&gt;needed" in rejects


def test_rejects_of_all_imports_at_once_are_not_listed(running: Import, signed_in: Callable[..., Client]) -> None:
    page = signed_in(staff("bob", "ingestion.view_reject")).get("/admin/ingestion/reject/").content.decode()
    assert "needed" not in page


def test_buttons_pause_and_cancel(running: Import, signed_in: Callable[..., Client]) -> None:
    client = signed_in(staff("bob", "ingestion.view_import", "ingestion.change_import"))
    assert "Pause" in client.get(f"/admin/ingestion/import/{running.pk}/change/").content.decode()
    for verb, state in (("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")):
        client.post(f"/admin/ingestion/import/{running.pk}/control/{verb}/")
        running.refresh_from_db()
        assert running.state == state


def test_actions_of_the_list_control_all_that_are_chosen(running: Import, signed_in: Callable[..., Client]) -> None:
    client = signed_in(staff("bob", "ingestion.view_import", "ingestion.change_import"))
    data = {"action": "pause_selected", "_selected_action": [running.pk]}
    page = client.post("/admin/ingestion/import/", data, follow=True).content.decode()
    running.refresh_from_db()
    assert running.state == "paused"
    assert f"Import {running.pk}: paused." in page


def test_what_makes_no_sense_is_explained(running: Import, signed_in: Callable[..., Client]) -> None:
    Import.objects.filter(pk=running.pk).update(state="failed")
    client = signed_in(staff("bob", "ingestion.view_import", "ingestion.change_import"))
    page = client.post(f"/admin/ingestion/import/{running.pk}/control/cancel/", follow=True).content.decode()
    assert "has already ended" in page


@pytest.mark.parametrize("permissions", [(), ("ingestion.view_import",)])
def test_nobody_controls_without_the_permission(
    running: Import, signed_in: Callable[..., Client], permissions: tuple[str, ...]
) -> None:
    client = signed_in(staff("charlie", *permissions))
    assert client.post(f"/admin/ingestion/import/{running.pk}/control/cancel/").status_code == 403
    client.post("/admin/ingestion/import/", {"action": "cancel_selected", "_selected_action": [running.pk]})
    running.refresh_from_db()
    assert running.state == "running"


def test_a_link_controls_nothing(running: Import, signed_in: Callable[..., Client]) -> None:
    client = signed_in(staff("bob", "ingestion.view_import", "ingestion.change_import"))
    assert client.get(f"/admin/ingestion/import/{running.pk}/control/cancel/").status_code == 404


def test_counts_are_asked_for_together(running: Import, signed_in: Callable[..., Client]) -> None:
    client = signed_in(staff("bob", "ingestion.view_import"))
    standing = client.get(f"/admin/ingestion/import/standing/?ids={running.pk},999,x").json()
    assert standing == {str(running.pk): standing[str(running.pk)]}
    assert standing[str(running.pk)]["loaded"] == "9"
    assert standing[str(running.pk)]["moving"] is True
    client.force_login(staff("charlie"))
    assert client.get(f"/admin/ingestion/import/standing/?ids={running.pk}").status_code == 403


def test_nothing_of_an_import_can_be_edited_or_deleted(running: Import, signed_in: Callable[..., Client]) -> None:
    admin = User.objects.create_superuser("root", email="root@example.com", password="x")
    client = signed_in(admin)
    for address in ("add/", f"{running.pk}/delete/"):
        assert client.get(f"/admin/ingestion/import/{address}").status_code == 403
    assert client.post(f"/admin/ingestion/import/{running.pk}/change/", {"options": "{}"}).status_code == 403


def test_every_page_of_ingestion_opens(running: Import, signed_in: Callable[..., Client]) -> None:
    client = signed_in(User.objects.create_superuser("root", email="root@example.com", password="x"))
    for model in ("import", "upload", "storedprofile", "chunk", "reject"):
        assert client.get(f"/admin/ingestion/{model}/").status_code == 200
    for address in (f"import/{running.pk}", f"upload/{running.upload_id}", f"reject/{Reject.objects.get().pk}"):
        assert client.get(f"/admin/ingestion/{address}/change/").status_code == 200
    assert client.get("/admin/ingestion/import/nonsense/change/", follow=True).status_code == 200


def test_lists_do_not_count_the_whole_table() -> None:
    User.objects.bulk_create(User(id=f"u{number}", password="!") for number in range(COUNTED_AT_MOST + 5))
    assert BoundedPaginator(User.objects.order_by("pk"), 50).count == COUNTED_AT_MOST
